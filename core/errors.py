"""All errors that users can get, in one tree. They are part of the interface.

    VireoError                       500 internal_error
    ├── InvalidRequest               422 invalid_request
    │   ├── InvalidLabels            422 invalid_labels          (details.index: which label)
    │   ├── InvalidArchive           422 invalid_archive         (details.reason, details.path: the entry at fault)
    │   ├── InvalidDataset           422 invalid_dataset         (details.report: the findings)
    │   ├── InvalidTraining          422 invalid_training        (details.field)
    │   ├── InvalidCheckpoint        422 invalid_checkpoint
    │   ├── UndecodableVideo         422 undecodable_video       (details.reason, details.stream)
    │   └── UrlNotAllowed            422 url_not_allowed
    ├── UrlUnreachable               422 url_unreachable
    ├── MalformedRequest             400 malformed_request       (not valid HTTP)
    ├── HostNotAllowed               400 host_not_allowed        (details.host)
    ├── Unauthenticated              401 unauthenticated         (no API key, or one that is not valid)
    ├── Forbidden                    403 forbidden               (details.scope: what the key lacks)
    ├── CrossSiteRequest             403 cross_site_request
    ├── NotFound                     404 not_found               (details.nearest: closest names)
    │   ├── UnknownModel             404 unknown_model
    │   ├── UnknownLabelSet          404 unknown_label_set
    │   ├── UnknownVideo             404 unknown_video
    │   ├── UnknownDataset           404 unknown_dataset
    │   ├── UnknownFeedback          404 unknown_feedback
    │   └── UnknownJob               404 unknown_job
    ├── MethodNotAllowed             405 method_not_allowed
    ├── RequestTimeout               408 request_timeout
    ├── Conflict                     409 conflict
    │   └── VideoGone                409 video_gone              (it has a record, but neither vectors nor bytes)
    ├── PreconditionFailed           412 precondition_failed     (details.etag: what is stored)
    ├── VideoTooLarge                413 video_too_large         (details.limit)
    ├── RequestTooLarge              413 request_too_large       (archives, checkpoints, JSON bodies, form fields)
    ├── UnsupportedMedia             415 unsupported_media_type
    ├── InvalidRange                 416 range_not_satisfiable   (details.size)
    ├── HeadersTooLarge              431 headers_too_large       (details.limit)
    ├── Cancelled                    409 cancelled
    ├── TrainingFailed               500 training_failed         (details.step)
    ├── QueueFull                    429 queue_full              (Retry-After)
    ├── RateLimited                  429 rate_limited            (Retry-After; details.limit)
    ├── QuotaExceeded                429 quota_exceeded          (Retry-After; details.quota, details.limit)
    ├── Overloaded                   503 overloaded              (Retry-After; details.limit)
    ├── DeadlineExceeded             504 deadline_exceeded       (details.limit)
    ├── ModelUnavailable             503 model_unavailable       (Retry-After)
    ├── WorkerUnavailable            503 worker_unavailable      (Retry-After)
    └── StorageUnavailable           503 storage_unavailable     (Retry-After)

Each class has an HTTP `status` and a stable `code`. Each error has a `message` that says what is wrong, an optional
`hint` that says what to do, and machine-readable `details`. Errors cross the queue as data (`to_dict`, `from_dict`),
never as pickles, and have one envelope everywhere: `{"error": {"code", "message", "hint", "request_id", "details"}}`.
"""

from __future__ import annotations

from typing import Any, ClassVar


class VireoError(Exception):
    """Base class of all errors that may reach a user. `message` is safe to show; a stack trace is not."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retry_after: int | None = None
    """Seconds for the `Retry-After` header: those of the class, unless an error knows better. None if a retry does not
    help."""

    def __init__(self, message: str, *, hint: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def to_dict(self, request_id: str | None = None) -> dict[str, Any]:
        """The content of the envelope."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "request_id": request_id,
            "details": self.details,
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> VireoError:
        """The error that `to_dict` described. An unknown code gives the base class."""
        kind = BY_CODE.get(data.get("code", ""), VireoError)
        return kind(data.get("message", ""), hint=data.get("hint"), **data.get("details", {}))


class InvalidRequest(VireoError):
    status, code = 422, "invalid_request"


class InvalidLabels(InvalidRequest):
    code = "invalid_labels"


class InvalidArchive(InvalidRequest):
    code = "invalid_archive"


class InvalidDataset(InvalidRequest):
    code = "invalid_dataset"


class InvalidTraining(InvalidRequest):
    code = "invalid_training"


class InvalidCheckpoint(InvalidRequest):
    code = "invalid_checkpoint"


class UndecodableVideo(InvalidRequest):
    code = "undecodable_video"


class UrlNotAllowed(InvalidRequest):
    code = "url_not_allowed"


class UrlUnreachable(VireoError):
    status, code = 422, "url_unreachable"


class MalformedRequest(VireoError):
    status, code = 400, "malformed_request"


class HostNotAllowed(VireoError):
    status, code = 400, "host_not_allowed"


class Unauthenticated(VireoError):
    status, code = 401, "unauthenticated"


class Forbidden(VireoError):
    status, code = 403, "forbidden"


class CrossSiteRequest(VireoError):
    status, code = 403, "cross_site_request"


class NotFound(VireoError):
    status, code = 404, "not_found"


class UnknownModel(NotFound):
    code = "unknown_model"


class UnknownLabelSet(NotFound):
    code = "unknown_label_set"


class UnknownVideo(NotFound):
    code = "unknown_video"


class UnknownDataset(NotFound):
    code = "unknown_dataset"


class UnknownFeedback(NotFound):
    code = "unknown_feedback"


class UnknownJob(NotFound):
    code = "unknown_job"


class MethodNotAllowed(VireoError):
    status, code = 405, "method_not_allowed"


class RequestTimeout(VireoError):
    status, code = 408, "request_timeout"


class Conflict(VireoError):
    status, code = 409, "conflict"


class VideoGone(Conflict):
    code = "video_gone"


class PreconditionFailed(VireoError):
    status, code = 412, "precondition_failed"


class VideoTooLarge(VireoError):
    status, code = 413, "video_too_large"


class RequestTooLarge(VireoError):
    status, code = 413, "request_too_large"


class UnsupportedMedia(VireoError):
    status, code = 415, "unsupported_media_type"


class InvalidRange(VireoError):
    status, code = 416, "range_not_satisfiable"


class HeadersTooLarge(VireoError):
    status, code = 431, "headers_too_large"


class Cancelled(VireoError):
    status, code = 409, "cancelled"


class TrainingFailed(VireoError):
    code = "training_failed"


class QueueFull(VireoError):
    status, code, retry_after = 429, "queue_full", 2


class RateLimited(VireoError):
    status, code, retry_after = 429, "rate_limited", 60


class QuotaExceeded(VireoError):
    status, code, retry_after = 429, "quota_exceeded", 3600


class Overloaded(VireoError):
    status, code, retry_after = 503, "overloaded", 5


class DeadlineExceeded(VireoError):
    status, code = 504, "deadline_exceeded"


class ModelUnavailable(VireoError):
    status, code, retry_after = 503, "model_unavailable", 30


class WorkerUnavailable(VireoError):
    status, code, retry_after = 503, "worker_unavailable", 5


class StorageUnavailable(VireoError):
    status, code, retry_after = 503, "storage_unavailable", 5


def _tree(kind: type[VireoError]) -> list[type[VireoError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _tree(child))]


BY_CODE: dict[str, type[VireoError]] = {kind.code: kind for kind in _tree(VireoError)}

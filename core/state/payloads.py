"""Large requests and results of jobs. They are files in the store, and the record in Redis has their keys.

    jobs/<job id>/request.json, result-<attempt>.json, attention.png, labels.png, and the files of a batch

A record in Redis cannot be evicted, so its size is bounded. Whoever reads a job through `Payloads.load` sees the same,
wherever its request and its result are. `keys.PAYLOADS` lists the jobs with files: the gateway deletes the files after
the record, and the files whose record was never written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from pydantic_core import from_json

from core.errors import StorageUnavailable
from core.records import Job
from core.state.fullness import GO_ON
from core.storage import Staged, Store

# KEYS: PAYLOADS    ARGV: job id    The job has a record, which owns its files.
OWN: Final = GO_ON + "redis.call('ZADD', KEYS[1], '+inf', ARGV[1])"

PayloadName = Literal["request", "result"]

PictureName = Literal["attention.png", "frames.jpg", "labels.png"]
"""A picture that belongs to a result. Attempts at one job draw the same, so it has one name."""

PICTURES: Final[tuple[PictureName, ...]] = get_args(PictureName)

MANIFEST: Final = "manifest"
"""The file that a request for a batch brings."""

CLAIM_SECONDS: Final = 3600.0
"""Files whose job has no record are deleted after this time. Until then the record may still be written."""


class PayloadLost(StorageUnavailable):
    """The store can be reached, and does not have what the record names."""


def payloads_key(job_id: str) -> str:
    return f"jobs/{job_id}"


@dataclass(frozen=True, slots=True)
class Payload:
    """A request or a result, as a field of a job's hash."""

    field: str
    text: str

    @property
    def in_store(self) -> bool:
        return self.field.endswith("_key")


class Payloads:
    def __init__(self, store: Store, inline_bytes: int) -> None:
        """`inline_bytes`: the largest request or result that is kept in the record."""
        self._store = store
        self._inline_bytes = inline_bytes

    def is_large(self, text: str) -> bool:
        """Whether a request or a result with this JSON belongs into the store."""
        return len(text.encode()) > self._inline_bytes

    def write(self, job_id: str, name: PayloadName, text: str, attempt: str = "") -> Payload:
        """The field for the JSON `text`, which is written into the store if it is large.

        `attempt`: who writes it, so that no attempt overwrites what another one wrote. Raises: StorageUnavailable.
        """
        if not self.is_large(text):
            return Payload(name, text)
        key = f"{payloads_key(job_id)}/{'-'.join(filter(None, [name, attempt]))}.json"
        self._store.write_text(key, text)
        return Payload(f"{name}_key", key)

    def write_picture(self, job_id: str, name: PictureName, content: bytes) -> None:
        """Raises: StorageUnavailable."""
        with self._store.stage() as staged:
            staged.write(content)
            self._store.publish(staged, f"{payloads_key(job_id)}/{name}")

    def write_manifest(self, job_id: str, manifest: Staged) -> None:
        """Raises: StorageUnavailable."""
        self._store.publish(manifest, f"{payloads_key(job_id)}/{MANIFEST}")

    def load(self, job: Job) -> Job:
        """The job with its request and its result. Raises: StorageUnavailable where they cannot be read;
        of these, PayloadLost where the store has lost them."""
        found: dict[str, Any] = {}
        if job.request_key:
            found["request"] = self._read(job.id, "request", job.request_key)
        if job.result_key:
            found["result"] = self._read(job.id, "result", job.result_key)
        return job.model_copy(update=found) if found else job

    def delete(self, job_id: str) -> None:
        """Delete the files of a job, also those of attempts that were superseded. Raises: StorageUnavailable."""
        self._store.delete_tree(payloads_key(job_id), "request.json")

    def _read(self, job_id: str, name: PayloadName, key: str) -> Any:
        kind: type[StorageUnavailable] = PayloadLost
        try:
            text = self._store.read_text(key)
            if text is not None:
                return from_json(text)
            problem = "it is not there"
        except ValueError as error:
            problem = str(error)
        except OSError as error:
            problem, kind = str(error), StorageUnavailable
        raise kind(
            f"The {name} of {job_id} cannot be read from the store: {problem}.",
            hint="Gateway and workers must use the same store; GET /readyz says whether they do. If the store has lost "
            "the file, send the request again.",
        )

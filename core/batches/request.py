"""The `request` of a job of kind `batch`, and where objects of an object store may be read from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from core.errors import UrlNotAllowed
from core.questions import Question
from core.uploads.targets import MAX_URL_CHARS

MOST_ITEMS = 1_000_000  # of one batch, for any settings

OBJECT_SCHEME = "s3://"


class BatchRequest(BaseModel):
    """One question about every video of a manifest, which is a file of the job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest_sha256: str
    question: Question


def check_object_url(url: str, prefixes: frozenset[str]) -> None:
    """Whether the object at `url` may be read: it must be below one of the prefixes. Raises: UrlNotAllowed."""
    bucket, _, path = url.removeprefix(OBJECT_SCHEME).partition("/")
    if not url.startswith(OBJECT_SCHEME) or not bucket or not path or len(url) > MAX_URL_CHARS:
        raise UrlNotAllowed(
            "An object's URL looks like s3://bucket/folder/clip.mp4.", hint="Give other URLs as video_url."
        )
    if not url.isprintable() or {".", "..", ""} & set(path.split("/")):
        raise UrlNotAllowed("The object's URL has an empty or relative part.", hint="Give its plain key.")
    if not prefixes:
        raise UrlNotAllowed(
            "This server reads no objects: VIREO_BATCH_PREFIXES is empty.",
            hint="Ask the operator to set it to the prefixes that batches may read, such as s3://bucket/videos/.",
        )
    if not any(url.startswith(f"{prefix.rstrip('/')}/") for prefix in prefixes):
        raise UrlNotAllowed(
            "The object is under no prefix that this server may read.",
            hint="Ask the operator to add its prefix to VIREO_BATCH_PREFIXES.",
        )

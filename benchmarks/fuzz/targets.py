"""What is fuzzed, by name. A target gets bytes; it may return, or raise one of our errors with a status below 500."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.fuzz import files, requests
from core.errors import VireoError

CORPUS: Final = Path(__file__).parent / "corpus"
"""For each target a folder of the inputs that reach code which the others do not."""

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "multipart": requests.multipart,
    "json_body": requests.json_body,
    "form": requests.form,
    "labels": requests.labels,
    "feedback": requests.feedback,
    "ranges": requests.ranges,
    "headers": requests.headers,
    "urls": requests.urls,
    "batch_manifest": files.batch_manifest,
    "dataset_manifest": files.dataset_manifest,
    "archive": files.archive,
    "packets": files.packets,
}


def run(target: str, data: bytes) -> None:
    """Raises: whatever the target must not raise."""
    try:
        TARGETS[target](data)
    except VireoError as error:
        if error.status >= 500:
            raise

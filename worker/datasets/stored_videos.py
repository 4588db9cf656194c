"""Stored videos as the files of a dataset: what people have labelled, in the place of an unpacked archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.datasets import Finding, StoredClips
from core.errors import InvalidDataset
from core.records import video_id
from core.storage import Store, blob_key
from worker.datasets.archives.extraction import UnpackedFile
from worker.datasets.manifests.manifest import ListedClip, Listing, make_finding
from worker.jobs.cancellation import CancelToken


def copy_videos(
    listing: Path, into: Path, store: Store, max_bytes: int, token: CancelToken, report_progress: Callable[[int], None]
) -> Listing:
    """listing: a file with the JSON of `StoredClips`; into: an empty folder; `report_progress` gets the number of files
    so far. A video that has been deleted since is left out.

    Raises: InvalidDataset for more than `max_bytes`; StorageUnavailable, Cancelled.
    """
    wanted = StoredClips.model_validate_json(listing.read_text(encoding="utf-8"))
    clips: list[ListedClip] = []
    missing: list[str] = []
    total = 0
    for number, clip in enumerate(wanted.clips):
        token.check()
        path = into / f"{number:06d}"
        if not store.fetch(blob_key(clip.sha256), path):
            missing.append(video_id(clip.sha256))
            continue
        size = path.stat().st_size
        total += size
        if total > max_bytes:
            raise InvalidDataset(
                f"The labelled videos have more than {max_bytes} bytes.",
                hint="Choose some with filter, or raise VIREO_MAX_DATASET_BYTES.",
                report=[],
                limit=max_bytes,
            )
        clips.append(ListedClip(UnpackedFile(video_id(clip.sha256), path, size, clip.sha256), clip.label, None))
        report_progress(len(clips))
    return Listing(tuple(clips), tuple(_findings(missing, wanted.parts)))


def _findings(missing: list[str], parts: tuple[str, ...]) -> list[Finding]:
    findings: list[Finding] = []
    if missing:
        message = "These videos have feedback and have been deleted. They are left out."
        findings.append(make_finding("warning", "missing_file", message, missing))
    if parts:
        message = (
            "Feedback about parts of these videos is left out, because a clip is a whole video. To train on them, "
        )
        message += "cut the parts and send them as videos."
        findings.append(make_finding("warning", "span", message, {video_id(sha256) for sha256 in parts}, len(parts)))
    return findings

"""A job of kind `dataset`, whole: from the archive that the gateway stored to a published dataset.

All is written into staged directories that go when the job ends, however it ends; the one step that others can see is
the publishing of the finished tree. So a worker may die at any moment, and another repeats the job: the id follows
from the content, what is published already stays, and a receipt says what became of an archive that is gone.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from core.datasets import Dataset, DatasetRequest, Finding, Item, Split, dataset_key
from core.errors import Cancelled, InvalidArchive, InvalidDataset, InvalidRequest
from core.settings import Settings
from core.storage import Store
from worker.datasets.archives.extraction import unpack
from worker.datasets.archives.folder import UnpackLimits
from worker.datasets.findings import Clip, class_findings, count_classes, settle_copies, untrainable, usable
from worker.datasets.inspection import inspect_clips
from worker.datasets.manifests.manifest import list_clips
from worker.datasets.splits import Division, divide
from worker.decoding.pool import DecodePool
from worker.jobs.cancellation import CancelToken

MARKER = "dataset.json"
_TELL_SECONDS = 0.5

Progress = Callable[[dict[str, Any]], None]


def prepare(
    request: DatasetRequest,
    *,
    store: Store,
    decoders: DecodePool,
    settings: Settings,
    token: CancelToken,
    progress: Progress,
) -> dict[str, Any]:
    """→ {"dataset": id, "name", "classes": n, "clips": n, "report": […]}. `progress` gets {"step"} while files are
    unpacked, then {"step", "steps"} while clips are looked at.

    Raises: InvalidArchive, InvalidDataset, Cancelled (and the archive is deleted); StorageUnavailable,
    WorkerUnavailable, or Cancelled because the worker leaves (and it is kept for another try).
    """
    token.check()
    try:
        archive = store.local_path(request.archive)
    except FileNotFoundError:
        return _done_before(request, store)
    try:
        with store.stage_tree() as scratch:
            dataset, clips = _build(archive, request, scratch, decoders, settings, token, progress)
            token.check()
            _publish(dataset, clips, store)
    except InvalidRequest:
        _drop(request, store, archive)
        raise
    except Cancelled:
        if _cancelled_by_user(token):
            _drop(request, store, archive)
        raise
    store.write_text(_receipt_key(request), dataset.id)  # before the archive goes: a repetition needs one of the two
    _drop(request, store, archive)
    return _answer(_stored(dataset.id, store) or dataset, dataset.report)


def _build(
    archive: Path,
    request: DatasetRequest,
    scratch: Path,
    decoders: DecodePool,
    settings: Settings,
    token: CancelToken,
    progress: Progress,
) -> tuple[Dataset, Sequence[Clip]]:
    """The dataset and where its clips are now."""

    tell = _paced(progress, scratch)
    limits = UnpackLimits(max_bytes=settings.max_dataset_bytes, max_files=settings.max_dataset_files)
    unpacked = unpack(archive, scratch, limits, token, lambda files: tell(files, None))
    listing = list_clips(unpacked.entries, unpacked.ignored)
    entries = [clip.entry for clip in listing.clips]
    total = len({entry.sha256 for entry in entries})
    verdicts = inspect_clips(entries, decoders, settings.decode_processes + 1, token, lambda clips: tell(clips, total))
    decodable, broken = usable(listing.clips, verdicts)
    settled, copies = settle_copies(decodable)
    division = divide(settled, request.split_seed, request.val_fraction, listing.unread)
    classes = count_classes(division.clips)
    labels = class_findings(classes, (clip.label for clip in listing.clips))
    report = _ordered([*listing.findings, *broken, *copies, *division.findings, *labels])
    if reason := untrainable(classes):
        _refuse(reason, report)
    return _describe(request, division, report), division.clips


def _paced(progress: Progress, scratch: Path) -> Callable[[int, int | None], None]:
    """Often enough to watch, and seldom enough to cost nothing."""
    told_at = 0.0

    def tell(step: int, steps: int | None) -> None:
        nonlocal told_at
        if time.monotonic() - told_at < _TELL_SECONDS and step != steps:
            return
        told_at = time.monotonic()
        os.utime(scratch)  # not abandoned, however long it takes
        progress({"step": step} | ({} if steps is None else {"steps": steps}))

    return tell


def _refuse(reason: Finding, report: Sequence[Finding]) -> NoReturn:
    """Raises: InvalidDataset."""
    raise InvalidDataset(
        f"Nothing can be trained on this dataset. {reason.message}",
        hint="details.report says what was found in the archive.",
        report=[finding.model_dump(mode="json") for finding in (reason, *report)],
    )


def _describe(request: DatasetRequest, division: Division, report: Sequence[Finding]) -> Dataset:
    items = tuple(
        Item(path=clip.path, sha256=clip.sha256, label=clip.label, split=clip.split, seconds=round(clip.seconds, 6))
        for clip in division.clips
        if clip.split is not None
    )
    digest = _digest(items)
    counts = Counter(item.split for item in items)
    splits: tuple[Split, ...] = ("train", "val", "test")
    return Dataset(
        id=f"ds_{digest[:24]}",
        digest=digest,
        name=request.name,
        created_at=time.time(),
        classes=count_classes(division.clips),
        splits={split: counts[split] for split in splits},
        split_source=division.source,
        split_seed=request.split_seed if division.source == "made" else None,
        seconds=round(sum(item.seconds for item in items), 3),
        bytes=sum(clip.size for clip in division.clips),
        report=tuple(report),
        items=items,
    )


def _digest(items: Sequence[Item]) -> str:
    """Of what is learnt from and tested on. Labels hold no tabs or line feeds (`clean_label`); where a clip lay in the
    archive, what the dataset is called and what was left out changes nothing."""
    lines = sorted(f"{item.sha256}\t{item.label}\t{item.split}\n" for item in items)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _ordered(findings: Sequence[Finding]) -> list[Finding]:
    """The worst first."""
    return sorted(findings, key=lambda finding: ("error", "warning", "info").index(finding.severity))


def _publish(dataset: Dataset, clips: Sequence[Clip], store: Store) -> None:
    key = dataset_key(dataset.id)
    if store.exists(f"{key}/{MARKER}"):
        return
    with store.stage_tree() as tree:
        (tree / "clips").mkdir()
        for clip in clips:
            clip.file.replace(tree / "clips" / clip.sha256)
        (tree / MARKER).write_text(dataset.model_dump_json(), encoding="utf-8")
        store.publish_tree(tree, key, MARKER)


def _stored(dataset_id: str, store: Store) -> Dataset | None:
    """What stands under that id; its name is that of whoever came first."""
    text = store.read_text(f"{dataset_key(dataset_id)}/{MARKER}")
    return Dataset.model_validate_json(text) if text else None


def _done_before(request: DatasetRequest, store: Store) -> dict[str, Any]:
    """The archive is gone: another attempt, or another job with the same archive, may have made the dataset.
    Raises: InvalidArchive."""
    dataset = _stored(store.read_text(_receipt_key(request)) or "none", store)
    if dataset is None:
        raise InvalidArchive("The archive is not stored (any more).", hint="Send it again.", reason="gone", path=None)
    return _answer(dataset, dataset.report)


def _receipt_key(request: DatasetRequest) -> str:
    """What an archive became depends on these."""
    return f"{request.archive}.{request.split_seed}.{request.val_fraction:g}.receipt"


def _drop(request: DatasetRequest, store: Store, archive: Path) -> None:
    store.delete(request.archive)
    archive.unlink(missing_ok=True)  # of a remote store, the copy on this machine


def _cancelled_by_user(token: CancelToken) -> bool:
    """And not because this worker leaves, or its decoders have left already."""
    try:
        token.check()
    except Cancelled:
        return not token.leaving
    return False


def _answer(dataset: Dataset, report: Sequence[Finding]) -> dict[str, Any]:
    """`report`: on the archive that was sent, which may have held more than what became of it."""
    return {
        "dataset": dataset.id,
        "name": dataset.name,
        "classes": len(dataset.classes),
        "clips": len(dataset.items),
        "report": [finding.model_dump(mode="json") for finding in report],
    }

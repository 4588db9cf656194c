"""A whole job of kind `dataset`: from the archive that the gateway stored to a published dataset.

All files are written into staged directories, which are deleted however the job ends. Publishing the finished tree is
the only step that others can see. So a worker may die at any moment and another repeats the job: the id follows from
the content, a dataset that was published stays, and a receipt records which dataset a deleted archive became.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NoReturn

from core.datasets import SPLITS, Dataset, DatasetRequest, Finding, Item, dataset_key
from core.errors import Cancelled, Conflict, InvalidArchive, InvalidDataset, InvalidRequest
from core.results import DatasetResult
from core.settings import Settings
from core.storage import Store
from worker.datasets.archives.extraction import unpack_archive
from worker.datasets.archives.folder import UnpackLimits
from worker.datasets.findings import (
    Clip,
    class_findings,
    count_clips,
    find_untrainable,
    remove_duplicates,
    select_decodable,
)
from worker.datasets.groups import related_clips
from worker.datasets.inspection import inspect_clips
from worker.datasets.manifests.manifest import Listing, list_clips
from worker.datasets.splits import SplitResult, assign_splits
from worker.datasets.stored_videos import copy_videos
from worker.decoding.pool import DecodePool
from worker.jobs.cancellation import CancelToken

MARKER = "dataset.json"
_PROGRESS_SECONDS = 0.5  # between two reports


def prepare_dataset(
    request: DatasetRequest,
    *,
    store: Store,
    decoders: DecodePool,
    settings: Settings,
    token: CancelToken,
    report_progress: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Returns {"dataset": id, "name", "classes": n, "clips": n, "report": […]}.

    `report_progress` gets {"step"} while files are unpacked, then {"step", "steps"} while clips are inspected.
    Raises: InvalidArchive, InvalidDataset or Cancelled (the archive is deleted); StorageUnavailable, WorkerUnavailable,
    or Cancelled because the worker stops (the archive stays for another attempt).
    """
    token.check()
    try:
        with ExitStack() as files:
            try:
                archive = files.enter_context(store.local_file(request.archive))
            except FileNotFoundError:
                return _find_earlier_result(request, store)
            scratch = files.enter_context(store.stage_tree())
            dataset, clips = _build(archive, request, scratch, store, decoders, settings, token, report_progress)
            token.check()
            _publish(dataset, clips, store)
    except InvalidRequest:
        store.delete(request.archive)
        raise
    except Cancelled:
        if _cancelled_by_user(token):
            store.delete(request.archive)
        raise
    # before the archive is deleted, because a repeated job needs one of the two
    store.write_text(_receipt_key(request), dataset.id)
    store.delete(request.archive)
    return _result(_stored(dataset.id, store) or dataset, dataset.report)


def _build(
    archive: Path,
    request: DatasetRequest,
    scratch: Path,
    store: Store,
    decoders: DecodePool,
    settings: Settings,
    token: CancelToken,
    report_progress: Callable[[dict[str, Any]], None],
) -> tuple[Dataset, Sequence[Clip]]:
    """The dataset, and its clips with the paths of their files."""
    report = _throttled(report_progress, scratch)
    listing = _list(archive, request, scratch, settings, store, token, lambda count: report(count, None))
    files = [clip.file for clip in listing.clips]
    total = len({file.sha256 for file in files})
    results = inspect_clips(files, decoders, settings.decoders + 1, token, lambda count: report(count, total))
    decodable, broken = select_decodable(listing.clips, results)
    unique, duplicates = remove_duplicates(decodable)
    split = assign_splits(unique, request.split_seed, request.val_fraction, listing.unread)
    classes = count_clips(split.clips)
    labels = class_findings(classes, (clip.label for clip in listing.clips))
    related = related_clips(split.clips)
    findings = _by_severity([*listing.findings, *broken, *duplicates, *split.findings, *related, *labels])
    if reason := find_untrainable(classes):
        _refuse(reason, findings)
    return _describe(request, split, findings), split.clips


def _list(
    archive: Path,
    request: DatasetRequest,
    scratch: Path,
    settings: Settings,
    store: Store,
    token: CancelToken,
    report_progress: Callable[[int], None],
) -> Listing:
    """The clips with their labels; their files are in `scratch`."""
    if request.source == "feedback":
        return copy_videos(archive, scratch, store, settings.max_dataset_bytes, token, report_progress)
    limits = UnpackLimits(max_bytes=settings.max_dataset_bytes, max_files=settings.max_dataset_files)
    unpacked = unpack_archive(archive, scratch, limits, token, report_progress)
    return list_clips(unpacked.files, unpacked.ignored)


def _throttled(report_progress: Callable[[dict[str, Any]], None], scratch: Path) -> Callable[[int, int | None], None]:
    """Reports at most every `_PROGRESS_SECONDS`, so that reporting costs next to nothing."""
    reported_at = 0.0

    def report(step: int, steps: int | None) -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at < _PROGRESS_SECONDS and step != steps:
            return
        reported_at = time.monotonic()
        os.utime(scratch)  # the store sweeps directories that look abandoned
        report_progress({"step": step} | ({} if steps is None else {"steps": steps}))

    return report


def _refuse(reason: Finding, report: Sequence[Finding]) -> NoReturn:
    """Raises: InvalidDataset."""
    raise InvalidDataset(
        f"No model can be trained on this dataset. {reason.message}",
        hint="details.report lists what was found in the archive.",
        report=[finding.model_dump(mode="json") for finding in (reason, *report)],
    )


def _describe(request: DatasetRequest, split: SplitResult, report: Sequence[Finding]) -> Dataset:
    items = tuple(
        Item(
            path=clip.path,
            sha256=clip.sha256,
            label=clip.label,
            split=clip.split,
            seconds=round(clip.seconds, 6),
            group=clip.group,
            splits=dict(clip.splits),
        )
        for clip in split.clips
        if clip.split is not None
    )
    digest = _digest(items)
    counts = Counter(item.split for item in items)
    return Dataset(
        id=f"ds_{digest[:24]}",
        digest=digest,
        name=request.name,
        created_at=time.time(),
        classes=count_clips(split.clips),
        splits={name: counts[name] for name in SPLITS},
        split_source=split.source,
        split_seed=request.split_seed if split.source == "made" else None,
        split_columns=tuple(sorted({column for item in items for column in item.splits})),
        seconds=round(sum(item.seconds for item in items), 3),
        bytes=sum(clip.size for clip in split.clips),
        report=tuple(report),
        items=items,
    )


def _digest(items: Sequence[Item]) -> str:
    """sha256 of the content: clips, labels and splits. Labels hold no tabs or line feeds (`clean_label`). Paths in the
    archive, the name of the dataset and files that were left out do not change it."""
    lines = sorted("\t".join((item.sha256, item.label, item.split, *_columns(item))) + "\n" for item in items)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _columns(item: Item) -> list[str]:
    return [f"{column}={split}" for column, split in sorted(item.splits.items())]


def _by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """The most severe first."""
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
        with suppress(Conflict):  # another job was first; its dataset has the same clips, labels and splits
            store.publish_tree(tree, key, MARKER)


def _stored(dataset_id: str, store: Store) -> Dataset | None:
    """The dataset that is stored under this id. Its name is the one that the first upload gave it."""
    text = store.read_text(f"{dataset_key(dataset_id)}/{MARKER}")
    return Dataset.model_validate_json(text) if text else None


def _find_earlier_result(request: DatasetRequest, store: Store) -> dict[str, Any]:
    """The archive is gone. An earlier attempt, or another job with the same archive, may have made the dataset.

    Raises: InvalidArchive.
    """
    dataset = _stored(store.read_text(_receipt_key(request)) or "none", store)
    if dataset is None:
        raise InvalidArchive("The archive is no longer stored.", hint="Upload it again.", reason="gone", path=None)
    return _result(dataset, dataset.report)


def _receipt_key(request: DatasetRequest) -> str:
    """The dataset that an archive becomes depends on these three."""
    return f"{request.archive}.{request.split_seed}.{request.val_fraction:g}.receipt"


def _cancelled_by_user(token: CancelToken) -> bool:
    """Whether a user cancelled the job. Otherwise this worker stops, or its decode pool is closed already."""
    try:
        token.check()
    except Cancelled:
        return not token.job_continues
    return False


def _result(dataset: Dataset, report: Sequence[Finding]) -> dict[str, Any]:
    """`report`: the findings about the uploaded archive, which may hold more than the stored dataset."""
    result = DatasetResult(
        dataset=dataset.id,
        name=dataset.name,
        classes=len(dataset.classes),
        clips=len(dataset.items),
        report=tuple(report),
    )
    return result.model_dump(mode="json")

"""Which files of an archive are clips, with which labels: by a manifest if there is one, else by their folders.

manifest.csv, .tsv or .jsonl stands at the top (or in the one folder at the top) and lists `path,label[,split]`. Without
one, a clip's label is the folder that holds it; if folders such as train/ and val/ hold the labels' folders, they are
the given split.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.datasets import Finding, FindingCode, Severity, Split
from core.errors import InvalidDataset
from worker.datasets.archives.extraction import Entry
from worker.datasets.archives.names import printable
from worker.datasets.labels import clean_label, examples
from worker.datasets.manifests.rows import SPLITS, read_table

MANIFESTS = ("manifest.csv", "manifest.tsv", "manifest.jsonl")
MAX_PATHS, MAX_SHOWN = 20, 300  # in one finding; characters of one

_NOT_VIDEO = {
    *("txt", "md", "rst", "csv", "tsv", "json", "jsonl", "xml", "html", "htm", "pdf", "yaml", "yml", "toml", "ini"),
    *("cfg", "log", "py", "ipynb", "sh", "npy", "npz", "pkl", "pt", "pth", "h5", "hdf5", "mat", "srt", "vtt", "ass"),
    *("jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp", "svg", "psd", "zip", "tar", "gz", "tgz", "bz2", "xz", "zst"),
    *("7z", "rar", "mp3", "wav", "flac", "aac", "m4a", "opus", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "db"),
    *("sqlite", "exe", "dll", "url", "lnk"),
}
_PAPERS = {"readme", "license", "licence", "copying", "notice", "authors", "changelog", "makefile"}


@dataclass(frozen=True, slots=True)
class Listed:
    """A clip as the user named it."""

    entry: Entry
    label: str
    split: Split | None


@dataclass(frozen=True, slots=True)
class Listing:
    """Either all clips have a split or none. unread: columns of the manifest that mean nothing here."""

    clips: tuple[Listed, ...]
    findings: tuple[Finding, ...]
    unread: tuple[str, ...] = ()


def list_clips(entries: Sequence[Entry], ignored: Sequence[str]) -> Listing:
    """`ignored`: paths that were not even unpacked. Raises: InvalidDataset for a manifest that cannot be read."""
    manifest = _find_manifest(entries)
    if manifest is None:
        return _from_folders(entries, ignored)
    return _from_manifest(manifest, [entry for entry in entries if entry is not manifest], ignored)


def finding(
    severity: Severity, code: FindingCode, message: str, paths: Iterable[str], count: int | None = None
) -> Finding:
    """`count`: of what is meant, if it is not the paths."""
    named = sorted(printable(path)[:MAX_SHOWN] for path in paths)
    return Finding(
        severity=severity, code=code, message=message, paths=tuple(named[:MAX_PATHS]), count=count or len(named)
    )


def _find_manifest(entries: Sequence[Entry]) -> Entry | None:
    """Raises: InvalidDataset where there are several."""
    named = [entry for entry in entries if entry.path.casefold().rpartition("/")[2] in MANIFESTS]
    deepest = len(_common_folder(entries)) + 1
    near = [entry for entry in named if entry.path.count("/") <= deepest]
    if not near:
        return None
    top = min(entry.path.count("/") for entry in near)
    found = [entry for entry in near if entry.path.count("/") == top]
    if len(found) > 1:
        raise InvalidDataset(
            f"There are several manifests: {examples(sorted(entry.path for entry in found))}.",
            hint="Keep one of them.",
            report=[],
        )
    return found[0]


def _common_folder(entries: Sequence[Entry]) -> tuple[str, ...]:
    """The folders that all files are in."""
    folders = {tuple(entry.path.split("/")[:-1]) for entry in entries}
    first, last = min(folders, default=()), max(folders, default=())
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    return first[:same]


def _from_manifest(manifest: Entry, others: Sequence[Entry], ignored: Sequence[str]) -> Listing:
    table = read_table(manifest.file, manifest.path)
    paths = _Paths(others, manifest.path.rpartition("/")[0])
    clips: list[Listed] = []
    missing: list[str] = []
    for row in table.rows:
        entry = paths.find(row.path)
        if entry is None:
            missing.append(row.path)
        else:
            clips.append(Listed(entry, row.label, row.split))
    listed = {id(clip.entry) for clip in clips}
    unlisted = [entry.path for entry in others if id(entry) not in listed and _may_be_video(entry.path)]
    junk = [entry.path for entry in others if id(entry) not in listed and not _may_be_video(entry.path)]
    findings: list[Finding] = []
    if missing:
        message = f"{manifest.path} names files that are not in the archive: they are left out."
        findings.append(finding("warning", "missing_file", message, missing))
    if unlisted:
        message = f"{manifest.path} does not name these files: they are left out."
        findings.append(finding("warning", "unlisted_file", message, unlisted))
    return Listing(tuple(clips), (*findings, *_ignored([*junk, *ignored])), table.unread)


class _Paths:
    """Files by path, as a manifest may write it: from itself or from the top, with either kind of slash, composed or
    decomposed (NFC, NFD), and in another case where that leaves one candidate."""

    def __init__(self, entries: Sequence[Entry], folder: str) -> None:
        self._folder = folder
        self._exact = {entry.path: entry for entry in entries}  # of a name that is there twice the last, as unpacked
        self._composed: dict[str, list[Entry]] = defaultdict(list)
        self._folded: dict[str, list[Entry]] = defaultdict(list)
        for path, entry in self._exact.items():
            self._composed[_composed(path)].append(entry)
            self._folded[_composed(path).casefold()].append(entry)

    def find(self, written: str) -> Entry | None:
        for form in dict.fromkeys((written, written.replace("\\", "/"))):
            path = "/".join(part for part in form.split("/") if part != ".")
            candidates = [f"{self._folder}/{path}", path] if self._folder else [path]
            for candidate in candidates:
                if candidate in self._exact:
                    return self._exact[candidate]
            for table, fold in ((self._composed, _composed), (self._folded, lambda p: _composed(p).casefold())):
                for candidate in candidates:
                    if len(found := table.get(fold(candidate), [])) == 1:
                        return found[0]
        return None


def _from_folders(entries: Sequence[Entry], ignored: Sequence[str]) -> Listing:
    videos = [entry for entry in entries if _may_be_video(entry.path)]
    junk = [entry.path for entry in entries if not _may_be_video(entry.path)]
    given = _splits_given(videos)
    clips: list[Listed] = []
    outside: list[str] = []
    for entry in videos:
        folders = entry.path.split("/")[:-1]
        label = clean_label(folders[-1]) if folders else ""
        split = _split_above(entry.path) if given else None
        if not label or (given and split is None):
            outside.append(entry.path)
        else:
            clips.append(Listed(entry, label, split))
    findings = []
    if outside:
        where = "in no label's folder below train, val or test" if given else "in no folder that could be their label"
        message = f"These files are {where}: they are left out."
        findings.append(finding("warning", "unlisted_file", message, outside))
    return Listing(tuple(clips), (*findings, *_ignored([*junk, *ignored])))


def _splits_given(videos: Sequence[Entry]) -> bool:
    """All labels' folders lie in folders such as train/; or most do, in train/ and another. A class may be named
    "train": what counts is the folder above the label's."""
    found = {_split_above(entry.path) for entry in videos}
    return bool(found) and (None not in found or ("train" in found and len(found - {None}) > 1))


def _split_above(path: str) -> Split | None:
    """By the nearest folder above the label's that names a split."""
    above = path.split("/")[:-2]
    return next((SPLITS[folder.casefold()] for folder in reversed(above) if folder.casefold() in SPLITS), None)


def _ignored(paths: Sequence[str]) -> tuple[Finding, ...]:
    message = "These files are no videos by their name or place: they are ignored."
    return (finding("info", "ignored_file", message, paths),) if paths else ()


def _may_be_video(path: str) -> bool:
    name = path.casefold().rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    return name not in _PAPERS and not (dot and stem and ending in _NOT_VIDEO)


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)

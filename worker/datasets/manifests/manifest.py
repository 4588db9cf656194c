"""Which files of an archive are clips and what their labels are: by a manifest if there is one, else by folder names.

The manifest is manifest.csv, .tsv or .jsonl at the top of the archive (or in its only top folder) and lists
`path,label[,split][,group][,split:NAME …]`. Without a manifest, the label of a clip is the name of its folder. If these
folders lie in folders such as train/ and val/, those give the split.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from core.datasets import Finding, FindingCode, Severity, Split
from core.errors import InvalidDataset
from core.labels.spelling import clean_label
from worker.datasets.archives.extraction import UnpackedFile
from worker.datasets.archives.names import replace_surrogates
from worker.datasets.labels import examples
from worker.datasets.manifests.manifest_rows import SPLITS, read_table

MANIFESTS = ("manifest.csv", "manifest.tsv", "manifest.jsonl")
MAX_PATHS, MAX_SHOWN = 20, 300  # paths in one finding; characters of each

_NOT_VIDEO = {
    *("txt", "md", "rst", "csv", "tsv", "json", "jsonl", "xml", "html", "htm", "pdf", "yaml", "yml", "toml", "ini"),
    *("cfg", "log", "py", "ipynb", "sh", "npy", "npz", "pkl", "pt", "pth", "h5", "hdf5", "mat", "srt", "vtt", "ass"),
    *("jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp", "svg", "psd", "zip", "tar", "gz", "tgz", "bz2", "xz", "zst"),
    *("7z", "rar", "mp3", "wav", "flac", "aac", "m4a", "opus", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "db"),
    *("sqlite", "exe", "dll", "url", "lnk"),
}
_DOCUMENT_NAMES = {"readme", "license", "licence", "copying", "notice", "authors", "changelog", "makefile"}


@dataclass(frozen=True, slots=True)
class ListedClip:
    """A clip with the label, split and group that the user gave it."""

    file: UnpackedFile
    label: str
    split: Split | None
    group: str | None = None
    splits: Mapping[str, Split] = field(default_factory=dict)  # by split column


@dataclass(frozen=True, slots=True)
class Listing:
    """Either all clips have a split or none has one. unread: columns of the manifest that were not read."""

    clips: tuple[ListedClip, ...]
    findings: tuple[Finding, ...]
    unread: tuple[str, ...] = ()


def list_clips(files: Sequence[UnpackedFile], ignored: Sequence[str]) -> Listing:
    """`ignored`: paths that were not unpacked. Raises: InvalidDataset for a manifest that cannot be read."""
    manifest = _find_manifest(files)
    if manifest is None:
        return _from_folders(files, ignored)
    return _from_manifest(manifest, [file for file in files if file is not manifest], ignored)


def make_finding(
    severity: Severity, code: FindingCode, message: str, paths: Iterable[str], count: int | None = None
) -> Finding:
    """`count`: how many things the finding is about, if these are not the paths."""
    named = sorted(replace_surrogates(path)[:MAX_SHOWN] for path in paths)
    return Finding(
        severity=severity, code=code, message=message, paths=tuple(named[:MAX_PATHS]), count=count or len(named)
    )


def _find_manifest(files: Sequence[UnpackedFile]) -> UnpackedFile | None:
    """Raises: InvalidDataset if there are several."""
    named = [file for file in files if file.path.casefold().rpartition("/")[2] in MANIFESTS]
    deepest = len(_common_folder(files)) + 1
    near = [file for file in named if file.path.count("/") <= deepest]
    if not near:
        return None
    top = min(file.path.count("/") for file in near)
    found = [file for file in near if file.path.count("/") == top]
    if len(found) > 1:
        raise InvalidDataset(
            f"The archive has several manifests: {examples(sorted(file.path for file in found))}.",
            hint="Keep only one of them.",
            report=[],
        )
    return found[0]


def _common_folder(files: Sequence[UnpackedFile]) -> tuple[str, ...]:
    """The folders that contain all files."""
    folders = {tuple(file.path.split("/")[:-1]) for file in files}
    first, last = min(folders, default=()), max(folders, default=())
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    return first[:same]


def _from_manifest(manifest: UnpackedFile, others: Sequence[UnpackedFile], ignored: Sequence[str]) -> Listing:
    table = read_table(manifest.location, manifest.path)
    paths = _PathIndex(others, manifest.path.rpartition("/")[0])
    clips: list[ListedClip] = []
    missing: list[str] = []
    for row in table.rows:
        file = paths.find(row.path)
        if file is None:
            missing.append(row.path)
        else:
            clips.append(ListedClip(file, row.label, row.split, row.group, row.splits))
    listed = {id(clip.file) for clip in clips}
    unlisted = [file.path for file in others if id(file) not in listed and _may_be_video(file.path)]
    junk = [file.path for file in others if id(file) not in listed and not _may_be_video(file.path)]
    findings: list[Finding] = []
    if missing:
        message = f"{manifest.path} lists files that are not in the archive. These lines are left out."
        findings.append(make_finding("warning", "missing_file", message, missing))
    if unlisted:
        message = f"{manifest.path} does not list these files. They are left out."
        findings.append(make_finding("warning", "unlisted_file", message, unlisted))
    return Listing(tuple(clips), (*findings, *_ignored_files([*junk, *ignored])), table.unread)


class _PathIndex:
    """Finds files by the path that a manifest gives: relative to the manifest or to the top of the archive, with either
    kind of slash, in either Unicode form (NFC, NFD), and in another case if only one file then matches."""

    def __init__(self, files: Sequence[UnpackedFile], folder: str) -> None:
        self._folder = folder
        self._exact = {file.path: file for file in files}  # if a name occurs twice, the last file counts
        self._composed: dict[str, list[UnpackedFile]] = defaultdict(list)
        self._folded: dict[str, list[UnpackedFile]] = defaultdict(list)
        for path, file in self._exact.items():
            self._composed[_composed(path)].append(file)
            self._folded[_composed(path).casefold()].append(file)

    def find(self, written: str) -> UnpackedFile | None:
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


def _from_folders(files: Sequence[UnpackedFile], ignored: Sequence[str]) -> Listing:
    videos = [file for file in files if _may_be_video(file.path)]
    junk = [file.path for file in files if not _may_be_video(file.path)]
    given = _splits_given(videos)
    clips: list[ListedClip] = []
    outside: list[str] = []
    for file in videos:
        folders = file.path.split("/")[:-1]
        label = clean_label(folders[-1]) if folders else ""
        split = _split_above(file.path) if given else None
        if not label or (given and split is None):
            outside.append(file.path)
        else:
            clips.append(ListedClip(file, label, split))
    findings = []
    if outside:
        where = "in a label's folder below train, val or test" if given else "in a folder that could be their label"
        message = f"These files are not {where}. They are left out."
        findings.append(make_finding("warning", "unlisted_file", message, outside))
    return Listing(tuple(clips), (*findings, *_ignored_files([*junk, *ignored])))


def _splits_given(videos: Sequence[UnpackedFile]) -> bool:
    """Whether folders such as train/ give the split: every clip lies below one, or some lie below train/ and others
    below val/ or test/.

    A class may be named "train", so only the folders above the label's folder count.
    """
    found = {_split_above(file.path) for file in videos}
    return bool(found) and (None not in found or ("train" in found and len(found - {None}) > 1))


def _split_above(path: str) -> Split | None:
    """The split of the nearest folder above the label's folder that names one."""
    above = path.split("/")[:-2]
    return next((SPLITS[folder.casefold()] for folder in reversed(above) if folder.casefold() in SPLITS), None)


def _ignored_files(paths: Sequence[str]) -> tuple[Finding, ...]:
    message = "These files are not videos, by their names or folders. They are ignored."
    return (make_finding("info", "ignored_file", message, paths),) if paths else ()


def _may_be_video(path: str) -> bool:
    name = path.casefold().rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    return name not in _DOCUMENT_NAMES and not (dot and stem and ending in _NOT_VIDEO)


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)

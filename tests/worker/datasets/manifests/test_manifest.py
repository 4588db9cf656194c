from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path

import pytest

from core.errors import InvalidDataset
from worker.datasets.archives.extraction import UnpackedFile
from worker.datasets.manifests.manifest import Listing, list_clips

CAFE, CAFE_APART = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))


def unpacked_files(folder: Path, paths: list[str], manifest: dict[str, str] | None = None) -> list[UnpackedFile]:
    files = [(path, path) for path in paths] + list((manifest or {}).items())
    made = []
    for number, (path, text) in enumerate(files):
        file = folder / f"{number:06d}"
        file.write_text(text)
        made.append(UnpackedFile(path, file, file.stat().st_size, hashlib.sha256(text.encode()).hexdigest()))
    return made


def listing(folder: Path, paths: list[str], manifest: dict[str, str] | None = None) -> Listing:
    return list_clips(unpacked_files(folder, paths, manifest), [])


def listed(found: Listing) -> dict[str, tuple[str, str | None]]:
    return {clip.file.path: (clip.label, clip.split) for clip in found.clips}


def codes(found: Listing) -> dict[str, tuple[str, ...]]:
    return {finding.code: finding.paths for finding in found.findings}


def test_folders_are_labels(tmp_path: Path) -> None:
    found = listing(tmp_path, ["jump/a.mp4", "wave  arms/b.mkv", "deep/er/run/c", f"{CAFE_APART}/d.webm"])
    assert [label for label, _ in listed(found).values()] == ["jump", "wave arms", "run", CAFE]
    assert found.findings == ()


@pytest.mark.parametrize("top", ["", "dataset/", "a/b/"])
def test_folders_of_splits(top: str, tmp_path: Path) -> None:
    found = listing(tmp_path, [f"{top}Train/jump/a.mp4", f"{top}valid/jump/b.mp4", f"{top}testing/x/run/c.mp4"])
    assert list(listed(found).values()) == [("jump", "train"), ("jump", "val"), ("run", "test")]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    found = listing(tmp_path, ["bus/a.mp4", "train/b.mp4", "vehicles/train/steam/c.mp4"])
    assert list(listed(found).values()) == [("bus", None), ("train", None), ("steam", None)]


def test_files_outside_the_given_splits_are_left_out(tmp_path: Path) -> None:
    found = listing(tmp_path, ["train/jump/a.mp4", "test/jump/b.mp4", "extra/jump/c.mp4", "train/d.mp4", "e.mp4"])
    assert list(listed(found)) == ["train/jump/a.mp4", "test/jump/b.mp4"]
    assert codes(found) == {"unlisted_file": ("e.mp4", "extra/jump/c.mp4", "train/d.mp4")}


def test_files_that_are_not_videos_by_name_are_ignored(tmp_path: Path) -> None:
    found = listing(
        tmp_path, ["jump/a.mp4", "README", "jump/notes.txt", "jump/cover.JPG", "more.zip", "b.mp4", "jump/notice.mp4"]
    )
    assert list(listed(found)) == ["jump/a.mp4", "jump/notice.mp4"]
    assert codes(found)["ignored_file"] == ("README", "jump/cover.JPG", "jump/notes.txt", "more.zip")
    assert codes(found)["unlisted_file"] == ("b.mp4",)


@pytest.mark.parametrize("at", ["manifest.csv", "set/manifest.csv", "set/Manifest.CSV"])
def test_a_manifest_takes_precedence_over_folders(at: str, tmp_path: Path) -> None:
    text = "path,label\nset/x/a.mp4,jump\nset/x/b.txt,run\n"
    found = listing(tmp_path, ["set/x/a.mp4", "set/x/b.txt", "set/x/c.mp4", "set/x/d.txt"], {at: text})
    assert listed(found) == {"set/x/a.mp4": ("jump", None), "set/x/b.txt": ("run", None)}
    assert codes(found) == {"unlisted_file": ("set/x/c.mp4",), "ignored_file": ("set/x/d.txt",)}


def test_paths_are_relative_to_the_manifest_first(tmp_path: Path) -> None:
    found = listing(tmp_path, ["set/a.mp4", "a.mp4"], {"set/manifest.csv": "path,label\na.mp4,jump\n"})
    assert list(listed(found)) == ["set/a.mp4"]


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("./x/a.mp4", "x/a.mp4"),
        ("x\\a.mp4", "x/a.mp4"),
        (f"{CAFE}/a.mp4", f"{CAFE_APART}/a.mp4"),
        (f"{CAFE_APART}/a.mp4", f"{CAFE}/a.mp4"),
        ("X/A.MP4", "x/a.mp4"),
    ],
)
def test_paths_are_found_however_they_are_written(written: str, there: str, tmp_path: Path) -> None:
    assert list(listed(listing(tmp_path, [there], {"manifest.csv": f"path,label\n{written},jump\n"}))) == [there]


def test_an_ambiguous_path_matches_only_exactly(tmp_path: Path) -> None:
    text = f"path,label\nX.mp4,one\nA.mp4,two\na.mp4,three\n{CAFE},four\n"
    found = listing(tmp_path, ["A.mp4", "a.mp4", "x.MP4", "x.mp4", CAFE, CAFE_APART], {"manifest.csv": text})
    assert listed(found) == {"A.mp4": ("two", None), "a.mp4": ("three", None), CAFE: ("four", None)}
    assert codes(found)["missing_file"] == ("X.mp4",)


def test_paths_never_leave_the_archive(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    text = "path,label\n../secret.mp4,a\n/etc/passwd,b\n000000,c\nx/../a.mp4,d\n"
    (tmp_path / "secret.mp4").write_text("secret")
    found = listing(tmp_path / "files", ["a.mp4"], {"manifest.csv": text})
    assert found.clips == ()
    assert codes(found)["missing_file"] == ("../secret.mp4", "/etc/passwd", "000000", "x/../a.mp4")


def test_of_two_files_with_one_name_the_last_counts(tmp_path: Path) -> None:
    made = unpacked_files(tmp_path, ["a.mp4", "b.mp4"], {"manifest.csv": "path,label\na.mp4,jump\n"})
    twice = [made[0], UnpackedFile("a.mp4", made[1].location, made[1].size, made[1].sha256), made[2]]
    found = list_clips(twice, [])
    assert [clip.file for clip in found.clips] == [twice[1]]
    assert codes(found) == {"unlisted_file": ("a.mp4",)}


def test_several_manifests_are_refused(tmp_path: Path) -> None:
    manifest = "path,label\na.mp4,jump\n"
    with pytest.raises(InvalidDataset, match="several"):
        listing(tmp_path, ["a.mp4"], {"manifest.csv": manifest, "manifest.jsonl": ""})


def test_a_table_in_a_deep_folder_is_not_a_manifest(tmp_path: Path) -> None:
    found = listing(tmp_path, ["jump/x/a.mp4", "run/x/b.mp4"], {"run/x/manifest.csv": "nonsense"})
    assert len(found.clips) == 2


def test_findings_name_twenty_files_and_count_all(tmp_path: Path) -> None:
    [finding] = listing(tmp_path, [f"{i}.mp4" for i in range(50)]).findings
    assert (len(finding.paths), finding.count) == (20, 50)

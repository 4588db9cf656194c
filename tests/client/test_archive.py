from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vireo import archive
from vireo.errors import InvalidRequest


def write_tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def unpacked(directory: Path) -> dict[str, bytes]:
    data = b"".join(archive.stream(archive.list_files(directory)))
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        assert {info.compress_type for info in found.infolist()} == {zipfile.ZIP_STORED}
        return {name: found.read(name) for name in found.namelist()}


def test_hidden_files_are_left_out_and_all_others_are_sent(tmp_path: Path) -> None:
    visible = {"boxing/a.mp4": b"1" * 3_000_000, "boxing/ü ß.mp4": b"", "manifest.csv": b"path,label\n"}
    hidden = {".DS_Store": b"x", "boxing/._a.mp4": b"x", ".git/config": b"x", "__MACOSX/a": b"x"}
    assert unpacked(write_tree(tmp_path, visible | hidden)) == visible


def test_the_same_directory_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_tree(tmp_path / name, {"b/2.mp4": b"2", "a/1.mp4": b"1"})
        os.utime(tmp_path / name / "a/1.mp4", (0, 0))
    first, second = (b"".join(archive.stream(archive.list_files(tmp_path / name))) for name in ("x", "y"))
    assert first == second


def test_links_are_followed_and_cycles_end(tmp_path: Path) -> None:
    write_tree(tmp_path / "elsewhere", {"clip.mp4": b"1"})
    write_tree(tmp_path / "data", {"a/own.mp4": b"2"})
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "a" / "circle").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "a" / "dangling.mp4").symlink_to(tmp_path / "nowhere")
    assert unpacked(tmp_path / "data") == {"a/own.mp4": b"2", "b/clip.mp4": b"1"}


@pytest.mark.parametrize("files", [{}, {".hidden/a.mp4": b"x"}])
def test_an_empty_directory_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(InvalidRequest, match="holds no files"):
        archive.list_files(write_tree(tmp_path, files))


def test_a_file_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    try:
        path.write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    with pytest.raises(InvalidRequest, match="not valid UTF-8"):
        archive.list_files(tmp_path)


@given(st.lists(st.binary(max_size=4000), min_size=1, max_size=5))
def test_any_file_contents_survive(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    files = {f"c/{index}.mp4": data for index, data in enumerate(contents)}
    assert unpacked(write_tree(tmp_path_factory.mktemp("files"), files)) == files

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidArchive
from worker.datasets.archives.names import clean_path, is_system_file


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../a.mp4", "parent_path"),
        ("a/../../b.mp4", "parent_path"),
        ("/etc/passwd", "absolute_path"),
        ("//host/a.mp4", "absolute_path"),
        ("C:/a.mp4", "drive_letter"),
        ("c:a.mp4", "drive_letter"),
        ("a\\b.mp4", "backslash"),
        ("a\0.mp4", "nul_in_name"),
        ("a/" * 40 + "b.mp4", "path_too_deep"),
        ("é" * 200 + ".mp4", "path_too_long"),
        ("ab/" * 400, "path_too_long"),
    ],
)
def test_refuses(name: str, reason: str) -> None:
    with pytest.raises(InvalidArchive) as error:
        clean_path(name)
    assert error.value.details["reason"] == reason
    assert len(error.value.details["path"]) <= 200


@pytest.mark.parametrize(
    ("name", "path"),
    [("./a//b.mp4", "a/b.mp4"), ("./", ""), ("a..b/..c.mp4", "a..b/..c.mp4"), ("l\udce4t/a.mp4", "l\ufffdt/a.mp4")],
)
def test_cleans(name: str, path: str) -> None:
    assert clean_path(name) == path


@given(st.text(alphabet=st.characters(codec=None) | st.sampled_from("./\\:\0~"), max_size=60))
def test_what_passes_stays_inside_and_can_be_stored(name: str) -> None:
    try:
        path = clean_path(name)
    except InvalidArchive as error:
        error.message.encode()
        return
    assert not path.startswith("/")
    assert ".." not in path.split("/")
    assert "\0" not in path
    path.encode()
    assert clean_path(path) == path


def test_system_files() -> None:
    assert all(map(is_system_file, ("__MACOSX/a/._b.mp4", "a/.DS_Store", ".git/a.mp4", "a/Thumbs.db", "a/Icon\r")))
    assert not any(map(is_system_file, ("a/b.mp4", "a.b/c.mp4", "MACOSX/a.mp4")))

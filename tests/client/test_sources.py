"""A video is what its type or its argument says, whatever it is called."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from vireo.errors import InvalidRequest
from vireo.schema.questions import VideoRef
from vireo.schema.videos import Video
from vireo.sources import Upload, upload, video_part

STORED = "vid_" + "0a" * 32


@pytest.mark.parametrize("name", ["vid_20240101.mp4", STORED, "clip.mp4", "http:"])
def test_a_text_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"a video")
    for given in (name, Path(name), tmp_path / name):
        part = video_part(given, None, None)
        assert isinstance(part, Upload)
        assert (part.name, part.open(None).read()) == (name, b"a video")


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"video_url": "https://example.org/a.mp4"}, {"video_url": "https://example.org/a.mp4"}),
        ({"video_id": "anything"}, {"video_id": "anything"}),
        ({"source": VideoRef.read({"id": STORED})}, {"video_id": STORED}),
        ({"source": Video.read({"id": STORED})}, {"video_id": STORED}),
    ],
)
def test_urls_and_stored_videos_are_named(given: dict[str, Any], fields: dict[str, str]) -> None:
    assert video_part(**({"source": None, "video_url": None, "video_id": None} | given)) == fields


@pytest.mark.parametrize(
    ("source", "more", "words"),
    [
        (None, {}, "Give one video"),
        (b"a", {"video_id": STORED}, "only one"),
        ("https://example.org/a.mp4", {}, "video_url="),
        (STORED, {}, "video_id="),
        (".", {}, "is a directory"),
        (io.StringIO("text"), {}, '"rb"'),
        (5, {}, '"rb"'),
    ],
)
def test_what_is_no_video_is_refused_with_a_hint(source: Any, more: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        video_part(source, more.get("video_url"), more.get("video_id"))
    assert words in f"{raised.value.message} {raised.value.hint}"


def test_a_file_that_is_missing_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.mp4"):
        video_part("nothing.mp4", None, None)


def test_progress_says_how_much_has_been_read(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x" * 10)
    told: list[tuple[int, int]] = []
    with upload("video", tmp_path / "clip.mp4").open(lambda done, size: told.append((done, size))) as file:
        while file.read(4):
            pass
    assert told == [(4, 10), (8, 10), (10, 10), (10, 10)]


def test_an_open_file_is_read_from_where_it_stands_each_time() -> None:
    file = io.BytesIO(b"head" + b"a video")
    file.seek(4)
    part = upload("video", file)
    for _ in range(2):
        assert part.open(None).read() == b"a video"


def test_a_file_of_the_caller_stays_open(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"a video")
    with (tmp_path / "clip.mp4").open("rb") as file:
        part = upload("video", file)
        with part.open(None) as sent:
            assert sent.read() == b"a video"
        assert not file.closed
        assert part.name == "clip.mp4"

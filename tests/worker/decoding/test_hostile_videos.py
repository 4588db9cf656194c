"""Damaged and hostile files through the pool: the short form of `python -m benchmarks hostile_videos`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from av.error import FFmpegError

from benchmarks.hostile.crafted import craftings, references
from benchmarks.hostile.decoding import Arena, Hostile
from benchmarks.hostile.mutations import KINDS, mutate, mutated_files
from benchmarks.hostile.seeds import render_seeds
from core.errors import UndecodableVideo
from worker.video.container import DEMUXERS, VideoFile, VideoLimits

MUTATED = 300
DEADLINE = 5.0
SUFFIXES = {"playlist (HLS)": ".m3u8", "key of a playlist": ".m3u8", "concat script": ".ffconcat"}
SLOW_TO_MAKE = ("million", "ten million", "8k", "16k", "header of 1 GB", "50 MB", "seconds")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return render_seeds(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("arena"), deadline=DEADLINE) as started:
        yield started


def test_there_is_a_good_file_in_every_container_that_is_accepted(good: list[Path]) -> None:
    found = set()
    for path in good:
        with suppress(UndecodableVideo), VideoFile(path, VideoLimits()) as video:  # two of them have sound only
            found.add(video.container.format.name)
    assert set(DEMUXERS) - found == set()
    assert len(good) > 100


def test_every_damaged_file_gets_frames_or_a_reason(arena: Arena, good: list[Path], tmp_path: Path) -> None:
    contents = [path.read_bytes() for path in good]

    outcomes = list(arena.send(mutated_files(13, range(MUTATED), contents, tmp_path)))
    assert [each for each in outcomes if each.is_bad(DEADLINE)] == []
    assert {each.file.kind for each in outcomes} == set(KINDS)
    assert len({each.answer for each in outcomes}) > 6  # some decode, the others fail for different reasons
    assert arena.peak < arena.limit


def test_a_mutation_can_be_repeated(good: list[Path]) -> None:
    contents = [path.read_bytes() for path in good[:3]]
    assert [mutate(1, index, contents) for index in range(40)] == [mutate(1, index, contents) for index in range(40)]


def test_files_that_are_hostile_by_design_get_frames_or_a_reason(arena: Arena, tmp_path: Path) -> None:
    def files() -> Iterator[Hostile]:
        for number, (name, craft) in enumerate(craftings().items()):
            if not any(part in name for part in SLOW_TO_MAKE):
                craft(tmp_path / str(number))
                yield Hostile(number, name, tmp_path / str(number))

    outcomes = {each.file.kind: each for each in arena.send(files())}
    assert [each for each in outcomes.values() if each.is_bad(DEADLINE)] == []
    assert outcomes["GIF of 64k × 64k"].answer == "no_frame_size"
    assert outcomes["MP4 with an index of 2³¹ frames"].answer == "too_long"
    assert outcomes["resolution that changes 30 times"].answer == "decoded"


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """A URL, and who connected to it."""
    came: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, address = server.accept()
                    came.append(str(address))
                    connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/clip.mp4", came


@pytest.mark.parametrize("name", references(""))
def test_a_file_cannot_make_the_demuxer_open_another(name: str, good: list[Path], tmp_path: Path) -> None:
    """In this process, which is not confined: here only the lists of demuxers and protocols hold it back."""
    other = next(path for path in good if path.suffix == ".mp4")
    path = tmp_path / f"hostile{SUFFIXES.get(name, '.mp4')}"
    with listening() as (url, came):
        for target in (url, str(other), f"file://{other}", other.name):
            path.write_bytes(references(target)[name])
            assert [packet for packet in packets(path) if not packet.startswith(b"\xff\xd8\xff\xd9")] == []
    assert came == []


def packets(path: Path) -> list[bytes]:
    """Those that a file has; a hostile one has at most those that its maker wrote."""
    try:
        with VideoFile(path, VideoLimits()) as video:
            return [bytes(packet) for packet in video.container.demux(video.stream) if packet.size]
    except (UndecodableVideo, FFmpegError):
        return []

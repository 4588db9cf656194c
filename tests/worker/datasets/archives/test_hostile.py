"""200 archives that are damaged or malicious: each gets a clear answer and leaves no files."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bad_datasets import Arena
from benchmarks.hostile_archives import KINDS, archives


def test_no_archive_does_harm(clips: list[bytes], tmp_path: Path) -> None:
    arena = Arena(tmp_path)
    kinds = set()
    try:
        for number, hostile in enumerate(archives(clips)):
            outcome = arena.send(hostile)
            assert not outcome.stray, (number, hostile, outcome)
            assert outcome.clear(hostile), (number, hostile, outcome)
            kinds.add(hostile.kind)
    finally:
        arena.close()
    assert kinds == set(KINDS)


def test_the_same_seed_makes_the_same_archives(clips: list[bytes]) -> None:
    first, second, other = (list(archives(clips, 44, seed)) for seed in (1, 1, 2))
    mutated = [index for index, hostile in enumerate(first) if hostile.kind == "mutated bytes"]
    assert [hostile.kind for hostile in first] == [hostile.kind for hostile in second]
    assert all(first[index].data == second[index].data != other[index].data for index in mutated)

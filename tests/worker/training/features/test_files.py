"""Files of frozen features: they appear whole, are bounded, and go with their datasets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.training.features import files as module
from worker.training.features.files import FeatureFiles, sweep, trim

A, B, C = ("0" * 64, "1" * 64, "2" * 64)


def files(folder: Path, project: str = "default", most: int = 1 << 20) -> FeatureFiles:
    return FeatureFiles(folder, project, most)


def test_what_was_written_is_read_and_what_is_damaged_is_not(tmp_path: Path) -> None:
    kept = files(tmp_path)
    kept.write(A, "kind", b"0123")
    assert files(tmp_path).read(A, "kind") == bytearray(b"0123")
    assert (kept.read(A, "other"), kept.read(B, "kind")) == (None, None)
    (path,) = tmp_path.glob("*/clips/*/kind")
    path.write_bytes(path.read_bytes()[:-1] + b"4")
    assert kept.read(A, "kind") is None
    assert not path.exists()


def test_a_project_finds_nothing_of_another(tmp_path: Path) -> None:
    files(tmp_path, "acme").write(A, "kind", b"0123")
    assert files(tmp_path).read(A, "kind") is None


def test_the_least_recently_used_file_goes_first(tmp_path: Path) -> None:
    kept = files(tmp_path)
    for clip, used in ((A, 10), (B, 20), (C, 30)):
        kept.write(clip, "kind", b"x" * 96)  # 100 bytes with the sum
        os.utime(tmp_path / "default" / "clips" / clip / "kind", (used, used))
    assert kept.read(A, "kind")  # used now
    trim(tmp_path, 200)
    assert [clip for clip in (A, B, C) if kept.read(clip, "kind")] == [A, C]


def test_there_are_never_more_bytes_than_the_limit(tmp_path: Path) -> None:
    kept, biggest = files(tmp_path, most=1000), 0
    for number in range(100):
        kept.write(f"{number:064}", "kind", b"x" * 56)
        biggest = max(biggest, sum(path.stat().st_size for path in tmp_path.rglob("kind")))
    assert 500 < biggest <= 1000
    kept.write(A, "large", b"x" * 1001)
    assert kept.read(A, "large") is None


def test_without_room_on_the_disk_or_in_the_settings_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = files(tmp_path, most=0)
    none.claim("ds_1", [A])
    none.write(A, "kind", b"0123")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(module, "RESERVED_BYTES", 1 << 60)
    kept = files(tmp_path)
    kept.write(A, "kind", b"0123")
    assert kept.read(A, "kind") is None


def test_features_go_with_the_last_dataset_that_has_the_clip(tmp_path: Path) -> None:
    for project in ("default", "acme"):
        kept = files(tmp_path, project)
        kept.claim("ds_1", [A, B])
        kept.claim("ds_2", [B])
        for clip in (A, B, C):  # no dataset has C
            kept.write(clip, "kind", b"0123")
    sweep(tmp_path, lambda project, dataset: (project, dataset) != ("default", "ds_1"))
    found = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("kind")}
    assert found == {f"default/clips/{B}", f"acme/clips/{A}", f"acme/clips/{B}"}
    sweep(tmp_path, lambda *_: False)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_parts_of_killed_processes_go(tmp_path: Path) -> None:
    kept = files(tmp_path)
    kept.claim("ds_1", [A])
    kept.write(A, "kind", b"0123")
    folder = tmp_path / "default" / "clips" / A
    for name in ("old.part", "new.part"):
        (folder / name).write_bytes(b"01")
    os.utime(folder / "old.part", (0, 0))
    sweep(tmp_path, lambda *_: True)
    assert {path.name for path in folder.iterdir()} == {"kind", "new.part"}

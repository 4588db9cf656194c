"""How many decoders a worker has by itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.settings import GIB, Settings
from core.settings.machine import usable_cores, usable_memory


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", 64), ("250000 100000", 3), ("50000 100000", 1), ("", 64)])
def test_a_container_may_have_fewer_cores(
    quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores(tmp_path) == cores


@pytest.mark.parametrize("limit", ["max", "1073741824", "9" * 30, None])
def test_a_container_may_have_less_memory(limit: str | None, tmp_path: Path) -> None:
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if limit:
        (tmp_path / "memory.max").write_text(limit)
    assert usable_memory(tmp_path) == (GIB if limit == "1073741824" else installed)


@pytest.mark.parametrize(
    ("cores", "memory", "chosen", "decoders"),
    [(2, 23, 0, 2), (64, 256, 0, 64), (64, 20, 0, 10), (8, 8, 0, 2), (1, 8, 0, 1), (64, 256, 3, 3)],
)
def test_there_is_a_decoder_per_core_as_far_as_memory_goes(
    cores: int, memory: int, chosen: int, decoders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.settings.work.usable_cores", lambda: cores)
    monkeypatch.setattr("core.settings.work.usable_memory", lambda: memory * GIB)
    assert Settings(decode_processes=chosen, model_memory=6 * GIB).decoders == decoders

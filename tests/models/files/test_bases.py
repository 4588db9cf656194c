"""Which model `auto` stands for, and how fast that is decided."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from models.files.bases import resolve_auto
from models.weights import hub


def test_auto_takes_clip_where_it_can_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "find_cached_weights", lambda *_: None)
    monkeypatch.setattr(hub, "hub_has_weights", lambda *_: True)
    name, reason = resolve_auto(tmp_path)
    assert name == "clip-b16"
    assert "downloaded" in reason


def test_auto_is_decided_within_five_seconds_whatever_the_network_does(tmp_path: Path) -> None:
    started = time.monotonic()
    resolve_auto(tmp_path)
    assert time.monotonic() - started < 5

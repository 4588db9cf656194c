"""Which model `auto` stands for, and how fast that is decided."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from models.files.bases import clip_base, resolve_auto
from models.weights import hub
from tests.models.conftest import tiny_clip, tiny_profile


def test_auto_takes_clip_where_it_can_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "find_cached_weights", lambda *_: None)
    monkeypatch.setattr(hub, "hub_has_weights", lambda *_: True)
    name, reason = resolve_auto(tmp_path)
    assert name == "clip-b16"
    assert "downloaded" in reason


def test_auto_takes_clip_where_a_file_of_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "find_cached_weights", lambda *_: None)
    monkeypatch.setattr(hub, "hub_has_weights", lambda *_: False)
    assert resolve_auto(tmp_path)[0] == "lite"
    assert resolve_auto(tmp_path, tmp_path / "named.pt")[0] == "clip-b16"
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "clip-b16.pt").touch()
    assert resolve_auto(tmp_path) == ("clip-b16", "its weights file is on this machine")


def test_the_digest_of_a_base_is_that_of_its_weights_and_its_architecture() -> None:
    bases = [
        clip_base("a", tiny_clip(), "ViT-B-16-quickgelu", tiny_profile()),
        clip_base("b", tiny_clip(), "ViT-B-16-quickgelu", tiny_profile(short_side=40)),
        clip_base("a", tiny_clip(), "ViT-B-16", tiny_profile()),
        clip_base("a", tiny_clip(1), "ViT-B-16-quickgelu", tiny_profile()),
    ]
    first, renamed, *others = [base.digest for base in bases]
    assert first == renamed
    assert len({first, *others}) == 3


def test_auto_does_not_wait_for_a_hub_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.HUB_SECONDS < 5
    monkeypatch.setattr(hub, "HUB_SECONDS", 0.05)
    monkeypatch.setattr(hub, "_request_file", lambda *_: threading.Event().wait())
    monkeypatch.setattr(hub, "find_cached_weights", lambda *_: None)
    assert resolve_auto(tmp_path)[0] == "lite"

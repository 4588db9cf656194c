"""The shelf of models: it loads on request, unloads the least recently used, and explains what it cannot load."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core.errors import ModelUnavailable, UnknownModel
from core.registry import Registry, Version
from core.settings import Settings
from core.storage import Store
from models.recognition.recognizer import Recognizer
from models.weights.errors import WeightsUnavailable
from tests.core.test_registry import publish
from worker.inference import shelf as module
from worker.inference.shelf import Shelf


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, tiny: Recognizer) -> list[str]:
    """A stand-in for loading: every model is the tiny one, but `clip-l14` cannot be loaded."""
    calls: list[str] = []

    def load_model(name: str, **_: Any) -> Recognizer:
        calls.append(name)
        if name == "clip-l14":
            raise WeightsUnavailable("no weights", "get some")
        return tiny

    monkeypatch.setattr(module, "load_model", load_model)
    monkeypatch.setattr(module, "resolve_auto", lambda *_: ("lite", "no network"))
    return calls


@pytest.fixture
def shelf(tmp_path: Path, loads: list[str], tiny: Recognizer) -> Shelf:
    settings = Settings(data_dir=tmp_path, model_memory=2 * tiny.nbytes)
    return Shelf(settings, Registry(Store(settings.store_url, tmp_path / "spool")))


def test_auto_is_decided_once_and_says_why(shelf: Shelf, loads: list[str]) -> None:
    assert shelf.get(None) is shelf.get("lite")
    assert shelf.get(None).ref.reason == "no network"
    assert loads == ["lite"]
    shelf.close()


def test_the_least_recently_used_is_unloaded(shelf: Shelf, loads: list[str]) -> None:
    for name in ("lite", "clip-b16", "lite", "clip-b32", "lite", "clip-b16"):
        shelf.get(name)
    assert loads == ["lite", "clip-b16", "clip-b32", "clip-b16"]
    shelf.close()


def test_what_is_announced_after_a_load_on_demand(tmp_path: Path, loads: list[str], tiny: Recognizer) -> None:
    settings = Settings(data_dir=tmp_path, model_memory=2 * tiny.nbytes)
    said: list[str] = []
    shelf = Shelf(settings, Registry(Store(settings.store_url, tmp_path / "spool")), said.append)
    for name in ("lite", "clip-b16", "lite"):
        shelf.get(name)
    with pytest.raises(ModelUnavailable):
        shelf.get("clip-l14")
    assert said == ["lite is loaded", "lite, clip-b16 are loaded", "clip-b16, lite are loaded"]
    shelf.close()


def test_unknown_names_come_with_the_nearest(shelf: Shelf) -> None:
    with pytest.raises(UnknownModel) as caught:
        shelf.get("clip-b61")
    assert "clip-b16" in caught.value.details["nearest"]


def test_auto_falls_back_if_a_download_breaks_off(
    shelf: Shelf, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "resolve_auto", lambda *_: ("clip-l14", "its weights can be downloaded"))
    assert shelf.get(None).ref.reason == "clip-l14 could not be loaded (no weights)"
    assert shelf.default()[0] == "lite"
    assert loads == ["clip-l14", "lite"]
    shelf.close()


def test_a_long_load_delays_no_other_model(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tiny: Recognizer) -> None:
    began, finish = threading.Event(), threading.Event()

    def slow(name: str, **_: Any) -> Recognizer:
        if name == "clip-b32":
            began.set()
            assert finish.wait(10)
        return tiny

    monkeypatch.setattr(module, "load_model", slow)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shelf.get, "clip-b32")
        assert began.wait(5)
        assert shelf.get("lite").ref.name == "lite"
        assert not waiting.done()
        finish.set()
        assert waiting.result(5).recognizer is tiny
    shelf.close()


def test_a_model_that_failed_to_load_is_not_retried_at_once(shelf: Shelf, loads: list[str]) -> None:
    for _ in range(3):
        with pytest.raises(ModelUnavailable) as caught:
            shelf.get("clip-l14")
        assert caught.value.hint == "get some"
    assert loads == ["clip-l14"]


def test_a_published_version_is_served_and_a_deleted_one_is_not(
    shelf: Shelf, tmp_path: Path, tiny: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def load_version(files: Path, **_: Any) -> Recognizer:
        read.append(files)
        return tiny

    monkeypatch.setattr(module, "load_version", load_version)
    with pytest.raises(UnknownModel):
        shelf.get("gym")
    store = Store(Settings(data_dir=tmp_path).store_url, tmp_path / "spool")
    for version in (1, 2):
        publish(store, "gym", version)
        assert shelf.get("gym").ref.name == f"gym:{version}"
    Registry(store).set_alias("gym", "production", 1)
    assert shelf.get("gym@production") is shelf.get("gym:1")
    assert [files.name for files in read] == ["1", "2"]
    Registry(store).delete(Version("gym", 2))
    with pytest.raises(UnknownModel):
        shelf.get("gym:2")
    assert shelf.get("gym").ref.name == "gym:1"
    shelf.close()


def test_one_model_is_served_whatever_its_size(tmp_path: Path, loads: list[str]) -> None:
    settings = Settings(data_dir=tmp_path, model_memory=1)
    shelf = Shelf(settings, Registry(Store(settings.store_url, tmp_path / "spool")))
    for name in ("lite", "clip-b16", "lite"):
        assert shelf.get(name).ref.name == name
    assert loads == ["lite", "clip-b16", "lite"]
    shelf.close()

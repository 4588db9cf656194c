"""The shelf of models: it loads on request, unloads the least recently used, and explains what it cannot load."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
import torch

from core.errors import Cancelled, ModelUnavailable, UnknownModel
from core.registry import Registry, Version
from core.settings import Settings
from core.storage import Store
from models.recognition.recognizer import Recognizer
from models.weights.errors import WeightsUnavailable
from tests.core.test_registry import publish
from worker.inference.batching.towers import TextVectors
from worker.inference.loading import default_model, opening
from worker.inference.loading.default_model import DefaultModel
from worker.inference.loading.opening import ModelFiles
from worker.inference.loading.shelf import Shelf
from worker.jobs.cancellation import CancelToken


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, tiny: Recognizer) -> list[str]:
    """A stand-in for loading: every model is the tiny one, but `clip-l14` cannot be loaded."""
    calls: list[str] = []

    def load_model(name: str, **_: Any) -> Recognizer:
        calls.append(name)
        if name == "clip-l14":
            raise WeightsUnavailable("no weights", "get some")
        return tiny

    monkeypatch.setattr(opening, "load_model", load_model)
    monkeypatch.setattr(ModelFiles, "estimate", lambda *_: tiny.nbytes)
    monkeypatch.setattr(default_model, "resolve_auto", lambda *_: ("lite", "no network"))
    return calls


@pytest.fixture
def shelf(tmp_path: Path, loads: list[str], tiny: Recognizer, records: redis.Redis) -> Shelf:
    return shelf_of(Settings(data_dir=tmp_path, model_memory=2 * tiny.nbytes), records)


def shelf_of(settings: Settings, records: redis.Redis) -> Shelf:
    registry = Registry(Store(settings.store_url, settings.data_dir / "spool"))
    return Shelf(settings, registry, DefaultModel(records, settings))


def test_auto_is_decided_once_and_says_why(shelf: Shelf, loads: list[str]) -> None:
    assert shelf.get(None).recognizer is shelf.get("lite").recognizer
    assert shelf.get(None).ref.reason == shelf.get("lite").ref.reason == "no network"
    assert loads == ["lite"]
    shelf.close()


def test_the_least_recently_used_is_unloaded(shelf: Shelf, loads: list[str]) -> None:
    for name in ("lite", "clip-b16", "lite", "clip-b32", "lite", "clip-b16"):
        shelf.get(name)
    assert loads == ["lite", "clip-b16", "clip-b32", "clip-b16"]
    shelf.close()


def test_a_model_that_may_cost_nothing_unloads_no_other(shelf: Shelf, loads: list[str]) -> None:
    for name in ("lite", "clip-b16"):  # they fill the memory
        shelf.get(name)
    assert shelf.get_beside("clip-b32") is None
    assert shelf.get_beside("lite") is not None
    shelf.get("clip-b32")
    assert loads == ["lite", "clip-b16", "clip-b32"]
    shelf.close()


def test_a_model_that_may_cost_nothing_is_unloaded_first(shelf: Shelf, loads: list[str]) -> None:
    shelf.get("lite")
    assert shelf.get_beside("clip-b16") is not None
    for name in ("clip-b32", "lite"):
        shelf.get(name)
    assert loads == ["lite", "clip-b16", "clip-b32"]
    shelf.close()


def test_what_is_announced_after_a_load_on_demand(
    tmp_path: Path, loads: list[str], tiny: Recognizer, records: redis.Redis
) -> None:
    settings = Settings(data_dir=tmp_path, model_memory=2 * tiny.nbytes)
    said: list[str] = []
    shelf = Shelf(
        settings, Registry(Store(settings.store_url, tmp_path / "spool")), DefaultModel(records, settings), said.append
    )
    for name in ("lite", "clip-b16", "lite"):
        shelf.get(name)
    with pytest.raises(ModelUnavailable):
        shelf.get("clip-l14")
    assert said == ["lite is loaded", "lite, clip-b16 are loaded", "lite is loaded"]  # room was made first
    shelf.close()


def test_the_shelf_knows_where_its_models_are(shelf: Shelf) -> None:
    assert shelf.devices == set()
    shelf.get(None)
    assert shelf.devices == {torch.device("cpu")}


def test_unknown_names_come_with_the_nearest(shelf: Shelf) -> None:
    with pytest.raises(UnknownModel) as caught:
        shelf.get("clip-b61")
    assert "clip-b16" in caught.value.details["nearest"]


def test_auto_falls_back_if_a_download_breaks_off(
    shelf: Shelf, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_model, "resolve_auto", lambda *_: ("clip-l14", "its weights can be downloaded"))
    assert shelf.get(None).ref.reason == "clip-l14 could not be loaded (no weights)"
    assert shelf.default.current().name == "lite"
    assert loads == ["clip-l14", "lite"]
    shelf.close()


def test_a_long_load_delays_no_other_model(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tiny: Recognizer) -> None:
    began, finish = threading.Event(), threading.Event()

    def slow(name: str, **_: Any) -> Recognizer:
        if name == "clip-b32":
            began.set()
            assert finish.wait(10)
        return tiny

    monkeypatch.setattr(opening, "load_model", slow)
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

    monkeypatch.setattr(opening, "load_version", load_version)
    with pytest.raises(UnknownModel):
        shelf.get("gym")
    store = Store(Settings(data_dir=tmp_path).store_url, tmp_path / "spool")
    for version in (1, 2):
        publish(store, "gym", version)
        assert shelf.get("gym").ref.name == f"gym:{version}"
    Registry(store).set_alias("gym", "production", 1)
    assert shelf.get("gym@production").recognizer is shelf.get("gym:1").recognizer
    assert [files.name for files in read] == ["1", "2"]
    Registry(store).delete(Version("gym", 2))
    with pytest.raises(UnknownModel):
        shelf.get("gym:2")
    assert shelf.get("gym").ref.name == "gym:1"
    shelf.close()


def test_versions_of_the_same_name_stand_beside_each_other(
    tmp_path: Path, loads: list[str], records: redis.Redis, tiny: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, Recognizer] = {}

    def load_version(files: Path, **_: Any) -> Recognizer:
        return made.setdefault(str(files), replace(tiny, digest=str(files)))

    monkeypatch.setattr(opening, "load_version", load_version)
    settings = Settings(data_dir=tmp_path, model_memory=4 * tiny.nbytes, model="gym")
    said: list[str] = []
    store = Store(settings.store_url, tmp_path / "spool")
    shelf = Shelf(settings, Registry(store), DefaultModel(records, settings), said.append)
    acme, other = shelf.of("acme"), shelf.of("other")
    publish(store, "gym", 1)
    publish(store.of("acme"), "gym", 1)
    own = acme.get("gym")
    assert own.ref.name == "gym:1"
    assert "projects/acme" in own.recognizer.digest
    assert "projects" not in shelf.get("gym").recognizer.digest
    assert acme.get("gym:1") is own
    for name in ("gym", "gym:1", "acme/gym:1"):
        with pytest.raises(UnknownModel):
            other.get(name)
    assert (
        acme.get(None).recognizer is other.get(None).recognizer is shelf.get(None).recognizer
    )  # the operator's choice
    assert acme.get_beside("gym:1") is own
    assert other.get("lite").recognizer is acme.get("lite").recognizer
    assert said[-1] == "lite, 2 fine-tuned models are loaded"  # every project reads it
    Registry(store.of("acme")).delete(Version("gym", 1))
    with pytest.raises(UnknownModel):
        acme.get("gym")
    assert shelf.get("gym").ref.name == "gym:1"
    shelf.close()


def test_one_model_is_served_whatever_its_size(tmp_path: Path, loads: list[str], records: redis.Redis) -> None:
    shelf = shelf_of(Settings(data_dir=tmp_path, model_memory=1), records)
    for name in ("lite", "clip-b16", "lite"):
        assert shelf.get(name).ref.name == name
    assert loads == ["lite", "clip-b16", "lite"]
    shelf.close()


def test_room_is_made_before_a_load_and_by_the_measured_size(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tiny: Recognizer
) -> None:
    seen: list[tuple[str, list[str]]] = []

    def load_model(name: str, **_: Any) -> Recognizer:
        seen.append((name, list(shelf._loaded)))
        return replace(tiny, nbytes=2 * tiny.nbytes) if name == "clip-b32" else tiny

    monkeypatch.setattr(opening, "load_model", load_model)
    for name in ("lite", "clip-b16", "clip-rn50", "clip-b32", "lite", "clip-b32"):
        shelf.get(name)
    assert seen == [
        ("lite", []),
        ("clip-b16", ["lite"]),
        ("clip-rn50", ["clip-b16"]),
        ("clip-b32", ["clip-rn50"]),  # estimated at half its size
        ("lite", []),  # the measured size fills the memory, so room is made first
        ("clip-b32", []),  # and by now its size is known
    ]
    shelf.close()


def test_a_load_without_memory_is_tried_again_without_the_other_models(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tiny: Recognizer
) -> None:
    held: list[list[str]] = []

    def load_model(name: str, **_: Any) -> Recognizer:
        if name != "lite":
            held.append(list(shelf._loaded))
            if shelf._loaded or name == "clip-rn50":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return tiny

    monkeypatch.setattr(opening, "load_model", load_model)
    shelf.get("lite")
    assert shelf.get("clip-b16").ref.name == "clip-b16"
    assert held == [["lite"], []]
    with pytest.raises(ModelUnavailable, match="clip-rn50 does not fit into the memory") as caught:
        shelf.get("clip-rn50")
    assert caught.value.retry_after
    shelf.close()


def test_a_forward_without_memory_is_tried_again_without_the_other_models(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tiny: Recognizer
) -> None:
    tries: list[list[str]] = []

    def text_tower(texts: list[str]) -> tuple[torch.Tensor, list[bool]]:
        tries.append(list(shelf._loaded))
        if len(tries) in (1, 3, 4):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return tiny.text_tower(texts)

    hungry = replace(tiny, text_tower=text_tower)
    monkeypatch.setattr(opening, "load_model", lambda name, **_: hungry if name == "clip-b16" else tiny)
    shelf.get("lite")
    texts = shelf.get("clip-b16").towers.texts
    assert len(texts.encode(["a"], CancelToken())) == 1
    assert tries == [["lite", "clip-b16"], ["clip-b16"]]
    with pytest.raises(ModelUnavailable, match="clip-b16 does not fit"):
        texts.encode(["b"], CancelToken())
    assert len(tries) == 4
    shelf.close()


def test_a_model_is_put_away_while_others_are_served(shelf: Shelf, tiny: Recognizer) -> None:
    """The forward pass of a model that is unloaded goes on until it is let go; nobody else waits for it."""
    shelf.get("lite")
    busy, release = threading.Event(), threading.Event()
    batcher = shelf.get("clip-b16").towers.texts._batcher

    def forward(texts: list[str], _: int) -> Any:
        busy.set()
        assert release.wait(20)
        return TextVectors(torch.zeros(len(texts), tiny.dim), [False] * len(texts))

    batcher._tower = replace(batcher._tower, forward=forward)
    with ThreadPoolExecutor(2) as pool:
        text = pool.submit(shelf.get("clip-b16").towers.texts.encode, ["a"], CancelToken())
        assert busy.wait(20)
        shelf.get("lite")
        loading = pool.submit(shelf.get, "clip-b32")  # takes the room of clip-b16, whose forward pass runs
        while "clip-b16" in shelf._loaded:
            time.sleep(0.01)
        assert shelf.get("lite").ref.name == "lite"
        assert not loading.done()
        release.set()
        assert len(text.result(20)) == 1
        assert loading.result(20).ref.name == "clip-b32"
    shelf.close()


def test_a_cancelled_request_leaves_a_load_that_goes_on(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tiny: Recognizer
) -> None:
    began, finish, token = threading.Event(), threading.Event(), CancelToken()
    loads: list[str] = []

    def slow(name: str, **_: Any) -> Recognizer:
        loads.append(name)
        began.set()
        assert finish.wait(20)
        return tiny

    monkeypatch.setattr(opening, "load_model", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(shelf.get, "clip-b32", token)
        assert began.wait(20)
        token.cancel()
        with pytest.raises(Cancelled):
            first.result(20)
        second = pool.submit(shelf.get, "clip-b32")
        finish.set()
        assert second.result(20).recognizer is tiny
    assert loads == ["clip-b32"]
    shelf.close()

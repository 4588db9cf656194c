"""The engine of a model on the shelf: found in a process of its own, remembered, and put in while questions go on."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import redis
import torch

from core.errors import ModelUnavailable
from core.registry import Registry
from core.settings import Settings
from core.storage import Store
from core.vocabulary import EngineChoice
from models.engines.choice import FP32_GRAPH, Choice, note_name
from models.engines.errors import EngineUnavailable
from models.engines.graph import export_graph
from tests import tiny
from worker.inference.loading import engine_keeper as module
from worker.inference.loading.default_model import DefaultModel
from worker.inference.loading.engine_keeper import EngineKeeper
from worker.inference.loading.engine_search import Order
from worker.inference.loading.shelf import Shelf
from worker.jobs.cancellation import CancelToken

FRAMES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
FOUND = Choice(model="tiny", engine="openvino", precision="fp32", lanes=2, threads=1, batch=4, candidates=())

OpenShelf = Callable[[EngineChoice], Shelf]


@pytest.fixture
def open_shelf(tmp_path: Path, records: redis.Redis) -> Iterator[OpenShelf]:
    tiny.place(tmp_path)
    shelves: list[Shelf] = []

    def opened(engine: EngineChoice) -> Shelf:
        settings = Settings(data_dir=tmp_path, engine=engine, model="tiny", device="cpu", precision="fp32")
        registry = Registry(Store(settings.store_url, settings.data_dir / "spool"))
        shelves.append(Shelf(settings, registry, DefaultModel(records, settings)))
        return shelves[-1]

    yield opened
    for shelf in shelves:
        shelf.close()


class Search:
    """Stands for the child: it finds OpenVINO once it may go on."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.go_on = threading.Event()

    def __call__(self, keeper: EngineKeeper, order: Order) -> None:
        self.orders.append(order)
        assert self.go_on.wait(60)
        recognizer = keeper._files.open("tiny")
        folder, file = keeper._places(recognizer)
        if not (folder / FP32_GRAPH).exists():  # as the child does
            export_graph(recognizer, folder / FP32_GRAPH)
        file.write_text(FOUND.model_dump_json(), encoding="utf-8")


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Search:
    search = Search()
    monkeypatch.setattr(EngineKeeper, "_search_in_child", lambda keeper, order: search(keeper, order))
    return search


def engine_of(shelf: Shelf) -> str:
    return shelf.engine_of(shelf.get("tiny")).name


def test_a_child_finds_the_engine_and_the_next_worker_knows_it(
    open_shelf: OpenShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager = open_shelf("eager").get("tiny")
    found = open_shelf("openvino").get("tiny")
    assert found.recognizer.engine is not None
    assert found.recognizer.engine.name == "openvino"
    expected, features = (loaded.towers.frames.encode(FRAMES, CancelToken()) for loaded in (eager, found))
    assert torch.allclose(features, expected, atol=1e-4)
    monkeypatch.setattr(EngineKeeper, "_search_in_child", lambda *_: pytest.fail("it was found before"))
    again = open_shelf("openvino")
    info = again.engine_of(again.get("tiny"))
    assert (info.name, info.precision, info.searching) == ("openvino", "fp32", False)
    assert [candidate.engine for candidate in info.candidates] == ["openvino"]
    assert info.candidates[0].ms_per_frame is not None
    (graphs,) = (tmp_path / "engines").iterdir()
    note_name(tmp_path / "engines" / "of a deleted version", "acme/gym:3")
    again.sweep_engines()
    assert list((tmp_path / "engines").iterdir()) == [graphs]


def test_torch_serves_while_the_engine_is_searched(open_shelf: OpenShelf, search: Search) -> None:
    shelf = open_shelf("auto")
    before = shelf.get("tiny")
    info = shelf.engine_of(before)
    assert (info.name, info.searching, before.recognizer.engine) == ("eager", True, None)
    expected = before.towers.frames.encode(FRAMES, CancelToken())
    search.go_on.set()
    while engine_of(shelf) != "openvino":
        time.sleep(0.01)
    after = shelf.get("tiny")
    assert shelf.engine_of(after).lanes == 2
    assert after.recognizer.numerics != before.recognizer.numerics
    for loaded in (after, before):  # a question that has taken the earlier one is answered all the same
        assert torch.allclose(loaded.towers.frames.encode(FRAMES, CancelToken()), expected, atol=1e-4)
    while shelf.engine_of(after).searching:
        time.sleep(0.01)


def test_workers_of_one_machine_search_once(open_shelf: OpenShelf, search: Search) -> None:
    shelves = [open_shelf("openvino"), open_shelf("openvino")]
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(engine_of, shelf) for shelf in shelves]
        while not search.orders:
            time.sleep(0.01)
        search.go_on.set()
        assert [future.result(60) for future in asked] == ["openvino"] * 2
    assert len(search.orders) == 1


def test_an_engine_that_cannot_be_had_is_said_in_words(open_shelf: OpenShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise EngineUnavailable("the package openvino is missing")

    monkeypatch.setattr(EngineKeeper, "_search_in_child", fails)
    with pytest.raises(ModelUnavailable, match="openvino cannot serve tiny: the package openvino is missing"):
        open_shelf("openvino").get("tiny")
    shelf = open_shelf("auto")
    shelf.get("tiny")
    while shelf.engine_of(shelf.get("tiny")).searching:
        time.sleep(0.01)
    assert engine_of(shelf) == "eager"


def test_nothing_is_searched_where_there_is_nothing_to_find(
    open_shelf: OpenShelf, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not open_shelf("eager").get("tiny").recognizer.engine
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    shelf = open_shelf("auto")
    assert not shelf.engine_of(shelf.get("tiny")).searching
    assert not search.orders


def test_a_graph_that_is_damaged_is_made_again(open_shelf: OpenShelf, search: Search, tmp_path: Path) -> None:
    search.go_on.set()
    assert engine_of(open_shelf("openvino")) == "openvino"
    (graph,) = (tmp_path / "engines").glob(f"*/{FP32_GRAPH}")
    graph.write_text("no graph", encoding="utf-8")
    assert engine_of(open_shelf("openvino")) == "openvino"
    assert len(search.orders) == 2


def test_a_full_disk_keeps_no_model_from_being_served(
    open_shelf: OpenShelf, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    search.go_on.set()
    assert engine_of(open_shelf("openvino")) == "openvino"
    monkeypatch.setattr(module, "note_name", full)
    assert engine_of(open_shelf("openvino")) == "openvino"

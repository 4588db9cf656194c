"""The registry: versions appear completely, references resolve, aliases change in one step."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from core.errors import NotFound, UnknownModel
from core.registry import CARD, Card, Registry, Version
from core.storage import Store

FACTS = {
    "created_at": 0.0,
    "origin": "trained",
    "base": "lite",
    "architecture": "lite",
    "method": "text4vis",
    "temporal": {"kind": "mean"},
    "classifier": {"kind": "text"},
    "classes": ("a", "b"),
    "open_labels": True,
    "profile": {},
    "dim": 4,
    "logit_scale": 16.0,
    "digest": "0",
    "text_digest": "1",
}


@pytest.fixture(params=["directory", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = (tmp_path / "store").as_uri() if request.param == "directory" else f"memory://{tmp_path}"
    return Store(url, tmp_path / "spool")


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store)


def publish(store: Store, name: str, version: int, weights: bytes = b"weights") -> None:
    with store.stage_tree() as staged:
        card = Card.model_validate({"name": name, "version": version} | FACTS)
        (staged / CARD).write_text(card.model_dump_json())
        (staged / "model.safetensors").write_bytes(weights)
        (staged / "text").mkdir()
        (staged / "text" / "tokenizer.json").write_text("{}")
        Registry(store).publish(staged, Version(name, version))


def test_names_versions_and_aliases(registry: Registry, store: Store) -> None:
    for version in (1, 2, 10):
        publish(store, "gym", version)
    registry.set_alias("gym", "production", 2)
    assert registry.names() == ["gym"]
    assert registry.versions("gym") == [1, 2, 10]
    assert [str(registry.resolve(ref)) for ref in ("gym", "gym:1", "gym@production")] == ["gym:10", "gym:1", "gym:2"]
    registry.set_alias("gym", "production", 10)
    assert registry.resolve("gym@production") == Version("gym", 10)
    assert registry.card(Version("gym", 1)).classes == ("a", "b")
    files = registry.directory(Version("gym", 10))
    assert (files / "model.safetensors").read_bytes() == b"weights"
    assert (files / "text" / "tokenizer.json").exists()


@pytest.mark.parametrize("ref", ["gym:3", "gym@nobody", "no", "../gym", "gym:0", "gym:1/2", ""])
def test_unknown_models_versions_and_aliases(registry: Registry, store: Store, ref: str) -> None:
    publish(store, "gym", 1)
    with pytest.raises(UnknownModel) as caught:
        registry.resolve(ref)
    assert caught.value.hint


def test_a_version_without_its_card_does_not_exist(registry: Registry, tmp_path: Path) -> None:
    """A version exists only with its card."""
    half = tmp_path / "store" / "registry" / "gym" / "1"
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(b"half")
    local = Registry(Store((tmp_path / "store").as_uri(), tmp_path / "spool"))
    assert local.names() == []
    with pytest.raises(UnknownModel):
        local.resolve("gym")


def test_a_version_never_changes(registry: Registry, store: Store) -> None:
    publish(store, "gym", 1, b"first")
    publish(store, "gym", 1, b"second, by a worker that was believed dead")
    assert registry.file(Version("gym", 1), "model.safetensors").read_bytes() == b"first"


def test_deleting_a_version_deletes_its_aliases(registry: Registry, store: Store) -> None:
    for version in (1, 2):
        publish(store, "gym", version)
    registry.set_alias("gym", "production", 2)
    registry.delete(Version("gym", 2))
    assert registry.versions("gym") == [1]
    assert registry.aliases("gym") == {}
    with pytest.raises(NotFound):
        registry.file(Version("gym", 2), CARD)
    with pytest.raises(UnknownModel):
        registry.directory(Version("gym", 2))


def test_a_reader_of_an_alias_sees_the_old_or_the_new(tmp_path: Path) -> None:
    """With a local store. Object stores replace an object in one step as well; fsspec's in-memory store does not."""
    store = Store((tmp_path / "store").as_uri(), tmp_path / "spool")
    registry = Registry(store)
    for version in (1, 2):
        publish(store, "gym", version)
    registry.set_alias("gym", "production", 1)
    done = threading.Event()

    def move() -> None:
        for turn in range(200):
            registry.set_alias("gym", "production", 1 + turn % 2)
        done.set()

    mover = threading.Thread(target=move)
    mover.start()
    seen = set()
    while not done.is_set():
        seen.add(registry.resolve("gym@production").version)
    mover.join()
    assert seen <= {1, 2}
    assert seen

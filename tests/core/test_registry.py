"""The registry: versions appear completely, references resolve, aliases change in one step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import Conflict, NotFound, UnknownModel
from core.registry import CARD, NAMES_SECONDS, Alias, Card, Registry, Shadow, Version
from core.storage import Store
from tests.s3 import S3

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


def publish(store: Store, name: str, version: int, weights: bytes = b"weights", job: str | None = None) -> None:
    with store.stage_tree() as staged:
        card = Card.model_validate({"name": name, "version": version, "job": job} | FACTS)
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
    with registry.directory(Version("gym", 10)) as files:
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


def weights(registry: Registry, version: int) -> bytes:
    with registry.file(Version("gym", version), "model.safetensors") as file:
        return file.read_bytes()


def test_the_version_of_a_jobs_first_attempt_stays(registry: Registry, store: Store) -> None:
    publish(store, "gym", 1, b"first", job="job_1")
    publish(store, "gym", 1, b"second, by a worker that was believed dead", job="job_1")
    assert weights(registry, 1) == b"first"


@pytest.mark.parametrize("job", ["job_2", None])
def test_a_version_of_another_job_is_a_conflict(registry: Registry, store: Store, job: str | None) -> None:
    """Two Redis that share one store give two jobs the same number."""
    publish(store, "gym", 1, b"first", job="job_1")
    with pytest.raises(Conflict, match="Another job has published gym:1"):
        publish(store, "gym", 1, b"second", job=job)
    assert weights(registry, 1) == b"first"


def test_a_shadow_stays_with_its_alias_until_it_answers_itself(registry: Registry, store: Store) -> None:
    for version in (1, 2, 3):
        publish(store, "gym", version)
    registry.set_alias("gym", "production", 1)
    registry.set_shadow("gym", "production", Shadow(version=3, share=0.25))
    registry.set_alias("gym", "production", 2)
    assert registry.alias("gym", "production") == Alias(2, Shadow(version=3, share=0.25))
    assert Registry(store).shadow_of("gym@production") == Shadow(version=3, share=0.25)
    assert registry.aliases("gym") == {"production": 2}
    assert registry.shadow_of("gym:1") is None
    registry.set_alias("gym", "production", 3)
    assert registry.alias("gym", "production") == Alias(3)
    with pytest.raises(UnknownModel):
        registry.set_shadow("gym", "production", Shadow(version=9, share=0.25))
    with pytest.raises(NotFound):
        registry.set_shadow("gym", "staging", Shadow(version=1, share=0.25))


def test_a_deleted_version_is_no_shadow_any_more(registry: Registry, store: Store) -> None:
    for version in (1, 2):
        publish(store, "gym", version)
    registry.set_alias("gym", "production", 1)
    registry.set_shadow("gym", "production", Shadow(version=2, share=1.0))
    registry.delete(Version("gym", 2))
    assert registry.alias("gym", "production") == Alias(1)


def test_an_alias_of_an_earlier_version_gets_a_shadow(registry: Registry, store: Store) -> None:
    for version in (1, 2):
        publish(store, "gym", version)
    store.write_text("registry/gym/aliases.json", '{"production": 1}')
    assert registry.alias("gym", "production") == Alias(1)
    registry.set_shadow("gym", "production", Shadow(version=2, share=1.0))
    assert registry.alias("gym", "production") == Alias(1, Shadow(version=2, share=1.0))


def test_deleting_a_version_deletes_its_aliases(registry: Registry, store: Store) -> None:
    for version in (1, 2):
        publish(store, "gym", version)
    registry.set_alias("gym", "production", 2)
    registry.delete(Version("gym", 2))
    assert registry.versions("gym") == [1]
    assert registry.aliases("gym") == {}
    with pytest.raises(NotFound), registry.file(Version("gym", 2), CARD):
        pass
    with pytest.raises(UnknownModel), registry.directory(Version("gym", 2)):
        pass


def test_a_reader_of_an_alias_sees_the_old_or_the_new(tmp_path: Path) -> None:
    """With a local store. Object stores replace an object in one step as well; fsspec's in-memory store does not."""
    store = Store((tmp_path / "store").as_uri(), tmp_path / "spool")
    registry = Registry(store)
    for version in (1, 2):
        publish(store, "gym", version)
    registry.set_alias("gym", "production", 1)
    done = threading.Event()

    def move() -> None:
        for turn in range(50):
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


def test_two_gateways_that_set_aliases_lose_nothing(store: Store) -> None:
    """Each has a registry of its own, as two processes have."""
    publish(store, "gym", 1)
    start = threading.Barrier(4)

    def run(gateway: int) -> None:
        registry = Registry(store)
        start.wait()
        for number in range(10):
            registry.set_alias("gym", f"alias-{gateway}-{number}", 1)
            if number % 2:
                registry.drop_alias("gym", f"alias-{gateway}-{number}")

    threads = [threading.Thread(target=run, args=(gateway,)) for gateway in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = {f"alias-{gateway}-{number}": 1 for gateway in range(4) for number in range(0, 10, 2)}
    assert Registry(store).aliases("gym") == kept


def test_aliases_of_an_earlier_version_of_vireo_are_read(registry: Registry, store: Store) -> None:
    for version in (1, 2):
        publish(store, "gym", version)
    store.write_text("registry/gym/aliases.json", '{"production": 1, "old": 1}')
    assert registry.resolve("gym@production") == Version("gym", 1)
    assert registry.aliases("gym") == {"old": 1, "production": 1}
    registry.set_alias("gym", "production", 2)
    registry.drop_alias("gym", "old")
    assert registry.resolve("gym@production") == Version("gym", 2)
    assert registry.aliases("gym") == {"production": 2}
    with pytest.raises(UnknownModel):
        registry.resolve("gym@old")
    registry.set_alias("gym", "old", 2)
    assert registry.aliases("gym") == {"old": 2, "production": 2}
    for version in (1, 2):
        registry.delete(Version("gym", version))
    assert store.find("registry") == []


def test_the_registry_of_a_remote_store_remembers_names_for_two_seconds(tmp_path: Path) -> None:
    store = Store(f"memory://{tmp_path}", tmp_path / "spool")
    now = 0.0
    registry, other = Registry(store, lambda: now), Registry(store)
    for version in (1, 2, 3):
        publish(store, "gym", version)
    other.set_alias("gym", "production", 2)
    assert (registry.resolve("gym").version, registry.resolve("gym@production").version) == (3, 2)
    publish(store, "gym", 4)
    other.set_alias("gym", "production", 1)
    now = NAMES_SECONDS * 0.9
    assert (registry.resolve("gym").version, registry.resolve("gym@production").version) == (3, 2)
    assert registry.resolve("gym:4").version == 4
    now = NAMES_SECONDS
    assert (registry.resolve("gym").version, registry.resolve("gym@production").version) == (4, 1)
    registry.set_alias("gym", "production", 3)  # its own changes are known at once
    assert registry.resolve("gym@production").version == 3
    other.delete(Version("gym", 4))  # what no longer exists is looked up again
    assert (registry.resolve("gym").version, registry.resolve_card("gym").version) == (3, 3)
    other.delete(Version("gym", 3))
    assert registry.resolve_card("gym").version == 2


def test_a_name_in_a_directory_is_looked_up_each_time(tmp_path: Path) -> None:
    store = Store((tmp_path / "store").as_uri(), tmp_path / "spool")
    registry = Registry(store, lambda: 0.0)
    for version in (1, 2):
        publish(store, "gym", version)
        assert registry.resolve("gym").version == version


def test_an_exact_reference_costs_one_request_and_a_name_none_more(s3: S3, tmp_path: Path) -> None:
    store = Store(s3.url(tmp_path.name), tmp_path / "spool")
    for version in range(1, 31):
        made = Card.model_validate({"name": "gym", "version": version} | FACTS)
        store.write_text(f"registry/gym/{version}/card.json", made.model_dump_json())
    registry = Registry(store)
    registry.set_alias("gym", "production", 7)

    def requests(ask: Callable[[], object]) -> list[str]:
        s3.requests.clear()
        ask()
        return [request.split("?")[0].removeprefix(f"/{tmp_path.name}") for request in s3.requests]

    card = f"/vireo/{tmp_path.name}/registry/gym/3/card.json"
    assert requests(lambda: registry.resolve("gym:3")) == [f"HEAD {card}"]
    assert requests(lambda: registry.resolve_card("gym:3")) == [f"GET {card}"]
    assert len(requests(lambda: registry.resolve_card("gym"))) == 2  # one list, one card
    assert len(requests(lambda: registry.resolve_card("gym"))) == 1
    assert len(requests(lambda: registry.resolve_card("gym@production"))) == 2
    assert len(requests(lambda: registry.resolve_card("gym@production"))) == 1

"""Calibrations in the store: versions, which one is used, and what is never used."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from core.calibration.shelf import Calibrations, scope_of
from core.errors import StorageUnavailable
from core.questions import Label
from core.registry import NAMES_SECONDS
from core.storage import Store
from tests.core.calibration.records import PICTURE, published


@pytest.fixture(params=["directory", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = (tmp_path / "store").as_uri() if request.param == "directory" else f"memory://{tmp_path}"
    return Store(url, tmp_path / "spool")


def no_scope() -> str:
    raise AssertionError("the digest of the labels is not needed")


def test_the_newest_version_for_the_weights_is_used(store: Store, tmp_path: Path) -> None:
    calibrations = Calibrations(store)
    assert calibrations.newest("d1", no_scope) is None
    for number in (1, 2):
        assert published(store, tmp_path / "new", number).version == number
    later = Calibrations(store)
    found = later.newest("d1", no_scope)
    assert found is not None
    assert (found.id, found.version) == (f"cal_{2:024x}", 2)
    assert later.newest("d2", no_scope) is None, "of other weights"
    with later.diagram(found) as path:
        assert path.read_bytes() == PICTURE


def test_a_new_version_is_seen_without_a_restart(store: Store, tmp_path: Path) -> None:
    now = [0.0]
    calibrations = Calibrations(store, lambda: now[0])
    assert calibrations.newest("d1", no_scope) is None
    for number in (1, 2):
        published(store, tmp_path / "new", number)
        now[0] += NAMES_SECONDS
        found = calibrations.newest("d1", no_scope)
        assert found is not None
        assert found.version == number


def test_what_was_known_is_used_while_the_store_is_away(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    published(store, tmp_path / "new")
    calibrations = Calibrations(store, lambda: now[0])
    known = calibrations.newest("d1", no_scope)

    def away(_: str) -> list[str]:
        raise StorageUnavailable("away")

    monkeypatch.setattr(store, "children", away)
    now[0] += NAMES_SECONDS
    assert known is not None
    assert calibrations.newest("d1", no_scope) == known
    with pytest.raises(StorageUnavailable):
        Calibrations(store).newest("d1", no_scope)


def test_an_attempt_that_is_repeated_publishes_nothing_new(store: Store, tmp_path: Path) -> None:
    first = published(store, tmp_path / "new")
    assert published(store, tmp_path / "new", bias=9.0) == first
    assert len(Calibrations(store).all()) == 1


def test_numbers_of_deleted_versions_are_never_used_again(store: Store, tmp_path: Path) -> None:
    first, second = (published(store, tmp_path / "new", number) for number in (1, 2))
    Calibrations(store).delete(second)
    found = Calibrations(store).newest("d1", no_scope)
    assert found is not None
    assert found.id == first.id
    assert published(store, tmp_path / "new", 3).version == 3
    assert [each.version for each in Calibrations(store).all()] == [3, 1]


def test_jobs_that_end_together_get_different_numbers(store: Store, tmp_path: Path) -> None:
    versions: list[int] = []
    threads = [
        threading.Thread(target=lambda n=number: versions.append(published(store, tmp_path / f"{n}", n).version))
        for number in range(1, 6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == [1, 2, 3, 4, 5]


def test_the_calibration_of_a_label_set_goes_before_the_one_for_any_labels(store: Store, tmp_path: Path) -> None:
    labels = (Label(name="cat"), Label(name="dog", prompts=("a dog.",)))
    scope = scope_of(labels, None, normalise=False)
    published(store, tmp_path / "new", 1)
    own = published(store, tmp_path / "new", 2, scope=scope, label_set="pets:1")
    calibrations = Calibrations(store)

    def asked(labels: tuple[Label, ...], templates: tuple[str, ...] | None = None) -> str | None:
        found = calibrations.newest("d1", lambda: scope_of(labels, templates, normalise=False))
        return found.label_set if found else None

    assert own.version == 1
    assert asked(labels) == "pets:1"
    assert asked(labels[::-1]) == "pets:1", "in any order"
    assert asked(labels[:1]) is None
    assert asked((labels[0], Label(name="dog"))) is None, "other prompts"
    assert asked(labels, ("a {}.",)) is None

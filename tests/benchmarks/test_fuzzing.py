"""The inputs that fuzzing kept, and those that once made a parser fail: the short form of `benchmarks fuzzing`."""

from __future__ import annotations

import pytest

from benchmarks.fuzz.targets import CORPUS, TARGETS, run
from core.errors import StorageUnavailable, UndecodableVideo

INPUTS = sorted(CORPUS.glob("*/*"))


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_of_the_corpus_makes_a_parser_fail(target: str) -> None:
    inputs = [path for path in INPUTS if path.parent.name == target]
    assert len(inputs) >= 2
    for path in inputs:
        run(target, path.read_bytes())


def test_the_corpus_is_small_and_of_known_targets() -> None:
    assert {path.parent.name for path in INPUTS} == set(TARGETS)
    assert sum(path.stat().st_size for path in INPUTS) < 1 << 20


@pytest.mark.parametrize("error", [ValueError("a bug"), StorageUnavailable("not a 4xx")])
def test_what_is_no_refusal_fails(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> None:
        raise error

    monkeypatch.setitem(TARGETS, "form", fail)
    with pytest.raises(type(error)):
        run("form", b"")


def test_a_refusal_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: bytes) -> None:
        raise UndecodableVideo("as it should be")

    monkeypatch.setitem(TARGETS, "form", refuse)
    run("form", b"")

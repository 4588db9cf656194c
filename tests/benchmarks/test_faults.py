"""The sets of faults fit today's tree, and the runner tells a noticed fault from one that nobody notices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.faults.sets import SETS, Fault, FaultError, read_set
from benchmarks.faults.trial import ROOT, Outcome, Trial

CODE = "def double(number):\n    return 2 * number\n\ndef half(number):\n    return number / 2\n"
TEST = "from code_of_ours import double\n\ndef test_double():\n    assert double(3) == 6\n"


def fault(before: str, after: str, tests: tuple[str, ...] = ("test_double.py",)) -> Fault:
    return Fault("a fault", "code_of_ours.py", before, after, tests)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A module and its test."""
    (tmp_path / "code_of_ours.py").write_text(CODE, "utf-8")
    (tmp_path / "test_double.py").write_text(TEST, "utf-8")
    return tmp_path


@pytest.fixture
def trial(tree: Path) -> Iterator[Trial]:
    with closing(Trial(tree, libraries=())) as trial:
        yield trial


@pytest.mark.parametrize("name", SETS)
def test_every_fault_applies_to_todays_tree(name: str) -> None:
    outdated = []
    for each in read_set(name):
        try:
            each.applied(ROOT)
        except FaultError as error:
            outdated.append(f"{each.name}: {error}")
    assert outdated == []


@pytest.mark.parametrize(
    "outdated",
    [
        fault("3 * number", "4 * number"),
        fault("number", "numbers"),  # more than once
        fault("2 * number", "2 * number"),
        fault("2 * number", "2 * (number"),
        fault("2 * number", "3 * number", ("test_nothing.py",)),
        fault("2 * number", "3 * number", ()),
    ],
)
def test_a_fault_that_does_not_apply_is_an_error_of_its_set(tree: Path, trial: Trial, outdated: Fault) -> None:
    with pytest.raises(FaultError):
        outdated.applied(tree)
    assert trial.try_fault(outdated) is Outcome.OUTDATED


def test_only_a_fault_that_a_test_fails_for_is_noticed(tree: Path, trial: Trial) -> None:
    assert trial.try_fault(fault("2 * number", "3 * number")) is Outcome.NOTICED
    assert trial.try_fault(fault("number / 2", "number / 3")) is Outcome.UNNOTICED
    assert (tree / "code_of_ours.py").read_text("utf-8") == CODE


def test_tests_that_fail_anyway_notice_nothing(tree: Path, trial: Trial) -> None:
    (tree / "test_double.py").write_text("def test_double():\n    assert False\n", "utf-8")
    assert trial.try_fault(fault("2 * number", "3 * number")) is Outcome.TESTS_FAIL


def test_a_time_out_counts_as_noticed_and_says_so(tree: Path, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "test_double.py").write_text(
        "from code_of_ours import double\n\ndef test_double():\n    double(1)\n", "utf-8"
    )
    assert trial.try_fault(fault("2 * number", "2 * number\n")) is Outcome.UNNOTICED
    monkeypatch.setattr("benchmarks.faults.trial.TIMES", 1.0)
    monkeypatch.setattr("benchmarks.faults.trial.REST", 0.5)
    outcome = trial.try_fault(fault("return 2 * number", "while True: pass"))
    assert outcome is Outcome.TIMED_OUT
    assert outcome.noticed

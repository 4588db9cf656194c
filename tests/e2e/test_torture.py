"""The short form of `make torture`: a few requests and faults, with every check of the long form."""

from __future__ import annotations

import pytest

from benchmarks.torture import campaign
from benchmarks.torture.campaign import Plan
from benchmarks.torture.faults import faults

SHORT = ("kill inference worker", "kill second gateway", "kill decode child", "kill Redis", "cut connections")
BACK_SECONDS = 30.0
"""`make torture` holds 10 s, on a machine that does nothing else; the tests share theirs."""


def test_every_fault_of_the_short_form_exists() -> None:
    assert set(SHORT) <= {fault.name for fault in faults(20.0)}


@pytest.mark.timeout(1200)
def test_nothing_is_lost_while_processes_are_killed_and_connections_cut() -> None:
    outcome = campaign.run(Plan(seed=13, requests=60, heavy=1, names=SHORT, pause_seconds=2.0), own_disk=False)
    assert outcome.wrong == {check: [] for check in outcome.wrong}
    assert len(outcome.wrong) == 8
    assert {blow.name for blow in outcome.blows} == set(SHORT)
    assert outcome.slowest <= BACK_SECONDS

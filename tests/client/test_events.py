"""What the events of a job say. Their stream is read in `test_client`."""

from __future__ import annotations

import pytest

from vireo import Event


def test_only_a_final_state_ends_a_job() -> None:
    assert Event("1-0", "state", "cancelled").is_final
    assert not Event("1-0", "state", "running").is_final
    assert not Event("1-0", "log", "failed").is_final


@pytest.mark.parametrize(
    ("event", "raw", "field", "value"),
    [
        ("progress", {"phase": "training", "epoch": 1.5}, "epoch", 1.5),
        ("metric", {"split": "val", "epoch": 2, "top1": 0.5}, "top1", 0.5),
        ("checkpoint", {"step": 3, "epoch": 1}, "step", 3),
        ("log", {"message": "hello"}, "message", "hello"),
    ],
)
def test_an_event_says_one_thing(event: str, raw: dict[str, object], field: str, value: object) -> None:
    said = Event("1-0", event, raw)
    assert getattr(getattr(said, event), field) == value
    assert [name for name in ("state", "progress", "metric", "checkpoint", "log") if getattr(said, name)] == [event]

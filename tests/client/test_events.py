from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from vireo.events import Event, parse

DATA = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(st.lists(st.tuples(st.sampled_from(["state", "progress", "log"]), DATA)))
def test_every_event_is_parsed_as_it_was_sent(sent: list[tuple[str, object]]) -> None:
    text = "retry: 2000\n\n: still here\n\n"
    for index, (event, data) in enumerate(sent):
        text += f"id: {index}-0\nevent: {event}\ndata: {json.dumps(data)}\n\n"
    found = list(parse(text.split("\n")))
    assert found == [Event(f"{index}-0", event, data) for index, (event, data) in enumerate(sent)]


def test_data_in_several_lines_and_an_event_that_was_cut_off() -> None:
    lines = ["id:1-0", "event:log", 'data: {"a":', "data: 1}", "", "id: 2-0", "event: log", "data: {}"]
    assert list(parse(lines)) == [Event("1-0", "log", {"a": 1})]


def test_only_a_final_state_ends_a_job() -> None:
    assert Event("1-0", "state", "cancelled").is_final
    assert not Event("1-0", "state", "running").is_final
    assert not Event("1-0", "log", "failed").is_final

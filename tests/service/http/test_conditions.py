from __future__ import annotations

import pytest

from core.errors import PreconditionFailed
from service.http.conditions import Conditions


@pytest.mark.parametrize(
    ("conditions", "tag", "holds"),
    [
        (Conditions(), None, True),
        (Conditions(), '"1"', True),
        (Conditions(if_match='"1"'), '"1"', True),
        (Conditions(if_match='"1"'), '"2"', False),
        (Conditions(if_match='"1"'), None, False),
        (Conditions(if_match='"2", "1"'), '"1"', True),
        (Conditions(if_match='W/"1"'), '"1"', False),
        (Conditions(if_match="*"), '"1"', True),
        (Conditions(if_match="*"), None, False),
        (Conditions(if_none_match="*"), None, True),
        (Conditions(if_none_match="*"), '"1"', False),
        (Conditions(if_none_match='"1"'), '"1"', False),
        (Conditions(if_none_match='"2", W/"1"'), '"1"', False),
        (Conditions(if_none_match='"2"'), '"1"', True),
        (Conditions(if_match='"1"', if_none_match='"1"'), '"1"', False),
    ],
)
def test_a_write_happens_only_if_all_conditions_hold(conditions: Conditions, tag: str | None, holds: bool) -> None:
    if holds:
        conditions.check(tag)
        return
    with pytest.raises(PreconditionFailed) as refused:
        conditions.check(tag)
    assert refused.value.details["etag"] == tag


@pytest.mark.parametrize(
    ("sent", "known"), [(None, False), ('"1"', True), ('W/"1"', True), ('"2", "1"', True), ('"2"', False), ("*", True)]
)
def test_a_reader_that_has_the_content_is_told_so(sent: str | None, known: bool) -> None:
    assert Conditions(if_none_match=sent).holds('"1"') is known

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.weights.digests import DigestPart, digest

PARTS = st.recursive(
    st.none() | st.text() | st.binary() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=8,
)


def typed(part: DigestPart) -> object:
    """Equality that tells 1 from 1.0 and 0.0 from -0.0, as the digest does."""
    return tuple(typed(item) for item in part) if isinstance(part, tuple) else (type(part), repr(part))


@given(left=st.lists(PARTS, max_size=4), right=st.lists(PARTS, max_size=4))
def test_equal_digests_mean_equal_parts(left: list[DigestPart], right: list[DigestPart]) -> None:
    assert (digest(*left) == digest(*right)) == (typed(tuple(left)) == typed(tuple(right)))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("a", "bc"), ("ab", "c")),
        (("a", "b"), ("b", "a")),
        (("a", ("b",)), ("a", "b")),
        ((1,), ("1",)),
        ((1,), (1.0,)),
        ((1,), (True,)),
        (("x",), (b"x",)),
        ((), (None,)),
        ((("a",), "b"), (("a", "b"),)),
    ],
)
def test_look_alikes_differ(left: tuple[DigestPart, ...], right: tuple[DigestPart, ...]) -> None:
    assert digest(*left) != digest(*right)


def test_is_the_same_on_every_machine() -> None:
    assert digest("row", 1, 2.5, None, b"\x00", ["a"]) == digest("row", 1, 2.5, None, b"\x00", ("a",))
    assert digest("vireo") == "3abf0a60073a0363890e162b59734f549ff4fb4e99df3a3148036364c1f4ddf6"


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="cannot digest a dict"):
        digest({"a": 1})  # type: ignore[arg-type]

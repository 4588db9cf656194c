"""The error tree is an interface: codes are stable and distinct, and errors cross the queue unchanged."""

from __future__ import annotations

import re

import pytest

from core import errors
from core.errors import BY_CODE, UnknownModel, VireoError


def test_every_class_has_its_own_code() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, VireoError)}
    assert set(BY_CODE.values()) == kinds


@pytest.mark.parametrize("kind", BY_CODE.values(), ids=lambda kind: kind.code)
def test_errors_cross_the_queue_as_data(kind: type[VireoError]) -> None:
    error = kind("what is wrong", hint="what to do", index=3)
    back = VireoError.from_dict(error.to_dict("req_1"))
    assert type(back) is kind
    assert (back.message, back.hint, back.details) == ("what is wrong", "what to do", {"index": 3})


def test_an_unknown_code_is_the_base_error() -> None:
    assert type(VireoError.from_dict({"code": "from_the_future", "message": "x"})) is VireoError


@pytest.mark.parametrize("kind", BY_CODE.values(), ids=lambda kind: kind.code)
def test_the_tree_in_the_docstring_is_the_class_tree(kind: type[VireoError]) -> None:
    assert re.search(rf"{kind.__name__}\s+{kind.status} {kind.code}\b", errors.__doc__ or "")


@pytest.mark.parametrize("kind", BY_CODE.values(), ids=lambda kind: kind.code)
def test_overload_errors_have_retry_after(kind: type[VireoError]) -> None:
    assert (kind.retry_after is not None) == (kind.status in (429, 503))


def test_details_hold_similar_names() -> None:
    assert UnknownModel("?", nearest=["lite"]).to_dict()["details"] == {"nearest": ["lite"]}

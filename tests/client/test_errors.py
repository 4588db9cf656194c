"""The client's error tree mirrors the server's, so that every error of the server has a class to catch."""

from __future__ import annotations

import re
from typing import Any

import pytest

import core.errors
import vireo.errors


def tree(module: Any) -> dict[str, tuple[tuple[str, ...], int, str, int | None]]:
    """Class name → names of its parents, status, code, retry_after."""
    kinds: list[Any] = [
        kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, module.VireoError)
    ]
    return {
        kind.__name__: (tuple(base.__name__ for base in kind.__bases__), kind.status, kind.code, kind.retry_after)
        for kind in kinds
    }


def test_the_client_has_the_same_errors_as_the_server() -> None:
    assert len(tree(core.errors)) > 20
    own = {"ConnectionFailed", "ConnectionLost"}  # nothing was answered
    assert {name: kind for name, kind in tree(vireo.errors).items() if name not in own} == tree(core.errors)


def test_the_drawn_trees_are_the_same() -> None:
    drawn = [re.findall(r"^ {4}\S.*$", module.__doc__ or "", re.MULTILINE) for module in (core.errors, vireo.errors)]
    names = [[re.findall(r"\w+", line)[:3] for line in lines] for lines in drawn]
    assert len(names[0]) == len(tree(core.errors))
    assert names[0] == names[1]


@pytest.mark.parametrize("kind", core.errors.BY_CODE.values(), ids=lambda kind: kind.code)
def test_an_error_that_the_server_describes_is_raised_as_its_twin(kind: type[core.errors.VireoError]) -> None:
    described = kind("what is wrong", hint="what to do", index=3).to_dict("req_1")
    error = vireo.errors.VireoError.from_dict(described)
    assert type(error).__name__ == kind.__name__
    assert error.to_dict() == described


def test_an_unknown_code_is_the_base_error_and_keeps_its_code() -> None:
    error = vireo.errors.VireoError.from_dict({"code": "from_the_future", "message": "x", "details": None})
    assert (type(error), error.code, error.details) == (vireo.errors.VireoError, "from_the_future", {})

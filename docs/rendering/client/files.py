"""The modules of the client that are rendered as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rendering.block import Block
from rendering.client.layout import ANSWERS, REQUESTS
from rendering.client.synchronous import modules, synchronous
from rendering.client.types import answers_module, requests_module


@dataclass(frozen=True, slots=True)
class File(Block):
    """A block that is all of its page."""

    def insert(self, text: str) -> str:  # noqa: ARG002 -- nothing of the old text stays
        return self.render()


def client_files() -> tuple[File, ...]:
    """Types that the server describes, then the synchronous client."""
    return (
        *(_file(f"schema/{module}.py", partial(answers_module, module)) for module in ANSWERS),
        *(_file(f"schema/{module}.py", partial(requests_module, module)) for module in REQUESTS),
        *(_file(f"synchronous/{module}", partial(synchronous, module)) for module in modules()),
    )


def _file(path: str, render: Callable[[], str]) -> File:
    return File(f"client/vireo/{path}", "all of it", render)

"""What is sent to a server: requests that can be built anew for each attempt."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self
from urllib.parse import quote

from vireo.sources import Upload
from vireo.transfers import TransferProgress

_HARMLESS: Final = ("GET", "PUT", "PATCH", "DELETE")
"""Methods that have the same effect when they are repeated."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    method: str
    path: str
    params: dict[str, Any] = field(default_factory=dict)
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    upload: Upload | None = None
    """a file; then `json` is sent as the other fields of the form"""
    pieces: Callable[[], Iterator[bytes]] | None = None
    """the body, if it is neither JSON nor a form"""
    progress: TransferProgress | None = None
    timeout: float | None = None
    """seconds to wait for the next bytes; None for those of the client"""
    accepted: Container[int] = ()
    """statuses of errors that are an answer"""
    harmless: bool = False
    """whether repeating it has no second effect, although its method is POST"""

    @property
    def is_readable_again(self) -> bool:
        """Whether its body can be sent a second time."""
        return self.upload is None or self.upload.start is not None

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent again if nobody knows what became of it."""
        return self.method in _HARMLESS or self.harmless or "idempotency-key" in self.headers

    def keyed(self, key: str | None = None) -> Self:
        """The same call with an `Idempotency-Key`: a new one if None is given. The server answers a repetition with the
        same job."""
        return replace(self, headers=self.headers | {"idempotency-key": key or secrets.token_hex(16)})


def post(path: str, json: Any = None, **more: Any) -> Call:
    """A POST with a JSON body."""
    return Call("POST", path, json=json, **more)


def without_none(fields: Any) -> dict[str, Any]:
    """The fields that are given."""
    return {name: value for name, value in dict(fields).items() if value is not None}


def quoted(name: object) -> str:
    """A name as a part of a path."""
    return quote(str(name), safe=":@")

"""Content addresses: one unambiguous sha256 over typed parts. Every cache key in Vireo is built here.

Every part is written as a one-byte type tag, its length, and its bytes, so ("a", "bc") differs from ("ab",
"c"), 1 from "1" from 1.0, and ("a", ("b",)) from ("a", "b"). Order matters.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from typing import TypeAlias

DigestPart: TypeAlias = "str | bytes | int | float | Sequence[DigestPart] | None"


def digest(*parts: DigestPart) -> str:
    """sha256 (64 hex digits) of the typed parts, in order. Raises: TypeError for any other type."""
    state = hashlib.sha256()
    for chunk in _encode(parts):
        state.update(chunk)
    return state.hexdigest()


def _encode(part: DigestPart) -> Iterator[bytes]:
    match part:
        case None:
            yield _header(b"n", 0)
        case bool():  # before int, because a bool is an int in Python; True and 1 must have different digests
            yield from _sized(b"b", b"1" if part else b"0")
        case int():
            yield from _sized(b"i", str(part).encode())
        case float():
            yield from _sized(b"f", struct.pack(">d", part))
        case str():
            yield from _sized(b"s", part.encode())
        case bytes() | bytearray() | memoryview():
            yield from _sized(b"y", bytes(part))
        case Sequence():
            yield _header(b"l", len(part))
            for item in part:
                yield from _encode(item)
        case _:
            raise TypeError(f"cannot digest a {type(part).__name__}")


def _sized(tag: bytes, payload: bytes) -> Iterator[bytes]:
    yield _header(tag, len(payload))
    yield payload


def _header(tag: bytes, length: int) -> bytes:
    return tag + struct.pack(">Q", length)

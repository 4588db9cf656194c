from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidRequest, RequestTooLarge
from service.bodies.multipart import Fields, FileSink, FormReader

KNOWN = frozenset({"labels", "model"})


class Memory:
    """A sink that stores the data in memory."""

    def __init__(self) -> None:
        self.data = b""
        self.flushed = False

    async def write(self, data: bytes) -> None:
        self.data += data

    async def flush(self) -> None:
        self.flushed = True


def encode(parts: list[tuple[str, bytes]]) -> bytes:
    """A form with boundary `x`; the part `video` is a file."""
    body = b""
    for name, value in parts:
        kind = b'; filename="c.mp4"' if name == "video" else b""
        body += b'--x\r\nContent-Disposition: form-data; name="' + name.encode() + b'"' + kind + b"\r\n\r\n"
        body += value + b"\r\n"
    return body + b"--x--\r\n"


def read(chunks: list[bytes], *, file: bool = True, limit: int = 1 << 20) -> tuple[Fields, Memory, list[Fields]]:
    sink, known_then = Memory(), list[Fields]()

    async def open_sink(fields: Fields) -> FileSink:
        known_then.append({name: list(texts) for name, texts in fields.items()})
        return sink

    async def arrive() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    reader = FormReader(KNOWN, open_sink if file else None, limit)
    return asyncio.run(reader.read("multipart/form-data; boundary=x", arrive())), sink, known_then


@given(
    video=st.binary(max_size=300).filter(lambda data: b"--x" not in data),
    label=st.text(max_size=30).filter(lambda text: "--x" not in text),
    cuts=st.lists(st.integers(0, 800), max_size=8),
)
def test_where_the_chunks_are_cut_makes_no_difference(video: bytes, label: str, cuts: list[int]) -> None:
    body = encode([("labels", label.encode()), ("video", video), ("labels", b"b")])
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    fields, sink, known_then = read([body[a:b] for a, b in pairwise(edges)])
    assert fields == {"labels": [label, "b"]}
    assert (sink.data, sink.flushed) == (video, True)
    assert known_then == [{"labels": [label]}]


@given(st.binary(max_size=400))
def test_random_bodies_are_refused_as_malformed(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read([body])


@given(st.integers(0, 60))
def test_a_body_cut_short_is_malformed(missing: int) -> None:
    body = encode([("labels", b"a"), ("video", b"1234")])
    with pytest.raises(InvalidRequest, match="malformed"):
        read([body[: len(body) - 5 - missing]])


def test_endless_empty_parts_reach_the_limit() -> None:
    with pytest.raises(RequestTooLarge):
        read([encode([("labels", b"")] * 20)], limit=1000)


def test_a_file_where_none_is_expected() -> None:
    with pytest.raises(InvalidRequest, match="no field 'video'"):
        read([encode([("video", b"1")])], file=False)

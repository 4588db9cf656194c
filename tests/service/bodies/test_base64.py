from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidRequest, RequestTooLarge
from core.storage import Store
from core.uploads.sink import Upload
from service.bodies.base64 import decode_base64
from service.bodies.json_reader import JsonReader
from tests.service.sites import SHA, VIDEO, Site, error

Serve = Callable[..., AbstractContextManager[Site]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("store")
    return Store(folder.as_uri(), folder)


@given(st.binary(min_size=1, max_size=200))
def test_base64_is_read_strictly(data: bytes) -> None:
    text = base64.b64encode(data)
    assert decode_base64(b"", text, last=True) == (data, b"")
    for broken in (text[:-1] + b"!", text + b"A", text + b"\n", text + b"\\"):
        with pytest.raises(InvalidRequest):
            decode_base64(b"", broken, last=True)


def test_base64_in_many_pieces(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bodies.base64.STEP", 8)
    with serve() as site, site.client() as http:
        for text in (base64.b64encode(VIDEO).decode(), base64.encodebytes(VIDEO).decode()):
            assert http.post("/v1/videos", json={"base64": text}).json()["id"] == f"vid_{SHA}"
        error(http.post("/v1/videos", json={"base64": "AA==AAAAAAAA"}), 422, "invalid_request")


@pytest.mark.parametrize("size", range(1, 13))
def test_a_line_break_after_the_padding_may_be_a_piece_of_its_own(
    size: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.bodies.base64.STEP", 8)
    data = bytes(range(size))
    body = json.dumps({"base64": base64.encodebytes(data).decode()}).encode()
    assert read(store, [body]) == ({"base64": ""}, data)


def read(store: Store, chunks: list[bytes], limit: int = 10_000) -> tuple[dict[str, Any], bytes | None]:
    """The body, and the bytes of its video."""

    async def arrive() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    with Upload(store, limit=1_000_000) as upload:
        body = asyncio.run(JsonReader(limit, upload).read(arrive()))
        if upload.staged is None:
            return body, None
        upload.staged.close()
        return body, upload.staged.path.read_bytes()


SPELLINGS: list[Callable[[str], str]] = [
    lambda text: text,
    lambda text: text.replace("/", "\\/"),  # PHP
    lambda text: text.replace("+", "\\u002B").replace("=", "\\u003d"),  # .NET
    lambda text: "".join(f"{text[i : i + 7]}\\r\\n" for i in range(0, len(text), 7)),
]


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(min_size=1, max_size=120),
    label=st.text(max_size=20),
    spell=st.sampled_from(SPELLINGS),
    name=st.sampled_from(['"base64":', '"base64" :\n ', '"b\\u0061se64": ', '"base64"' + " " * 40 + ":"]),
    before=st.booleans(),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_how_the_body_is_spelled_and_cut_makes_no_difference(
    store: Store, data: bytes, label: str, spell: Callable[[str], str], name: str, before: bool, cuts: list[int]
) -> None:
    members = [f'{name}"{spell(base64.b64encode(data).decode())}"', f'"labels": {json.dumps([label, "base64"])}']
    body = ("{" + ", ".join(members if before else members[::-1]) + "}").encode()
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.bodies.base64.STEP", 16)
        assert read(store, [body[a:b] for a, b in pairwise(edges)]) == (
            {"base64": "", "labels": [label, "base64"]},
            data,
        )


def test_a_string_that_speaks_of_base64_is_no_member(store: Store) -> None:
    body = {"labels": ['"base64": "AAAA"', "base64"], "model": 'x", "base64": "AAAA'}
    assert read(store, [json.dumps(body).encode()]) == (body, None)


@pytest.mark.parametrize(
    "body",
    [
        b'{"base64": "AAAA", "base64": "AAAA"}',
        b'{"base64": "AAAA',
        b'{"base64": "AA\\"AA"}',
        b'{"base64": "AA\nAA"}',
        b'{"base64": "AA\xc3\xa4A"}',
        b'{"labels": "a"base64": "AAAA"}',
    ],
)
def test_malformed_bodies_are_refused(store: Store, body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(store, [body])


def test_the_limit_is_for_the_rest_of_the_body(store: Store) -> None:
    """A body may be large because of its base64 only, and that is never held in memory."""
    video = bytes(90_000)
    large = b'{"base64": "' + base64.b64encode(video) + b'", "labels": ["a"]'
    assert read(store, [large, b"}"], limit=100)[1] == video
    with pytest.raises(RequestTooLarge):
        read(store, [large, b', "templates": ["' + b"x" * 100 + b'"]}'], limit=100)
    with pytest.raises(RequestTooLarge):
        read(store, [b'{"labels": ["' + b"x" * 100 + b'"]}'], limit=100)

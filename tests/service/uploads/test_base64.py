from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidRequest
from core.storage import Store
from service.uploads.base64 import decode_base64, write_base64
from service.uploads.sink import Upload
from tests.service.sites import SHA, VIDEO, Site, error

Serve = Callable[..., AbstractContextManager[Site]]


@given(st.binary(min_size=1, max_size=200))
def test_base64_is_read_strictly(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert decode_base64(text, last=True) == data
    for broken in (text[:-1] + "!", text + "A"):
        with pytest.raises(InvalidRequest):
            decode_base64(broken, last=True)


def test_base64_in_many_pieces(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.uploads.base64._STEP", 8)
    with serve() as site, site.client() as http:
        for text in (base64.b64encode(VIDEO).decode(), base64.encodebytes(VIDEO).decode()):
            assert http.post("/v1/videos", json={"base64": text}).json()["id"] == f"vid_{SHA}"
        error(http.post("/v1/videos", json={"base64": "AA==AAAAAAAA"}), 422, "invalid_request")


@pytest.mark.parametrize("size", range(1, 13))
def test_a_line_break_after_the_padding_may_be_a_piece_of_its_own(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.uploads.base64._STEP", 8)
    data = bytes(range(size))
    with Upload(Store(tmp_path.as_uri(), tmp_path), limit=100) as upload:
        asyncio.run(write_base64(base64.encodebytes(data).decode(), upload))
        assert upload.staged
        upload.staged.close()
        assert upload.staged.path.read_bytes() == data

"""JSON bodies, read as they arrive.

The value of `base64` goes to the upload at once, so that neither the memory nor the work of one step depends on the
size of a video. All the rest is small.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from pydantic_core import from_json

from core.errors import InvalidRequest, RequestTooLarge
from core.uploads.sink import Upload
from service.bodies.base64 import Base64Writer

MOST_VALUES = 50_000
"""Parsing more than this would hold up other requests: 50,000 lists take about 15 ms, 2 MB of lists 300 ms."""

_STRUCTURE = b",[{"  # each value but the first of a container follows a comma
# The member `base64`. In valid JSON this text is never inside a string, because there its quotes would be escaped.
_BASE64 = re.compile(rb'"base64"[ \t\r\n]{0,16}:[ \t\r\n]{0,16}"')
_LONGEST_MATCH = 8 + 16 + 1 + 16 + 1


class JsonReader:
    def __init__(self, limit: int, upload: Upload | None = None) -> None:
        """`limit`: most bytes besides the base64. `upload`: what the value of `base64` is decoded into."""
        self._limit = limit
        self._upload = upload
        self._kept = bytearray()  # the body, with "" for the value of `base64`
        self._searched = 0  # up to here, `_kept` has no `base64` that is still to be found
        self._base64: Base64Writer | None = None
        self._inside = False  # the value of `base64`

    async def read(self, chunks: AsyncIterator[bytes]) -> dict[str, Any]:
        """Raises: InvalidRequest, RequestTooLarge, and what the upload raises."""
        async for chunk in chunks:
            rest = chunk
            while rest:
                rest = await self._value(rest) if self._inside else self._text(rest)
        if self._inside:
            raise malformed_json("it ends inside the value of base64")
        body = parse_json(bytes(self._kept))
        if not isinstance(body, dict):
            raise InvalidRequest("The body must be a JSON object.")
        if self._upload and self._base64 is None and isinstance(body.get("base64"), str):
            body["base64"] = await self._decode_late(body["base64"])
        return body

    def _text(self, chunk: bytes) -> bytes:
        """Take what is not base64; return what follows the opening quote of base64."""
        self._kept += chunk
        match = _BASE64.search(self._kept, self._searched) if self._upload else None
        end = match.end() if match else len(self._kept)
        if end > self._limit:
            raise too_large(self._limit)
        if match is None or self._upload is None:
            self._searched = max(self._searched, end - _LONGEST_MATCH)
            return b""
        if self._base64 is not None:
            raise InvalidRequest("The body has several members base64; send one.", field="base64")
        self._base64 = Base64Writer(self._upload)
        self._inside = True
        rest = bytes(self._kept[end:])
        del self._kept[end:]
        return rest

    async def _value(self, chunk: bytes) -> bytes:
        """Take base64; return what follows its closing quote."""
        assert self._base64 is not None  # `_text` has just set it
        end = chunk.find(b'"')  # an escaped quote ends it as well: base64 has neither quotes nor backslashes
        await self._base64.write(chunk if end < 0 else chunk[:end])
        if end < 0:
            return b""
        await self._base64.finish()
        self._inside = False
        self._kept += b'"'
        self._searched = len(self._kept)
        return chunk[end + 1 :]

    async def _decode_late(self, text: str) -> str:
        """A small base64 whose name was spelled with escapes, or after much white space."""
        assert self._upload is not None
        writer = Base64Writer(self._upload)
        await writer.write(json.dumps(text)[1:-1].encode())
        await writer.finish()
        return ""


def parse_json(text: bytes) -> Any:
    """Raises: InvalidRequest, also for lone surrogates, which are not Unicode text, and for NaN and Infinity."""
    if len(text) - len(text.translate(None, _STRUCTURE)) > MOST_VALUES:
        raise InvalidRequest(
            f"The JSON has more than {MOST_VALUES} values, counted by its commas and opening brackets.",
            hint="Split the request.",
            limit=MOST_VALUES,
        )
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise malformed_json(str(error)) from None


def malformed_json(why: str) -> InvalidRequest:
    return InvalidRequest(f"The body is not valid JSON: {why}.")


def too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(
        f"The body is too large: a body of this type may have {limit} bytes.",
        hint="Send a video as a file in multipart/form-data. Operators can raise VIREO_MAX_JSON_BYTES.",
        limit=limit,
    )

"""A video in base64, decoded while its text arrives."""

from __future__ import annotations

import base64
import binascii

from pydantic_core import from_json

from core.errors import InvalidRequest
from core.uploads.sink import Sink, Upload

STEP = 128 << 10  # bytes of text that are decoded at once: a fraction of a millisecond
_LONGEST_ESCAPE = 6  # \u002b
_LONGEST_HEAD = 1000  # of a data: URI


class Base64Writer:
    """Decodes the inside of a JSON string (plain base64, or a `data:` URI) into an upload.

    Every method raises InvalidRequest for text that is not base64, and what the upload's sink raises.
    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._sink: Sink | None = None
        self._text = bytearray()
        self._carry = b""  # characters of a group of four that is not complete

    async def write(self, text: bytes) -> None:
        self._text += text
        if len(self._text) >= STEP:
            await self._decode(last=False)

    async def finish(self) -> None:
        """Raises the upload's `empty` error as well."""
        sink = await self._decode(last=True)
        await sink.flush()

    async def _decode(self, *, last: bool) -> Sink:
        text = self._cut(last)
        if self._sink is None:
            text = _without_head(text)
            self._sink = await self._upload.open()
        data, self._carry = decode_base64(self._carry, text, last)
        await self._sink.write(data)
        return self._sink

    def _cut(self, last: bool) -> bytes:
        """The text so far. An escape that may not be complete stays for the next time."""
        end = len(self._text)
        escape = self._text.rfind(b"\\", end - _LONGEST_ESCAPE + 1) if not last else -1
        text = bytes(self._text[: escape if escape >= 0 else end])
        del self._text[: len(text)]
        return text


def decode_base64(carry: bytes, text: bytes, last: bool) -> tuple[bytes, bytes]:
    """The bytes, and the characters to put before the next text.

    `text`: the inside of a JSON string; spaces and escaped line breaks are allowed. `last`: only the last text may end
    in padding. Raises: InvalidRequest.
    """
    try:
        if b"\\" in text:
            text = from_json(b'"' + text + b'"').encode()
            text = b"".join(text.split())
        piece = carry + text.replace(b" ", b"")
        usable = len(piece) if last else len(piece) - len(piece) % 4
        if not last and b"=" in piece:
            # Only line breaks may follow. They are in the last text, which is short.
            usable = min(usable, piece.index(b"=") // 4 * 4)
            if len(piece) - usable > 4:
                raise binascii.Error("padding before the end")
        return base64.b64decode(piece[:usable], validate=True), piece[usable:]
    except ValueError as error:
        raise InvalidRequest(f"base64: the text is not valid base64 ({error}).", field="base64") from None


def _without_head(text: bytes) -> bytes:
    """Raises: InvalidRequest for a data: URI that is not in base64."""
    if text[:5].lower() != b"data:":
        return text
    head, comma, _ = text[:_LONGEST_HEAD].replace(b"\\/", b"/").partition(b",")
    if not comma or not head.lower().endswith(b";base64"):
        raise InvalidRequest("base64: a data: URI must read data:video/…;base64,….", field="base64")
    return text.partition(b",")[2]

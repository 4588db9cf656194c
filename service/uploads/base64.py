"""Videos that arrive as base64 in a JSON body."""

from __future__ import annotations

import asyncio
import base64
import binascii

from core.errors import InvalidRequest
from service.uploads.sink import Upload

_STEP = 4 << 20  # characters decoded at once; a multiple of 4


async def write_base64(text: str, upload: Upload) -> None:
    """Decode `text` (plain or a `data:` URI) into the upload. Raises: InvalidRequest, VideoTooLarge."""
    text = text.rstrip()  # otherwise the last piece could be a line break, and the padding before the end
    start = 0
    if text[:5].lower() == "data:":
        head, comma, _ = text[:1000].partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise InvalidRequest("base64: a data: URI must read data:video/…;base64,….", field="base64")
        start = len(head) + 1
    upload.refuse_early((len(text) - start) * 3 // 4, overhead=1024 + len(text) // 32)  # line breaks are allowed
    sink = await upload.open()
    carry = ""
    for offset in range(start, len(text), _STEP):
        piece = carry + "".join(text[offset : offset + _STEP].split())
        usable = len(piece) - len(piece) % 4
        last = offset + _STEP >= len(text)
        carry = "" if last else piece[usable:]
        await sink.write(await asyncio.to_thread(decode_base64, piece if last else piece[:usable], last))
    await sink.flush()


def decode_base64(piece: str, last: bool) -> bytes:
    """`last`: only the last piece may end in padding. Raises: InvalidRequest."""
    try:
        if not last and "=" in piece:
            raise binascii.Error("padding before the end")
        return base64.b64decode(piece, validate=True)
    except ValueError as error:
        raise InvalidRequest(f"base64: the text is not valid base64 ({error}).", field="base64") from None

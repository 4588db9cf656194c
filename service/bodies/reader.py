"""The body of a request that may carry a file: multipart, JSON or the file itself; read once, checked as early as it is
known.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel
from starlette.requests import Request

from core.errors import InvalidLabels, InvalidRequest, RequestTooLarge, UnsupportedMedia
from service.bodies.multipart import MAX_TEXT_BYTES, Fields, FileSink, FormReader
from service.bodies.schemas import FileBody, Source
from service.bodies.validation import validate
from service.uploads.sink import Incoming

MAX_JSON_BYTES = 64 << 20
"""JSON is held in memory: base64 is for small clips, multipart for all others."""

_FORM_OVERHEAD = MAX_TEXT_BYTES + (1 << 20)  # of a form besides its file; heavier ones are refused by their length
_LISTS = ("labels", "templates", "texts", "classes")
_NOT_A_FILE = ("text/", "multipart/", "message/", "image/", "video/")

BodyT = TypeVar("BodyT", bound=BaseModel)
Preview = Callable[[BodyT], Awaitable[None]]


async def read(request: Request, model: type[BodyT], place: Incoming, preview: Preview[BodyT]) -> BodyT:
    """The checked body; an uploaded file is in `place.staged` then.

    `preview` is called with the fields that came before the file, before any byte of it is read: what is wrong
    already then is refused without an upload. Raises: VireoError.
    """
    kind = _kind(request)
    if kind == "multipart/form-data":
        return await _read_form(request, model, place, preview)
    if kind == "application/x-www-form-urlencoded":
        return validate(model, _values(await _read_urlencoded(request)))
    if _is_json(kind):
        return validate(model, await _read_json(request, MAX_JSON_BYTES))
    raise UnsupportedMedia(
        f"The body is {kind or 'of no declared type'}; multipart/form-data or application/json is understood.",
        hint='With curl: -F video=@clip.mp4 -F \'labels=["a cat","a dog"]\'.',
    )


async def read_file(request: Request, model: type[BodyT], place: Incoming, preview: Preview[BodyT]) -> BodyT:
    """Like `read`, of a request that brings a file: in a form, or as the whole body with its fields in the query, which
    is what `curl --data-binary @x.zip` (whatever type it claims to be) and `curl -T x.zip -X POST` send.
    """
    kind = _kind(request)
    if kind == "multipart/form-data":
        return await _read_form(request, model, place, preview)
    if _is_json(kind) or kind.startswith(_NOT_A_FILE):
        raise UnsupportedMedia(
            f"The body is {kind}; a form with the file, or the file itself is understood.",
            hint=f"With curl: -F {place.cargo.field}=@{place.cargo.example}, or --data-binary @{place.cargo.example}.",
        )
    fields: Fields = {}
    for name, value in request.query_params.multi_items():
        fields.setdefault(name, []).append(value)
    body = validate(model, _values(fields))
    await preview(body)
    place.refuse_early(content_length(request))
    sink = await place.open()
    async for chunk in request.stream():
        await sink.write(chunk)
    await sink.flush()
    return body


async def read_json(request: Request, model: type[BodyT]) -> BodyT:
    """The checked JSON body of a request that carries no video. Raises: VireoError."""
    if not _is_json(_kind(request)):
        raise UnsupportedMedia("The body must be application/json.", hint="Set the header Content-Type.")
    return validate(model, await _read_json(request, MAX_TEXT_BYTES))


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


async def _read_form(request: Request, model: type[BodyT], place: Incoming, preview: Preview[BodyT]) -> BodyT:
    async def open_sink(fields: Fields) -> FileSink:
        await preview(validate(model, _values(fields)))
        return await place.open()

    takes_file = issubclass(model, Source | FileBody)
    if takes_file:
        place.refuse_early(content_length(request), overhead=_FORM_OVERHEAD)
    known = frozenset(model.model_fields) - {"base64"}
    reader = FormReader(known, open_sink if takes_file else None, place.cargo)
    fields = await reader.read(request.headers["content-type"], request.stream())
    place.filename = reader.filename
    return validate(model, _values(fields))


async def _read_urlencoded(request: Request) -> Fields:
    """A form without a file, as `curl -d` sends it."""
    body = await _read_whole(request, MAX_TEXT_BYTES)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=100_000)
    except ValueError as error:
        raise InvalidRequest(f"The form cannot be read: {error}.") from None
    fields: Fields = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


async def _read_json(request: Request, limit: int) -> dict[str, Any]:
    body = await _read_whole(request, limit)
    value = await asyncio.to_thread(_parse, body) if len(body) > 1 << 20 else _parse(body)
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return value


async def _read_whole(request: Request, limit: int) -> bytes:
    """Raises: RequestTooLarge."""
    body = bytearray()
    too_large = RequestTooLarge(
        f"This kind of body may have {limit} bytes.",
        hint="Send the video as a file in multipart/form-data.",
        limit=limit,
    )
    if (content_length(request) or 0) > limit:
        raise too_large
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)


def _parse(body: bytes) -> Any:
    try:
        return _loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not JSON: {error}.") from None


def _loads(text: str) -> Any:
    """Raises: ValueError, also for what is JSON but no Unicode text (lone surrogates) or no number (NaN)."""
    value = json.loads(text, parse_constant=_refuse_constant)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _values(fields: Fields) -> dict[str, Any]:
    """Text fields as the values of a JSON body. Raises: InvalidRequest."""
    values: dict[str, Any] = {}
    for name, texts in fields.items():
        if name in _LISTS:
            values[name] = _list(name, texts)
        elif len(texts) > 1:
            raise InvalidRequest(f"{name} was sent {len(texts)} times; once is enough.", field=name)
        elif texts[0]:  # an empty option of an HTML form is one left out
            values[name] = texts[0]
    return values


def _list(name: str, texts: list[str]) -> list[Any]:
    """A list field: repeated, or one JSON array, or a single value."""
    if len(texts) == 1 and "," in texts[0] and texts[0].lstrip()[:1] not in ("[", "{") and name != "templates":
        raise _list_error(
            name, f'{name} holds a comma: send a JSON array, {name}=["a cat","a dog"], or the field once per value.'
        )
    values: list[Any] = []
    for text in texts:
        if text.lstrip()[:1] in ("[", "{"):
            parsed = _parse_item(name, text)
            values.extend(parsed if isinstance(parsed, list) else [parsed])
        else:
            values.append(text)
    return values


def _parse_item(name: str, text: str) -> Any:
    if text.lstrip()[0] == "{" and name == "templates":
        return text  # "{}" is a template
    try:
        return _loads(text)
    except (ValueError, RecursionError) as error:
        raise _list_error(name, f"{name} looks like JSON but is not: {error}.") from None


def _list_error(name: str, message: str) -> InvalidRequest:
    kind = InvalidLabels if name == "labels" else InvalidRequest
    return kind(message, hint='For example labels=["riding a bicycle","a cat"].', field=name)


def content_length(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None

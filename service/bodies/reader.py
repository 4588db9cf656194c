"""Reads and checks the bodies of requests: multipart, JSON, a URL-encoded form, or the file itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel
from starlette.requests import Request

from core.errors import InvalidLabels, InvalidRequest, UnsupportedMedia
from core.settings import Settings
from core.uploads.sink import Upload
from service.bodies.json_reader import JsonReader, parse_json, too_large
from service.bodies.multipart import Fields, FileSink, FormReader
from service.bodies.questions import VideoSource
from service.bodies.schemas import LIST_FIELDS, FileBody
from service.bodies.validation import BodyT, validate_body

_FORM_OVERHEAD = 1 << 20  # most bytes of a form besides its file and its text fields
_MOST_FIELDS = 20_000  # of a URL-encoded form
_NEVER_ALONE = ("labels", "classes")  # a question about one label, or a model with one class, decides nothing
_NOT_A_FILE = ("multipart/", "message/", "image/", "video/")

Preview = Callable[[BodyT], Awaitable[None]]


async def read_body(request: Request, model: type[BodyT], upload: Upload, preview: Preview[BodyT]) -> BodyT:
    """The checked body. A file that came with it is in `upload.staged` afterwards.

    `preview` is called before the first byte of the file is read, with the fields that came before it. It raises for
    what is wrong already, so that the client need not send the file. Raises: VireoError.
    """
    kind = content_kind(request)
    if kind == "multipart/form-data":
        return await _read_form(request, model, upload, preview)
    if kind == "application/x-www-form-urlencoded":
        return validate_body(model, _values(await _read_urlencoded(request)))
    if _is_json(kind):
        return validate_body(model, await _read_json(request, model, upload))
    raise UnsupportedMedia(
        f"The body has the type {kind or '(none)'}; it must be multipart/form-data or application/json.",
        hint='With curl: -F video=@clip.mp4 -F \'labels=["a cat","a dog"]\'.',
    )


async def read_file_body(request: Request, model: type[BodyT], upload: Upload, preview: Preview[BodyT]) -> BodyT:
    """Like `read_body`, for a request that must bring a file: in a form, or as the whole body. Its fields may be in the
    query; a form's own field wins, but a wrong one in the query is refused all the same.

    `curl --data-binary @x.zip` (whatever type it sends) and `curl -T x.zip -X POST` send the file as the whole body.
    """
    kind = content_kind(request)
    if kind == "multipart/form-data":
        query = _query(request)
        validate_body(model, _values(query))
        return await _read_form(request, model, upload, preview, query)
    is_text = kind.startswith("text/")
    if _is_json(kind) or kind.startswith(_NOT_A_FILE) or (is_text and not upload.kind.is_text):
        raise UnsupportedMedia(
            f"The body has the type {kind}; it must be a form with the file, or the file itself.",
            hint=f"With curl: -F {upload.kind.field}=@{upload.kind.example}, or --data-binary @{upload.kind.example}.",
        )
    body = validate_body(model, _values(_query(request)))
    await preview(body)
    upload.refuse_early(content_length(request))
    sink = await upload.open()
    async for chunk in request.stream():
        await sink.write(chunk)
    await sink.flush()
    return body


async def read_json_body(request: Request, model: type[BodyT], query: type[BaseModel] | None = None) -> BodyT:
    """The checked body of a request that must be JSON. Raises: VireoError.

    `query`: the model of the fields that may be in the query as well, as in `read_file_body`.
    """
    if not _is_json(content_kind(request)):
        raise UnsupportedMedia("The body must be application/json.", hint="Set the header Content-Type.")
    given = _values(_query(request)) if query else {}
    if query:
        validate_body(query, given)
    return validate_body(model, given | await _read_json(request, model))


def has_json_body(request: Request) -> bool:
    return _is_json(content_kind(request))


async def read_bytes(request: Request) -> bytes:
    """The whole body, which may be as large as one of JSON. Raises: RequestTooLarge."""
    return await _read_whole(request, _limit(request))


def content_kind(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


def _query(request: Request) -> Fields:
    fields: Fields = {}
    for name, value in request.query_params.multi_items():
        fields.setdefault(name, []).append(value)
    return fields


async def _read_form(
    request: Request, model: type[BodyT], upload: Upload, preview: Preview[BodyT], query: Fields | None = None
) -> BodyT:
    async def open_sink(fields: Fields) -> FileSink:
        await preview(validate_body(model, _values((query or {}) | fields)))
        return await upload.open()

    takes_file = issubclass(model, VideoSource | FileBody)
    if takes_file:
        upload.refuse_early(content_length(request), overhead=_limit(request) + _FORM_OVERHEAD)
    known = frozenset(model.model_fields) - {"base64"}
    form = FormReader(known, open_sink if takes_file else None, _limit(request), upload.kind)
    fields = await form.read(request.headers["content-type"], request.stream())
    upload.filename = form.filename
    return validate_body(model, _values((query or {}) | fields))


async def _read_urlencoded(request: Request) -> Fields:
    """A form without a file, as `curl -d` sends it."""
    body = await _read_whole(request, _limit(request))
    try:
        pairs = await asyncio.to_thread(_parse_form, body)
    except ValueError as error:
        raise InvalidRequest(f"The form is malformed: {error}.") from None
    fields: Fields = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def _parse_form(body: bytes) -> list[tuple[str, str]]:
    """Raises: ValueError."""
    return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)


async def _read_json(request: Request, model: type[BaseModel], upload: Upload | None = None) -> dict[str, Any]:
    """Raises: RequestTooLarge, InvalidRequest, and what the upload raises."""
    limit = _limit(request)
    if upload is None or not issubclass(model, VideoSource):
        _refuse_early(request, limit)
        return await JsonReader(limit).read(request.stream())
    announced = content_length(request) or 0
    upload.refuse_early(announced * 3 // 4, overhead=limit + announced // 32)  # base64 may have line breaks
    return await JsonReader(limit, upload).read(request.stream())


async def _read_whole(request: Request, limit: int) -> bytes:
    """Raises: RequestTooLarge."""
    body = bytearray()
    _refuse_early(request, limit)
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


def _refuse_early(request: Request, limit: int) -> None:
    """Raises: RequestTooLarge by the announced length."""
    if (content_length(request) or 0) > limit:
        raise too_large(limit)


def _limit(request: Request) -> int:
    settings: Settings = request.app.state.settings
    return settings.max_json_bytes


def _values(fields: Fields) -> dict[str, Any]:
    """Text fields as the values of a JSON body. Raises: InvalidRequest."""
    values: dict[str, Any] = {}
    for name, texts in fields.items():
        if name in LIST_FIELDS:
            values[name] = _list(name, texts)
        elif len(texts) > 1:
            raise InvalidRequest(f"The field {name!r} was sent {len(texts)} times; send it once.", field=name)
        else:
            values[name] = texts[0]
    return values


def _list(name: str, texts: list[str]) -> list[Any]:
    """The values of a list field: each occurrence of the field is one value, or a JSON array of values.

    A comma is part of a value. Raises: InvalidRequest, InvalidLabels; also for one single label or class with a comma,
    which is nearly always meant as several.
    """
    if len(texts) == 1 and "," in texts[0] and name in _NEVER_ALONE and not _is_json_text(name, texts[0]):
        raise _list_error(name, f"{name} is one value with a comma. Send the field once per value, or a JSON array.")
    values: list[Any] = []
    for text in texts:
        parsed = _parse_item(name, text) if _is_json_text(name, text) else text
        values.extend(parsed if isinstance(parsed, list) else [parsed])
    return values


def _is_json_text(name: str, text: str) -> bool:
    """Whether a form's value is a JSON array, or a label as a JSON object. A template may begin with `{}`."""
    return text.lstrip()[:1] == "[" or (name == "labels" and text.lstrip()[:1] == "{")


def _parse_item(name: str, text: str) -> Any:
    try:
        return parse_json(text.encode())
    except InvalidRequest as error:
        raise _list_error(name, f"{name} looks like JSON. {error.message}") from None


def _list_error(name: str, message: str) -> InvalidRequest:
    kind = InvalidLabels if name == "labels" else InvalidRequest
    return kind(message, hint=f'For example {name}=["riding a bicycle","a cat"].', field=name)


def content_length(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None

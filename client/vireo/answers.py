"""Reads the server's JSON answers, and raises the errors that they describe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from pydantic import BaseModel, ValidationError

from vireo.errors import VireoError, WorkerUnavailable


class _Error(BaseModel):
    code: str = VireoError.code
    message: str = ""
    hint: str | None = None
    request_id: str | None = None
    details: dict[str, Any] | None = None


class _ErrorEnvelope(BaseModel):
    """The body of every error answer of a Vireo server; another server between us and it may answer anything."""

    error: _Error


def read_answer(answer: httpx2.Response) -> dict[str, Any]:
    """The answer's JSON object. Raises: VireoError, also if the answer does not come from a Vireo server."""
    try:
        if answer.is_error:
            raise VireoError.from_dict(_ErrorEnvelope.model_validate_json(answer.content).error.model_dump())
        body: dict[str, Any] = answer.json()
    except ValidationError:
        raise VireoError(f"The server answered with status {answer.status_code} and no Vireo error.") from None
    except ValueError:
        raise VireoError(
            f"The server answered with status {answer.status_code}, but not in JSON. Is it Vireo?"
        ) from None
    return body


def result_of(job: dict[str, Any]) -> dict[str, Any]:
    """The result of a job that has ended. Raises: VireoError if the job failed or was cancelled."""
    if job["error"]:
        raise VireoError.from_dict(job["error"])
    result: dict[str, Any] = job["result"]
    return result


@contextmanager
def connection_errors(url: str) -> Iterator[None]:
    """Translates the HTTP library's errors. Raises: WorkerUnavailable if nothing listens at `url`, or the connection
    breaks."""
    try:
        yield
    except httpx2.ConnectError as error:
        raise WorkerUnavailable(f"Nothing answers at {url}.", hint="Start it with `make run` or `vireo up`.") from error
    except httpx2.HTTPError as error:
        raise WorkerUnavailable(f"The connection to {url} broke: {error}.") from error

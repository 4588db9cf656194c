"""Reads the server's answers, and raises the errors that they describe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import httpx2

from vireo.errors import ConnectionFailed, ConnectionLost, InvalidRequest, VireoError


def read_answer(answer: httpx2.Response) -> Any:
    """The answer's JSON; None if it has no body. Raises: VireoError if it is not JSON."""
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        raise VireoError(
            f"The server answered with status {answer.status_code}, but not in JSON. Is it Vireo?"
        ) from None


def error_of(answer: httpx2.Response) -> VireoError:
    """The error that an answer describes; another server between us and Vireo may answer anything."""
    try:
        described = answer.json()["error"]
        error = VireoError.from_dict(described) if "code" in described and "message" in described else None
    except (ValueError, TypeError, KeyError):
        error = None
    if error is None:
        error = VireoError(f"The server answered with status {answer.status_code} and no Vireo error.")
    error.answered = answer.status_code
    if (seconds := retry_after(answer.headers.get("retry-after"))) is not None:
        error.retry_after = seconds
    if (path := answer.headers.get("location", "")).startswith("/v1/jobs/"):
        error.job = path.rpartition("/")[2]
    return error


def retry_after(value: str | None) -> float | None:
    """Seconds that the header `Retry-After` asks to wait: a number, or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None


@contextmanager
def connection_errors(url: str) -> Iterator[None]:
    """Translates the HTTP library's errors. Raises: ConnectionFailed if nothing listens at `url`; ConnectionLost if the
    connection breaks, or nothing arrives for too long; InvalidRequest if `url` is no address."""
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        hint = "Start it with `make run` or `vireo up`, or give another address: --url, VIREO_URL, or Client(url)."
        raise ConnectionFailed(f"Nothing answers at {url}.", hint=hint) from error
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        reason = str(error).rstrip(".")
        raise InvalidRequest(f"{url} is no address of a server: {reason}.", hint="Write http://HOST:PORT.") from error
    except httpx2.TimeoutException as error:
        raise ConnectionLost(f"The server at {url} sent nothing for too long.") from error
    except httpx2.HTTPError as error:
        raise ConnectionLost(f"The connection to {url} broke: {error or type(error).__name__}.") from error

"""Fetches videos from URLs that users send. Redirects are followed by hand, each under the rules of `targets`."""

from __future__ import annotations

import asyncio
import logging

import httpx2

from core.errors import UrlUnreachable
from core.uploads.sink import Upload
from core.uploads.targets import Guard, Resolve, Target, system_resolve, without_secrets

log = logging.getLogger(__name__)

MAX_REDIRECTS = 5
READ_SECONDS = 15.0
TOTAL_SECONDS = 120.0
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {"accept": "video/*, */*;q=0.5", "accept-encoding": "identity"}


class Fetcher:
    def __init__(self, allowed_hosts: frozenset[str], resolve: Resolve = system_resolve) -> None:
        """`allowed_hosts`: names whose addresses need not be public."""
        self._guard = Guard(allowed_hosts, resolve)

    async def fetch(self, url: str, upload: Upload) -> None:
        """Write the file at `url` into `upload`. Raises: UrlNotAllowed, UrlUnreachable, VideoTooLarge."""
        target = await self._guard.check(url)
        shown = without_secrets(target.url)
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                await self._follow(target, upload)
        except TimeoutError:
            raise UrlUnreachable(f"{shown} could not be fetched within {TOTAL_SECONDS:g} seconds.") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise UrlUnreachable(f"{shown} could not be fetched: {why}.") from None

    async def _follow(self, target: Target, upload: Upload) -> None:
        async with self._guard.client(READ_SECONDS) as client:
            for _ in range(MAX_REDIRECTS + 1):
                response = await client.send(target.request(client, "GET", _HEADERS), stream=True)
                try:
                    if response.status_code not in _REDIRECTS:
                        await _store(response, upload)
                        return
                    target = await self._guard.check(_join(target.url, response.headers.get("location", "")))
                finally:
                    await response.aclose()
        raise UrlUnreachable(f"The URL redirects more than {MAX_REDIRECTS} times.")


async def _store(response: httpx2.Response, upload: Upload) -> None:
    if response.status_code != 200:
        raise UrlUnreachable(
            f"The server answered {response.status_code} instead of the video.", status=response.status_code
        )
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise UrlUnreachable("The server sent a compressed body, which was not requested.")
    length = response.headers.get("content-length", "")
    upload.refuse_early(int(length) if length.isascii() and length.isdigit() else None)
    sink = await upload.open()
    async for chunk in response.aiter_raw():
        await sink.write(chunk)
    await sink.flush()


def _join(base: httpx2.URL, location: str) -> httpx2.URL:
    if not location:
        raise UrlUnreachable("The server answered with a redirect that has no Location.")
    return base.join(location)

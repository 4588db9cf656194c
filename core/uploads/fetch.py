"""Fetches videos from URLs that users send, without letting them reach the private network (SSRF).

The host is resolved once. Every address it has must be public, and the connection goes to an address that was checked,
because a second look-up could answer differently. TLS still verifies the name. Redirects are followed by hand, each
under the same rules. Proxies of the environment are not used: they would resolve the name a second time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property

import httpx2

from core.errors import UrlNotAllowed, UrlUnreachable
from core.uploads.addresses import is_public, literal_address
from core.uploads.sink import Upload

log = logging.getLogger(__name__)

MAX_REDIRECTS = 5
MAX_URL_CHARS = 4096
CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
TOTAL_SECONDS = 120.0
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {"accept": "video/*, */*;q=0.5", "accept-encoding": "identity", "user-agent": "vireo"}

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host and port to IP addresses."""


async def system_resolve(host: str, port: int) -> list[str]:
    """Raises: OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed the checks, and the address to connect to."""

    url: httpx2.URL
    address: str

    def request(self, client: httpx2.AsyncClient) -> httpx2.Request:
        return client.build_request(
            "GET",
            self.url.copy_with(host=self.address),
            headers=_HEADERS | {"host": self.url.netloc.decode("ascii")},
            extensions={"sni_hostname": self.url.raw_host.decode("ascii")},
        )


def check_without_network(url: str, allowed_hosts: frozenset[str]) -> None:
    """The checks of a URL that need no look-up of its host. Raises: UrlNotAllowed."""
    host = _host(_parse(url))
    if (address := literal_address(host)) is not None:
        _check_public(host, [address], allowed_hosts)


class Fetcher:
    def __init__(self, allowed_hosts: frozenset[str], resolve: Resolve = system_resolve) -> None:
        """`allowed_hosts`: names whose addresses need not be public."""
        self._allowed_hosts = allowed_hosts
        self._resolve = resolve

    async def fetch(self, url: str, upload: Upload) -> None:
        """Write the file at `url` into `upload`. Raises: UrlNotAllowed, UrlUnreachable, VideoTooLarge."""
        target = await self.check(url)
        shown = without_secrets(target.url)
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                await self._follow(target, upload)
        except TimeoutError:
            raise UrlUnreachable(f"{shown} could not be fetched within {TOTAL_SECONDS:g} seconds.") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise UrlUnreachable(f"{shown} could not be fetched: {why}.") from None

    async def check(self, url: str | httpx2.URL) -> Target:
        """Raises: UrlNotAllowed, UrlUnreachable."""
        parsed = _parse(url)
        host = _host(parsed)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:  # a timeout is an OSError
            raise UrlUnreachable(f"The host {host!r} was not found.", hint="Check the spelling.") from error
        if not addresses:
            raise UrlUnreachable(f"The host {host!r} has no address.")
        _check_public(host, addresses, self._allowed_hosts)
        return Target(parsed, addresses[0])

    async def _follow(self, target: Target, upload: Upload) -> None:
        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        # One client per fetch: users share no cookies and no pooled connections.
        async with httpx2.AsyncClient(verify=self._tls, timeout=timeout, trust_env=False) as client:
            for _ in range(MAX_REDIRECTS + 1):
                response = await client.send(target.request(client), stream=True)
                try:
                    if response.status_code not in _REDIRECTS:
                        await _store(response, upload)
                        return
                    target = await self.check(_join(target.url, response.headers.get("location", "")))
                finally:
                    await response.aclose()
        raise UrlUnreachable(f"The URL redirects more than {MAX_REDIRECTS} times.")

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Built once: reading the certificate store takes tens of milliseconds."""
        return httpx2.create_ssl_context(trust_env=False)


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


def _parse(url: str | httpx2.URL) -> httpx2.URL:
    if isinstance(url, str) and len(url) > MAX_URL_CHARS:
        raise UrlNotAllowed(f"The URL has {len(url)} characters; at most {MAX_URL_CHARS} are allowed.")
    try:
        parsed = httpx2.URL(url)
        host = parsed.raw_host
    except (httpx2.InvalidURL, ValueError) as error:
        raise UrlNotAllowed(f"This is not a valid URL: {error}.") from None
    if parsed.scheme not in ("http", "https"):
        raise UrlNotAllowed(
            f"The URL has the scheme {parsed.scheme!r}; only http and https URLs are fetched."
            if parsed.scheme
            else "The URL has no scheme; only http and https URLs are fetched.",
            hint="Upload the file instead.",
        )
    if not host:
        raise UrlNotAllowed("The URL has no host.")
    if parsed.port is not None and not 1 <= parsed.port <= 65535:
        raise UrlNotAllowed(f"{parsed.port} is not a port number.")
    if parsed.userinfo:
        raise UrlNotAllowed("URLs with a user name or password are not fetched.")
    return parsed.copy_with(fragment=None)


def _host(url: httpx2.URL) -> str:
    return url.raw_host.decode("ascii").lower()


def _check_public(host: str, addresses: list[str], allowed_hosts: frozenset[str]) -> None:
    if host not in allowed_hosts and not all(is_public(address) for address in addresses):
        raise UrlNotAllowed(
            f"The host {host!r} has an address that is not public.",
            hint="Upload the file instead, or ask the operator to add the host to VIREO_ALLOWED_HOSTS.",
            host=host,
        )


def _join(base: httpx2.URL, location: str) -> httpx2.URL:
    if not location:
        raise UrlUnreachable("The server answered with a redirect that has no Location.")
    return base.join(location)


def without_secrets(url: httpx2.URL) -> str:
    """The URL for messages and logs: without the query, user name and password, which may be secret."""
    return str(url.copy_with(query=None, fragment=None, username=None, password=None))

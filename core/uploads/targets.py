"""Where a request of ours to a URL that a user has sent may go: to public addresses only (SSRF).

The host is resolved once. Every address it has must be public, and the connection goes to an address that was checked,
because a second look-up could answer differently. TLS still verifies the name.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import httpx2

from core.errors import UrlNotAllowed, UrlUnreachable
from core.uploads.addresses import is_public, literal_address

MAX_URL_CHARS = 4096
CONNECT_SECONDS = 5.0

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

    def request(
        self, client: httpx2.AsyncClient, method: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> httpx2.Request:
        return client.build_request(
            method,
            self.url.copy_with(host=self.address),
            headers={**headers, "host": self.url.netloc.decode("ascii"), "user-agent": "vireo"},
            content=content,
            extensions={"sni_hostname": self.url.raw_host.decode("ascii")},
        )


def check_without_network(url: str, allowed_hosts: frozenset[str]) -> None:
    """The checks of a URL that need no look-up of its host. Raises: UrlNotAllowed."""
    host = _host(_parse(url))
    if (address := literal_address(host)) is not None:
        _check_public(host, [address], allowed_hosts)


class Guard:
    """Lets a URL pass if its host has public addresses only."""

    def __init__(self, allowed_hosts: frozenset[str], resolve: Resolve = system_resolve) -> None:
        """`allowed_hosts`: names whose addresses need not be public."""
        self._allowed_hosts = allowed_hosts
        self._resolve = resolve

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

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Built once: reading the certificate store takes tens of milliseconds."""
        return httpx2.create_ssl_context(trust_env=False)

    def client(self, read_seconds: float) -> httpx2.AsyncClient:
        """A new client for each use: users share no cookies and no pooled connections. Proxies of the environment are
        not used, because they would resolve the name a second time."""
        timeout = httpx2.Timeout(read_seconds, connect=CONNECT_SECONDS)
        return httpx2.AsyncClient(verify=self.tls, timeout=timeout, trust_env=False)


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


def without_secrets(url: httpx2.URL) -> str:
    """The URL for messages and logs: without the query, user name and password, which may be secret."""
    return str(url.copy_with(query=None, fragment=None, username=None, password=None))

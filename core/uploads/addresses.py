"""Tells whether an address is public: URLs that users send may lead only to global unicast addresses.

An address that embeds another (IPv4-mapped, 6to4, NAT64) is public if the embedded address is.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
# Parts of 2000::/3 that are not the public internet. Python versions disagree about some of them.
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID …
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
    )
)
_NOT_PUBLIC_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "192.0.0.0/24",
        "192.88.99.0/24",  # the former 6to4 relay anycast
        "198.18.0.0/15",  # benchmarking
        "224.0.0.0/3",  # multicast, reserved and broadcast
    )
)


def is_public(address: str) -> bool:
    """False as well for a text that is not an address, and for an address with a zone (`fe80::1%eth0`)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return _is_public_v4(parsed) if isinstance(parsed, IPv4Address) else _is_public_v6(parsed)


def literal_address(host: str) -> str | None:
    """The address that `host` spells, in any of the ways that a resolver understands (`127.1`, `0x7f.1`); None for a
    name. No look-up is made."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return str(found[0][4][0])


def _is_public_v4(address: IPv4Address) -> bool:
    return address.is_global and not any(address in block for block in _NOT_PUBLIC_V4)


def _is_public_v6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    inner = address.ipv4_mapped or address.sixtofour
    if address in _NAT64:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is not None:
        return _is_public_v4(inner)
    return address in _GLOBAL_UNICAST and address.is_global and not any(address in block for block in _NOT_PUBLIC_V6)

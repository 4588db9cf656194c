from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.uploads.addresses import is_public, literal_address

PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0",
    "2606:4700:4700::1111%eth0",
    "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "ff0e::1", "100::1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
    "64:ff9b:1::1", "2001::1", "2001:db8::1", "2001:10::1", "2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::1",
    "3fff::1", "5f00::1", "4000::1", "not an address", "", "127.1", "2130706433",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "223.255.255.254", "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2001:4860:4860::8888",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_allowed(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_embedded_address_decides(inner: IPv4Address) -> None:
    number = int(inner)
    wrapped = (
        IPv6Address(0xFFFF << 32 | number),  # IPv4-mapped
        IPv6Address(0x2002 << 112 | number << 80 | 1),  # 6to4
        IPv6Address(0x64FF9B << 96 | number),  # NAT64
    )
    assert {is_public(str(address)) for address in wrapped} == {is_public(str(inner))}


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_no_address_is_public_that_the_standard_library_calls_private(address: IPv4Address | IPv6Address) -> None:
    embeds = isinstance(address, IPv6Address) and (address.ipv4_mapped or address.sixtofour)
    if is_public(str(address)) and not embeds:
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("::1", "::1"),
        ("localhost", None),
        ("example.org", None),
        ("", None),
    ],
)
def test_an_address_in_any_spelling_is_no_name(host: str, address: str | None) -> None:
    assert literal_address(host) == address

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from core.errors import UndecodableVideo, UrlNotAllowed, UrlUnreachable, VideoTooLarge, VireoError
from core.storage import Store
from core.uploads import fetch
from core.uploads.fetch import Fetcher
from core.uploads.sink import Upload
from core.uploads.targets import Guard, check_without_network
from tests.service.sites import VIDEO


class _Pages(BaseHTTPRequestHandler):
    """A server that behaves in the ways that a server behind a URL may."""

    seen: list[tuple[str, str]]

    def do_GET(self) -> None:
        type(self).seen.append((self.headers["host"], self.path))
        name = self.path.split("?")[0].lstrip("/")
        if name.startswith("to/"):
            self._head(302, {"Location": name.removeprefix("to/")})
        elif name == "loop":
            self._head(307, {"Location": "/loop"})
        elif name == "nowhere":
            self._head(301, {})
        elif name == "gzip":
            self._head(200, {"Content-Encoding": "gzip"}, b"x")
        elif name == "endless":
            self._endless()
        elif name == "announced":
            self._head(200, {"Content-Length": "1000000"})
        elif name == "empty":
            self._head(200, {}, b"")
        elif name == "missing":
            self._head(404, {}, b"no")
        else:
            self._head(200, {}, VIDEO)

    def _head(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"\0" * 65536)
        except OSError:
            pass

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def pages() -> type[_Pages]:
    return type("Pages", (_Pages,), {"seen": []})


def serve(server: ThreadingHTTPServer) -> Iterator[int]:
    """The port of the server, which answers until the iterator goes on."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def port(pages: type[_Pages]) -> Iterator[int]:
    yield from serve(ThreadingHTTPServer(("127.0.0.1", 0), pages))


def get(url: str, folder: Path, fetcher: Fetcher, limit: int = 100_000) -> bytes:
    """The bytes that a fetch writes."""

    async def run() -> bytes:
        with Upload(Store(folder.as_uri(), folder), limit) as upload:
            await fetcher.fetch(url, upload)
            assert upload.staged
            upload.staged.close()
            return upload.staged.path.read_bytes()

    return asyncio.run(run())


def resolving(*addresses: str) -> Fetcher:
    """A fetcher for which every host has these addresses. Only the host `test` may have private ones."""

    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return Fetcher(frozenset({"test"}), resolve)


def test_a_file_is_fetched_from_the_checked_address_under_its_name(
    port: int, pages: type[_Pages], tmp_path: Path
) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]  # the name does not exist in DNS: only the pinned address can answer

    fetcher = Fetcher(frozenset({"pinned.invalid"}), resolve)
    assert get(f"http://pinned.invalid:{port}/a.mp4?t=1#x", tmp_path, fetcher) == VIDEO
    assert asked == ["pinned.invalid"]
    assert pages.seen == [(f"pinned.invalid:{port}", "/a.mp4?t=1")]
    assert list(tmp_path.glob("**/*.part")) == []


def test_tls_asks_for_and_verifies_the_name_not_the_address() -> None:
    async def build() -> httpx2.Request:
        target = await resolving("93.184.216.34")._guard.check("https://videos.example.org/a.mp4")
        async with httpx2.AsyncClient() as client:
            return target.request(client, "GET", {})

    request = asyncio.run(build())
    assert request.url.host == "93.184.216.34"
    assert request.headers["host"] == "videos.example.org"
    assert request.extensions["sni_hostname"] == "videos.example.org"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.org/a", "gopher://example.org", "data:video/mp4;base64,AAAA", "//a/b",
        "a.mp4", "", "http://", "http:///a", "http://user:pw@example.org/", "http://user@example.org/", "http://exa\nmple.org/",
        "http://example.org:0/", "http://example.org:99999/", "http://" + "a" * 5000,
    ],
)  # fmt: skip
def test_urls_that_are_not_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(UrlNotAllowed):
        get(url, tmp_path, resolving("8.8.8.8"))


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:192.168.0.1"], ["fe80::1%eth0"], ["169.254.169.254"]]
)
def test_every_address_of_a_host_must_be_public(addresses: list[str], tmp_path: Path) -> None:
    with pytest.raises(UrlNotAllowed):
        get("http://example.org/", tmp_path, resolving(*addresses))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0x7f.1", "2130706433", "127.1", "[::1]", "[::ffff:7f00:1]", "localhost"]
)
def test_all_spellings_of_this_machine_are_refused(host: str, tmp_path: Path) -> None:
    with pytest.raises(UrlNotAllowed):
        get(f"http://{host}/", tmp_path, Fetcher(frozenset()))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://0x7f.1/", "http://2130706433/", "http://[::1]/", "http://[::ffff:7f00:1]/",
            "http://169.254.169.254/", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_refused_without_a_look_up(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        check_without_network(url, frozenset())


@pytest.mark.parametrize("url", ["http://example.invalid/", "http://8.8.8.8/a.mp4", "http://10.0.0.7/"])
def test_what_only_a_fetch_can_tell_is_not_refused_before(url: str) -> None:
    check_without_network(url, frozenset({"10.0.0.7"}))


def test_a_host_without_address(tmp_path: Path) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(UrlUnreachable, match="not found"):
        get("http://example.org/", tmp_path, Fetcher(frozenset(), resolve))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("to/http://test:{port}/a.mp4", None),
        ("to//a.mp4", None),
        ("to/http://elsewhere:{port}/a.mp4", UrlNotAllowed),
        ("to/file:///etc/passwd", UrlNotAllowed),
        ("loop", UrlUnreachable),
        ("nowhere", UrlUnreachable),
        ("missing", UrlUnreachable),
        ("gzip", UrlUnreachable),
        ("endless", VideoTooLarge),
        ("announced", VideoTooLarge),
        ("empty", UndecodableVideo),
    ],
)
def test_bad_answers_of_the_server(
    port: int, pages: type[_Pages], tmp_path: Path, path: str, expected: type[VireoError] | None
) -> None:
    url = f"http://test:{port}/{path.format(port=port)}"
    if expected is None:
        assert get(url, tmp_path, resolving("127.0.0.1")) == VIDEO
        return
    with pytest.raises(expected):
        get(url, tmp_path, resolving("127.0.0.1"))
    assert list(tmp_path.glob("**/*.part")) == []
    assert len(pages.seen) <= fetch.MAX_REDIRECTS + 1


def test_a_port_that_refuses_connections(tmp_path: Path) -> None:
    with pytest.raises(UrlUnreachable) as caught:
        get("http://test:1/a.mp4?token=secret", tmp_path, resolving("127.0.0.1"))
    assert "secret" not in caught.value.message


def test_proxies_of_the_environment_are_not_used(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert get(f"http://test:{port}/a.mp4", tmp_path, resolving("127.0.0.1")) == VIDEO


def test_a_server_that_takes_too_long(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TOTAL_SECONDS", 0.2)
    with pytest.raises(UrlUnreachable, match=r"0\.2 seconds"):
        get(f"http://test:{port}/endless", tmp_path, resolving("127.0.0.1"), limit=1 << 40)


@dataclass
class Authority:
    """A certificate that signs itself, for the name `test`."""

    certificate: Path
    key: Path

    @classmethod
    def new(cls, folder: Path) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("test")]), critical=False)
        signed = builder.sign(key, hashes.SHA256())
        (folder / "certificate").write_bytes(signed.public_bytes(Encoding.PEM))
        (folder / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return cls(folder / "certificate", folder / "key")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.new(tmp_path)


@pytest.fixture
def tls_port(pages: type[_Pages], authority: Authority) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), pages)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    yield from serve(server)


def test_a_server_without_a_trusted_certificate_is_not_believed(
    tls_port: int, pages: type[_Pages], tmp_path: Path
) -> None:
    with pytest.raises(UrlUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        get(f"https://test:{tls_port}/a.mp4", tmp_path, resolving("127.0.0.1"))
    assert pages.seen == []


def test_a_certificate_must_be_for_the_name_in_the_url(
    tls_port: int, pages: type[_Pages], authority: Authority, tmp_path: Path
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    fetcher = Fetcher(frozenset({"test", "other"}), resolve)
    fetcher._guard.__dict__["tls"] = ssl.create_default_context(cafile=str(authority.certificate))
    assert get(f"https://test:{tls_port}/a.mp4", tmp_path, fetcher) == VIDEO
    with pytest.raises(UrlUnreachable, match="mismatch"):
        get(f"https://other:{tls_port}/a.mp4", tmp_path, fetcher)
    assert pages.seen == [(f"test:{tls_port}", "/a.mp4")]


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_each_scheme_has_its_port(scheme: str, port: int) -> None:
    asked: list[int] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(port)
        return ["8.8.8.8"]

    asyncio.run(Guard(frozenset(), resolve).check(f"{scheme}://example.org/a.mp4"))
    asyncio.run(Guard(frozenset(), resolve).check(f"{scheme}://example.org:8080/a.mp4"))
    assert asked == [port, 8080]


def test_redirects_are_followed_five_times(port: int, pages: type[_Pages], tmp_path: Path) -> None:
    with pytest.raises(UrlUnreachable, match="more than 5 times"):
        get(f"http://test:{port}/loop", tmp_path, resolving("127.0.0.1"))
    assert len(pages.seen) == 6


def test_a_redirect_is_looked_up_and_checked_like_the_first_url(port: int, tmp_path: Path) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    get(f"http://test:{port}/to/http://also:{port}/a.mp4", tmp_path, Fetcher(frozenset({"test", "also"}), resolve))
    assert asked == ["test", "also"]


def test_a_part_of_a_file_is_no_video(
    port: int, pages: type[_Pages], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def do_get(page: _Pages) -> None:
        page._head(206, {}, VIDEO)

    monkeypatch.setattr(pages, "do_GET", do_get)
    with pytest.raises(UrlUnreachable, match="answered 206"):
        get(f"http://test:{port}/a.mp4", tmp_path, resolving("127.0.0.1"))

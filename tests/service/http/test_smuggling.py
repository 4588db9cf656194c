"""Requests that a proxy in front of the gateway could take for two, or for another one, over real connections."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from tests.service.sites import Site, serving

BODY = b'{"labels": ["a", "b"]}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
PUT = b"PUT /v1/label-sets/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
NEXT = GET + b"Connection: close\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return PUT + CHUNKED + b"\r\n" + body


ACCEPTED = {
    "a length": PUT + LENGTH + b"\r\n" + BODY,
    "chunks": chunked(CHUNKS),
    "chunks after a tab": PUT + b"Transfer-Encoding:\tChunked\r\n\r\n" + CHUNKS,
    "an extension of a chunk": chunked(b"16;a=b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "an underscore": PUT + b"Transfer_Encoding: chunked\r\n" + LENGTH + b"\r\n" + BODY,
    "a length with zeros": PUT + b"Content-Length: 0022\r\n\r\n" + BODY,
    "an absolute target": b"GET http://LocalHost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
}
AMBIGUOUS = {
    "CL.TE": PUT + b"Content-Length: %d\r\n" % len(CHUNKS) + CHUNKED + b"\r\n" + CHUNKS,
    "TE.CL": PUT + CHUNKED + b"Content-Length: 4\r\n\r\n" + CHUNKS,
    "CL.0": PUT + b"Content-Length: 0\r\n" + CHUNKED + b"\r\n" + CHUNKS,
    "two codings": PUT + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n" + CHUNKS,
    "two codings, chunked last": PUT + b"Transfer-Encoding: identity\r\n" + CHUNKED + b"\r\n" + CHUNKS,
    "chunked twice": PUT + CHUNKED * 2 + b"\r\n" + CHUNKS,
    "gzip, chunked": PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
    "chunked, gzip": PUT + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + CHUNKS,
    "xchunked": PUT + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
    "identity": PUT + b"Transfer-Encoding: identity\r\n\r\n" + BODY,
    "quoted": PUT + b'Transfer-Encoding: "chunked"\r\n\r\n' + CHUNKS,
    "a vertical tab": PUT + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + CHUNKS,
    "a space before the colon": PUT + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS,
    "a length with such a space": PUT + b"Content-Length : 0\r\n\r\n" + BODY,
    "a folded value": PUT + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKS,
    "a folded header": PUT + b"X: y\r\n Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n" + BODY,
    "a folded first header": b"GET /livez HTTP/1.1\r\n Host: evil\r\nHost: localhost\r\n\r\n",
    "chunks in HTTP/1.0": PUT.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + CHUNKS,
    "two lengths": PUT + LENGTH + b"Content-Length: 0\r\n\r\n" + BODY,
    "the same length twice": PUT + LENGTH * 2 + b"\r\n" + BODY,
    "a list of lengths": PUT + b"Content-Length: 22, 22\r\n\r\n" + BODY,
    "a length with a sign": PUT + b"Content-Length: +22\r\n\r\n" + BODY,
    "a negative length": PUT + b"Content-Length: -1\r\n\r\n" + BODY,
    "a hexadecimal length": PUT + b"Content-Length: 0x16\r\n\r\n" + BODY,
    "a length with a space": PUT + b"Content-Length: 2 2\r\n\r\n" + BODY,
    "a length beyond 64 bits": PUT + b"Content-Length: 99999999999999999999999\r\n\r\n" + BODY,
    "an empty length": PUT + b"Content-Length: \r\n\r\n" + BODY,
    "no length": PUT + b"\r\n" + BODY,
    "bare line feeds": (PUT + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + BODY,
    "a bare line feed": PUT + b"X: a\n" + CHUNKED + b"\r\n" + CHUNKS,
    "a bare carriage return": PUT + b"X: a\r" + CHUNKED + LENGTH + b"\r\n" + BODY,
    "a zero byte": PUT + b"X: a\0b\r\n" + LENGTH + b"\r\n" + BODY,
    "a header without a colon": PUT + b"Xyz\r\n" + LENGTH + b"\r\n" + BODY,
    "a header with a space": PUT + b"X y: z\r\n" + LENGTH + b"\r\n" + BODY,
    "a header without a name": PUT + b": z\r\n" + LENGTH + b"\r\n" + BODY,
    "a chunk in 0x": chunked(b"0x16\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk with a sign": chunked(b"+16\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a negative chunk": chunked(b"-1\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk with a space": chunked(b"16 \r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk beyond 64 bits": chunked(b"10000000000000016\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk's bare line feed": chunked(b"16\n" + BODY + b"\r\n0\r\n\r\n"),
    "a bare line feed after a chunk": chunked(b"16\r\n" + BODY + b"\n0\r\n\r\n"),
    "nothing after a chunk": chunked(b"16\r\n" + BODY + b"0\r\n\r\n"),
    "a line feed in an extension": chunked(b"16;a\nb\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a carriage return in an extension": chunked(b"16;a\rb\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a length as a trailer": chunked(b"16\r\n" + BODY + b"\r\n0\r\nContent-Length: 99\r\n\r\n"),
    "a coding as a trailer": chunked(b"16\r\n" + BODY + b"\r\n0\r\n" + CHUNKED + b"\r\n"),
    "two types": PUT + b"Content-Type: text/plain\r\n" + LENGTH + b"\r\n" + BODY,
    "two keys": GET + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two origins": PUT + b"Origin: http://localhost\r\norigin: http://evil.example\r\n" + LENGTH + b"\r\n" + BODY,
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/1.2": GET.replace(b"1.1", b"1.2") + b"\r\n",
    "HTTP/1.10": GET.replace(b"1.1", b"1.10") + b"\r\n",
    "HTTP/2.0": GET.replace(b"1.1", b"2.0") + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another host in the target": b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another host in the header": b"GET http://localhost/livez HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tabs in the first line": b"GET\t/livez\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a space in the target": b"GET /livez x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a zero byte in the target": b"GET /livez\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a method in small letters": b"get /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
}  # fmt: skip
ANSWERED_ONCE = {
    "a body of GET that is a request": GET + b"Content-Length: %d\r\n\r\n" % len(NEXT) + NEXT,
    "an upgrade to HTTP/2": GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
    "an upgrade to a WebSocket": GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n",
    "more after the last request": GET + b"Connection: close\r\n\r\n",
}


@pytest.fixture(scope="module")
def parsing(redis_url_of_file: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("parsing")
    with serving(redis_url_of_file, directory, header_timeout=2.0, body_timeout=1.0) as site:
        site.server.config.timeout_keep_alive = 1
        yield site


def statuses(site: Site, sent: bytes) -> list[int]:
    """Of all answers until the gateway closes the connection."""
    host, port = site.url.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent)
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+)", answer)]


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_plain_request_and_the_next_one_are_answered(parsing: Site, name: str) -> None:
    first, second = statuses(parsing, ACCEPTED[name] + NEXT)
    assert first in (200, 201)
    assert second == 200


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_request_ends_the_connection(parsing: Site, name: str) -> None:
    """Nothing behind it is taken for a request."""
    assert statuses(parsing, AMBIGUOUS[name] + NEXT) in ([], [400])


@pytest.mark.parametrize("name", ANSWERED_ONCE)
def test_what_follows_is_not_taken_for_a_request(parsing: Site, name: str) -> None:
    assert statuses(parsing, ANSWERED_ONCE[name] + NEXT) == [200]


def test_the_answer_says_why(parsing: Site) -> None:
    host, port = parsing.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(AMBIGUOUS["another host in the target"])
        answer = connection.recv(65536)
    assert b"malformed_request" in answer
    assert b"different hosts" in answer

"""Clients that send too much, too slowly, or nothing at all, over real connections."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

import httpx2
import pytest

from tests.service.processes import gateway_process
from tests.service.sites import FILE, Site, serving
from tests.waiting import wait_until

Serve = Callable[..., AbstractContextManager[Site]]
MIB = 1 << 20
LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def bounded(redis_url_of_file: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("bounded")
    bounds: dict[str, Any] = {"max_header_bytes": 8192, "max_headers": 20, "header_timeout": 1.0, "body_timeout": 1.0}
    with serving(redis_url_of_file, directory, **bounds) as site:
        yield site


@pytest.fixture
def crowded(serve: Serve) -> Iterator[Site]:
    """A small server that waits long, so that whoever connects is still there when all have connected."""
    with serve(max_connections=8, max_bodies=3, header_timeout=60.0, body_timeout=60.0) as site:
        yield site


@contextmanager
def connected(url: str, sent: bytes = b"", small_window: bool = False) -> Iterator[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        if small_window:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect((host, int(port)))
        connection.sendall(sent)
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """What the server sends until it closes."""
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def read_until(connection: socket.socket, end: bytes) -> None:
    answer = b""
    while end not in answer:
        piece = connection.recv(65536)
        assert piece, answer
        answer += piece


def refusal(answer: bytes) -> tuple[int, str, bytes]:
    """Status, code and head of the only answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)["error"]["code"], head.lower()


@pytest.mark.parametrize(
    "sent",
    [
        LIVE + b"X-Large: " + b"x" * 9000 + b"\r\n\r\n",
        LIVE + b"X-Endless: " + b"x" * 300_000,
        LIVE + b"".join(b"X-%d: y\r\n" % index for index in range(30)) + b"\r\n",
        LIVE + b"".join(b"X-%d: %s\r\n" % (index, b"y" * 900) for index in range(10)) + b"\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /livez?" + b"a" * 300_000,
        b"x" * 300_000,
    ],
    ids=[
        "a header",
        "an endless header",
        "many headers",
        "headers together",
        "the path",
        "an endless query",
        "no HTTP",
    ],
)
def test_a_large_head_is_refused(bounded: Site, sent: bytes) -> None:
    with connected(bounded.url) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            connection.sendall(sent)
        status, code, head = refusal(read_all(connection))
    expected = (400, "malformed_request") if sent.startswith(b"x") else (431, "headers_too_large")
    assert (status, code) == expected
    assert b"connection: close" in head


def test_endless_trailers_and_chunk_extensions_end_the_connection(bounded: Site) -> None:
    head = b"PUT /v1/label-sets/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    for endless in (
        b"0\r\n" + b"X-Trailer: y\r\n" * 2000,
        b"1;ext=" + b"y" * MIB,
        b"0\r\nX-Trailer: " + b"y" * MIB,
    ):
        with connected(bounded.url, head) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(endless)
            assert b" 20" not in read_all(connection)[:20]


def test_what_fits_is_answered_again_and_again(bounded: Site) -> None:
    """The bounds are for each request, not for a connection; pipelined requests are counted one by one."""
    request = LIVE + b"X: " + b"y" * 3000 + b"\r\n\r\n"
    with connected(bounded.url, request * 10 + LIVE + b"Connection: close\r\n\r\n") as connection:
        assert read_all(connection).count(b"HTTP/1.1 200 OK") == 11
    chunked = b"PUT /v1/label-sets/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunked += b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    body = json.dumps({"labels": ["a"], "description": "x" * 1900}).encode()
    with connected(
        bounded.url, chunked + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    ) as connection:
        assert b" 201 " in read_all(connection)[:20]


@pytest.mark.parametrize("sent", [b"G", LIVE, LIVE + b"X: y\r\n", b"GET /livez HTTP/1.1\r\n\r\n"[:-2]])
def test_a_head_that_does_not_arrive_is_408(bounded: Site, sent: bytes) -> None:
    with connected(bounded.url, sent) as connection:
        assert refusal(read_all(connection))[:2] == (408, "request_timeout")


def test_a_silent_connection_is_closed_without_words(bounded: Site) -> None:
    with connected(bounded.url) as connection:
        assert read_all(connection) == b""
    with connected(bounded.url, LIVE + b"\r\n" + LIVE) as connection:  # the second request of a connection
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"request_timeout" in answer


def test_a_connection_may_be_idle_longer_between_two_requests_than_before_the_first(bounded: Site) -> None:
    """A client that was told to come back later comes back on its connection."""
    with connected(bounded.url, LIVE + b"\r\n") as connection:
        read_until(connection, b"alive")
        time.sleep(6.0)  # uvicorn closes idle connections after five seconds, and `header_timeout` is one
        connection.sendall(LIVE + b"\r\n")
        read_until(connection, b"alive")
        connection.sendall(b"\r\n")  # which begins no request, but ends the keep-alive time
        assert read_all(connection) == b""


HEADS = {
    "JSON": b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n",
    "a form": b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n",
    "a file": b"POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/zip\r\n",
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_body_that_stops_is_408(bounded: Site, kind: str) -> None:
    with connected(bounded.url, HEADS[kind] + b"Content-Length: 1000\r\n\r\n-") as connection:
        status, code, head = refusal(read_all(connection))
    assert (status, code) == (408, "request_timeout")
    assert b"connection: close" in head
    wait_until(lambda: bounded.partial_files() == [])


def test_a_body_that_drips_is_408(serve: Serve) -> None:
    with serve(body_timeout=1.0, min_body_rate=1 << 20) as site:
        with connected(site.url, HEADS["JSON"] + b"Content-Length: 100000\r\n\r\n{") as connection:
            connection.settimeout(0.05)
            answer = b""
            while not answer:  # a byte is never more than a second late
                connection.sendall(b" ")
                try:
                    answer = connection.recv(65536)
                except TimeoutError:
                    continue
        assert answer.startswith(b"HTTP/1.1 408")


def test_a_client_that_does_not_read_its_answer_is_closed(bounded: Site) -> None:
    asked = (b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n") * 200
    with connected(bounded.url, asked, small_window=True):
        wait_until(lambda: connection_count(bounded) == 1)
        wait_until(lambda: connection_count(bounded) == 0, 60)


def connection_count(site: Site) -> int:
    return len(site.server.server_state.connections)


def test_a_full_server_closes_who_is_silent_and_answers_who_asks(crowded: Site) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(crowded.url, b"G")) for _ in range(8)]
        wait_until(lambda: connection_count(crowded) == 8)
        with crowded.client() as http:
            assert http.get("/livez").status_code == 200
        assert read_all(silent[0]) == b""


def test_a_full_server_whose_clients_are_all_served_says_so(crowded: Site) -> None:
    with ExitStack() as stack:
        for index in range(8):
            half = HEADS["a form" if index < 3 else "JSON"] + b"Expect: nothing\r\nContent-Length: 1000\r\n\r\n-"
            stack.enter_context(connected(crowded.url, half))
        wait_until(lambda: connection_count(crowded) == 8)
        with connected(crowded.url, LIVE + b"\r\n") as connection:
            status, code, head = refusal(read_all(connection))
    assert (status, code) == (503, "overloaded")
    assert b"retry-after: 5" in head


def test_too_many_bodies_at_once_are_503(crowded: Site) -> None:
    with ExitStack() as stack, crowded.client() as http:
        for _ in range(3):
            stack.enter_context(connected(crowded.url, HEADS["JSON"] + b"Content-Length: 1000\r\n\r\n{"))
        wait_until(lambda: connection_count(crowded) == 3)
        answer = http.post("/v1/videos", files=FILE)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "5"
        assert http.get("/v1/jobs").status_code == 200
    with crowded.client() as http:
        wait_until(lambda: http.post("/v1/videos", files=FILE).status_code < 300)


def test_memory_is_bounded_under_200_bad_clients(redis_url: str, tmp_path: Any) -> None:
    """Each sends as much as it may and then stops: headers, JSON, JSON with base64, a form."""
    forms = [
        LIVE + b"X: " + b"x" * 31_000,
        HEADS["JSON"] + b"Content-Length: 67108864\r\n\r\n" + b'{"base64": "' + b"A" * 2 * MIB,
        HEADS["JSON"] + b"Content-Length: 2000000\r\n\r\n" + b"[" * 1_900_000,
        HEADS["a form"] + b"Content-Length: 67108864\r\n\r\n--b\r\nContent-Disposition: form-data; "
        b'name="video"; filename="a.mp4"\r\n\r\n' + b"x" * 2 * MIB,
    ]
    with gateway_process(redis_url, tmp_path, VIREO_MAX_BODIES="64") as server:
        with httpx2.Client(base_url=server.url, trust_env=False) as http:
            assert http.get("/livez").status_code == 200
        before = server.peak_memory()
        with ExitStack() as stack:
            for index in range(200):
                connection = stack.enter_context(connected(server.url))
                connection.settimeout(1)
                try:
                    connection.sendall(forms[index % len(forms)])
                except OSError:
                    continue  # refused
            with httpx2.Client(base_url=server.url, trust_env=False, timeout=20) as http:
                assert http.get("/livez").status_code == 200
        assert server.peak_memory() - before < 64 * 5 * MIB

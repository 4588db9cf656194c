"""Large and broken bodies, sent to a gateway in a process of its own, whose memory is measured."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2
import pytest

from tests.service.doubles import answering
from tests.service.processes import gateway_process
from tests.service.sites import FILE, SHA, Site, error
from tests.waiting import wait_until

Serve = Callable[..., AbstractContextManager[Site]]

MIB = 1 << 20
HEAD = b'--x\r\ncontent-disposition: form-data; name="video"; filename="c.mp4"\r\n\r\n'
TAIL = b"\r\n--x--\r\n"
FORM = {"content-type": "multipart/form-data; boundary=x"}


def body(megabytes: int) -> Iterator[bytes]:
    yield HEAD
    for _ in range(megabytes):
        yield bytes(MIB)
    yield TAIL


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc, which is absent here")
def test_memory_stays_flat_while_a_large_upload_streams(redis_url: str, tmp_path: Path) -> None:
    with (
        gateway_process(redis_url, tmp_path) as server,
        httpx2.Client(base_url=server.url, timeout=60, trust_env=False) as http,
    ):
        assert http.post("/v1/videos", content=body(2), headers=FORM).status_code == 201  # all code is loaded now
        before = server.peak_memory()
        answer = http.post("/v1/videos", content=body(400), headers=FORM)
        assert (answer.status_code, answer.json()["bytes"]) == (201, 400 * MIB)
        grown = server.peak_memory() - before
    assert grown < 16 * MIB, f"{grown / MIB:.0f} MiB more for a 400 MiB upload"


def test_the_upload_stops_at_the_limit(serve: Serve) -> None:
    with serve(max_upload_bytes=3 * MIB) as site, site.client() as http:
        sent = 0

        def counted() -> Iterator[bytes]:
            nonlocal sent
            for chunk in body(2000):
                sent += len(chunk)
                yield chunk

        answer = http.post("/v1/videos", content=counted(), headers=FORM)
        assert error(answer, 413, "video_too_large")["details"] == {"limit": 3 * MIB}
        assert answer.headers["connection"] == "close"
        assert sent < 2000 * MIB
        assert site.partial_files() == []
        assert site.blobs() == []
        exact = {"video": ("c.mp4", bytes(3 * MIB))}
        assert http.post("/v1/videos", files=exact).status_code == 201


def test_an_announced_length_is_refused_before_a_byte_is_read(serve: Serve) -> None:
    with serve(max_upload_bytes=MIB) as site, site.client() as http:
        headers = FORM | {"content-length": str(1 << 40), "expect": "100-continue"}
        host, port = site.url.removeprefix("http://").split(":")
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(f"POST /v1/videos HTTP/1.1\r\nhost: localhost\r\n{head}\r\n".encode())
            answer = connection.recv(65536)
        assert b" 413 " in answer.split(b"\r\n")[0]
        assert b"100 Continue" not in answer
        big = base64.b64encode(bytes(2 * MIB)).decode()
        error(http.post("/v1/videos", json={"base64": big}), 413, "video_too_large")
        assert site.partial_files() == []


def test_a_client_that_disconnects_during_the_upload_leaves_no_files(serve: Serve) -> None:
    with serve() as site:
        host, port = site.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST /v1/videos HTTP/1.1\r\nhost: localhost\r\ncontent-length: {50 * MIB}\r\n"
            connection.sendall(f"{head}content-type: {FORM['content-type']}\r\n\r\n".encode() + HEAD + bytes(5 * MIB))
            wait_until(lambda: [p for p in site.partial_files() if p.stat().st_size > MIB])
        wait_until(lambda: site.partial_files() == [])
        assert site.blobs() == []


def test_errors_in_the_first_fields_are_reported_before_the_file_is_read(serve: Serve, redis_url: str) -> None:
    with serve() as site, answering(redis_url), site.client() as http:
        sent = 0

        def fields_first() -> Iterator[bytes]:
            nonlocal sent
            yield b'--x\r\ncontent-disposition: form-data; name="labels"\r\n\r\n["a","a"]\r\n'
            for chunk in body(1000):
                sent += len(chunk)
                yield chunk

        error(http.post("/v1/classify", content=fields_first(), headers=FORM), 422, "invalid_labels")
        assert sent < 1000 * MIB
        assert site.partial_files() == []


def test_a_full_disk_is_reported(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as site, site.client() as http:

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("pathlib.Path.replace", full)
        error(http.post("/v1/videos", files=FILE), 503, "storage_unavailable")
        monkeypatch.undo()
        assert site.partial_files() == []
        assert http.get(f"/v1/videos/vid_{SHA}").status_code == 404
        assert http.post("/v1/videos", files=FILE).status_code == 201

from __future__ import annotations

import signal
import socket
from pathlib import Path

from tests.service.doubles import answering
from tests.service.processes import gateway_process
from tests.waiting import wait_until


def test_sigterm_answers_waiting_requests_and_stops_the_server(redis_url: str, tmp_path: Path) -> None:
    with gateway_process(redis_url, tmp_path) as server, answering(redis_url, lambda _: None) as worker:
        host, port = server.url.removeprefix("http://").split(":")
        asked = b'{"labels": ["a"], "base64": "AAAA"}'
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            head = f"POST /v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(asked)}\r\n"
            connection.sendall(f"{head}content-type: application/json\r\n\r\n".encode() + asked)
            wait_until(lambda: bool(worker.seen))
            server.popen.send_signal(signal.SIGTERM)
            answer = connection.recv(65536)
        assert b" 202 " in answer.split(b"\r\n")[0]
        assert worker.seen[0].encode() in answer
        assert server.popen.wait(60) == 0
        assert "unhandled" not in (tmp_path / "log").read_text()

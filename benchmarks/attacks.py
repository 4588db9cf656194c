"""How long `/livez` takes, and how much memory the gateway needs, while one client attacks it.

    python -m benchmarks.attacks [--only TEXT]…

Each attack runs for some seconds in a process of its own, against a gateway with its default settings. Then, while it
goes on, somebody else uploads a video and comes back when refused. The row "no attack" is the machine's own noise: read
the others against it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from benchmarks.report import Row, report
from tests.redis_server import serving_redis

SECONDS = 5.0
CLIENTS = 200
MB = 1_000_000
UPLOAD = 5 * MB
SLOWEST_MS = 100.0
LONGEST_SECONDS = 30.0
MOST_MEMORY_MB = 600.0

_HOST = "Host: localhost\r\n"
_JSON = f"POST /v1/classify HTTP/1.1\r\n{_HOST}Content-Type: application/json\r\n".encode()
_FORM = f"POST /v1/classify HTTP/1.1\r\n{_HOST}Content-Type: multipart/form-data; boundary=b\r\n".encode()
_VIDEO = b'--b\r\nContent-Disposition: form-data; name="video"; filename="clip.mp4"\r\n\r\n'
_VIDEO_HEADERS = {"Content-Type": "multipart/form-data; boundary=b"}
_FORM_URLENCODED = _JSON.replace(b"application/json", b"application/x-www-form-urlencoded")
_GET = f"GET /livez HTTP/1.1\r\n{_HOST}".encode()


def _request(head: bytes, body: bytes) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _part(name: str, value: str) -> str:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


def _question(**fields: object) -> bytes:
    return _request(_JSON, json.dumps(fields).encode())


ONE_AFTER_ANOTHER: dict[str, Callable[[], bytes]] = {
    "2 MB of labels (G1)": lambda: _question(labels=[f"label {index}" for index in range(120_000)]),
    "600 KB of [1,1,…] (G1)": lambda: _question(labels=[1] * 200_000),
    "2 MB of [[],[],…] (G1)": lambda: _question(labels=[[]] * 480_000),
    "49,000 wrong labels (G1)": lambda: _question(labels=[1] * 49_000),
    "49,000 unknown fields (G1)": lambda: _request(
        _JSON, json.dumps({str(index): 1 for index in range(49_000)}).encode()
    ),
    "a field name of 2 MB (G1)": lambda: _request(_JSON, json.dumps({"x" * 1_900_000: 1}).encode()),
    "48 MB of base64 (G1)": lambda: _question(labels=["a"], base64="A" * 48 * MB),
    "a form of 20,000 fields (G1)": lambda: _request(_FORM_URLENCODED, b"labels=a&" * 20_000),
    "a form of 20,000 parts (G1)": lambda: _request(_FORM, (_part("labels", "a") * 20_000 + "--b--\r\n").encode()),
    "1000 labels, 1000 templates (G2)": lambda: _question(
        base64="AAAA", labels=[f"l{index}" for index in range(1000)], templates=[f"t{i} {{}}" for i in range(1000)]
    ),
    "40,000 prompts (G2)": lambda: _question(
        base64="AAAA", labels=[{"name": f"l{index}", "prompts": ["p"] * 40} for index in range(1000)]
    ),
}
ALL_AT_ONCE: dict[str, Callable[[], bytes]] = {
    "200 clients that send half a head (G6)": lambda: _GET,
    "200 clients with headers of 30 MB (G6)": lambda: _GET + b"X: " + b"x" * 30 * MB,
    "200 clients whose JSON stops (G6)": lambda: _JSON + b"Content-Length: 2000000\r\n\r\n" + b"[" * 1_900_000,
    "200 clients with 64 MB of JSON (G6)": lambda: _question(labels=["a"], base64="A" * 64 * MB),
}


def main() -> bool:
    only = _options().only
    attacks = {name: (make, repeat_request) for name, make in ONE_AFTER_ANOTHER.items()}
    attacks |= {name: (make, send_from_many) for name, make in ALL_AT_ONCE.items()}
    attacks |= {f"{CLIENTS} clients, {name}": (make, send_from_many) for name, make in ONE_AFTER_ANOTHER.items()}
    rows: list[Row] = []
    with _gateway() as (port, pid):
        rows += _measure("no attack", port, pid, None)
        for name, (make, attack) in attacks.items():
            if not only or any(text in name for text in only):
                rows += _measure(name, port, pid, make, attack)
    return report("attacks", rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks")
    parser.add_argument("--only", metavar="TEXT", action="append", help="only attacks whose name has this text")
    return parser.parse_args()


def repeat_request(port: int, sent: bytes) -> None:
    """One client that sends the same request as fast as it is answered."""
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(sent)
            connection.recv(65536)


def send_from_many(port: int, sent: bytes) -> None:
    """Clients that all send as much as they can, and then keep silent. Who is refused comes back."""
    while True:
        with ExitStack() as stack:
            for _ in range(CLIENTS):
                with suppress(OSError):
                    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
                    connection.settimeout(0.05)
                    connection.sendall(sent)
            time.sleep(0.5)


def _measure(
    name: str,
    port: int,
    pid: int,
    make: Callable[[], bytes] | None,
    attack: Callable[[int, bytes], None] = repeat_request,
) -> list[Row]:
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak of memory counts anew
    attacker = multiprocessing.get_context("fork").Process(target=attack, args=(port, make())) if make else None
    if attacker:
        attacker.start()
    try:
        times = sorted(_probe(port))
        uploaded = _upload(port)
    finally:
        if attacker:
            attacker.kill()
            attacker.join()
    slow = times[int(len(times) * 0.99)]
    peak = _peak_memory(pid)
    return [
        Row(f"/livez p50, {name}", times[len(times) // 2], "ms"),
        Row(f"/livez p99, {name}", slow, "ms", "at most 100 ms", slow <= SLOWEST_MS),
        Row(f"peak memory, {name}", peak, "MB", "at most 600 MB", peak <= MOST_MEMORY_MB),
        Row(f"upload of 5 MB, {name}", uploaded, "s", "at most 30 s", uploaded <= LONGEST_SECONDS),
    ]


def _probe(port: int) -> Iterator[float]:
    """Milliseconds of each request for `/livez`, on a connection of its own, as a probe of an orchestrator sends it."""
    time.sleep(0.5)  # the attack begins
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_SECONDS)
        with suppress(TimeoutError, ConnectionError):  # then its time is what counts
            connection.request("GET", "/livez")
            if (answer := connection.getresponse().read()) != b'{"status":"alive"}':
                raise RuntimeError(f"/livez gave another answer: {answer[:200]!r}")
        connection.close()
        yield (time.perf_counter() - started) * 1000
        time.sleep(0.01)


def _upload(port: int) -> float:
    """Seconds until a video of somebody else is stored, who comes back when the gateway says so."""
    started = time.monotonic()
    video = os.urandom(UPLOAD)
    while (passed := time.monotonic() - started) <= LONGEST_SECONDS:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_SECONDS - passed + 1)
        try:
            connection.request("POST", "/v1/videos", _VIDEO + video + b"\r\n--b--\r\n", _VIDEO_HEADERS)
            answer = connection.getresponse()
            if answer.status == http.client.CREATED:
                break
            time.sleep(int(answer.headers["Retry-After"]))  # whoever is refused for another reason fails here
        except OSError:  # refused while it sent; the answer was lost
            time.sleep(1)
        finally:
            connection.close()
    return time.monotonic() - started


def _peak_memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / MB


@contextmanager
def _gateway() -> Iterator[tuple[int, int]]:
    """Port and process of a gateway with default settings."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        redis_socket = stack.enter_context(serving_redis(Path(folder)))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        environment = os.environ | {
            "VIREO_REDIS_URL": f"unix://{redis_socket}",
            "VIREO_DATA_DIR": folder,
            "VIREO_PORT": str(port),
            "VIREO_LOG_LEVEL": "error",
        }
        gateway = subprocess.Popen([str(Path(sys.executable).with_name("vireo-gateway"))], env=environment)
        stack.callback(_stop, gateway)
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield port, gateway.pid


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(20)


if __name__ == "__main__":
    sys.exit(not main())

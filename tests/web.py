"""A web server on this machine that serves one file, when it may. It records the requests that it gets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    content: bytes
    port: int = 0
    asked: list[str] = field(default_factory=list)
    """The paths of the requests."""
    go_on: threading.Event = field(default_factory=threading.Event)
    """Answers to `/slow` wait for it, and the second half of `/half` does."""
    arrived: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "a.mp4") -> str:
        return f"http://localhost:{self.port}/{path}"


@contextmanager
def serving_file(content: bytes) -> Iterator[FileServer]:
    """`/to/URL` redirects to URL, `/missing` is not there, and every other path is the file."""
    site = FileServer(content)

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            site.arrived.set()
            if self.path.startswith("/slow"):
                site.go_on.wait(60)
            found = 302 if self.path.startswith("/to/") else 404 if self.path == "/missing" else 200
            try:
                self.send_response(found)
                if found == 302:
                    self.send_header("Location", self.path.removeprefix("/to/"))
                self.send_header("Content-Length", str(len(content) if found == 200 else 0))
                self.end_headers()
                body = content if found == 200 else b""
                half = len(body) // 2 if self.path == "/half" else len(body)
                self.wfile.write(body[:half])
                if half < len(body):
                    site.go_on.wait(60)
                self.wfile.write(body[half:])
            except OSError:
                pass  # the client has left

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    site.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield site
    finally:
        site.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()

"""An S3-compatible store for tests: moto's server on 127.0.0.1, with the list of the requests that it got.

It is a double of S3, not an object store: no real one is packaged for the machines that run these tests.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx2
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "vireo"


@dataclass(slots=True)
class S3:
    port: int
    requests: list[str] = field(default_factory=list)
    """Method and path of each request, such as `HEAD /vireo/blobs/…`."""

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def url(self, prefix: str) -> str:
        return f"s3://{BUCKET}/{prefix}"


@contextmanager
def serving_s3() -> Iterator[S3]:
    application = DomainDispatcherApplication(create_backend_app)
    s3 = S3(port=0)

    def recording(environ: dict[str, Any], start_response: Any) -> Any:
        query = environ.get("QUERY_STRING", "")
        s3.requests.append(f"{environ['REQUEST_METHOD']} {unquote(environ['PATH_INFO'])}{'?' if query else ''}{query}")
        return application(environ, start_response)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it prints a line for each request
    server = make_server("127.0.0.1", 0, recording, threaded=True)
    s3.port = server.port
    thread = threading.Thread(target=server.serve_forever, name="s3")
    thread.start()
    try:
        _create_bucket(server.port)
        s3.requests.clear()
        yield s3
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def _create_bucket(port: int) -> None:
    httpx2.put(f"http://127.0.0.1:{port}/{BUCKET}", trust_env=False).raise_for_status()

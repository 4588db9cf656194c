"""The script that takes corrections from Label Studio: a double of it at the network's edge, and a real Vireo."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from snippets import snippets

from examples.draw_clips import draw
from tests.docs.pages import ROOT
from tests.e2e.stack import Stack

SCRIPT = ROOT / "examples" / "label_studio_loop.py"
TOKEN = "0123456789abcdef"


@contextmanager
def label_studio() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its address, and the tasks of its project 1, which it takes and gives back as Label Studio's API does."""
    tasks: list[dict[str, Any]] = []

    class Project(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self._may("/api/projects/1/import"):
                tasks[:] = body
                self._answer(201, {"task_count": len(tasks)})

        def do_GET(self) -> None:
            if self._may("/api/projects/1/export?exportType=JSON"):
                self._answer(200, tasks)

        def _may(self, path: str) -> bool:
            allowed = self.headers["authorization"] == f"Token {TOKEN}" and self.path == path
            if not allowed:
                self._answer(401, {"detail": "Invalid token."})
            return allowed

        def _answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Tests print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Project) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", tasks
        server.shutdown()


@pytest.fixture
def labelled(http: httpx2.Client, tmp_path: Path) -> Iterator[list[str]]:
    """Four videos about which people have said something, the last one wrongly; nothing else is known."""
    _forget(http)
    videos = []
    for number, shown in enumerate(("a red ball", "a red ball", "a blue box", "a blue box")):
        draw(tmp_path / "clip.mp4", shown, seed=100 + number)
        files = {"video": ("clip.mp4", (tmp_path / "clip.mp4").read_bytes())}
        videos.append(http.post("/v1/videos", files=files).json()["id"])
        said = "a box" if number == 2 else "a ball"
        http.post("/v1/feedback", json={"video": videos[-1], "label": said}).raise_for_status()
    yield videos
    _forget(http)


def _forget(http: httpx2.Client) -> None:
    for found in http.get("/v1/feedback", params={"limit": 100}).json()["data"]:
        http.delete(found["links"]["self"]).raise_for_status()


def test_corrections_come_back_and_become_a_dataset(stack: Stack, http: httpx2.Client, labelled: list[str]) -> None:
    with label_studio() as (address, tasks):

        def loop(*arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
            variables = {"VIREO_URL": stack.url, "LABEL_STUDIO_URL": address, "LABEL_STUDIO_TOKEN": token}
            return subprocess.run(
                [sys.executable, SCRIPT, *arguments], env=os.environ | variables, capture_output=True, text=True
            )

        refused = loop("send", "1", token="wrong")
        assert (refused.returncode, "401" in refused.stderr, tasks) == (1, True, [])

        sent = loop("send", "1")
        wrong = next(task for task in tasks if labelled[3] in json.dumps(task))
        _correct(wrong, "a box")
        fetched = loop("fetch", "1", "corrected")

    assert (sent.returncode, fetched.returncode) == (0, 0), (sent.stderr, fetched.stderr)
    printed = [f"{line}\n" for line in (sent.stdout + fetched.stdout).splitlines()]
    page = next(s for s in snippets((ROOT / "docs" / "examples.md").read_text()) if "label_studio_loop" in s.text)
    shown = [line for line in page.text.splitlines(keepends=True) if not line.startswith("$ ")]
    assert [re.sub(r"ds_\w+", "ds_…", line) for line in printed] == shown
    said = {each["video"]: each["label"] for each in http.get("/v1/feedback").json()["data"]}
    assert said[labelled[3]] == "a box"


def _correct(task: dict[str, Any], label: str) -> None:
    """As a person does who chooses another label."""
    choice = next(result for result in task["annotations"][0]["result"] if result["type"] == "choices")
    choice["value"]["choices"] = [label]

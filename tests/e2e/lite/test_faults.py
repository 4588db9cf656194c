"""What may go wrong, does: bad input, killed processes, absent workers, clients that leave. Nothing accepted
is lost.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clips import corrupt, render_audio, rendered, truncate
from tests.e2e.stack import Stack, alive, copy_of, running

LABELS = '["a test pattern", "a cat"]'


def post(http: httpx2.Client, video: Path | bytes, labels: str = LABELS, **fields: str) -> httpx2.Response:
    content = video if isinstance(video, bytes) else video.read_bytes()
    return http.post("/v1/classify", data={"labels": labels} | fields, files={"video": ("clip", content)})


def error_of(answer: httpx2.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert error["message"]
    assert "Traceback" not in answer.text
    assert error["request_id"]
    return error


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["text", "empty", "audio", "header only"])
def test_what_is_no_video_is_refused_in_words(stack: Stack, http: httpx2.Client, tmp_path: Path, kind: str) -> None:
    if kind == "audio":
        content = render_audio(tmp_path / "sound.m4a").read_bytes()
    elif kind == "header only":
        content = rendered("h264", tmp_path).read_bytes()[:64]
    else:
        content = b"" if kind == "empty" else b"this is a text, not a video\n" * 50
    answer = post(http, content)
    assert answer.status_code == 422
    assert error_of(answer)["code"] == "undecodable_video"
    blob = stack.data_dir / "store" / "blobs" / hashlib.sha256(content).hexdigest()
    assert not blob.exists()


def test_a_cut_file_is_answered_with_a_warning(http: httpx2.Client, tmp_path: Path) -> None:
    cut = truncate(rendered("h264_mkv", tmp_path), 0.6, tmp_path / "cut.mkv")
    answer = post(http, cut)
    assert answer.status_code == 200, answer.text
    assert answer.json()["warnings"]


def test_corrupt_files_get_an_answer_or_a_reason(http: httpx2.Client, tmp_path: Path) -> None:
    clip = rendered("h264_bframes", tmp_path)
    for seed in range(12):
        answer = post(http, corrupt(clip, seed, 40, tmp_path / f"{seed}.mp4"))
        assert answer.status_code in (200, 422), answer.text
        assert answer.status_code == 200 or error_of(answer)["code"] == "undecodable_video"


@pytest.mark.parametrize(
    ("labels", "index"),
    [("[]", None), ('["a", ""]', 1), ('["a", "b", "A"]', 2), (json.dumps(["a", "x" * 501]), 1)],
)
def test_bad_labels_name_their_index(http: httpx2.Client, tmp_path: Path, labels: str, index: int | None) -> None:
    answer = post(http, rendered("h264", tmp_path), labels)
    assert answer.status_code == 422
    assert error_of(answer)["details"].get("index") == index


def test_unknown_names_are_404_with_the_nearest(http: httpx2.Client, tmp_path: Path) -> None:
    answer = post(http, rendered("h264", tmp_path), model="clip-b61")
    assert answer.status_code == 404
    assert "clip-b16" in error_of(answer)["details"]["nearest"]
    assert http.get("/v1/jobs/job_none").status_code == 404
    assert http.get("/v1/videos/vid_none").status_code == 404
    assert http.get("/v1/label-sets/none").status_code == 404


def test_weights_that_cannot_be_had_say_what_to_do(http: httpx2.Client, tmp_path: Path) -> None:
    answer = post(http, rendered("h264", tmp_path), model="clip-b32")
    assert answer.status_code == 503
    assert error_of(answer)["code"] == "model_unavailable"
    assert "weights/" in (error_of(answer)["hint"] or "")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x.mp4", "file:///etc/passwd", "http://169.254.169.254/", "http://[::1]/"]
)
def test_private_addresses_are_not_fetched(http: httpx2.Client, url: str) -> None:
    answer = http.post("/v1/classify", json={"url": url, "labels": ["a"]})
    assert answer.status_code == 422
    assert error_of(answer)["code"] == "url_not_allowed"


def test_async_jobs_are_polled_to_their_result(http: httpx2.Client, bikes: Path) -> None:
    answer = http.post(
        "/v1/classify",
        data={"labels": LABELS},
        files={"video": bikes.read_bytes()},
        headers={"Prefer": "respond-async"},
    )
    assert answer.status_code == 202
    where = answer.headers["Location"]
    until(lambda: http.get(where).json()["state"] == "succeeded", 30)
    assert http.get(where).json()["result"]["predictions"]


def test_a_client_that_leaves_cancels_its_job(stack: Stack, http: httpx2.Client, bikes: Path) -> None:
    before = {job["id"] for job in http.get("/v1/jobs").json()["data"]}
    body = _multipart(bikes.read_bytes(), {"labels": LABELS, "views": "4x3", "frames": "16"})
    with socket.create_connection(("127.0.0.1", int(stack.url.rsplit(":", 1)[1]))) as connection:
        connection.sendall(
            b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        until(lambda: bool(_new_jobs(http, before)), 20)
    until(lambda: [job["state"] for job in _new_jobs(http, before)] == ["cancelled"], 15)


def _new_jobs(http: httpx2.Client, before: set[str]) -> list[dict[str, Any]]:
    return [job for job in http.get("/v1/jobs").json()["data"] if job["id"] not in before]


def _multipart(video: bytes, fields: dict[str, str]) -> bytes:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    parts.append(
        b'--b\r\nContent-Disposition: form-data; name="video"; filename="v"\r\n\r\n' + video + b"\r\n--b--\r\n"
    )
    return b"".join(parts)


def test_a_second_copy_keeps_a_job_whose_worker_is_killed_and_stops_without_orphans(
    stack: Stack, tmp_path: Path, lite_dir: Path, bikes: Path
) -> None:
    """kill -9 of the worker in the middle of a job: the supervisor starts another, which finishes it."""
    with running(copy_of(lite_dir, tmp_path), {"VIREO_LEASE_SECONDS": "2"}) as own, own.http() as http:
        assert http.get("/v1/jobs").json()["data"] == []  # nothing of the first copy's is seen here
        job = http.post(
            "/v1/classify",
            data={"labels": LABELS, "views": "4x1", "frames": "16"},
            files={"video": bikes.read_bytes()},
            headers={"Prefer": "respond-async"},
        ).json()
        until(lambda: bool(http.get(f"/v1/jobs/{job['id']}").json()["state"] == "running"), 60)
        os.kill(own.worker("inference"), signal.SIGKILL)
        until(lambda: bool(http.get(f"/v1/jobs/{job['id']}").json()["state"] == "succeeded"), 150)
        ended = http.get(f"/v1/jobs/{job['id']}").json()
        assert ended["attempts"] == 2
        with stack.http() as first:
            assert first.get(f"/v1/jobs/{job['id']}").status_code == 404
        family = own.family()
        assert len(family) >= 4
        assert own.stop() == 0
        assert alive(family) == set()
        assert own.output.read_text().count("Vireo is ready") == 1

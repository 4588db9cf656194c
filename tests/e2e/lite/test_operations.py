"""Running it: readiness, metrics, introspection and the command line."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import httpx2

from tests.clips import rendered
from tests.e2e.stack import BIN, Stack


def vireo(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "vireo"), *arguments, "--url", stack.url], capture_output=True, text=True, timeout=120, check=False
    )


def test_ready_and_alive(http: httpx2.Client) -> None:
    assert http.get("/livez").status_code == 200
    assert http.get("/readyz").status_code == 200


def test_info_says_which_model_and_why(http: httpx2.Client) -> None:
    info = http.get("/v1/info").json()
    assert info["model"]["name"] == "lite"
    assert re.fullmatch(r"[0-9a-f]{64}", info["model"]["digest"])


def test_metrics_of_gateway_and_worker_are_in_one_place(http: httpx2.Client, tmp_path: Path) -> None:
    clip = rendered("h264_mov", tmp_path)
    http.post("/v1/classify", data={"labels": "a"}, files={"video": clip.read_bytes()}).raise_for_status()
    http.post("/v1/classify", data={"labels": "a"}, files={"video": b"no video"})
    text = http.get("/metrics").text
    for stage in ("queue", "decode", "encode", "text", "score"):
        assert f'vireo_stage_seconds_count{{stage="{stage}"}}' in text
    for name in (
        'vireo_http_requests_total{method="POST",route="/v1/classify",status="200"}',
        "vireo_batch_size_count",
        'vireo_queue_depth{queue="inference"}',
        'vireo_queue_age_seconds{queue="inference"}',
        'vireo_cache_requests_total{outcome="miss",tier="video"}',
        'vireo_cache_requests_total{outcome="miss",tier="classifier"}',
        "vireo_decode_failures_total{",
        'vireo_decode_frames_total{codec="h264"}',
        'model="lite"',
    ):
        assert name in text, name


def test_doctor_finds_a_healthy_service_healthy(stack: Stack) -> None:
    done = vireo(stack, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") == 7
    assert "confinement: untrusted videos are decoded without network, files and new processes" in done.stdout


def test_doctor_says_what_is_wrong() -> None:
    done = subprocess.run(
        [str(BIN / "vireo"), "doctor", "--url", "http://127.0.0.1:9"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "make run" in done.stdout


def test_classify_on_the_command_line(stack: Stack, bikes: Path, tmp_path: Path) -> None:
    text = tmp_path / "no-video.mp4"
    text.write_text("no video")
    table = vireo(stack, "classify", str(bikes), "--labels", "riding a bicycle", "a cat")
    assert table.returncode == 0, table.stderr
    assert re.search(r"riding a bicycle.*%", table.stdout)
    lines = vireo(stack, "classify", str(bikes), str(text), "--labels", "riding a bicycle,a cat", "--json")
    assert lines.returncode == 1
    good, bad = map(json.loads, lines.stdout.splitlines())
    assert good["predictions"][0]["label"] == "riding a bicycle"
    assert bad["error"]["code"] == "undecodable_video"


def test_a_taken_port_and_a_taken_directory_are_said_in_words(stack: Stack, tmp_path: Path) -> None:
    port = stack.url.rsplit(":", 1)[1]
    for environment, words in (
        ({"VIREO_PORT": port, "VIREO_DATA_DIR": str(tmp_path)}, "VIREO_PORT"),
        ({"VIREO_PORT": "1", "VIREO_DATA_DIR": str(stack.data_dir)}, "VIREO_DATA_DIR"),
    ):
        done = subprocess.run(
            [str(BIN / "vireo"), "up"],
            env={"PATH": "/usr/bin:/bin"} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert words in done.stderr

"""Damaged videos over HTTP: the short form of `python -m benchmarks hostile_uploads`."""

from __future__ import annotations

from pathlib import Path

import httpx2

from benchmarks.hostile.mutations import mutated_files
from benchmarks.hostile.uploads import ask_about
from tests.clips import rendered
from tests.e2e.stack import Stack

FILES = 40
SECONDS = 30.0
SEEDS = ("h264", "vp9_webm", "mjpeg_avi", "h264_ts", "gif", "h264_mkv")


def test_damaged_videos_are_answered_and_end_no_process(http: httpx2.Client, stack: Stack, tmp_path: Path) -> None:
    good = [rendered(name, tmp_path).read_bytes() for name in SEEDS]
    before = stack.children("vireo-")
    outcomes = list(ask_about(http, mutated_files(1, range(FILES), good, tmp_path)))
    assert [each for each in outcomes if each.is_bad(SECONDS) or each.answer == "no clear answer"] == []
    assert {"decoded", "corrupt_container"} <= {each.answer for each in outcomes}
    assert stack.children("vireo-") == before != []
    assert http.get("/readyz").status_code == 200

"""`vireo labels check` with a text encoder that understands words."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.e2e.stack import BIN, Stack


def test_the_doctor_finds_what_is_wrong_with_labels(stack: Stack, tmp_path: Path) -> None:
    labels = ["jogging", "going for a run", "welding", "ApplyEyeMakeup", "apply eye makeup", "17", "a." * 240]
    picture = tmp_path / "labels.png"
    command = [str(BIN / "vireo"), "labels", "check", "--labels", json.dumps(labels), "--map", str(picture), "--json"]
    done = subprocess.run([*command, "--url", stack.url], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    named = {finding["code"]: finding["labels"] for finding in found["findings"]}
    assert named["duplicate"] == ["ApplyEyeMakeup", "apply eye makeup"]
    assert named["numeric"] == ["17"]
    assert named["camel_case"] == ["ApplyEyeMakeup"]
    assert named["truncated"] == [labels[-1]]
    pairs = [finding["labels"] for finding in found["findings"] if finding["code"] == "near_synonyms"]
    assert ["jogging", "going for a run"] in pairs
    assert not any("welding" in pair for pair in pairs)
    assert picture.read_bytes().startswith(b"\x89PNG")

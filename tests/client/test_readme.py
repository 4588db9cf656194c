"""The Python of client/README.md runs as printed, in order, against a real gateway with test doubles as workers."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from core import errors
from core.records import Job
from core.state import keys
from tests.client.test_client import folder
from tests.service.doubles import answering, classification
from tests.service.library import DATASET, Library
from tests.service.sites import Site

README = Path(__file__).parents[2] / "client" / "README.md"


def test_the_python_in_the_readme_runs(
    site: Site,
    library: Library,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"clip")
    (tmp_path / "notes.txt").write_bytes(b"notes")
    folder(tmp_path / "my-clips")

    def classify(job: Job) -> dict[str, Any] | errors.VireoError:
        if "sha256" not in job.request:
            return classification(job)
        is_text_file = job.request["sha256"] == sha256(b"notes").hexdigest()
        return errors.UndecodableVideo("This is no video.") if is_text_file else classification(job)

    def prepare(job: Job) -> dict[str, Any]:
        library.dataset()
        return {"dataset": DATASET, "name": job.request["name"], "classes": 2, "clips": 2, "report": []}

    def train(job: Job) -> dict[str, Any]:
        library.version("my-clips", 1)
        return {"model": "my-clips:1"}

    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL))
    with (
        answering(redis_url, classify),
        answering(redis_url, prepare, keys.DATASETS),
        answering(redis_url, train, keys.TRAINING),
    ):
        names: dict[str, Any] = {}
        exec(compile(code.replace("http://127.0.0.1:8000", site.url), str(README), "exec"), names)
        names["client"].close()
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["a hot air balloon 0.5", "miss {'video': 'miss', 'classifier': 'miss'}"]
    assert "state succeeded" in printed
    assert printed[-4:] == ["my-clips:1", "['a cat', 'a kite']", "4", "This is no video."]

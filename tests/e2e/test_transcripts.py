"""The README shows what its commands really print, and its sample clip gets the right answer."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import httpx2
import pytest

from launcher import sample_clip
from tests.e2e.conftest import EVERYDAY
from tests.e2e.stack import copy_of, running

SCRIPT: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "transcripts.py"))
PAGE = """
```console show=score,job.id
$ ask clip.mp4 \\
    --twice
{
  "score": 0.957,
  "job": {
    "id": "job_…",
    …
  }
}
│ a cat │ 12.5% │
```
"""


def test_the_transcripts_of_the_readme_are_fresh(tmp_path: Path, lite_dir: Path) -> None:
    """On a copy of its own: the README shows what the caches of a new installation hold."""
    page = SCRIPT["README"].read_text(encoding="utf-8")
    assert sum(len(found.commands) for found in SCRIPT["transcripts"](page) if not found.is_slow) >= 6
    with running(copy_of(lite_dir, tmp_path)) as own:
        fresh = SCRIPT["replay"](page, own.url, slow=False)
    assert not SCRIPT["is_stale"](page, fresh), f"run `make transcripts`: README.md should say\n{fresh}"


def test_the_sample_clip_is_recognised_by_a_wide_margin(http: httpx2.Client, tmp_path: Path) -> None:
    sample_clip.write_sample(tmp_path / "clip.mp4")
    for labels in (sample_clip.LABELS, (sample_clip.ANSWER, *EVERYDAY)):
        with (tmp_path / "clip.mp4").open("rb") as file:
            answer = http.post("/v1/classify", data={"labels": json.dumps(labels)}, files={"video": file}).json()
        first, second, *_ = answer["predictions"]
        assert first["label"] == sample_clip.ANSWER
        assert first["score"] > 0.6
        assert first["score"] > 5 * second["score"]


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        ("0.957", "0.9571234", False),
        ("0.957", "0.88", False),
        ("0.957", "0.80", True),
        ("12.5%", "21.0%", False),
        ("12.5%", "33.0%", True),
        ("a cat", "a dog", True),
        ("│ a cat │", "│  a cat  │", False),
        ("    --twice", "    --thrice", True),
        ("job_…", "vid_…", True),
    ],
)
def test_a_transcript_is_stale_if_more_than_the_last_digits_differ(old: str, new: str, stale: bool) -> None:
    assert old in PAGE
    assert SCRIPT["is_stale"](PAGE, PAGE.replace(old, new)) == stale


def test_commands_are_run_in_one_shell_and_answers_are_shortened() -> None:
    page = re.sub(r"\$ ask.*?```", "$ NAME='job_0123456789abcdef'\n$ CALL\n```", PAGE, flags=re.DOTALL)
    answer = '{"score": 0.5, "job": {"id": "\'$NAME\'", "kind": "x"}, "created_at": 17.5}'
    page = page.replace("CALL", f"printf '{answer}'; test -x .venv/bin/python")
    fresh = SCRIPT["replay"](page, "http://127.0.0.1:9", slow=False)
    assert '{\n  "score": 0.5,\n  "job": {\n    "id": "job_…",\n    …\n  },\n  …\n}\n```' in fresh
    assert SCRIPT["replay"](fresh, "http://127.0.0.1:9", slow=False) == fresh


def test_a_command_that_fails_is_named() -> None:
    with pytest.raises(SCRIPT["CommandFailed"], match=r"(?s)`false` ended with status 1"):
        SCRIPT["replay"]("```console\n$ false\n```", "http://127.0.0.1:9", slow=False)


def test_slow_transcripts_are_left_alone_unless_asked_for() -> None:
    page = "```console slow\n$ echo new\nold\n```"
    assert SCRIPT["replay"](page, "http://127.0.0.1:9", slow=False) == page
    assert "\nnew\n" in SCRIPT["replay"](page, "http://127.0.0.1:9", slow=True)

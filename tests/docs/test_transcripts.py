"""Commands of a page are run and shown, and what they print is compared with what the page says."""

from __future__ import annotations

import re

import pytest
from snippets import CommandFailed
from transcripts import difference, is_stale, replay

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
    assert is_stale(PAGE, PAGE.replace(old, new)) == stale


def test_commands_are_run_in_one_shell_and_answers_are_shortened() -> None:
    page = re.sub(r"\$ ask.*?```", "$ NAME='job_0123456789abcdef'\n$ CALL\n```", PAGE, flags=re.DOTALL)
    answer = '{"score": 0.5, "job": {"id": "\'$NAME\'", "kind": "x"}, "created_at": 17.5}'
    page = page.replace("CALL", f"printf '{answer}'; test -x .venv/bin/python")
    fresh = replay(page, "http://127.0.0.1:9", slow=False)
    assert '{\n  "score": 0.5,\n  "job": {\n    "id": "job_…",\n    …\n  },\n  …\n}\n```' in fresh
    assert replay(fresh, "http://127.0.0.1:9", slow=False) == fresh


def test_a_command_that_fails_is_named() -> None:
    with pytest.raises(CommandFailed, match=r"(?s)`false` ended with status 1"):
        replay("```console\n$ false\n```", "http://127.0.0.1:9", slow=False)


def test_slow_transcripts_are_left_alone_unless_asked_for() -> None:
    page = "```console slow\n$ echo new\nold\n```"
    assert replay(page, "http://127.0.0.1:9", slow=False) == page
    assert "\nnew\n" in replay(page, "http://127.0.0.1:9", slow=True)


def test_the_lines_that_differ_are_named() -> None:
    fresh = PAGE.replace("a cat", "a dog")
    assert difference(PAGE, PAGE.replace("0.957", "0.9571234")) == ""
    assert difference(PAGE, fresh).splitlines()[-2:] == ["-│ a cat │ 12.5% │", "+│ a dog │ 12.5% │"]
    slow = [page.replace("```console", "```console slow") for page in (PAGE, fresh)]
    assert difference(*slow) != ""
    assert difference(*slow, slow=False) == ""

"""Log lines: their two forms, what they belong to, and that no secret is in them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from contextvars import Context
from typing import Any

import pytest
from pydantic import SecretStr

from core.logs.belonging import belong_to, lines_about
from core.logs.lines import JsonLines, TextLines
from core.logs.secrets import Redactor
from core.settings import Settings


def record(message: str, *args: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("vireo.access", logging.INFO, "x", 1, message, args, None)
    made.__dict__.update(more)
    return made


def in_context(
    formatter: logging.Formatter, made: logging.LogRecord, job_id: str | None, request_id: str | None
) -> str:
    def format() -> str:
        belong_to(job_id, request_id)
        return formatter.format(made)

    return Context().run(format)


def test_a_json_line_is_one_object_with_its_request_job_and_fields() -> None:
    line = in_context(JsonLines(), record("said %s", "é\n", fields={"ms": 1.5}), "job_1", "req_1")
    assert "\n" not in line
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "info",
        "logger": "vireo.access",
        "message": "said é\n",
        "request_id": "req_1",
        "job_id": "job_1",
        "ms": 1.5,
    }


def test_a_text_line_has_the_same_facts() -> None:
    made = record("request", fields={"path": "/v1/x y\nz", "status": 200})
    line = in_context(TextLines(), made, "job_1", "req_1")
    assert line.endswith(r' INFO vireo.access [req_1 job_1]: request path="/v1/x y\nz" status=200')


def test_a_message_cannot_forge_a_line_of_text() -> None:
    line = in_context(TextLines(), record("bad label %s", "a\n2026-01-01 ERROR root: forged\x1b[31m"), None, None)
    assert "\n" not in line
    assert "\x1b" not in line


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_a_line_that_belongs_to_nothing_says_nothing(formatter: logging.Formatter) -> None:
    line = in_context(formatter, record("hello"), None, None)
    assert "_id" not in line
    assert "[" not in line


def test_a_line_of_celery_about_a_message_has_its_job() -> None:
    made = record("Task %(name)s[%(id)s] received", {"name": "vireo.infer", "id": "job_7"}, data={"id": "job_7"})
    assert json.loads(in_context(JsonLines(), made, None, None))["job_id"] == "job_7"


def test_a_block_about_a_job_ends() -> None:
    def jobs() -> list[str | None]:
        with lines_about("job_2"):
            inside = JsonLines().format(record("inside"))
        return [json.loads(line).get("job_id") for line in (inside, JsonLines().format(record("outside")))]

    assert Context().run(jobs) == ["job_2", None]


SECRETS = {
    "redis://:hunter22@redis:6379/0": "hunter22",
    "rediss://vireo:p%21ss-word@redis:6379/0": "p%21ss-word",
    "https://bucket.s3.amazonaws.com/clip.mp4?X-Amz-Signature=deadbeef&X-Amz-Credential=AKIA": "deadbeef",
    "Authorization: Bearer vireo_1234567890abcdef": "vireo_1234567890abcdef",
    "the key whsec_c2VjcmV0LWJ5dGVz": "c2VjcmV0LWJ5dGVz",
    "it was signed with correct-horse-battery": "correct-horse-battery",  # a setting's own value
    "password of the store: s3cr3t-pw!": "s3cr3t-pw!",
}


@pytest.mark.parametrize("kind", [JsonLines, TextLines])
@pytest.mark.parametrize(("text", "secret"), SECRETS.items())
def test_no_secret_is_in_a_message_a_field_or_a_trace(
    kind: type[JsonLines] | type[TextLines], text: str, secret: str
) -> None:
    settings = Settings(
        webhook_secret=SecretStr("correct-horse-battery"), redis_cache_url="redis://:s3cr3t-pw%21@cache:6379"
    )
    try:
        raise RuntimeError(text)  # noqa: TRY301
    except RuntimeError:
        trace = sys.exc_info()
    made = record("%s", text, fields={"what": text}, exc_info=trace)
    line = kind(Redactor(settings)).format(made)
    assert secret not in line
    assert line.count("***") >= 3


def test_what_is_no_secret_stays() -> None:
    text = "job_1: fetched https://example.org/a.mp4 from redis://redis:6379/0 in 3 s; basic models answer (who?) yes"
    assert Redactor(Settings())(text) == text


def test_a_digest_of_a_video_is_cut() -> None:
    line = JsonLines().format(record("asked", fields={"path": f"/v1/videos/vid_{'ab' * 32}/classify"}))
    assert json.loads(line)["path"] == f"/v1/videos/vid_{'ab' * 6}…/classify"
    assert "cd" * 33 in JsonLines().format(record(f"no digest: {'cd' * 33}"))


PROGRAM = """
import threading, warnings
from core.logs.lines import configure_logs
from core.settings import Settings
configure_logs(Settings(log_format="json"))
warnings.warn("old")
def fall():
    raise ValueError("in a thread")
thread = threading.Thread(target=fall, name="falls")
thread.start()
thread.join()
raise ValueError("at the end")
"""


def test_warnings_and_errors_that_end_something_are_lines_too() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["warning", "critical", "critical"]
    assert "in a thread" in lines[1]["exception"]
    assert "at the end" in lines[2]["exception"]
    assert done.returncode == 1

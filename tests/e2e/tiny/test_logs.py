"""The logs of a running copy: each line about a request or a job says so, in the gateway and beyond the queue."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from tests.e2e.stack import Stack
from tests.waiting import wait_until


def lines_of(stack: Stack, process: str) -> list[dict[str, Any]]:
    """Lines of other programs, such as a traceback of the kernel's making, are left out."""
    text = (stack.data_dir / "logs" / f"{process}.log").read_text()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def lines_about(stack: Stack, request_id: str) -> list[dict[str, Any]]:
    return [line for line in lines_of(stack, "gateway") if line.get("request_id") == request_id]


def test_a_request_is_found_in_the_logs_of_gateway_and_worker(http: httpx2.Client, stack: Stack) -> None:
    trace = "trace-of-logs"
    refused = http.post(
        "/v1/classify", data={"labels": "a"}, files={"video": b"no video"}, headers={"x-request-id": trace}
    )
    assert refused.status_code == 422
    job_id = refused.headers["location"].rpartition("/")[2]
    wait_until(lambda: lines_about(stack, trace))  # the gateway writes its line after the answer
    (answered,) = lines_about(stack, trace)
    assert (answered["job_id"], answered["status"]) == (job_id, 422)
    about = [line for line in lines_of(stack, "worker") if job_id in line["message"]]
    assert {line["job_id"] for line in about} == {job_id}  # also Celery's own lines
    (failed,) = [line for line in about if "undecodable_video" in line["message"]]
    assert failed["request_id"] == trace


def test_no_line_of_the_worker_is_anything_but_json(stack: Stack) -> None:
    """Before any job has failed on purpose: what it logs at its start."""
    first = (stack.data_dir / "logs" / "worker.log").read_text().splitlines()[:5]
    assert first
    assert all(line.startswith("{") for line in first), first

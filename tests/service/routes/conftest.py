from __future__ import annotations

import json

import httpx2
import pytest

from tests.service.doubles import AnsweringWorker
from tests.service.sites import VIDEO


@pytest.fixture
def asked(http: httpx2.Client, worker: AnsweringWorker) -> str:
    """The job of a question whose answer is `a cat`."""
    answer = http.post(
        "/v1/classify", data={"labels": json.dumps(["a cat", "a dog", "a horse"])}, files={"video": VIDEO}
    )
    job: str = answer.json()["id"]
    return job

"""One running copy of the product for all end-to-end tests, with `lite`, which needs no download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.stack import Stack, copy_of, running

EVERYDAY = [
    "riding a bicycle", "riding a horse", "riding a motorcycle", "driving a car", "walking a dog", "playing the guitar",
    "playing the piano", "playing football", "playing basketball", "playing tennis", "swimming", "running", "dancing",
    "cooking", "eating", "drinking coffee", "reading a book", "writing", "typing on a computer", "talking on the phone",
    "brushing teeth", "washing dishes", "mowing the lawn", "skiing", "surfing", "climbing a rock", "fishing", "a cat",
    "a dog", "a waterfall",
]  # fmt: skip


@pytest.fixture(scope="session")
def stack(lite_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(copy_of(lite_dir, tmp_path_factory.mktemp("vireo")), {"VIREO_ALLOWED_HOSTS": "localhost"}) as stack:
        yield stack


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx2.Client]:
    with stack.http() as client:
        yield client

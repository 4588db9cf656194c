from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def all_threads() -> Iterator[None]:
    """Unlike the tiny models of the other tests, `lite` has its real size, and more threads save time."""
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(1)

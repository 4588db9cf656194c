"""Fixtures for the tests of the worker: a tiny random CLIP that records the texts it encodes, and Redis connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
import torch

from models.recognition.recognizer import Recognizer
from tests.models.conftest import clip_recognizer, tiny_clip
from worker.jobs.connection import connect


@pytest.fixture(scope="session")
def tiny() -> Recognizer:
    return clip_recognizer(tiny_clip())


class Counting:
    """A recogniser, and the texts that its text tower has encoded."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.texts: list[str] = []

        def text_tower(texts: list[str]) -> tuple[torch.Tensor, list[bool]]:
            self.texts += texts
            return recognizer.text_tower(texts)

        self.recognizer = replace(recognizer, text_tower=text_tower)


@pytest.fixture
def counting(tiny: Recognizer) -> Counting:
    return Counting(tiny)


@pytest.fixture
def cache_redis(redis_url: str) -> Iterator[redis.Redis]:
    client = connect(redis_url, decode=False, patient=False)
    yield client
    client.close()


@pytest.fixture
def records(redis_url: str) -> Iterator[redis.Redis]:
    client = connect(redis_url, decode=True, patient=False)
    yield client
    client.close()


@pytest.fixture
def dead_redis() -> redis.Redis:
    """A Redis that does not answer."""
    return connect("unix:///nowhere/redis.sock", decode=False, patient=False)

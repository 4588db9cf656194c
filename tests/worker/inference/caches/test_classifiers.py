"""Classifier rows are computed once, cached in three tiers, and never used with other weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import redis
import torch

from core.questions import Label
from core.state import keys
from models.recognition.recognizer import Recognizer
from tests.worker.conftest import Counting
from worker.inference.caches.classifiers import ROW_FORMAT, ClassifierCache, ClassifierMatrix, Outcome
from worker.inference.caches.entries import seal, unseal
from worker.inference.caches.remote import RemoteCache

TEMPLATES = ("a video of {}.",)


def labels(*names: str) -> tuple[Label, ...]:
    return tuple(Label(name=name) for name in names)


def ask(
    cache: ClassifierCache, recognizer: Recognizer, of: Sequence[Label], templates: tuple[str, ...] = TEMPLATES
) -> tuple[ClassifierMatrix, Outcome]:
    return cache.classifier(recognizer, of, templates, False)


def test_rows_are_unit_length_and_in_the_order_asked(cache_redis: redis.Redis, counting: Counting) -> None:
    cache = ClassifierCache(RemoteCache(cache_redis, 60))
    forward, _ = ask(cache, counting.recognizer, labels("a", "b", "c"))
    backward, _ = ask(cache, counting.recognizer, labels("c", "b", "a"))
    assert torch.allclose(forward.matrix.norm(dim=1), torch.ones(3))
    assert torch.equal(forward.matrix.flip(0), backward.matrix)


def test_each_tier_saves_the_text_tower_work(cache_redis: redis.Redis, counting: Counting) -> None:
    first = ClassifierCache(RemoteCache(cache_redis, 60))
    original, outcome = ask(first, counting.recognizer, labels("a", "b"))
    assert outcome == "miss"
    assert counting.texts == ["a video of a.", "a video of b."]
    assert ask(first, counting.recognizer, labels("a", "b"))[1] == "hit"  # the matrix in memory
    assert ask(first, counting.recognizer, labels("b"))[1] == "hit"  # the row in memory
    other_worker = ClassifierCache(RemoteCache(cache_redis, 60))
    from_redis, outcome = ask(other_worker, counting.recognizer, labels("a", "b"))
    assert outcome == "hit"
    assert torch.equal(from_redis.matrix, original.matrix)
    assert ask(other_worker, counting.recognizer, labels("a", "new"))[1] == "partial"
    assert counting.texts[2:] == ["a video of new."]


def test_other_weights_other_templates_and_other_prompts_are_other_rows(
    cache_redis: redis.Redis, counting: Counting
) -> None:
    cache = ClassifierCache(RemoteCache(cache_redis, 60))
    ask(cache, counting.recognizer, labels("a"))
    assert ask(cache, replace(counting.recognizer, text_digest="other"), labels("a"))[1] == "miss"
    assert ask(cache, counting.recognizer, labels("a"), ("a photo of {}.",))[1] == "miss"
    assert ask(cache, counting.recognizer, [Label(name="a", prompts=("a video of a.",))])[1] == "miss"
    assert ask(cache, counting.recognizer, labels("a"))[1] == "hit"


def test_truncation_is_cached_with_the_row(cache_redis: redis.Redis, counting: Counting) -> None:
    long = labels("short", "word " * 200)
    assert ask(ClassifierCache(RemoteCache(cache_redis, 60)), counting.recognizer, long)[0].truncated == (1,)
    again, outcome = ask(ClassifierCache(RemoteCache(cache_redis, 60)), counting.recognizer, long)
    assert (outcome, again.truncated) == ("hit", (1,))


def test_rows_in_redis_expire(cache_redis: redis.Redis, counting: Counting) -> None:
    ask(ClassifierCache(RemoteCache(cache_redis, 60)), counting.recognizer, labels("a", "b"))
    lifetimes = [cache_redis.ttl(key) for key in cache_redis.keys("vireo:cache:row:*")]
    assert len(lifetimes) == 2
    assert all(0 < int(seconds) <= 60 for seconds in lifetimes)


def test_without_redis_rows_are_computed_and_kept_in_memory(dead_redis: redis.Redis, counting: Counting) -> None:
    cache = ClassifierCache(RemoteCache(dead_redis, 60))
    assert ask(cache, counting.recognizer, labels("a"))[1] == "miss"
    assert ask(cache, counting.recognizer, labels("a"))[1] == "hit"


def damage(entry: bytes) -> bytes:
    return entry[:-1] + bytes([entry[-1] ^ 1])


@pytest.mark.parametrize(
    "entry",
    [
        damage,
        lambda whole: whole[:-4],
        lambda whole: b"\x00" + whole[11:],  # the first format: no version, no checksum
        lambda whole: seal(unseal(whole, ROW_FORMAT) or b"", ROW_FORMAT + 1),
        lambda _: seal(b"\x00" + bytes(12), ROW_FORMAT),  # whole, but of another width
        lambda _: b"",
    ],
    ids=["damaged", "cut off", "an older format", "a newer format", "another width", "empty"],
)
def test_a_foreign_or_damaged_row_is_a_miss(
    cache_redis: redis.Redis, counting: Counting, entry: Callable[[bytes], bytes]
) -> None:
    original, _ = ask(ClassifierCache(RemoteCache(cache_redis, 60)), counting.recognizer, labels("a"))
    (key,) = cache_redis.keys(keys.cached_row("*"))
    written = cache_redis.get(key)
    assert isinstance(written, bytes)
    cache_redis.set(key, entry(written))
    again, outcome = ask(ClassifierCache(RemoteCache(cache_redis, 60)), counting.recognizer, labels("a"))
    assert outcome == "miss"
    assert torch.equal(again.matrix, original.matrix)


def test_a_hit_does_not_tell_that_another_project_has_asked_for_the_label(
    cache_redis: redis.Redis, counting: Counting
) -> None:
    cache = ClassifierCache(RemoteCache(cache_redis, 60))
    first, _ = ask(cache.of("acme"), counting.recognizer, labels("a"))
    second, outcome = ask(cache.of("other"), counting.recognizer, labels("a"))
    assert outcome == "miss"
    assert torch.equal(first.matrix, second.matrix)
    assert ask(ClassifierCache(RemoteCache(cache_redis, 60)).of("other"), counting.recognizer, labels("a"))[1] == "hit"
    assert ask(cache, counting.recognizer, labels("a"))[1] == "miss"

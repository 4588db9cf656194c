"""What is counted of a shadow: per pair of versions, and with a limited list of differences."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from core.state import shadow_counts
from core.state.shadow_counts import COUNT, Look, Outcome, Pair, count_args, read_counts

PAIR = Pair("gym", "production", 1, 2)


def add(client: redis.Redis, pair: Pair, outcome: Outcome, *looks: Look, error: str = "") -> None:
    keys, args = count_args(pair, outcome, 100.0, (looks[0], looks[1]) if looks else None, error)
    client.register_script(COUNT)(keys=keys, args=args)


def read(client: redis.Redis, pair: Pair) -> Any:
    hashes: list[Any] = [client.hgetall(key) for key in pair.keys]
    return read_counts(pair, hashes[0], hashes[1], 50)


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    client.delete(*PAIR.keys)
    return client


def test_agreement_margins_and_what_was_not_scored(client: redis.Redis) -> None:
    add(client, PAIR, "agreed", Look("squat", 0.5), Look("squat", 0.25))
    add(client, PAIR, "differed", Look("squat", 0.25), Look("lunge: deep", 0.75))
    add(client, PAIR, "differed", Look("squat", 0.0), Look("lunge: deep", 0.5))
    add(client, PAIR, "differed", Look("lunge: deep", 0.25), Look("squat", 0.5))
    add(client, PAIR, "skipped")
    add(client, PAIR, "failed", error="no such class")
    found = read(client, PAIR)
    assert (found.seen, found.agreed, found.agreement, found.skipped, found.failed) == (4, 1, 0.25, 1, 1)
    assert (found.margin, found.shadow_margin) == (0.25, 0.5)
    assert (found.since, found.last_error) == (100.0, "no such class")
    assert [(each.label, each.shadow_label, each.questions) for each in found.differences] == [
        ("squat", "lunge: deep", 2),
        ("lunge: deep", "squat", 1),
    ]


def test_counts_belong_to_the_pair_of_versions(client: redis.Redis) -> None:
    look = Look("squat", 0.5)
    add(client, PAIR, "agreed", look, look)
    for other in (Pair("gym", "production", 1, 22), Pair("gym", "production", 11, 2), Pair("gym", "staging", 1, 2)):
        assert read(client, other).seen == 0, other
    assert read(client, PAIR).seen == 1


def test_only_so_many_differences_are_listed(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_counts, "MOST_DIFFERENCES", 2)
    for label in ("a", "b", "c", "a"):
        add(client, PAIR, "differed", Look(label, 0.5), Look("x" * 300, 0.5))
    found = read(client, PAIR)
    assert found.seen == 4
    assert [(each.label, len(each.shadow_label), each.questions) for each in found.differences] == [
        ("a", 200, 2),
        ("b", 200, 1),
    ]

"""Below and above the capacity of a copy."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from benchmarks.load.target import QUEUE_LIMIT, Met, Target, percentile
from benchmarks.repetition import repeated
from benchmarks.report import Row

BELOW: Final = 0.5
"""Share of the capacity that is asked of it below."""
USERS: Final = 100
"""Far more than the queue takes."""
STRETCH: Final = 4.0
"""p99 below capacity, at most, in p50s."""
BOUND: Final = 4.0
"""p99 of accepted requests above capacity, at most, in the time that a full queue takes to empty."""


def capacity(target: Target, seconds: float) -> float:
    """Answers per second to eight users that ask one question after the other."""
    met = [each for each in target.swarm(8, seconds) if each.status == 200]
    return len(met) / (max(each.began + each.seconds for each in met) - min(each.began for each in met))


def below(target: Target, seconds: float) -> list[Row]:
    most = capacity(target, seconds / 2)
    users = 10
    met = target.swarm(users, seconds, "--rate", str(BELOW * most / users))
    times = [each.seconds for each in met if each.status == 200]
    errors = len(met) - len(times)
    median, slow = percentile(times, 0.5), percentile(times, 0.99)
    return [
        Row("capacity", most, "/s"),
        Row(f"below it ({BELOW:.0%}): errors of {len(met)}", errors, "", "none", errors == 0),
        Row("below it: p50", 1000 * median, "ms"),
        Row("below it: p99 in p50s", slow / median, "", f"at most {STRETCH:g}", slow <= STRETCH * median),
    ]


def above(target: Target, seconds: float) -> list[Row]:
    """The questions are expensive ones, so that the worker is the bottleneck, and not the gateway."""
    depths: list[int] = []
    with _sampled(target, depths):
        met = target.swarm(USERS, seconds, "--spawn", "100", "--new")
    accepted = [each for each in met if each.status == 200]
    refused = [each for each in met if each.status in (429, 503)]
    others = Counter(each.status for each in met if each.status not in (200, 429, 503))
    times = [each.seconds for each in accepted]
    rate = len(accepted) / seconds
    silent = sum(each.retry is None for each in refused)
    slow, bound = percentile(times, 0.99), BOUND * QUEUE_LIMIT / max(rate, 1e-9)
    return [
        Row(f"{USERS} users: answers", rate, "/s"),
        Row("refusals (429, 503)", len(refused), "", "some", bool(refused)),
        Row("refusals without Retry-After", silent, "", "none", silent == 0),
        Row("other errors", sum(others.values()), "", "none", not others),
        Row("most unfinished jobs", max(depths), "", f"at most {QUEUE_LIMIT}", max(depths) <= QUEUE_LIMIT),
        Row("accepted: p50", 1000 * statistics.median(times), "ms"),
        Row(
            "accepted: p99", 1000 * slow, "ms", f"at most {1000 * bound:.0f}: the queue, {BOUND:g} times", slow <= bound
        ),
        *_obedience(met),
    ]


def _obedience(met: Sequence[Met]) -> list[Row]:
    """How often a refused client that comes back when it was told to is let in."""
    second = [each.status == 200 for each in met if each.attempt == 2]
    third = [each.status == 200 for each in met if each.attempt <= 3 and each.attempt > 1]
    told = [float(each.retry) for each in met if each.retry]
    late = [each.attempt for each in met if each.status == 200]
    share = statistics.mean(second) if second else 1.0
    return [
        Row("Retry-After, median", statistics.median(told) if told else 0.0, "s"),
        Row("let in when it comes back the first time", 100 * share, "%", "at least 90", share >= 0.9),
        Row("let in, of all that came back once or twice", 100 * statistics.mean(third) if third else 100.0, "%"),
        Row("most attempts until an answer", max(late), ""),
    ]


@contextmanager
def _sampled(target: Target, depths: list[int]) -> Iterator[None]:
    with target.records() as records, repeated(lambda: depths.append(target.unfinished(records)), 0.02):
        yield

"""What is counted of a shadow version: two hashes in Redis for each alias. Workers add to them, the gateway reads them.

The counts belong to a pair of versions, the one that answers and its shadow: each field begins with both numbers. So an
alias that moves, or gets another shadow, begins at zero, and one that moves back goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field

from core.projects import DEFAULT_PROJECT
from core.records import Record
from core.state.project_keys import ProjectKeys

Outcome = Literal["agreed", "differed", "skipped", "failed"]
"""Of one question. `skipped`: the worker was busy; `failed`: the shadow could not score it."""

MOST_DIFFERENCES: Final = 1000  # pairs of labels per alias; further ones count as a difference, but are not listed
LONGEST_LABEL: Final = 200  # characters of a label in the list

# KEYS: counts, differences    ARGV: pair, outcome, now, margin, shadow's margin, pair of labels, most pairs, error
COUNT = """
local pair, outcome = ARGV[1], ARGV[2]
redis.call('HSETNX', KEYS[1], pair .. 'since', ARGV[3])
redis.call('HINCRBY', KEYS[1], pair .. outcome, 1)
if outcome == 'agreed' or outcome == 'differed' then
  redis.call('HINCRBYFLOAT', KEYS[1], pair .. 'margin', ARGV[4])
  redis.call('HINCRBYFLOAT', KEYS[1], pair .. 'shadow_margin', ARGV[5])
end
if outcome == 'differed' then
  local known = redis.call('HEXISTS', KEYS[2], pair .. ARGV[6]) == 1
  if known or redis.call('HLEN', KEYS[2]) < tonumber(ARGV[7]) then
    redis.call('HINCRBY', KEYS[2], pair .. ARGV[6], 1)
  end
end
if outcome == 'failed' then redis.call('HSET', KEYS[1], pair .. 'error', ARGV[8]) end
"""


class ShadowDifference(Record):
    """What the version that answers and its shadow said about the same videos, where they differ."""

    label: str = Field(description="best label of the version that answered")
    shadow_label: str = Field(description="best label of the shadow")
    questions: int


class ShadowCounts(Record):
    """What was counted of a shadow, for the version that answers and this shadow together. `margin` is the score of the
    best label minus the score of the second best."""

    since: float | None = Field(None, description="unix seconds of the first question; null before it")
    seen: int = Field(description="questions that both have scored")
    agreed: int = Field(description="of these, the questions with the same best label")
    agreement: float | None = Field(None, description="`agreed` / `seen`; null if `seen` is 0")
    margin: float | None = Field(None, description="mean margin of the version that answers, on the questions seen")
    shadow_margin: float | None = Field(None, description="mean margin of the shadow on the same questions")
    skipped: int = Field(description="questions that the shadow did not score because its worker was busy")
    failed: int = Field(description="questions that the shadow could not score")
    last_error: str | None = Field(None, description="why it could not score the last of these")
    differences: list[ShadowDifference] = Field(
        default_factory=list, description="the best labels where they differ, the most frequent first; at most 50"
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """The version that an alias points to, and the version that is its shadow."""

    name: str
    alias: str
    version: int
    shadow: int
    project: str = DEFAULT_PROJECT

    @property
    def keys(self) -> list[str]:
        own = ProjectKeys(self.project)
        return [own.shadow_counts(self.name, self.alias), own.shadow_differences(self.name, self.alias)]

    @property
    def prefix(self) -> str:
        return f"{self.version}:{self.shadow}:"


@dataclass(frozen=True, slots=True)
class Look:
    """What a model says about a video: its best label, and the score of that minus the score of the second best."""

    label: str
    margin: float


def count_args(
    pair: Pair, outcome: Outcome, now: float, looks: tuple[Look, Look] | None = None, error: str = ""
) -> tuple[list[str], list[str]]:
    """looks: of the version that answered, and of its shadow; needed for `agreed` and `differed`."""
    answer, shadow = looks or (Look("", 0.0), Look("", 0.0))
    labels = json.dumps([answer.label[:LONGEST_LABEL], shadow.label[:LONGEST_LABEL]])
    margins = [repr(round(look.margin, 6)) for look in (answer, shadow)]
    return pair.keys, [pair.prefix, outcome, repr(now), *margins, labels, str(MOST_DIFFERENCES), error]


def read_counts(pair: Pair, counts: Mapping[str, str], differences: Mapping[str, str], most: int) -> ShadowCounts:
    """counts, differences: the two hashes; most: differences to list, the most frequent first."""
    own = {name.removeprefix(pair.prefix): value for name, value in counts.items() if name.startswith(pair.prefix)}
    agreed, differed = int(own.get("agreed", 0)), int(own.get("differed", 0))
    seen = agreed + differed
    listed = [
        (int(number), *json.loads(name.removeprefix(pair.prefix)))
        for name, number in differences.items()
        if name.startswith(pair.prefix)
    ]
    listed.sort(key=lambda each: (-each[0], each[1:]))
    return ShadowCounts(
        since=float(own["since"]) if "since" in own else None,
        seen=seen,
        agreed=agreed,
        agreement=agreed / seen if seen else None,
        margin=float(own["margin"]) / seen if seen else None,
        shadow_margin=float(own["shadow_margin"]) / seen if seen else None,
        skipped=int(own.get("skipped", 0)),
        failed=int(own.get("failed", 0)),
        last_error=own.get("error"),
        differences=[
            ShadowDifference(label=label, shadow_label=other, questions=number)
            for number, label, other in listed[:most]
        ],
    )

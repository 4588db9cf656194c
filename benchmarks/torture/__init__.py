"""`make torture`: 1,000 mixed requests, while processes are killed and paused, disk and Redis are filled, and
connections are cut; once per seed. At the end nothing may be lost.

    python -m benchmarks.torture [--seeds 1 2 3 4 5] [--requests 1000]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence

from benchmarks.report import Row, report
from benchmarks.torture.campaign import BACK_SECONDS, Blow, Outcome, Plan, run

SEEDS = (1, 2, 3, 4, 5)


def main() -> bool:
    options = _options()
    outcomes = [
        _announced(Plan(seed, options.requests, heavy=max(1, options.requests // 100))) for seed in options.seeds
    ]
    return _report(outcomes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--requests", type=int, default=1000)
    return parser.parse_args()


def _announced(plan: Plan) -> Outcome:
    print(f"\nseed {plan.seed}: {plan.requests} requests", flush=True)
    outcome = run(plan)
    print(f"{outcome.answered} requests were answered in {outcome.seconds:.0f} s, {len(outcome.blows)} faults")
    print("repeated because of: " + ", ".join(f"{why} {count}×" for why, count in sorted(outcome.refusals.items())))
    for name in sorted(outcome.missed):
        print(f"NOT TRIED: {name}")
    for check, wrong in outcome.wrong.items():
        print(f"{check}: {'held' if not wrong else f'{len(wrong)} WRONG'}")
        print(*(f"    {line}" for line in wrong[:10]), sep="\n" if wrong else "")
    sys.stdout.flush()
    return outcome


def _report(outcomes: Sequence[Outcome]) -> bool:
    blows = [blow for outcome in outcomes for blow in outcome.blows]
    rows = [
        Row("requests answered", sum(outcome.answered for outcome in outcomes), ""),
        Row("faults", len(blows), ""),
        Row("things that were wrong", sum(len(w) for o in outcomes for w in o.wrong.values()), "", "none",
            all(outcome.sound for outcome in outcomes)),
    ]  # fmt: skip
    rows += [_row(name, [blow for blow in blows if blow.name == name]) for name in sorted({b.name for b in blows})]
    return report("torture", rows)


def _row(name: str, blows: Sequence[Blow]) -> Row:
    slowest = max(blow.back for blow in blows)
    median = statistics.median(blow.back for blow in blows)
    what = f"{name}, {len(blows)}×: back, slowest (median {median:.1f})"
    if not blows[0].is_kill:
        return Row(what, slowest, "s")
    return Row(what, slowest, "s", f"at most {BACK_SECONDS:g}", slowest <= BACK_SECONDS)

"""Small faults, put in one at a time: which of them do the tests of their own module notice?

    python -m benchmarks.faults [SET…] [--only NAME]… [--list]

A set is a TOML file beside this module, one per room. A fault changes one line or two of one file and names the tests
that must notice it. At least 90 % must be noticed.
"""

from __future__ import annotations

import argparse

from benchmarks.faults.sets import SETS, Fault, read_set
from benchmarks.faults.trial import Outcome, Trial

SHARE = 0.9  # of the faults, at least


def main() -> bool:
    """Whether every fault applies and enough of them are noticed."""
    options = _options()
    faults = {
        name: [f for f in read_set(name) if not options.only or f.name in options.only] for name in options.sets or SETS
    }
    if not any(faults.values()):
        print(f"no fault is called {' or '.join(options.only)}")
        return False
    if options.list:
        for name, listed in faults.items():
            print(*(f"{name:<10} {fault.name:<40} {fault.file}" for fault in listed), sep="\n")
        return True
    with Trial.of_this_tree() as trial:
        outcomes = {name: [_try(trial, name, fault) for fault in chosen] for name, chosen in faults.items() if chosen}
    return _summary(outcomes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description="Do the tests notice faults?")
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"one of {', '.join(SETS)}; default: all")
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="the name of a fault; may be given several times"
    )
    parser.add_argument("--list", action="store_true", help="name the faults and try none")
    options = parser.parse_args()
    if unknown := set(options.sets) - set(SETS):
        parser.error(f"unknown sets: {', '.join(sorted(unknown))}; known: {', '.join(SETS)}")
    return options


def _try(trial: Trial, name: str, fault: Fault) -> Outcome:
    outcome = trial.try_fault(fault)
    print(f"{outcome.value:<30} {name:<10} {fault.name}  ({fault.file})", flush=True)
    return outcome


def _summary(outcomes: dict[str, list[Outcome]]) -> bool:
    """Print the shares and write them as JSON. True if they suffice."""
    from benchmarks.report import Row, report  # it imports torch, which nothing else here needs

    tried = {**outcomes, "all sets": [outcome for some in outcomes.values() for outcome in some]}
    rows = []
    for name, some in tried.items():
        share = sum(outcome.noticed for outcome in some) / len(some)
        claim = f"of {len(some)} faults; at least {SHARE:.0%}"
        rows.append(Row(name, 100 * share, "%", claim, share >= SHARE if name == "all sets" else None))
    sound = not any(outcome.broken for outcome in tried["all sets"])
    if not sound:
        print("some faults could not be tried: mend their set or their tests")
    return report("faults", rows) and sound

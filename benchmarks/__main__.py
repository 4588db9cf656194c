"""`make measure`: runs the benchmarks behind the claims of the documentation, all of them or those that are named.

    python -m benchmarks [NAME…]

All but `faults` and `fuzzing` take about an hour and a half on two cores, most of it for training. `fuzzing` takes two
hours, `faults` takes more.
"""

from __future__ import annotations

import sys
from importlib import import_module

NAMES = (
    "decode_plan",
    "decoding",
    "frame_reduction",
    "confinement",
    "classifier_cache",
    "second_question",
    "timeline",
    "search",
    "batches",
    "shared_work",
    "redis_memory",
    "backup",
    "lite_alignment",
    "bad_datasets",
    "clip_reading",
    "label_sets",
    "store_requests",
    "attacks",
    "load",
    "hostile_videos",
    "hostile_uploads",
    "fuzzing",
    "worker_death",
    "projects",
    "frame_order",
    "classifiers",
    "step_cost",
    "scaling",
    "training_cost",
    "few_shot",
    "method_cost",
    "generalisation",
    "prompting",
    "baselines",
    "lite_text",
    "calibration",
    "label_doctor",
    "faults",
)


def main(names: list[str]) -> bool:
    """Whether every claim held."""
    if unknown := set(names) - set(NAMES):
        print(f"unknown benchmarks: {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
        return False
    del sys.argv[1:]  # some benchmarks read their own options from there
    missed: list[str] = []
    for name in names or NAMES:
        benchmark = import_module(f"benchmarks.{name}")
        print(f"\n{name}: {(benchmark.__doc__ or '').splitlines()[0]}")
        if not benchmark.main():
            missed.append(name)
    print(f"\nclaims that did not hold: {', '.join(missed) or 'none'}")
    return not missed


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))

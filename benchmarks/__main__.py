"""`make bench`: every benchmark whose claims the documentation makes, one after the other."""

from __future__ import annotations

import sys

from benchmarks import classifier_cache, decode_plan, lite_alignment, second_question

held = []
for benchmark in (decode_plan, classifier_cache, second_question, lite_alignment):
    print(f"\n{(benchmark.__doc__ or '').splitlines()[0]}")
    held.append(benchmark.main())
sys.exit(not all(held))

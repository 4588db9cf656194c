from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from worker.inference.caches.single_flight import SingleFlight


def test_of_many_threads_that_need_one_value_one_computes_it() -> None:
    flights, values = SingleFlight(), dict[str, int]()
    computed = []

    def need(index: int) -> None:
        with flights.of("k"):
            if "k" not in values:
                time.sleep(0.05)
                computed.append(index)
                values["k"] = index

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(need, range(16)))
    assert len(computed) == 1
    assert len(flights) == 0

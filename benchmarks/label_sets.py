"""Reading a label set of 365 versions × 1000 labels, against one of a single version; from a real Redis.

Every question that names a label set reads one version of it. Before versions were read singly, each read parsed all of
them: 365 MB of objects for a set that grew by one version a day.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import redis.asyncio

from benchmarks.report import Row, report
from core.projects import DEFAULT_PROJECT
from core.questions import Label, QuestionLimits
from core.records import LabelSet
from core.state import keys
from service.catalog.label_sets import LabelSets
from tests.redis_server import serving_redis

VERSIONS, LABELS, READS = 365, 1000, 15
_LIMITS = QuestionLimits(max_labels=LABELS, max_label_chars=500, max_texts=20_000, max_frames=64)


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder, serving_redis(Path(folder)) as socket:
        one, many, many_bytes = asyncio.run(_measure(socket))
    return report(
        "label_sets",
        [
            Row("1 version, one read, median", one * 1000, "ms"),
            Row(f"{VERSIONS} versions, one read, median", many * 1000, "ms"),
            Row(f"bytes from Redis for one read of {VERSIONS} versions", many_bytes / 1000, "kB"),
            Row(f"{VERSIONS} versions / 1 version", many / one, "×", "at most 2", many / one <= 2),
        ],
    )


async def _measure(socket: Path) -> tuple[float, float, float]:
    """Seconds of a read with one version and with many, and the bytes of a read with many."""
    async with redis.asyncio.Redis(unix_socket_path=str(socket), decode_responses=True) as client:
        for name, versions in (("one", 1), ("many", VERSIONS)):
            for number in range(1, versions + 1):
                labels = tuple(Label(name=f"a person doing activity {number}-{i}") for i in range(LABELS))
                written = LabelSet(name=name, version=number, labels=labels, created_at=time.time())
                await client.hset(keys.label_set(name), str(number), written.model_dump_json())
            await client.hset(keys.LABEL_SET_VERSIONS, name, str(versions))
            await client.sadd(keys.LABEL_SETS, name)
        sets = LabelSets(client, _LIMITS, VERSIONS, DEFAULT_PROJECT)
        one, many = [await _seconds(sets, name) for name in ("one", "many")]
        sent = await _bytes_sent(client)
        await sets.get("many")
        return one, many, await _bytes_sent(client) - sent


async def _seconds(sets: LabelSets, name: str) -> float:
    spent = []
    for _ in range(READS):
        start = time.perf_counter()
        await sets.get(name)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


async def _bytes_sent(client: redis.asyncio.Redis) -> float:
    return float((await client.info("stats"))["total_net_output_bytes"])


if __name__ == "__main__":
    sys.exit(not main())

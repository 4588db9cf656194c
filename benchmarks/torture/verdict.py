"""What must hold when all faults are over: each check returns what is wrong, in words."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import httpx2
import redis

from benchmarks.torture.clients import Ledger, Request
from benchmarks.torture.system import QUEUES, System
from core.state import keys
from core.storage.partial import WRITER
from service.sweeper import SWEEP_INTERVAL
from tests.e2e.stack import alive, command_line

QUIET_SECONDS: Final = 120.0
"""In which everything that was accepted has to end."""
FINAL: Final = {"succeeded", "failed", "cancelled"}
TOLERANCE: Final = 1e-3
"""Of scores: questions that share a forward pass with others are rounded in another way."""
SPARE_SECONDS: Final = 15.0
"""That a sweep may take, on a busy machine."""
SPARE_DESCRIPTORS: Final = 12
"""Connections that a process may have opened meanwhile."""


def settled(system: System) -> list[str]:
    """Wait until no job is unfinished."""
    ends = time.monotonic() + QUIET_SECONDS
    with system.records() as records:
        while (left := list(_unfinished(records))) and time.monotonic() < ends:
            time.sleep(0.2)
        described = [f"{job} is still {dict(records.hgetall(keys.job(job)))}"[:400] for _, job in left]
    return described + [f"{job} is in {place} and has ended" for place, job in left if not place]


def _unfinished(records: redis.Redis) -> Iterator[tuple[str, str]]:
    for queue in QUEUES:
        for place in (keys.waiting(queue), keys.running(queue), keys.resend(queue)):
            yield from ((place, str(job)) for job in records.zrange(place, 0, -1))


def results(system: System, ledger: Ledger) -> list[str]:
    """Every request that was answered has one job, whose result both gateways give, the same as was answered."""
    wrong = list(ledger.surprises)
    answers: dict[str, list[Any]] = defaultdict(list)
    with httpx2.Client(timeout=60, trust_env=False) as http:
        for request in ledger.requests:
            if not (request.answered and request.key):
                continue
            about = f"{request.kind} {request.number}"
            told = [request.send(url, http, Prefer="respond-async") for url in system.urls]
            if {answer.status_code for answer in told} != {202}:
                wrong.append(f"{about}: asked again, it is answered {[answer.text[:200] for answer in told]}")
                continue
            (job, *others) = [http.get(f"{url}/v1/jobs/{told[0].json()['id']}").json() for url in system.urls]
            if told[0].json()["id"] != told[1].json()["id"] or others != [job]:
                wrong.append(f"{about}: the gateways differ about it")
            elif job["state"] != "succeeded":
                wrong.append(f"{about}: {job['state']}: {job['error']}")
            elif request.status == 202 and request.body["id"] != job["id"]:
                wrong.append(f"{about}: accepted as {request.body['id']}, now it is {job['id']}")
            elif request.status == 200 and request.body != job["result"]:
                wrong.append(f"{about}: answered with another result than its job has")
            else:
                answers[_question(request)].append(job["result"])
    return wrong + [f"two results for {question[:200]}" for question, found in answers.items() if not _agree(found)]


def _question(request: Request) -> str:
    """The same for requests that must have the same answer."""
    if request.kind in ("dataset", "train"):
        return request.key
    if "files" in request.options:
        video = str(hash(request.options["files"]["video"][1]))
        return json.dumps(["upload", video, request.options["data"]])
    return json.dumps(["stored", request.path, request.options["json"]], sort_keys=True)


def _agree(found: Sequence[Any]) -> bool:
    return all(_near(found[0], other) for other in found[1:])


def _near(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict) and "predictions" in one:
        return _near(_scores(one), _scores(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_near(one[name], other[name]) for name in ("vectors", "embeddings", "vector") if name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(_near(a, b) for a, b in zip(one, other, strict=True))
    return bool(abs(one - other) <= TOLERANCE) if isinstance(one, float) else bool(one == other)


def _scores(result: dict[str, Any]) -> list[Any]:
    return [part for p in sorted(result["predictions"], key=lambda p: p["label"]) for part in (p["label"], p["score"])]


def records_are_sound(system: System, least: int) -> list[str]:
    """Each job ended once, and each idempotency key stands for one result. `least`: how many have succeeded."""
    wrong = []
    succeeded: dict[str, list[str]] = defaultdict(list)
    with system.records() as records:
        for job in map(str, records.zrange(keys.JOBS, 0, -1)):
            fields = records.hgetall(keys.job(job))
            ends = [
                event["data"].strip('"')
                for _, event in records.xrange(keys.events(job))
                if event["event"] == "state" and event["data"].strip('"') in FINAL
            ]
            if len(ends) != 1 or ends != [fields["state"]]:
                wrong.append(f"{job} is {fields['state']} and ended {len(ends)} times: {ends}")
            if fields["state"] == "succeeded" and (key := fields.get("idempotency")):
                succeeded[key].append(job)
    if len(succeeded) < least:
        wrong.append(f"{len(succeeded)} keys stand for a result, and {least} requests have one")
    return wrong + [f"{jobs} have one key" for jobs in succeeded.values() if len(jobs) > 1]


def no_orphans(system: System) -> list[str]:
    return [f"{pid} {command_line(pid)}" for pid in alive(system.relatives()) - system.family()]


def no_leftovers(system: System) -> list[str]:
    """Files that somebody began and nobody will finish. What a killed process left goes with the next sweep."""
    ends = time.monotonic() + SWEEP_INTERVAL + SPARE_SECONDS
    while (left := _unfinished_files(system)) and time.monotonic() < ends:
        time.sleep(0.5)
    return left


def _unfinished_files(system: System) -> list[str]:
    folders = [system.data_dir / "store" / "partial", system.data_dir / "training", system.data_dir / "spool"]
    found = [path for folder in folders if folder.is_dir() for path in folder.rglob("*") if path.is_file()]
    return [f"{path.relative_to(system.data_dir)}" for path in found if path.name != "lock" and path.suffix != WRITER]


def descriptors(system: System) -> dict[int, int]:
    """Pid → number of open descriptors."""
    counts = {}
    for pid in system.family():
        try:
            counts[pid] = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - numbers are enough
        except OSError:
            continue
    return counts


def no_leaks(before: dict[int, int], after: dict[int, int]) -> list[str]:
    """Of processes that lived through everything."""
    return [
        f"{pid} {command_line(pid)[-60:]} had {before[pid]} descriptors and has {count}"
        for pid, count in after.items()
        if pid in before and count > before[pid] + SPARE_DESCRIPTORS
    ]


def nothing_outlives(pids: set[int]) -> list[str]:
    """After the end of the system. The kernel takes a moment to end a process with much memory."""
    ends = time.monotonic() + 10
    while alive(pids) and time.monotonic() < ends:
        time.sleep(0.05)
    return [f"{pid} {command_line(pid)} outlives the system" for pid in alive(pids)]

"""Locust users against one URL, in a process of its own, because Locust changes how
Python waits: `time.sleep` lets other users go on. Writes what each request met as JSON lines.

A user that is refused obeys `Retry-After`, and then repeats the same question.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any, TextIO

from locust import FastHttpUser, constant_throughput, task
from locust.env import Environment

LONGEST_PAUSE = 60.0


def main() -> None:
    options = _options()
    with Path(options.out).open("w") as sink:
        user = _user(options, sink)
        environment = Environment(user_classes=[user], host=options.url)
        runner = environment.create_local_runner()
        runner.start(options.users, spawn_rate=options.spawn)
        ends = time.monotonic() + options.seconds
        while time.monotonic() < ends and user.sent < (options.requests or float("inf")):
            time.sleep(0.1)
        runner.quit()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="swarm.py")
    parser.add_argument("--url", required=True)
    parser.add_argument("--video", required=True, action="append", help="id of a stored video; may be repeated")
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--spawn", type=float, default=50.0, help="users that start per second")
    parser.add_argument("--seconds", type=float, required=True, help="after which it ends")
    parser.add_argument("--requests", type=int, help="after which it ends")
    parser.add_argument("--rate", type=float, help="requests per second of each user; default: one after the other")
    parser.add_argument("--new", action="store_true", help="ask for frames and labels that no cache has")
    parser.add_argument("--clip", help="upload a new video with each request: this file, made different")
    parser.add_argument("--out", required=True)
    return parser.parse_args()


def _user(options: argparse.Namespace, sink: TextIO) -> Any:
    clip = Path(options.clip).read_bytes() if options.clip else None

    class Asker(FastHttpUser):
        sent = 0
        if options.rate:
            wait_time = constant_throughput(options.rate)

        @task
        def ask(self) -> None:
            number = Asker.sent
            Asker.sent += 1
            send = _upload(clip, number) if clip else _question(options.video, number, new=options.new)
            first = time.time()
            for attempt in range(1, 100):
                began = time.time()
                with self.client.post(**send, name="ask", catch_response=True) as answer:
                    answer.success()  # the report judges, not Locust
                retry = answer.headers.get("Retry-After") if answer.headers else None
                note = {"began": began, "seconds": time.time() - began, "status": answer.status_code}
                sink.write(json.dumps(note | {"attempt": attempt, "since": first, "retry": retry}) + "\n")
                if answer.status_code not in (429, 503):
                    return
                time.sleep(min(LONGEST_PAUSE, float(retry or 1)))

    return Asker


def _question(videos: list[str], number: int, *, new: bool) -> dict[str, Any]:
    """A question whose frames are known, with one label of a thousand. `new`: with frames and labels that are not."""
    labels = ["a cat", "a dog", f"thing {number % 1000}"]
    question: dict[str, Any] = {"labels": labels}
    if new:
        question = {"labels": [f"{label} {random.random()}" for label in labels], "frames": random.randint(16, 64)}
        question["views"] = random.choice(["2x1", "3x1", "4x1", "2x3", "3x3", "4x3"])
    return {"url": f"/v1/videos/{random.choice(videos)}/classify", "json": question}


def _upload(clip: bytes, number: int) -> dict[str, Any]:
    """The clip with another box at its end, which players skip: another video with the same frames."""
    unique = clip + (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big")
    return {"url": "/v1/classify", "data": {"labels": '["a cat", "a dog"]'}, "files": {"video": ("clip.mp4", unique)}}


if __name__ == "__main__":
    main()

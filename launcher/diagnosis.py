"""`vireo doctor`: sends a test clip through the running service, and reports each step and what to do about a fault."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from rich.console import Console

from vireo import Client, VireoError
from vireo.schema.questions import Classification

TEST_LABELS = ["a moving square", "a cat", "a person riding a bicycle"]
SIZE, FPS, SECONDS = 128, 10, 2


@dataclass(frozen=True, slots=True)
class Step:
    """What was found in one step."""

    name: str
    passed: bool
    finding: str


def examine(client: Client, console: Console) -> bool:
    """Print one line per step, up to the first that fails. Returns whether all of them passed."""
    console.print(f"Examining {client.url}", style="bold", highlight=False)
    passed = True
    for step in steps_of(client):
        passed = step.passed
        mark = "[green]✓[/]" if passed else "[red]✗[/]"
        console.print(f"{mark} [bold]{step.name}[/]: {step.finding}", highlight=False, soft_wrap=True)
    return passed


def steps_of(client: Client) -> Iterator[Step]:
    """The steps, up to the first that fails."""
    with tempfile.TemporaryDirectory(prefix="vireo-doctor-") as directory:
        clip = Path(directory) / "square.mp4"
        render_clip(clip)
        steps: list[tuple[str, Callable[[], str]]] = [
            ("gateway", lambda: _gateway(client)),
            ("readiness", lambda: _readiness(client)),
            ("model", lambda: _model(client)),
            ("confinement", lambda: _confinement(client)),
            ("first question", lambda: _first_question(client, clip)),
            ("second question", lambda: _second_question(client, clip)),
            ("bad input", lambda: _bad_input(client, Path(directory) / "not-a-video.mp4")),
        ]
        for name, check in steps:
            step = _step(name, check)
            yield step
            if not step.passed:
                return


def render_clip(path: Path) -> None:
    """Two seconds of a white square that crosses a dark field, as MPEG-4, which every FFmpeg can write."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for index in range(FPS * SECONDS):
            image = np.full((SIZE, SIZE, 3), 32, np.uint8)
            left = index * (SIZE - 32) // (FPS * SECONDS)
            image[48:80, left : left + 32] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


class Fault(Exception):
    """A step failed; the message says what is wrong and what to do."""


def _step(name: str, check: Callable[[], str]) -> Step:
    try:
        finding = check()
    except VireoError as error:
        finding, passed = f"{error.message} {error.hint or ''}".strip(), False
    except Fault as error:
        finding, passed = str(error), False
    else:
        passed = True
    return Step(name, passed, finding)


def _gateway(client: Client) -> str:
    answer = client.get("/livez")
    if answer.status_code != 200:
        raise Fault(f"/livez answered with status {answer.status_code}. Is another program listening at {client.url}?")
    return "it answers"


def _readiness(client: Client) -> str:
    answer = client.get("/readyz")
    if answer.status_code != 200:
        reasons = "; ".join(answer.json().get("reasons", [])) or f"/readyz answered with status {answer.status_code}"
        raise Fault(f"not ready: {reasons}. See the logs in the data directory, under logs/.")
    return "Redis, the store and a worker are available"


def _model(client: Client) -> str:
    model = client.get("/v1/info").json()["model"]
    reason = f", because {model['reason']}" if model.get("reason") else ""
    return f"{model['name']}{reason}. {model.get('note') or ''}".rstrip()


def _confinement(client: Client) -> str:
    """No fault: an operator may know that all videos are harmless."""
    workers = client.get("/v1/info").json()["workers"]
    missing = sorted({sentence for worker in workers for sentence in worker.get("unconfined", [])})
    return " ".join(missing) or "untrusted videos are decoded without network, files and new processes"


def _first_question(client: Client, clip: Path) -> str:
    answer = client.classify(clip, TEST_LABELS)
    _check_answer(answer)
    times = answer.timings_ms.raw
    stages = ", ".join(f"{name} {times[name]:.0f} ms" for name in ("queue", "decode", "encode", "text", "score"))
    return f"{len(answer.frames)} frames were classified; {stages}"


def _second_question(client: Client, clip: Path) -> str:
    answer = client.classify(clip, TEST_LABELS[:2])
    _check_answer(answer)
    if answer.cache.video != "hit":
        raise Fault(
            "the same clip was decoded again. Check that the Redis at VIREO_REDIS_CACHE_URL answers and is not full."
        )
    return f"answered from cache in {answer.timings_ms.total:.0f} ms"


def _check_answer(answer: Classification) -> None:
    total = sum(row.score for row in answer.predictions)
    if abs(total - 1.0) > 1e-3:
        raise Fault(f"the scores add up to {total:.4f} instead of 1. The model's weights may be broken.")


def _bad_input(client: Client, path: Path) -> str:
    path.write_bytes(b"this is not a video")
    try:
        client.classify(path, TEST_LABELS)
    except VireoError as error:
        if error.code == "undecodable_video":
            return "it was refused with a clear message, as it should be"
        raise
    raise Fault("a text file was accepted as a video. Report this as a bug.")

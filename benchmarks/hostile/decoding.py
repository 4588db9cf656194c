"""Hostile files through the real decode path: the pool of a worker, with its confined children."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from core.errors import UndecodableVideo, VideoTooLarge, VireoError
from core.settings import Settings
from models.frames.sampling import Views
from models.profiles.profile import Profile
from worker.decoding.pool import DecodePool, DecodeTask

SLACK: Final = 5.0
"""Seconds beyond the deadline that a busy machine may need to end a child and say so."""

_PROFILE: Final = Profile("hostile", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 48, 48, ("{}",))


@dataclass(frozen=True, slots=True)
class Hostile:
    """One file to try. kind: of the damage."""

    index: int
    kind: str
    path: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """answer: "decoded", "decoded with warnings", or the reason of a refusal. status: of the answer over HTTP."""

    file: Hostile
    answer: str
    status: int
    seconds: float
    words: str

    def is_bad(self, deadline: float) -> bool:
        """Neither a refusal in words nor frames, or too late."""
        return self.status >= 500 or self.seconds > deadline + SLACK


class Arena:
    """A pool with the limits of a worker, and the most memory that its children have needed."""

    def __init__(self, folder: Path, *, processes: int = 2, deadline: float | None = None) -> None:
        settings = Settings(data_dir=folder, decode_processes=processes)
        if deadline is not None:
            settings = settings.model_copy(update={"decode_deadline": deadline})
        self.deadline, self.limit = settings.decode_deadline, settings.decode_memory
        self.peak = 0  # bytes in memory
        self._pool = DecodePool.from_settings(settings)

    def send(self, files: Iterable[Hostile], ahead: int = 4) -> Iterator[Outcome]:
        """The answers, in order. The files are deleted. ahead: how many files wait while one is decoded; their wait
        counts. 0: one after the other, so that the times are those of the decoding."""
        waiting: deque[tuple[Hostile, DecodeTask, float]] = deque()
        for file in files:
            task = self._pool.submit(file.path, profile=_PROFILE, views=Views(), frames=8)
            waiting.append((file, task, time.monotonic()))
            if len(waiting) > ahead:
                yield self._outcome(*waiting.popleft())
        while waiting:
            yield self._outcome(*waiting.popleft())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()

    def _outcome(self, file: Hostile, task: DecodeTask, sent: float) -> Outcome:
        try:
            warnings = task.result().report.warnings
            answer, status, words = "decoded with warnings" if warnings else "decoded", 200, "; ".join(warnings)
        except (UndecodableVideo, VideoTooLarge) as error:
            answer, status, words = str(error.details["reason"]), error.status, error.message
        except VireoError as error:
            answer, status, words = error.code, error.status, error.message
        seconds = time.monotonic() - sent
        self.peak = max([self.peak, *map(_peak_memory, self._pool.children)])
        file.path.unlink()
        return Outcome(file, answer, status, seconds, words)


def _peak_memory(pid: int) -> int:
    """Bytes; 0 for a process that is gone."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
    return 0

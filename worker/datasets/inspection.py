"""Checks whether each clip can be decoded and how long it lasts: the decode children decode a few frames of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.errors import UndecodableVideo, VideoTooLarge, VireoError
from models.frames.sampling import Views
from models.profiles.profile import Profile
from worker.datasets.archives.extraction import UnpackedFile
from worker.decoding.pool import DecodePool, DecodeTask
from worker.jobs.cancellation import CancelToken

FRAMES = 3  # at the beginning, at one third and at two thirds of the clip
PROFILE = Profile("inspection", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 64, 64, ("{}",))  # small: the pixels are not used


@dataclass(frozen=True, slots=True)
class InspectionResult:
    """seconds: duration. problem: (reason, sentence) where the clip cannot be used."""

    seconds: float = 0.0
    problem: tuple[str, str] | None = None


def inspect_clips(
    files: Sequence[UnpackedFile],
    decoders: DecodePool,
    ahead: int,
    token: CancelToken,
    report_progress: Callable[[int], None],
) -> dict[str, InspectionResult]:
    """Results by sha256. Each content is decoded once, at most `ahead` at a time.

    Raises: Cancelled, WorkerUnavailable.
    """
    unique = list({file.sha256: file for file in files}.values())
    running: deque[tuple[str, DecodeTask]] = deque()
    results: dict[str, InspectionResult] = {}

    def collect_first() -> None:
        sha256, decoding = running[0]
        results[sha256] = _result_of(decoding)
        running.popleft()
        report_progress(len(results))

    def cancel_all() -> None:
        for _, decoding in list(running):
            decoding.cancel()

    try:
        with token.on_cancel(cancel_all):
            for file in unique:
                if len(running) >= ahead:
                    collect_first()
                token.check()
                decoding = decoders.submit(file.location, profile=PROFILE, views=Views(), frames=FRAMES)
                running.append((file.sha256, decoding))
                token.check()  # a cancellation between the two lines has missed this task
            while running:
                collect_first()
    finally:
        cancel_all()
    return results


def _result_of(decoding: DecodeTask) -> InspectionResult:
    try:
        report = decoding.result().report
    except (UndecodableVideo, VideoTooLarge) as error:
        return InspectionResult(problem=(str(error.details.get("reason", error.code)), error.message))
    except VireoError as error:
        if type(error) is not VireoError:  # the clip is not the cause
            raise
        return InspectionResult(problem=("decoder_failed", "The decoder failed on these files."))
    return InspectionResult(seconds=report.info.duration)

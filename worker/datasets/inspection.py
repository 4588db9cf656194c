"""Whether each clip can be decoded, and how long it lasts: a few frames of each, in the decode children."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.errors import UndecodableVideo, VideoTooLarge, VireoError
from models.frames.sampling import Views
from models.profiles.profile import Profile
from worker.datasets.archives.extraction import Entry
from worker.decoding.pool import DecodePool, Decoding
from worker.jobs.cancellation import CancelToken

FRAMES = 3  # of the beginning, and of a third and two thirds of the way
PROFILE = Profile("inspection", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 64, 64, ("{}",))  # small: nobody looks at them


@dataclass(frozen=True, slots=True)
class Verdict:
    """seconds: duration. problem: (reason, sentence) where the clip cannot be used."""

    seconds: float = 0.0
    problem: tuple[str, str] | None = None


def inspect_clips(
    entries: Sequence[Entry], decoders: DecodePool, ahead: int, token: CancelToken, progress: Callable[[int], None]
) -> dict[str, Verdict]:
    """By content (sha256), each looked at once. At most `ahead` are under way. Raises: Cancelled, WorkerUnavailable."""
    unique = list({entry.sha256: entry for entry in entries}.values())
    under_way: deque[tuple[str, Decoding]] = deque()
    verdicts: dict[str, Verdict] = {}

    def settle() -> None:
        sha256, decoding = under_way[0]
        verdicts[sha256] = _verdict(decoding)
        under_way.popleft()
        progress(len(verdicts))

    def give_up() -> None:
        for _, decoding in list(under_way):
            decoding.cancel()

    try:
        with token.stopping(give_up):
            for entry in unique:
                if len(under_way) >= ahead:
                    settle()
                token.check()
                decoding = decoders.submit(entry.file, profile=PROFILE, views=Views(), frames=FRAMES)
                under_way.append((entry.sha256, decoding))
                token.check()  # tripped between the two, this one was not given up
            while under_way:
                settle()
    finally:
        give_up()
    return verdicts


def _verdict(decoding: Decoding) -> Verdict:
    try:
        report = decoding.result().report
    except (UndecodableVideo, VideoTooLarge) as error:
        return Verdict(problem=(str(error.details.get("reason", error.code)), error.message))
    except VireoError as error:
        if type(error) is not VireoError:  # not the clip's fault
            raise
        return Verdict(problem=("decoder_failed", "The decoder failed."))
    return Verdict(seconds=report.info.duration)

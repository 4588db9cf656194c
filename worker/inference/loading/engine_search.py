"""The program that searches the engine of a model: `python -m worker.inference.loading.engine_search`.

It gets an order on stdin.
It prints a sentence about each step, and why it failed as the last one. What it found is in the order's file.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.errors import UndecodableVideo, VideoTooLarge, VireoError
from core.processes import die_with_parent
from core.registry import Registry
from core.settings import Settings
from core.settings.machine import usable_cores
from core.storage import Store
from models.engines.agreement import LEAST_CLIPS
from models.engines.choice import Candidate, Choice, choice_file, model_folder, note_name
from models.engines.errors import EngineUnavailable
from models.engines.preparation import Preparation
from models.files.bases import resolve_auto
from models.frames.arrays import UInt8Array
from models.frames.sampling import Views
from models.profiles.profile import Profile
from models.weights.errors import WeightsUnavailable
from worker.decoding.pool import DecodePool
from worker.inference.loading.opening import ModelFiles

_LOWEST_PRIORITY = 19
_MOST_CLIPS = 500


class Order(BaseModel):
    """name: of the model on the shelf; None: the default model. clips: a folder of videos that the engines are checked
    on, instead of the clips at hand."""

    model_config = ConfigDict(frozen=True)

    name: str | None
    settings: Settings
    clips: Path | None = None


def main() -> int:
    die_with_parent()
    os.nice(_LOWEST_PRIORITY)  # questions go first
    order = Order.model_validate_json(sys.stdin.read())
    try:
        search(order)
    except (EngineUnavailable, WeightsUnavailable, VireoError) as error:
        _say(str(error))
        return 1
    return 0


def search(order: Order) -> None:
    """Raises: EngineUnavailable, WeightsUnavailable, VireoError."""
    settings = order.settings
    name = order.name or _default_model(settings)
    files = ModelFiles(settings, Registry(Store.from_settings(settings)), lambda _: None)
    recognizer = files.open(name)
    folder = model_folder(settings.data_dir, recognizer)
    note_name(folder, name)
    choice = Preparation(
        recognizer=recognizer,
        exact=partial(files.open, name, device="cpu", precision="fp32"),
        folder=folder,
        wanted=settings.engine,
        batch_frames=settings.batch_frames,
        cores=usable_cores(),
        say=_say,
        clips=_decoded(order.clips, recognizer.profile, settings) if order.clips else (),
    ).run()
    file = choice_file(folder, recognizer, settings.engine, usable_cores())
    part = file.with_suffix(f".{os.getpid()}")
    part.write_text(choice.model_dump_json(indent=1), encoding="utf-8")
    part.replace(file)
    for candidate in choice.candidates:
        _say(_in_words(candidate))
    _say(f"{name} is served by the engine {choice.engine} ({choice.precision}): {_plan_in_words(choice)}")


def _default_model(settings: Settings) -> str:
    return resolve_auto(settings.data_dir, settings.weights)[0] if settings.model == "auto" else settings.model


def _decoded(folder: Path, profile: Profile, settings: Settings) -> tuple[UInt8Array, ...]:
    """The videos of the folder and those below it as clips, uint8 [T, S, S, 3]. Raises: EngineUnavailable."""
    videos = sorted(path for path in folder.rglob("*") if path.is_file())[:_MOST_CLIPS]
    clips = []
    with DecodePool.from_settings(settings) as pool:
        for task in [pool.submit(path, profile=profile, views=Views(), frames=profile.frames) for path in videos]:
            with suppress(UndecodableVideo, VideoTooLarge):  # it may be no video
                clips.append(task.result().frames[0])
    if len(clips) < LEAST_CLIPS:
        raise EngineUnavailable(f"{folder} has {len(clips)} videos that can be decoded; {LEAST_CLIPS} are needed")
    return tuple(clips)


def _in_words(candidate: Candidate) -> str:
    cost = f"{candidate.ms_per_frame} ms of CPU time per frame" if candidate.ms_per_frame else "not measured"
    checked = candidate.problem or candidate.agreement
    return f"{candidate.engine} ({candidate.precision}): {cost}{f'; {checked}' if checked else ''}"


def _plan_in_words(choice: Choice) -> str:
    return (
        f"{choice.lanes} forward passes at a time, {choice.threads} threads and at most {choice.batch} frames in each"
    )


def _say(sentence: str) -> None:
    print(sentence, flush=True)  # noqa: T201 -- the worker reads it


if __name__ == "__main__":
    sys.exit(main())

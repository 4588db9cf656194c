"""The timeline of a question: how similar each label is to what each window shows, and the segments of the labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from core.questions import Question, TimelineOptions
from core.records import LabelTimeline, Segment
from models.frames.arrays import FloatArray
from models.recognition.scoring import similarities
from models.recognition.segments import Run, find_segments, softmax
from worker.inference.loading.shelf import Loaded
from worker.inference.runtime import Runtime
from worker.inference.stopwatch import Stopwatch
from worker.inference.windows.grid import check_size, choose_spacing, count_points
from worker.inference.windows.vectors import StoredVideo, window_vectors
from worker.jobs.cancellation import CancelToken

ONE_LABEL = (
    "A timeline of one label has no segments: nothing competes with it. Add a label for what else is to be seen."
)


@dataclass(frozen=True, slots=True)
class MadeTimeline:
    timeline: LabelTimeline
    cached: bool  # whether the vectors were
    warnings: tuple[str, ...]


def make_timeline(
    runtime: Runtime,
    loaded: Loaded,
    video: StoredVideo,
    question: Question,
    matrix: torch.Tensor,
    token: CancelToken,
    watch: Stopwatch,
) -> MadeTimeline:
    """matrix: [C, d], the unit rows of the question's labels. Raises: InvalidRequest for too many points, and what
    `window_vectors` raises."""
    options = question.timeline or TimelineOptions()
    duration, limits = video.facts.duration, runtime.timeline
    spacing = choose_spacing(options.stride, options.window, duration, limits)
    check_size(count_points(duration, spacing.stride), len(question.labels), duration, limits)
    vectors, cached = window_vectors(runtime, loaded, video, spacing, token, watch)
    with watch.stage("score"):
        recognizer = loaded.recognizer
        cosines: FloatArray = similarities(vectors.features[0], matrix, recognizer.profile.fusion).numpy()  # [N, C]
        names = [label.name for label in question.labels]
        runs = find_segments(softmax(cosines, recognizer.logit_scale), options.enter, options.leave)
        timeline = LabelTimeline(
            stride=spacing.stride,
            window=spacing.window,
            timestamps=list(vectors.timestamps),
            similarities={
                name: [round(value, 4) for value in column]
                for name, column in zip(names, cosines.T.tolist(), strict=True)
            },
            segments=_segments(runs, cosines, names, spacing.stride, duration),
            enter=options.enter,
            leave=options.leave,
        )
    return MadeTimeline(timeline, cached, (*vectors.warnings, *([ONE_LABEL] if len(names) == 1 else [])))


def _segments(runs: list[Run], cosines: FloatArray, names: list[str], stride: float, duration: float) -> list[Segment]:
    found = []
    for run in runs:
        values = cosines[run.first : run.last + 1, run.label]
        last = run.last == len(cosines) - 1
        found.append(
            Segment(
                label=names[run.label],
                start=round(run.first * stride, 3),
                end=round(duration if last else (run.last + 1) * stride, 3),
                peak=round(float(values.max()), 6),
                mean=round(float(values.mean()), 6),
            )
        )
    return found

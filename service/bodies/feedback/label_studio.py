"""Feedback as tasks of Label Studio: the choice about a whole video, and the labels of its timeline.

A labelling configuration that shows both (docs/feedback.md) has a `Video` named `video`, `Choices` named `label` and
`TimelineLabels` named `parts`. An import goes by the types of the results, whatever their names.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from core.errors import InvalidRequest
from core.feedback.record import Feedback
from core.records import StoredVideo
from service.bodies.feedback.rows import MOST_TASKS, Frames, ImportedFile, ImportRow, Unreadable, check_size

DEFAULT_FPS: Final = 24.0  # Label Studio's own where a task names none

_VIDEO = re.compile(r"vid_[0-9a-f]{64}")


def frames_of(start: float, end: float, fps: float) -> tuple[int, int]:
    """The span in frames, counted from 1, both included."""
    first = math.floor(start * fps + 0.5) + 1
    return first, max(first, math.floor(end * fps + 0.5))


def seconds_of(frames: Frames, fps: float) -> tuple[float, float]:
    """The span in seconds."""
    return round((frames.first - 1) / fps, 3), round(frames.last / fps, 3)


def write_tasks(feedback: Iterable[Feedback], videos: Mapping[str, StoredVideo], server: str) -> list[dict[str, Any]]:
    """A task per video. videos: the stored ones by id; server: the URL at which a browser reaches this server."""
    groups: dict[str, list[Feedback]] = defaultdict(list)
    for each in feedback:
        groups[each.video].append(each)
    return [_task(name, about, videos.get(name), server) for name, about in groups.items()]


def _task(name: str, about: Sequence[Feedback], video: StoredVideo | None, server: str) -> dict[str, Any]:
    fps = (video.facts.fps if video and video.facts else None) or DEFAULT_FPS
    whole = next((each for each in about if each.start is None), None)
    data: dict[str, Any] = {
        "video": (video.metadata.get("url") if video else None) or f"{server}/v1/videos/{name}/content",
        "video_id": name,
        "fps": fps,
    }
    predictions: list[dict[str, Any]] = []
    if whole:
        data |= {"predicted": whole.predicted, "model": whole.model, "job": whole.job}
    if whole and whole.predicted is not None:
        predictions = [{"model_version": whole.model, "result": [_choice("predicted", whole.predicted)]}]
    result = [_region(each, fps) for each in about]
    return {"data": data, "annotations": [{"result": result}], "predictions": predictions}


def _region(said: Feedback, fps: float) -> dict[str, Any]:
    if said.start is None or said.end is None:
        return _choice(said.id, said.label)
    first, last = frames_of(said.start, said.end, fps)
    value = {"ranges": [{"start": first, "end": last}], "timelinelabels": [said.label]}
    return {"id": said.id, "from_name": "parts", "to_name": "video", "type": "timelinelabels", "value": value}


def _choice(name: str, label: str) -> dict[str, Any]:
    value = {"choices": [label]}
    return {"id": name, "from_name": "label", "to_name": "video", "type": "choices", "value": value}


def read_tasks(tasks: Any) -> ImportedFile:
    """tasks: the JSON of an export. Raises: InvalidRequest."""
    if not isinstance(tasks, list):
        raise InvalidRequest(
            "The body must be a JSON array of Label Studio tasks.", hint="Export the project in the format JSON."
        )
    check_size(len(tasks), MOST_TASKS)
    rows: list[ImportRow | Unreadable] = []
    skipped = 0
    for number, task in enumerate(tasks, 1):
        found = list(_of_task(f"task {number}", task))
        rows += found
        skipped += not found
    return ImportedFile(tuple(rows), skipped)


def _of_task(where: str, task: Any) -> Iterator[ImportRow | Unreadable]:
    """Nothing for a task without an annotation."""
    if not isinstance(task, dict):
        yield Unreadable(where, "A task is a JSON object.")
        return
    results = _results(task.get("annotations"))
    if not results:
        return
    data = task.get("data")
    data = data if isinstance(data, dict) else {}
    video = _video(data)
    if video is None:
        yield Unreadable(where, "No text in data has the id of a stored video, vid_ and 64 hexadecimal digits.")
        return
    for result in results:
        yield from _of_result(where, result, video, data)


def _results(annotations: Any) -> list[dict[str, Any]]:
    """Those of the latest annotation that was not cancelled."""
    listed = annotations if isinstance(annotations, list) else []
    valid = [each for each in listed if isinstance(each, dict) and not each.get("was_cancelled")]
    if not valid:
        return []
    latest = max(valid, key=lambda each: str(each.get("updated_at") or each.get("created_at") or ""))
    found = latest.get("result")
    results = found if isinstance(found, list) else []
    return [each for each in results if isinstance(each, dict) and each.get("type") in ("choices", "timelinelabels")]


def _video(data: Mapping[str, Any]) -> str | None:
    texts = [data.get("video_id"), *data.values()]
    return next((match[0] for text in texts if isinstance(text, str) and (match := _VIDEO.search(text))), None)


def _of_result(
    where: str, result: Mapping[str, Any], video: str, data: Mapping[str, Any]
) -> Iterator[ImportRow | Unreadable]:
    value = result.get("value")
    value = value if isinstance(value, dict) else {}
    labels = value.get(str(result["type"]))
    if not isinstance(labels, list) or len(labels) != 1:
        count = len(labels) if isinstance(labels, list) else "no"
        yield Unreadable(where, f"A result has {count} labels; exactly one can be used.")
        return
    fields: dict[str, Any] = {"video": video, "label": labels[0]}
    if result["type"] == "choices":
        known = {name: data[name] for name in ("predicted", "model", "job") if data.get(name) is not None}
        yield ImportRow(where, fields | known)
        return
    ranges = value.get("ranges")
    fps = _positive(data.get("fps"))
    for each in ranges if isinstance(ranges, list) else []:
        first, last = (_whole(each.get(name)) if isinstance(each, dict) else None for name in ("start", "end"))
        if first is None or last is None or not 1 <= first <= last:
            yield Unreadable(where, "A range of the timeline has no start and end in frames, counted from 1.")
        else:
            yield ImportRow(where, fields, Frames(first, last, fps, str(result.get("id", ""))))


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 < value < 1e6 else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 else None

"""What is read of files that other programs wrote."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bodies.feedback.label_studio import frames_of, read_tasks, seconds_of
from service.bodies.feedback.rows import Frames, ImportRow, Unreadable
from service.bodies.feedback.table import read_table

VIDEO = "vid_" + "a" * 64


def choices(*labels: str, **fields: Any) -> dict[str, Any]:
    return {"result": [{"type": "choices", "value": {"choices": list(labels)}}]} | fields


def task(*annotations: Any, **data: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "data": data or {"video": f"https://example.org/{VIDEO}.mp4?x=1"},
        "annotations": list(annotations),
    }


def test_the_latest_annotation_counts() -> None:
    first, last = choices("a cat", updated_at="2026-01-01"), choices("a dog", updated_at="2026-01-02")
    cancelled = choices("a horse", updated_at="2026-01-03", was_cancelled=True)
    found = read_tasks([task(last, cancelled, first)])
    assert found.rows == (ImportRow("task 1", {"video": VIDEO, "label": "a dog"}),)


def test_tasks_without_an_annotation_are_skipped() -> None:
    found = read_tasks([task(), task(choices("a", was_cancelled=True)), task({"result": []}), {"data": 5}])
    assert (found.rows, found.skipped) == ((), 4)


@pytest.mark.parametrize(
    "broken",
    [
        "x",
        task(choices("a"), video="clip.mp4"),
        task(choices("a", "b")),
        task(choices()),
        task({"result": [{"type": "choices"}]}),
        task({"result": [{"type": "timelinelabels", "value": {"timelinelabels": ["a"], "ranges": [{"start": 0}]}}]}),
    ],
)
def test_a_task_that_cannot_be_used_says_so(broken: Any) -> None:
    found = read_tasks([broken, task(choices("a cat"))])
    assert [type(row) for row in found.rows] == [Unreadable, ImportRow]
    assert found.rows[0].where == "task 1"


def test_a_timeline_has_frames() -> None:
    value = {"timelinelabels": ["a cat"], "ranges": [{"start": 1, "end": 25}]}
    region = {"id": "fb_1", "type": "timelinelabels", "value": value}
    found = read_tasks([task({"result": [region]}, video_id=VIDEO, fps=12.5)])
    assert found.rows == (ImportRow("task 1", {"video": VIDEO, "label": "a cat"}, Frames(1, 25, 12.5, "fb_1")),)


@given(st.floats(0, 1e5), st.floats(0.5, 1e4), st.floats(5, 120))
def test_a_span_in_frames_is_the_span_to_half_a_frame(start: float, length: float, fps: float) -> None:
    first, last = frames_of(start, start + length, fps)
    again = seconds_of(Frames(first, last, fps, ""), fps)
    assert again == pytest.approx((start, start + length), abs=0.5 / fps + 0.002)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["data", "annotations", "result", "type", "value", "choices", "video"]), x
            )
        ),
    )
)
def test_any_json_is_read_or_refused(value: Any) -> None:
    read_tasks([value])


def test_a_table_of_a_spreadsheet_is_read() -> None:
    text = f'\ufeffVideo, Label ,notes\r\n{VIDEO},"a cat, black",x\r\n\r\n{VIDEO},a dog,\r\n'
    found = read_table(text.encode())
    assert found.rows == (
        ImportRow("line 2", {"video": VIDEO, "label": "a cat, black"}),
        ImportRow("line 4", {"video": VIDEO, "label": "a dog"}),
    )

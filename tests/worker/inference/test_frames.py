"""The frames that a model looks at, as one picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UnknownVideo
from core.records import FrameSheet
from tests.clips import rendered
from tests.worker.inference.test_handlers import classify, job, keep
from worker.inference.explanation.frames import COLUMNS, TILE, answer_frames, draw_tiles
from worker.inference.runtime import Runtime
from worker.jobs.cancellation import CancelToken


def test_the_frames_of_a_question_are_shown(runtime: Runtime, tmp_path: Path) -> None:
    video = keep(runtime, tmp_path, rendered("h264", tmp_path).read_bytes())
    pictures: dict[str, bytes] = {}
    request = {"sha256": video, "model": None, "frames": None}
    found = answer_frames(runtime, job("frames", request), CancelToken(), pictures.__setitem__)
    answer = FrameSheet.model_validate(found)
    assert answer.frames == classify(runtime, video, ["a", "b"])["frames"]
    assert answer.url == f"/v1/jobs/{answer.id}/files/frames.jpg"
    picture = Image.open(io.BytesIO(pictures["frames.jpg"]))
    assert (picture.format, picture.size) == ("JPEG", (answer.width, answer.height))
    assert picture.size == (len(answer.frames) * TILE, TILE)
    assert answer.video.duration > 0


def test_a_video_that_has_expired_has_no_frames(runtime: Runtime) -> None:
    request = {"sha256": "0" * 64, "model": None, "frames": None}
    with pytest.raises(UnknownVideo):
        answer_frames(runtime, job("frames", request), CancelToken(), lambda *_: None)


def test_tiles_stand_in_rows_in_the_order_of_the_frames() -> None:
    frames = np.arange(COLUMNS + 2, dtype=np.uint8)[:, None, None, None] * np.full((1, 8, 8, 3), 10, np.uint8)
    picture = np.asarray(draw_tiles(frames))
    assert picture.shape == (2 * TILE, COLUMNS * TILE, 3)
    for number in range(COLUMNS + 2):
        row, column = divmod(number, COLUMNS)
        tile = picture[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
        assert (tile == 10 * number).all()
    assert (picture[TILE:, 2 * TILE :] == 0).all()

"""The timeline of a question: its numbers computed here a second time, its cache, and what can go wrong."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from redis import Redis
from torch.nn.functional import normalize

from core.errors import Cancelled, InvalidRequest, VideoGone
from core.logs.belonging import JOB_ID
from core.storage import blob_key
from models.frames.sampling import Views
from models.recognition.recognizer import Recognizer
from models.recognition.segments import Run
from tests.clips import SPECS, render, truncate
from tests.worker.inference.conftest import TextTower
from tests.worker.inference.test_handlers import classify, keep
from worker.decoding.pool import DecodePool, DecodeTask
from worker.inference.loading import opening
from worker.inference.runtime import Runtime
from worker.inference.stopwatch import Stopwatch
from worker.inference.windows import vectors
from worker.inference.windows.timeline import ONE_LABEL, _segments
from worker.jobs.cancellation import CancelToken

LABELS = ["running", "boxing", "a cat"]
SPEC = replace(SPECS["h264_bframes"], frames=200, fps=25)  # 8 s
STRIDE: dict[str, Any] = {"stride": 0.5, "window": 1.0}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return render(tmp_path_factory.mktemp("clip") / "clip.mp4", SPEC).read_bytes()


@pytest.fixture
def video(runtime: Runtime, tmp_path: Path, clip: bytes) -> str:
    return keep(runtime, tmp_path, clip)


def ask(runtime: Runtime, video: str, labels: list[str] = LABELS, **options: Any) -> dict[str, Any]:
    return classify(runtime, video, labels, timeline=options)


def matrix(runtime: Runtime, recognizer: Recognizer) -> torch.Tensor:
    """[C, d]"""
    return torch.cat([normalize(recognizer.encode_texts([f"a video of {label}."])[0], dim=-1) for label in LABELS])


def frames_at(runtime: Runtime, video: str, recognizer: Recognizer, times: list[float]) -> np.ndarray[Any, Any]:
    """uint8 [T, S, S, 3]"""
    path = runtime.store.local_file(blob_key(video)).__enter__()
    task = runtime.decoders.submit(
        path, profile=recognizer.profile, views=Views(), frames=len(times), times=tuple(times)
    )
    frames: np.ndarray[Any, Any] = task.result().frames[0]
    return frames


def test_similarities_are_cosines_of_what_each_window_shows(runtime: Runtime, video: str, tiny: Recognizer) -> None:
    timeline = ask(runtime, video, **STRIDE)["timeline"]
    assert timeline["timestamps"] == [0.25 + 0.5 * point for point in range(16)]
    assert (timeline["stride"], timeline["window"]) == (0.5, 1.0)
    shown = frames_at(runtime, video, tiny, [1.0, 1.5])  # window 2: 0.75 … 1.75, one frame per stride
    seen = normalize(tiny.encode_frames(shown).mean(dim=0), dim=0)  # [d]
    expected = matrix(runtime, tiny) @ seen  # [C]
    found = [timeline["similarities"][label][2] for label in LABELS]
    assert found == pytest.approx(expected.tolist(), abs=2e-4)


def test_a_short_video_has_eight_points_and_the_settings_decide_the_rest(runtime: Runtime, video: str) -> None:
    timeline = ask(runtime, video)["timeline"]
    assert (timeline["stride"], timeline["window"], len(timeline["timestamps"])) == (1.0, 1.0, 8)


@pytest.mark.parametrize("mixes_time", [False, True])
def test_piece_by_piece_gives_what_one_piece_gives(
    runtime: Runtime,
    video: str,
    tiny: Recognizer,
    texts: TextTower,
    mixes_time: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An hour is decoded in many pieces, so no piece may be larger than the limit, and their seams may not show."""
    own = replace(tiny, text_tower=texts, mixes_time=mixes_time, reads="neighbours" if mixes_time else "frame")
    monkeypatch.setattr(opening, "load_model", lambda *_, **__: own)
    asked: list[int] = []
    submit = DecodePool.submit

    def counted(*args: Any, **kwargs: Any) -> DecodeTask:
        asked.append(kwargs["frames"])
        return submit(*args, **kwargs)

    monkeypatch.setattr(DecodePool, "submit", counted)
    whole = ask(runtime, video, **STRIDE)["timeline"]
    flush(runtime)
    asked.clear()
    monkeypatch.setattr(vectors, "PIECE", 20 if mixes_time else 5)
    cut = ask(runtime, video, **STRIDE)
    assert cut["cache"]["timeline"] == "miss"
    assert len(asked[1:]) >= 4  # the first one is the question's own
    assert max(asked[1:]) <= vectors.PIECE
    assert cut["timeline"]["segments"] == whole["segments"]
    for label in LABELS:
        assert cut["timeline"]["similarities"][label] == pytest.approx(whole["similarities"][label], abs=2e-4)


def test_a_tower_that_mixes_time_gets_whole_windows_of_its_own_length(
    runtime: Runtime, video: str, tiny: Recognizer, texts: TextTower, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[tuple[int, int]] = []
    tower = tiny.image_tower

    def spied(pixels: torch.Tensor, clip: int) -> torch.Tensor:
        lengths.append((len(pixels), clip))
        return tower(pixels, clip)

    own = replace(tiny, text_tower=texts, image_tower=spied, mixes_time=True, reads="neighbours")
    monkeypatch.setattr(opening, "load_model", lambda *_, **__: own)
    ask(runtime, video, **STRIDE)
    assert {clip for _, clip in lengths} == {tiny.profile.frames}
    assert sum(count for count, _ in lengths) == (1 + 16) * tiny.profile.frames  # the question, and 16 windows


def flush(runtime: Runtime) -> None:
    """All caches of vectors, in this process and in Redis, are lost."""
    client: Redis = runtime.videos._remote._redis
    for key in client.scan_iter("vireo:cache:*"):
        client.delete(key)
    runtime.videos._memory.__init__(1 << 20)  # type: ignore[misc]


def test_asked_again_with_other_labels_nothing_is_decoded(
    runtime: Runtime, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(runtime, video, **STRIDE)
    monkeypatch.setattr(DecodePool, "submit", lambda *_, **__: pytest.fail("decoded again"))
    runtime.store.delete(blob_key(video))  # the bytes are not needed either
    again = ask(runtime, video, ["a dog", "running"], **STRIDE, enter=0.6)
    assert (first["cache"]["timeline"], again["cache"]["timeline"]) == ("miss", "hit")
    assert again["timings_ms"]["decode"] == again["timings_ms"]["encode"] == 0.0
    assert again["timeline"]["similarities"]["running"] == first["timeline"]["similarities"]["running"]


def test_stride_and_window_are_part_of_the_key(runtime: Runtime, video: str) -> None:
    ask(runtime, video, **STRIDE)
    assert ask(runtime, video, stride=0.5, window=2.0)["cache"]["timeline"] == "miss"
    assert ask(runtime, video, stride=1.0, window=1.0)["cache"]["timeline"] == "miss"
    assert ask(runtime, video, **STRIDE)["cache"]["timeline"] == "hit"


def test_a_question_without_a_timeline_has_none(runtime: Runtime, video: str) -> None:
    answer = classify(runtime, video, LABELS)
    assert "timeline" not in answer
    assert "timeline" not in answer["cache"]


def test_vectors_that_are_gone_are_made_again_while_the_bytes_are_there(runtime: Runtime, video: str) -> None:
    first = ask(runtime, video, **STRIDE)
    flush(runtime)
    again = ask(runtime, video, **STRIDE)
    assert again["cache"]["timeline"] == "miss"
    assert again["timeline"] == first["timeline"]


@pytest.mark.parametrize("lost", ["everything", "the windows"])
def test_a_video_without_vectors_and_bytes_is_gone(
    runtime: Runtime, video: str, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lost == "the windows":
        classify(runtime, video, LABELS)  # its own features are cached
    runtime.store.delete(blob_key(video))
    with pytest.raises(VideoGone, match="no longer"):
        ask(runtime, video, **STRIDE)


def test_too_many_points_name_the_stride_that_fits(runtime: Runtime, video: str) -> None:
    runtime.timeline = replace(runtime.timeline, points=20)
    with pytest.raises(InvalidRequest, match="40 points") as refused:
        ask(runtime, video, stride=0.2)
    fitting = ask(runtime, video, stride=refused.value.details["stride"])["timeline"]
    assert len(fitting["timestamps"]) == 20


def test_one_label_has_similarities_but_no_segments_and_the_answer_says_why(runtime: Runtime, video: str) -> None:
    answer = ask(runtime, video, ["running"])
    assert answer["timeline"]["segments"] == []
    assert len(answer["timeline"]["similarities"]["running"]) == 8
    assert ONE_LABEL in answer["warnings"]


def test_segments_have_the_similarities_of_their_points(runtime: Runtime, video: str) -> None:
    timeline = ask(runtime, video, stride=0.5, enter=0.34, leave=0.0)["timeline"]
    assert timeline["segments"]
    for segment in timeline["segments"]:
        inside = [
            value
            for at, value in zip(timeline["timestamps"], timeline["similarities"][segment["label"]], strict=True)
            if segment["start"] < at < segment["end"]
        ]
        assert segment["peak"] == pytest.approx(max(inside), abs=1e-4)
        assert segment["mean"] == pytest.approx(np.mean(inside), abs=1e-4)
    assert timeline["segments"][0]["start"] == 0.0
    assert timeline["segments"][-1]["end"] == pytest.approx(8.0)


def test_a_segment_reaches_to_the_edges_of_its_cells_and_the_last_one_to_the_end() -> None:
    cosines = np.array([[0.1, 0.2], [0.3, 0.1], [0.4, 0.1], [0.0, 0.5], [0.0, 0.3]])
    first, second = _segments([Run(0, 1, 2), Run(1, 3, 4)], cosines, ["a", "b"], stride=0.5, duration=2.7)
    assert (first.label, first.start, first.end, first.peak, first.mean) == ("a", 0.5, 1.5, 0.4, 0.35)
    assert (second.label, second.start, second.end, second.peak, second.mean) == ("b", 1.5, 2.7, 0.5, 0.4)


def test_it_is_cancelled_between_two_pieces(runtime: Runtime, video: str, monkeypatch: pytest.MonkeyPatch) -> None:
    classify(runtime, video, LABELS)
    monkeypatch.setattr(vectors, "PIECE", 2)
    token, began, go_on = CancelToken(), threading.Event(), threading.Event()
    pieces: list[int] = []
    encode = vectors._encode

    def held(*args: Any) -> torch.Tensor:
        pieces.append(1)
        began.set()
        assert go_on.wait(20)
        return encode(*args)

    monkeypatch.setattr(vectors, "_encode", held)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(classify, runtime, video, LABELS, token, timeline=STRIDE)
        assert began.wait(20)
        token.cancel()
        with pytest.raises(Cancelled):
            asked.result(20)
        go_on.set()
    assert len(pieces) == 1


def test_the_end_of_a_truncated_file_is_the_end_of_its_timeline(runtime: Runtime, tmp_path: Path, clip: bytes) -> None:
    path = render(tmp_path / "long.ts", replace(SPECS["h264_ts"], frames=200))
    cut = truncate(path, 0.5, tmp_path / "cut.ts")
    video = keep(runtime, tmp_path, cut.read_bytes())
    answer = ask(runtime, video, **STRIDE)
    duration = answer["video"]["duration"]
    assert 2 < duration < 6
    assert answer["timeline"]["timestamps"][-1] < duration


def test_log_lines_of_pieces_that_are_decoded_ahead_belong_to_the_job() -> None:
    seen: list[str | None] = []

    def decode(_piece: Any) -> Any:
        seen.append(JOB_ID.get())

    token = JOB_ID.set("job_1")
    try:
        list(vectors._ahead([np.array([[0]]), np.array([[1]])], decode, Stopwatch(0.0, observed=False)))
    finally:
        JOB_ID.reset(token)
    assert seen == ["job_1", "job_1"]

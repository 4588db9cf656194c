"""Explanations, computed here a second time from the towers."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import Cancelled, InvalidLabels, UnknownVideo
from core.records import Explanation
from models.frames.sampling import Views
from models.recognition.recognizer import Recognizer
from tests.clips import rendered
from tests.models.conftest import clips, resnet_base, tiny_base
from tests.worker.inference.conftest import TextTower
from tests.worker.inference.test_handlers import classify, job, keep
from worker.inference.explanation.answer import answer_explain
from worker.inference.explanation.sheet import CELL, COLUMNS, MOST_FRAMES, TILE, Tile, draw_sheet, shown_places
from worker.inference.loading import opening
from worker.inference.runtime import Runtime
from worker.jobs.cancellation import CancelToken

LABELS = ["running", "boxing", "a cat"]

Explain = Callable[..., tuple[dict[str, Any], dict[str, bytes]]]


@pytest.fixture
def video(runtime: Runtime, tmp_path: Path) -> str:
    return keep(runtime, tmp_path, rendered("h264", tmp_path).read_bytes())


@pytest.fixture
def explain(runtime: Runtime, video: str) -> Explain:
    """Returns the answer, and the pictures that it put beside the job."""

    def explained(
        label: str | None = None, token: CancelToken | None = None, sha256: str = video, **options: Any
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        question = {"labels": [{"name": name} for name in LABELS], **options}
        request = {"sha256": sha256, "question": question, "label": label}
        pictures: dict[str, bytes] = {}
        found = answer_explain(runtime, job("explanation", request), token or CancelToken(), pictures.__setitem__)
        Explanation.model_validate(found)
        return found, pictures

    return explained


def serving(recognizer: Recognizer, texts: TextTower, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "load_model", lambda *_, **__: replace(recognizer, text_tower=texts))


def test_the_winning_label_is_taken_apart(runtime: Runtime, explain: Explain, video: str) -> None:
    asked = classify(runtime, video, LABELS)
    answer, _ = explain()
    best = asked["predictions"][0]
    assert answer["predictions"] == asked["predictions"]
    assert {name: answer[name] for name in ("label", "score", "similarity")} | {"confidence": None} == best
    assert [frame["time"] for frame in answer["frames"]] == asked["frames"]
    assert sum(frame["contribution"] for frame in answer["frames"]) == pytest.approx(best["similarity"], abs=1e-5)
    assert len({frame["contribution"] for frame in answer["frames"]}) > 1
    assert answer["reads"] == "frame"


def test_any_label_of_the_question_can_be_explained(explain: Explain) -> None:
    for label in LABELS:
        answer, _ = explain(label, frames=4)
        (own,) = [each for each in answer["predictions"] if each["label"] == label]
        assert (answer["label"], answer["similarity"]) == (label, own["similarity"])
        assert sum(frame["contribution"] for frame in answer["frames"]) == pytest.approx(own["similarity"], abs=1e-5)
        assert len(answer["frames"]) == 4
    with pytest.raises(InvalidLabels, match="not one of the labels"):
        explain("swimming")


def test_the_sheet_shows_each_frame_and_where_the_tower_looks(
    runtime: Runtime, tiny: Recognizer, explain: Explain, video: str
) -> None:
    answer, pictures = explain()
    sheet = answer["sheet"]
    assert sheet["url"] == "/v1/jobs/job_1/files/attention.png"
    assert sheet["frames"] == list(range(8))
    assert answer["sheet_note"] is None
    with Image.open(io.BytesIO(pictures["attention.png"])) as picture:
        assert picture.size == (sheet["width"], sheet["height"]) == (8 * CELL[0], CELL[1])
    with runtime.store.local_file(f"blobs/{video}") as path:
        decoding = runtime.decoders.submit(path, profile=tiny.profile, views=Views(), frames=8)
        clip = decoding.result()
    maps = tiny.attend(clip.frames[0]).numpy()
    times, shares = clip.report.timestamps[0], [frame["contribution"] for frame in answer["frames"]]
    tiles = [Tile(*each) for each in zip(clip.frames[0], maps, times, shares, strict=True)]
    assert np.array_equal(pixels(draw_sheet(tiles).png), pixels(pictures["attention.png"]))


def pixels(png: bytes) -> Any:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture)


def test_a_tower_without_attention_is_explained_without_a_sheet(
    tiny: Recognizer, texts: TextTower, explain: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving(replace(tiny, attention=None), texts, monkeypatch)
    answer, pictures = explain()
    assert (answer["sheet"], pictures) == (None, {})
    assert "no attention to draw" in answer["sheet_note"]
    assert sum(frame["contribution"] for frame in answer["frames"]) == pytest.approx(answer["similarity"], abs=1e-5)


@pytest.mark.parametrize(
    ("make", "kind", "reads"),
    [(tiny_base, "transformer", "clip"), (tiny_base, "token_conv", "neighbours"), (resnet_base, "conv", "neighbours")],
)
def test_heads_that_mix_time_say_what_their_contributions_have_seen(
    make: Any, kind: Any, reads: str, texts: TextTower, explain: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make()
    model = base.video_model(kind)
    served = replace(base, tower=model.tower, temporal=model.temporal, temporal_kind=kind)
    recognizer = served.recognizer(torch.device("cpu"), torch.float32)
    serving(recognizer, texts, monkeypatch)
    answer, pictures = explain()
    assert answer["reads"] == reads
    assert sum(frame["contribution"] for frame in answer["frames"]) == pytest.approx(answer["similarity"], abs=1e-5)
    assert pictures


def test_what_cannot_be_explained(explain: Explain) -> None:
    with pytest.raises(UnknownVideo):
        explain(sha256="0" * 64)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        explain(token=token)


def tiles(count: int) -> list[Tile]:
    drawn = np.random.default_rng(0)
    frames = drawn.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    maps = clips(1, 1, 4).abs().numpy()[0, 0, :1].repeat(count, axis=0)
    return [Tile(frames[at], maps[at], at / 4, 0.01 * at) for at in range(count)]


def test_a_sheet_is_bounded_and_of_many_frames_shows_some() -> None:
    for count in (1, 8, 9, 100):
        places = shown_places(count)
        picture = draw_sheet(tiles(len(places)))
        assert len(places) == len(set(places)) == min(count, MOST_FRAMES)
        assert (places[0], places[-1]) == (0, count - 1)
        assert picture.width <= 1288
        assert picture.height <= 1392
        assert picture.width == min(len(places), COLUMNS) * CELL[0]
        assert len(picture.png) < 4 << 20


def test_attention_is_drawn_where_it_is() -> None:
    """A grey frame with attention in its first quarter only: red there, grey elsewhere; above it the bare frame."""
    grey = np.full((32, 32, 3), 128, np.uint8)
    looked = np.zeros((4, 4), np.float32)
    looked[:2, :2] = 0.25
    sheet = pixels(draw_sheet([Tile(grey, looked, 0.0, 0.0)]).png)
    bare, covered = sheet[:TILE, :TILE], sheet[TILE + 1 : 2 * TILE + 1, :TILE]
    assert (bare == 128).all()
    red = covered[20, 20].astype(int)
    assert red[0] > red[1] + 80
    assert (covered[-20, -20] == 128).all()


def test_the_attention_of_a_stored_tower_is_asked_in_batches(
    runtime: Runtime, tiny: Recognizer, texts: TextTower, explain: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most `VIREO_BATCH_FRAMES` frames in one pass, like all frames."""
    passes: list[int] = []
    tower = tiny.attention
    assert tower

    def counted(pixels: torch.Tensor, clip: int) -> torch.Tensor:
        passes.append(len(pixels))
        return tower(pixels, clip)

    smaller = runtime.shelf._settings.model_copy(update={"batch_frames": 3})
    monkeypatch.setattr(runtime.shelf, "_settings", smaller)
    serving(replace(tiny, attention=counted), texts, monkeypatch)
    explain()
    assert sorted(passes) == [2, 3, 3]

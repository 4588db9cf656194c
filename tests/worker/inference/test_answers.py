"""What each option of a question does to its answer, computed here a second time from the towers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from prometheus_client import REGISTRY
from torch.nn.functional import normalize

from core.errors import InvalidLabels, InvalidRequest, UndecodableVideo, UnknownVideo
from core.prometheus import codec_label
from core.state import keys
from models.frames.arrays import UInt8Array
from models.frames.sampling import Views
from models.profiles.profile import Profile
from models.recognition.recognizer import Recognizer
from models.recognition.scoring import score
from tests.clips import SPECS, rendered
from tests.worker.inference.conftest import TextTower
from tests.worker.inference.test_handlers import classify, embed, job, keep
from worker.decoding.pool import DecodePool
from worker.inference.handlers import answer_classify, answer_embed
from worker.inference.loading import opening
from worker.inference.loading.shelf import LITE_NOTE
from worker.inference.runtime import Runtime
from worker.jobs.cancellation import CancelToken

LABELS = ["running", "boxing", "a cat"]

Serve = Callable[..., Recognizer]


@pytest.fixture
def serve(tiny: Recognizer, texts: TextTower, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """The tiny model with some of its parts changed is the one that `runtime` loads."""

    def served(**changes: Any) -> Recognizer:
        recognizer = replace(tiny, text_tower=texts, **changes)
        monkeypatch.setattr(opening, "load_model", lambda *_, **__: recognizer)
        return recognizer

    return served


@pytest.fixture
def video(runtime: Runtime, tmp_path: Path) -> str:
    return keep(runtime, tmp_path, rendered("h264", tmp_path).read_bytes())


def profile(recognizer: Recognizer, **changes: Any) -> Profile:
    return Profile.from_dict(recognizer.profile.to_dict() | changes)


def decoded(runtime: Runtime, sha256: str, recognizer: Recognizer, views: str = "1x1", frames: int = 8) -> UInt8Array:
    """uint8 [V, T, S, S, 3]."""
    with runtime.store.local_file(f"blobs/{sha256}") as path:
        task = runtime.decoders.submit(path, profile=recognizer.profile, views=Views.parse(views), frames=frames)
        return task.result().frames


def rows(recognizer: Recognizer, texts: list[str]) -> torch.Tensor:
    """Unit rows [C, d], one for each text."""
    return normalize(recognizer.encode_texts(texts)[0], dim=-1)


def scores(answer: dict[str, Any]) -> dict[str, float]:
    return {row["label"]: row["score"] for row in answer["predictions"]}


def expected(
    runtime: Runtime,
    recognizer: Recognizer,
    sha256: str,
    template: str = "a video of {}.",
    aggregate: Any = "features",
    names: tuple[str, ...] = tuple(LABELS),
    **options: Any,
) -> dict[str, float]:
    vectors = recognizer.video_vectors(decoded(runtime, sha256, recognizer, **options))  # [V, d]
    classifier = rows(recognizer, [template.format(name) for name in names])  # [C, d]
    found = score(vectors, classifier, recognizer.logit_scale, aggregate).probabilities.tolist()
    return dict(zip(LABELS, found, strict=True))


def test_an_answer_has_every_label_the_best_first(runtime: Runtime, serve: Serve, video: str) -> None:
    recognizer = serve()
    answer = classify(runtime, video, LABELS)
    found = [row["score"] for row in answer["predictions"]]
    assert found == sorted(found, reverse=True)
    assert scores(answer) == pytest.approx(expected(runtime, recognizer, video), abs=1e-5)
    assert (answer["id"], answer["model"], answer["views"], answer["abstained"]) == ("job_1", "lite", "1x1", False)
    assert answer["model_info"]["note"] == LITE_NOTE
    assert answer["video"]["id"] == f"vid_{video}"
    assert len(answer["frames"]) == 8
    assert answer["frames"] == sorted(answer["frames"])


def test_each_option_changes_the_answer_as_it_says(runtime: Runtime, serve: Serve, video: str) -> None:
    recognizer = serve()
    plain = scores(classify(runtime, video, LABELS))
    options: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"frames": 4}, {"frames": 4}),
        ({"templates": ["a film of {}."]}, {"template": "a film of {}."}),
        ({"views": "2x3"}, {"views": "2x3", "aggregate": "features"}),
        ({"views": "2x3", "aggregate": "probabilities"}, {"views": "2x3", "aggregate": "probabilities"}),
        ({"views": "2x3", "aggregate": "logits"}, {"views": "2x3", "aggregate": "logits"}),
    ]
    for asked, means in options:
        answer = scores(classify(runtime, video, LABELS, **asked))
        assert answer == pytest.approx(expected(runtime, recognizer, video, **means), abs=1e-5), asked
        assert answer != plain, asked


def test_the_profile_decides_what_is_not_asked(
    runtime: Runtime, tiny: Recognizer, serve: Serve, video: str, texts: TextTower
) -> None:
    recognizer = serve(profile=profile(tiny, templates=["{} on film."], aggregate="logits", frames=5))
    answer = classify(runtime, video, LABELS, views="2x1")
    means = expected(runtime, recognizer, video, template="{} on film.", aggregate="logits", views="2x1", frames=5)
    assert scores(answer) == pytest.approx(means, abs=1e-5)
    assert "boxing on film." in texts.texts


def test_labels_are_read_as_words_if_asked(runtime: Runtime, serve: Serve, video: str, texts: TextTower) -> None:
    serve()
    classify(runtime, video, ["BrushHair", "a cat"])
    assert texts.texts == ["a video of BrushHair.", "a video of a cat."]
    answer = classify(runtime, video, ["BrushHair", "a cat"], normalize_labels=True)
    assert "a video of brush hair." in [text.lower() for text in texts.texts[2:]]
    assert set(scores(answer)) == {"BrushHair", "a cat"}


def test_top_k_shows_the_best_and_scores_stay_shares_of_all(runtime: Runtime, serve: Serve, video: str) -> None:
    serve()
    whole = classify(runtime, video, LABELS)["predictions"]
    assert classify(runtime, video, LABELS, top_k=2)["predictions"] == whole[:2]


def test_equal_scores_keep_the_order_of_the_request(runtime: Runtime, serve: Serve, video: str) -> None:
    serve()
    names = [f"name {number}" for number in range(20)]
    same = {"labels": [{"name": name, "prompts": ["a cat"]} for name in names]}
    answer = answer_classify(runtime, job("classification", {"sha256": video, "question": same}), CancelToken())
    assert [row["label"] for row in answer["predictions"]] == names


def test_an_answer_abstains_below_the_threshold_and_not_at_it(runtime: Runtime, serve: Serve, video: str) -> None:
    serve()

    def counted() -> float:
        return REGISTRY.get_sample_value("vireo_abstain_total") or 0.0

    before = counted()
    assert classify(runtime, video, ["only"])["predictions"][0]["score"] == 1.0
    assert classify(runtime, video, ["only"], threshold=1.0)["abstained"] is False
    assert counted() == before
    assert classify(runtime, video, LABELS, threshold=1.0)["abstained"] is True
    assert counted() == before + 1


def test_a_tower_that_mixes_time_gets_whole_clips(runtime: Runtime, tiny: Recognizer, serve: Serve, video: str) -> None:
    """Serving must not break clips apart, nor put clips of two lengths into one pass."""
    seen: list[tuple[int, int]] = []

    def mixing(pixels: torch.Tensor, clip: int) -> torch.Tensor:
        seen.append((len(pixels), clip))
        features = tiny.image_tower(pixels, 1)  # [N, d]
        clips = features.view(-1, clip, features.shape[-1])  # [N / clip, clip, d]
        return clips.cumsum(dim=1).reshape(len(features), -1)  # each frame with those before it in its clip

    recognizer = serve(image_tower=mixing, mixes_time=True)
    answer = scores(classify(runtime, video, LABELS, views="2x1"))
    assert seen == [(8, 8), (8, 8)]
    assert answer == pytest.approx(expected(runtime, recognizer, video, views="2x1"), abs=1e-5)


def test_closed_labels_have_the_rows_that_they_were_trained_with(
    runtime: Runtime, tiny: Recognizer, serve: Serve, video: str, texts: TextTower
) -> None:
    fixed = normalize(torch.randn(3, tiny.dim, generator=torch.Generator().manual_seed(0)), dim=-1)  # [C, d]
    recognizer = serve(classes=("a", "b", "c"), fixed_rows=fixed)
    vector = normalize(recognizer.video_vectors(decoded(runtime, video, recognizer))[0], dim=0)  # [d]
    for names in (["c", "a"], ["b"], ["c", "b", "a"]):
        answer = classify(runtime, video, names)
        assert set(scores(answer)) == set(names)
        for row in answer["predictions"]:
            assert row["similarity"] == pytest.approx(float(vector @ fixed["abc".index(row["label"])]), abs=1e-5)
    assert (answer["cache"]["classifier"], texts.texts) == ("hit", [])
    with pytest.raises(InvalidLabels, match="knows only the classes") as refused:
        classify(runtime, video, ["a", "a cat"])
    assert refused.value.details["index"] == 1


def test_more_frames_than_a_head_reads_are_the_users_choice(
    runtime: Runtime, tiny: Recognizer, serve: Serve, video: str
) -> None:
    def short(features: torch.Tensor) -> torch.Tensor:
        if features.shape[1] > 8:
            raise ValueError("the temporal head reads at most 8 frames")
        return tiny.head(features)

    serve(head=short)
    with pytest.raises(InvalidRequest, match="at most 8 frames") as refused:
        classify(runtime, video, LABELS, frames=9)
    assert refused.value.details["field"] == "frames"
    assert classify(runtime, video, LABELS, frames=8)["predictions"]


def test_labels_that_cannot_be_read_are_an_invalid_request(runtime: Runtime, serve: Serve, video: str) -> None:
    serve()
    with pytest.raises(InvalidRequest):
        classify(runtime, video, LABELS, templates=["no place"])


def test_a_video_is_found_again_in_the_caches_and_in_its_record(runtime: Runtime, serve: Serve, video: str) -> None:
    serve()
    first, again = classify(runtime, video, LABELS), classify(runtime, video, [*LABELS, "new"])
    assert (first["cache"], again["cache"]) == (
        {"video": "miss", "classifier": "miss"},
        {"video": "hit", "classifier": "partial"},
    )
    assert first["timings_ms"]["decode"] > 0
    assert again["timings_ms"]["decode"] == 0


def test_embeddings_are_vectors_of_length_one_if_asked(runtime: Runtime, serve: Serve, video: str) -> None:
    recognizer = serve()
    texts = recognizer.encode_texts(["a cat", "a dog"])[0]  # [2, d]
    frames = decoded(runtime, video, recognizer, views="2x1", frames=4)
    mean = recognizer.video_vectors(frames).mean(dim=0, keepdim=True)  # [1, d]
    asked: dict[str, tuple[dict[str, Any], torch.Tensor]] = {
        "text": ({"texts": ["a cat", "a dog"]}, texts),
        "video": ({"sha256": video, "views": "2x1", "frames": 4}, mean),
    }
    for kind, (request, plain) in asked.items():
        for unit in (True, False):
            answer = answer_embed(runtime, job("embedding", request | {"normalize": unit}), CancelToken())
            vectors = torch.tensor([found["vector"] for found in answer["data"]])  # [n, d]
            torch.testing.assert_close(vectors, normalize(plain, dim=-1) if unit else plain, rtol=1e-4, atol=1e-5)
            assert {found["object"] for found in answer["data"]} == {kind}
            assert answer["dim"] == recognizer.dim
    assert [found["video_id"] for found in answer["data"]] == [f"vid_{video}"]


def test_texts_that_are_cut_are_named(runtime: Runtime, serve: Serve) -> None:
    serve()
    answer = embed(runtime, ["short", "word " * 200])
    assert answer["warnings"] == ["texts[1] is longer than the text encoder reads."]


def failures(reason: str, codec: str = "unknown") -> float:
    return REGISTRY.get_sample_value("vireo_decode_failures_total", {"codec": codec, "reason": reason}) or 0.0


def test_an_unusable_video_is_counted_by_its_codec_and_reason_and_may_go(
    runtime: Runtime, serve: Serve, tmp_path: Path, records: Any
) -> None:
    serve()
    bad = keep(runtime, tmp_path, b"this is no video" * 100)
    records.hset(keys.video(bad), mapping={"sha256": bad, "bytes": 1, "created_at": 1.0, "kept": "0"})
    records.zadd(keys.VIDEOS, {bad: time.time() + 3600})
    before, unknown = failures("not_a_video"), failures("unknown")
    seen = failures("no_decodable_frame", "h264")
    data = rendered("h264_faststart", tmp_path).read_bytes()
    head = data.index(b"mdat") + 4
    hollow = keep(runtime, tmp_path, data[:head] + bytes(len(data) - head))
    with pytest.raises(UndecodableVideo):
        classify(runtime, bad, LABELS)
    with pytest.raises(UndecodableVideo):
        classify(runtime, hollow, LABELS)
    assert (failures("not_a_video"), failures("unknown")) == (before + 1, unknown)
    assert failures("no_decodable_frame", "h264") == seen + 1
    assert records.zscore(keys.VIDEOS, bad) <= time.time()


def test_the_facts_of_a_video_stand_in_its_record(runtime: Runtime, serve: Serve, video: str, records: Any) -> None:
    serve()
    records.hset(keys.video(video), mapping={"sha256": video, "bytes": 1, "created_at": 1.0, "kept": "0"})
    answer = classify(runtime, video, LABELS)
    facts = records.hget(keys.video(video), "facts")
    assert f'"width":{SPECS["h264"].width}' in facts
    assert answer["video"]["codec"] == "h264"


def test_a_video_that_is_gone_is_not_found(runtime: Runtime, serve: Serve) -> None:
    serve()
    with pytest.raises(UnknownVideo, match="may have expired"):
        classify(runtime, "0" * 64, LABELS)


def test_a_cancelled_question_cancels_its_decoding(
    runtime: Runtime, serve: Serve, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve()
    token = CancelToken()
    submit = DecodePool.submit
    cancelled: list[bool] = []

    def submit_and_cancel(self: DecodePool, path: Path, **options: Any) -> Any:
        task = submit(self, path, **options)
        cancel = task.cancel

        def record() -> None:
            cancelled.append(True)
            cancel()

        monkeypatch.setattr(task, "cancel", record)
        token.cancel()
        return task

    monkeypatch.setattr(DecodePool, "submit", submit_and_cancel)
    with pytest.raises(Exception, match="cancelled"):
        classify(runtime, video, LABELS, token)
    for _ in range(1000):
        if cancelled:
            break
        time.sleep(0.01)
    assert cancelled, "the decoding went on"


def test_a_codec_that_nobody_knows_makes_no_series() -> None:
    assert (codec_label("hevc"), codec_label("drawn-by-an-attacker-1")) == ("hevc", "other")

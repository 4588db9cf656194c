"""Evaluation and validation give a clip the vectors that serving gives it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
import torch

from core.calibration.shelf import Calibrations
from core.datasets import Item
from core.questions import TimelineLimits
from core.records import Job
from core.registry import Registry
from core.settings import Settings
from core.storage import Store, blob_key
from core.vocabulary import TemporalKind
from models.frames.sampling import Views
from models.recognition.recognizer import Recognizer
from models.recognition.video_encoder import VideoEncoder
from models.recognition.video_model import VideoModel
from tests.clips import rendered
from tests.models.conftest import CPU, tiny_base
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.decoding.pool import DecodePool
from worker.inference.batches.objects import ObjectVideos
from worker.inference.caches.classifiers import ClassifierCache
from worker.inference.caches.features import VideoCache
from worker.inference.caches.remote import RemoteCache
from worker.inference.caches.windows import WindowIndexes
from worker.inference.handlers import answer_embed
from worker.inference.loading import opening
from worker.inference.loading.default_model import DefaultModel
from worker.inference.loading.shelf import Shelf
from worker.inference.runtime import Runtime
from worker.inference.videos.facts import VideoBook
from worker.inference.videos.url_videos import UrlVideos
from worker.jobs.cancellation import CancelToken
from worker.jobs.metering import Metering
from worker.training.judging.gallery import Gallery
from worker.training.run.encoding import encoder_of
from worker.training.run.stop import Stop
from worker.training.run.world import T, World

VIEWS = "2x3"
MOST = 20  # frames in one forward pass: with 8 in a clip, six views do not divide evenly


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(1, 30.0, 2 << 30, 1 << 24, 60.0) as pool:
        yield pool


def trained(kind: TemporalKind, dtype: torch.dtype) -> tuple[VideoModel, Recognizer]:
    """A model with that temporal head, and the recogniser that serves it in that precision."""
    torch.manual_seed(1)
    base = tiny_base()
    model = base.video_model(kind, "random")
    served = replace(base, tower=model.tower, temporal=model.temporal, temporal_kind=kind)
    return model, served.recognizer(CPU, dtype)


def gallery_vector(encoder: VideoEncoder, clip: Path, pool: DecodePool) -> torch.Tensor:
    """[d], the mean over views."""
    item = Item(path="a/clip.mp4", sha256="0" * 64, label="a", split="val", seconds=1.0)
    reader = ClipReader(pool, encoder.profile, encoder.profile.frames)
    gallery = Gallery(
        reader=reader, items=[item], samples=[Sample(clip, 0)], most=MOST, stop=Stop(), world=World(0, 1, CPU)
    )
    _, vectors = gallery.vectors(encoder, Views.parse(VIEWS))  # [1, V, d]
    return vectors[0].mean(dim=0)


class OneOfTwo(World):
    """A process that hears nothing from the other one."""

    def gather(self, value: T) -> list[T]:
        return [value]


def test_two_processes_share_the_clips(pool: DecodePool, tmp_path: Path) -> None:
    _, recognizer = trained("transformer", torch.float32)
    clip = rendered("h264", tmp_path)
    items = [Item(path=f"{n}.mp4", sha256="0" * 64, label="a", split="val", seconds=1.0) for n in range(5)]
    found = []
    for rank in range(2):
        reader = ClipReader(pool, recognizer.profile, recognizer.profile.frames)
        samples, world = [Sample(clip, 0)] * 5, OneOfTwo(rank, 2, CPU)
        gallery = Gallery(reader=reader, items=items, samples=samples, most=MOST, stop=Stop(), world=world)
        indices, vectors = gallery.vectors(recognizer)
        assert len(vectors) == len(indices)
        found.append(indices)
    assert found == [[0, 2, 4], [1, 3]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["transformer", "token_conv"])
def test_evaluation_gives_the_vectors_of_serving_bit_for_bit_and_the_learning_curve_nearly(
    kind: TemporalKind,
    dtype: torch.dtype,
    pool: DecodePool,
    tmp_path: Path,
    cache_redis: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, recognizer = trained(kind, dtype)

    def load(*_: Any, **__: Any) -> Recognizer:
        return recognizer

    monkeypatch.setattr(opening, "load_model", load)
    settings = Settings(data_dir=tmp_path, batch_frames=MOST)
    store = Store(settings.store_url, tmp_path / "spool")
    upload = rendered("h264", tmp_path)
    sha256 = hashlib.sha256(upload.read_bytes()).hexdigest()
    store.publish_file(upload, blob_key(sha256))
    with store.local_file(blob_key(sha256)) as clip:  # the store is a directory: the path stays valid
        pass
    book = VideoBook(cache_redis, store, 60)
    runtime = Runtime(
        store=store,
        shelf=Shelf(settings, Registry(store), DefaultModel(cache_redis, settings)),
        calibrations=Calibrations(store),
        decoders=pool,
        classifiers=ClassifierCache(RemoteCache(cache_redis, 60)),
        videos=VideoCache(RemoteCache(cache_redis, 60), lambda *_: True),
        book=book,
        url_videos=UrlVideos(settings, store, book),
        object_videos=ObjectVideos(settings, store, book),
        max_texts=100,
        metering=Metering(cache_redis),
        beside=ThreadPoolExecutor(1),
        indexes=WindowIndexes(1000),
        timeline=TimelineLimits(stride=1.0, window=2.0, points=100, values=1000),
    )
    request = {"sha256": sha256, "model": "lite", "views": VIEWS, "normalize": False}
    answer = answer_embed(
        runtime, Job(id="job_1", kind="embedding", request=request, created_at=time.time()), CancelToken()
    )
    runtime.shelf.close()
    runtime.url_videos.close()
    served = torch.tensor(answer["data"][0]["vector"])
    assert torch.equal(gallery_vector(recognizer, clip, pool), served)
    model.train()
    rtol, atol = (1e-4, 1e-5) if dtype is torch.float32 else (0.1, 0.02)
    with encoder_of(model, recognizer.profile, CPU, torch.float32) as encoder:
        assert not model.training
        torch.testing.assert_close(gallery_vector(encoder, clip, pool), served, rtol=rtol, atol=atol)
    assert model.training

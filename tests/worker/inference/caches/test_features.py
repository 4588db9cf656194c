"""Frame features survive the trip through Redis, and their key covers everything that they depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import redis
import torch

from core.records import VideoFacts
from core.state import keys
from models.frames.sampling import Views
from models.profiles.profile import Profile
from models.recognition.recognizer import Recognizer
from worker.inference.caches.entries import seal
from worker.inference.caches.features import FEATURE_FORMAT, VideoCache, VideoVectors, video_key
from worker.inference.caches.remote import RemoteCache

FACTS = VideoFacts(duration=10.0, width=640, height=272, fps=None, codec="h264")
VECTORS = VideoVectors(torch.randn(3, 8, 16), (0.0, 1.25), FACTS, ("a frame was damaged",))
ONE = Views.parse("1x1")


def same(a: VideoVectors | None, b: VideoVectors) -> bool:
    return a is not None and torch.equal(a.features, b.features) and replace(a, features=b.features) == b


def test_vectors_come_back_whole_from_memory_and_from_redis(cache_redis: redis.Redis) -> None:
    cache = VideoCache(RemoteCache(cache_redis, 60))
    assert cache.get("k") is None
    cache.put("k", VECTORS)
    assert same(cache.get("k"), VECTORS)
    assert same(VideoCache(RemoteCache(cache_redis, 60)).get("k"), VECTORS)


def test_without_redis_features_are_kept_in_memory(dead_redis: redis.Redis) -> None:
    cache = VideoCache(RemoteCache(dead_redis, 60))
    cache.put("k", VECTORS)
    assert same(cache.get("k"), VECTORS)
    assert cache.get("other") is None


def test_the_key_covers_what_changes_vectors_and_nothing_else(tiny: Recognizer) -> None:
    def with_profile(**changes: object) -> Recognizer:
        return replace(tiny, profile=Profile.from_dict(tiny.profile.to_dict() | changes))

    base = video_key("sha", tiny, ONE, 8)
    others = [
        video_key("other", tiny, ONE, 8),
        video_key("sha", replace(tiny, digest="other"), ONE, 8),
        video_key("sha", replace(tiny, dtype=torch.bfloat16), ONE, 8),
        video_key("sha", with_profile(sampling="segment_center"), ONE, 8),
        video_key("sha", tiny, Views.parse("4x3"), 8),
        video_key("sha", tiny, ONE, 16),
    ]
    assert len({base, *others}) == 7
    assert video_key("sha", with_profile(templates=["{}"], aggregate="logits"), ONE, 8) == base


@pytest.mark.parametrize(
    "entry",
    [
        lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
        lambda whole: whole[:-4],
        lambda whole: whole[10:],  # the first format: no version, no checksum
        lambda _: seal(b'{"frames": 8}', FEATURE_FORMAT + 1),
        lambda _: b"not an entry",
    ],
    ids=["damaged", "cut off", "an older format", "a newer format", "foreign"],
)
def test_foreign_or_damaged_features_are_a_miss(cache_redis: redis.Redis, entry: Callable[[bytes], bytes]) -> None:
    VideoCache(RemoteCache(cache_redis, 60)).put("k", VECTORS)
    cache_redis.set(keys.cached_video("k"), entry(VECTORS.pack()))
    assert VideoCache(RemoteCache(cache_redis, 60)).get("k") is None

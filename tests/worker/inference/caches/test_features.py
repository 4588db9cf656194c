"""Frame features survive the trip through Redis, and their key covers everything that they depend on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redis
import torch

from core.errors import UndecodableVideo
from core.records import VideoFacts
from core.state import keys
from models.frames.sampling import Views
from models.profiles.profile import Profile
from models.recognition.recognizer import Recognizer
from worker.inference.caches.entries import seal
from worker.inference.caches.features import FEATURE_FORMAT, VideoCache, VideoVectors, video_key
from worker.inference.caches.remote import RemoteCache
from worker.jobs.cancellation import CancelToken

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


def test_a_project_learns_nothing_of_what_another_has_sent(cache_redis: redis.Redis) -> None:
    cache, made = VideoCache(RemoteCache(cache_redis, 60)), list[str]()
    acme, other = cache.of("acme"), cache.of("other")

    def ask(of: VideoCache, who: str) -> bool:
        def make(_: CancelToken) -> VideoVectors:
            made.append(who)
            return VECTORS

        return of.get_or_make("k", CancelToken(), make)[1]

    assert [ask(acme, "acme"), ask(acme, "acme")] == [False, True]
    assert [ask(other, "other"), ask(cache, "default")] == [False, False]
    assert made == ["acme", "other", "default"]
    assert set(cache_redis.keys()) == {keys.cached_video(key).encode() for key in ("k", "acme/k", "other/k")}
    worker = VideoCache(RemoteCache(cache_redis, 60)).of("third")  # another process, which has only Redis
    assert worker.get("k") is None
    assert worker.stored(["k"]) == {}


def test_two_projects_share_no_decode_and_no_failure(cache_redis: redis.Redis) -> None:
    cache = VideoCache(RemoteCache(cache_redis, 60))
    began, end = threading.Barrier(2), threading.Event()

    def make(_: CancelToken) -> VideoVectors:
        began.wait(5)  # both are here at the same time
        assert end.wait(5)
        return VECTORS

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(cache.of(name).get_or_make, "k", CancelToken(), make) for name in ("acme", "other")]
        end.set()
        assert [future.result(10)[1] for future in asked] == [False, False]

    def fail(_: CancelToken) -> VideoVectors:
        raise UndecodableVideo("no video", reason="damaged")

    with pytest.raises(UndecodableVideo):
        cache.of("acme").get_or_make("bad", CancelToken(), fail)
    assert same(cache.of("other").get_or_make("bad", CancelToken(), lambda _: VECTORS)[0], VECTORS)

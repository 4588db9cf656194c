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
from worker.inference.caches.features import FEATURE_FORMAT, VectorKey, VideoCache, VideoVectors, video_key
from worker.inference.caches.remote import RemoteCache
from worker.jobs.cancellation import CancelToken

FACTS = VideoFacts(duration=10.0, width=640, height=272, fps=None, codec="h264")
VECTORS = VideoVectors(torch.randn(3, 8, 16), (0.0, 1.25), FACTS, ("a frame was damaged",))
ONE = Views.parse("1x1")
K = VectorKey("sha", "k")


def new_cache(client: redis.Redis, is_stored: Callable[[str, str], bool] = lambda *_: True) -> VideoCache:
    return VideoCache(RemoteCache(client, 60), is_stored)


def same(a: VideoVectors | None, b: VideoVectors) -> bool:
    return a is not None and torch.equal(a.features, b.features) and replace(a, features=b.features) == b


def test_vectors_come_back_whole_from_memory_and_from_redis(cache_redis: redis.Redis) -> None:
    cache = new_cache(cache_redis)
    assert cache.get(K) is None
    cache.put(K, VECTORS)
    assert same(cache.get(K), VECTORS)
    assert same(new_cache(cache_redis).get(K), VECTORS)


def test_without_redis_features_are_kept_in_memory(dead_redis: redis.Redis) -> None:
    cache = new_cache(dead_redis)
    cache.put(K, VECTORS)
    assert same(cache.get(K), VECTORS)
    assert cache.get(VectorKey("other", "k")) is None


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
    new_cache(cache_redis).put(K, VECTORS)
    cache_redis.hset(keys.cached_vectors("sha"), "k", entry(VECTORS.pack()))
    assert new_cache(cache_redis).get(K) is None


def test_all_vectors_of_a_video_are_one_key_with_a_ttl(cache_redis: redis.Redis) -> None:
    cache = new_cache(cache_redis)
    for name in ("k", "other"):
        cache.put(VectorKey("sha", name), VECTORS)
    assert cache_redis.keys("*") == [keys.cached_vectors("sha").encode()]
    assert 0 < int(cache_redis.ttl(keys.cached_vectors("sha"))) <= 60
    assert set(new_cache(cache_redis).stored([K, VectorKey("sha", "other"), VectorKey("b", "k")])) == {
        K,
        VectorKey("sha", "other"),
    }


def test_vectors_that_come_after_the_deletion_of_their_video_are_not_kept(cache_redis: redis.Redis) -> None:
    cache = new_cache(cache_redis, lambda _, sha256: sha256 != "sha")
    cache.put(VectorKey("other", "k"), VECTORS)
    cache.put(K, VECTORS)
    assert cache.get(K) is None
    assert cache.remembered() == {("default", "other")}
    assert cache_redis.exists(keys.cached_vectors("sha")) == 0


def test_a_deleted_video_is_forgotten_and_no_other(cache_redis: redis.Redis) -> None:
    cache = new_cache(cache_redis)
    for key in (K, VectorKey("sha", "b"), VectorKey("other", "k")):
        cache.put(key, VECTORS)
    cache.of("acme").put(K, VECTORS)
    cache.delete("sha")
    assert cache.remembered() == {("default", "other"), ("acme", "sha")}
    assert set(cache_redis.keys("*")) == {keys.cached_vectors(name).encode() for name in ("other", "acme/sha")}


def test_a_project_learns_nothing_of_what_another_has_sent(cache_redis: redis.Redis) -> None:
    cache, made = new_cache(cache_redis), list[str]()
    acme, other = cache.of("acme"), cache.of("other")

    def ask(of: VideoCache, who: str) -> bool:
        def make(_: CancelToken) -> VideoVectors:
            made.append(who)
            return VECTORS

        return of.get_or_make(K, CancelToken(), make)[1]

    assert [ask(acme, "acme"), ask(acme, "acme")] == [False, True]
    assert [ask(other, "other"), ask(cache, "default")] == [False, False]
    assert made == ["acme", "other", "default"]
    assert set(cache_redis.keys()) == {keys.cached_vectors(name).encode() for name in ("sha", "acme/sha", "other/sha")}
    worker = new_cache(cache_redis).of("third")  # another process, which has only Redis
    assert worker.get(K) is None
    assert worker.stored([K]) == {}


def test_two_projects_share_no_decode_and_no_failure(cache_redis: redis.Redis) -> None:
    cache = new_cache(cache_redis)
    began, end = threading.Barrier(2), threading.Event()

    def make(_: CancelToken) -> VideoVectors:
        began.wait(5)  # both are here at the same time
        assert end.wait(5)
        return VECTORS

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(cache.of(name).get_or_make, K, CancelToken(), make) for name in ("acme", "other")]
        end.set()
        assert [future.result(10)[1] for future in asked] == [False, False]

    def fail(_: CancelToken) -> VideoVectors:
        raise UndecodableVideo("no video", reason="damaged")

    with pytest.raises(UndecodableVideo):
        cache.of("acme").get_or_make(VectorKey("bad", "k"), CancelToken(), fail)
    assert same(cache.of("other").get_or_make(VectorKey("bad", "k"), CancelToken(), lambda _: VECTORS)[0], VECTORS)

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.inference.caches.lru import ByteLRU


def test_the_least_recently_used_goes_first() -> None:
    cache: ByteLRU[str, int] = ByteLRU(30)
    cache.put("a", 1, 10)
    cache.put("b", 2, 10)
    cache.put("c", 3, 10)
    assert cache.get("a") == 1
    cache.put("d", 4, 10)
    assert cache.get("b") is None
    assert [cache.get(key) for key in "acd"] == [1, 3, 4]


def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    cache: ByteLRU[str, int] = ByteLRU(10)
    cache.put("a", 1, 5)
    cache.put("a", 2, 11)
    assert cache.get("a") is None
    assert len(cache) == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), max_size=60))
def test_it_never_holds_more_bytes_than_allowed(puts: list[tuple[int, int]]) -> None:
    cache: ByteLRU[int, int] = ByteLRU(100)
    sizes: dict[int, int] = {}
    for key, size in puts:
        cache.put(key, size, size)
        sizes[key] = size
        held = sum(sizes[k] for k in sizes if cache.get(k) is not None)
        assert held <= 100
        assert cache.get(key) == size


def test_a_value_may_be_as_large_as_the_cache_and_replaces_all_others() -> None:
    cache: ByteLRU[str, int] = ByteLRU(10)
    cache.put("a", 1, 5)
    cache.put("b", 2, 10)
    assert (cache.get("a"), cache.get("b"), len(cache)) == (None, 2, 1)


def test_a_value_that_is_replaced_gives_its_room_back() -> None:
    cache: ByteLRU[str, int] = ByteLRU(10)
    for value in range(5):
        cache.put("a", value, 6)
    cache.put("b", 9, 4)
    assert (cache.get("a"), cache.get("b")) == (4, 9)

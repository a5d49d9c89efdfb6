"""The cache of the screens, against a list kept in the order of use."""

from __future__ import annotations

import random

from embcx_tui.tui.lru_cache import LruCache


def test_the_least_recently_used_values_are_dropped_by_count_and_by_size() -> None:
    rng = random.Random(3)
    for count, size in ((5, None), (None, 60), (7, 40)):
        dropped: list[bytes] = []
        cache: LruCache[int, bytes] = LruCache(count, size, len, dropped.append)
        kept: list[tuple[int, bytes]] = []
        expected: list[bytes] = []
        for _ in range(2_000):
            key = rng.randrange(12)
            entry = next((pair for pair in kept if pair[0] == key), None)
            match rng.randrange(4):
                case 0:
                    assert cache.get(key) == (entry[1] if entry else None)
                    if entry:
                        kept.remove(entry)
                        kept.append(entry)
                case 1:
                    assert (key in cache) == (entry is not None)
                case 2 if entry and rng.random() < 0.2:
                    assert cache.pop(key) == entry[1]
                    kept.remove(entry)
                case _:
                    value = bytes(rng.randrange(30))
                    cache[key] = value
                    kept = [pair for pair in kept if pair[0] != key] + [(key, value)]
                    while (count and len(kept) > count) or (size and sum(len(v) for _, v in kept) > size):
                        expected.append(kept.pop(0)[1])
            assert list(cache) == [key for key, _ in kept] and len(cache) == len(kept)
        assert dropped == expected and expected


def test_a_value_larger_than_the_limit_stays_until_the_next_one_comes() -> None:
    cache: LruCache[str, bytes] = LruCache(size=10, size_of=len)
    cache["large"] = bytes(100)
    assert cache.get("large") == bytes(100)
    cache["small"] = b"1"
    assert list(cache) == ["small"]

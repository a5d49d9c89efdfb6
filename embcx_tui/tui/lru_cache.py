"""A cache that drops what was least recently used; for one thread."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """A mapping of limited size. Reading or setting a value makes it the most recently used; `in` does not.

    Parameters
    ----------
    count : most values kept; None sets no limit
    size : largest sum of `size_of(value)` kept, in the unit of `size_of`; None sets no limit. The newest value stays
        even where it alone is larger. A value's size must not change while it is kept.
    dropped : is called with each value that makes room for another
    """

    def __init__(
        self,
        count: int | None = None,
        size: int | None = None,
        size_of: Callable[[V], int] = lambda value: 1,
        dropped: Callable[[V], object] = lambda value: None,
    ) -> None:
        self._count, self._size = count, size
        self._size_of, self._dropped = size_of, dropped
        self._values: OrderedDict[K, V] = OrderedDict()
        self._total = 0

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[K]:
        """Yield the keys, the least recently used first."""
        return iter(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __getitem__(self, key: K) -> V:
        value = self._values[key]
        self._values.move_to_end(key)
        return value

    def get(self, key: K) -> V | None:
        """Return the value of `key`, or None where it is not kept."""
        return self[key] if key in self._values else None

    def __setitem__(self, key: K, value: V) -> None:
        self.pop(key)
        self._values[key] = value
        self._total += self._size_of(value)
        while len(self._values) > 1 and self._is_full():
            oldest = self._values.popitem(last=False)[1]
            self._total -= self._size_of(oldest)
            self._dropped(oldest)

    def pop(self, key: K) -> V | None:
        """Take out and return the value of `key`, or None where it is not kept."""
        if key not in self._values:
            return None
        value = self._values.pop(key)
        self._total -= self._size_of(value)
        return value

    def _is_full(self) -> bool:
        return (self._count is not None and len(self._values) > self._count) or (
            self._size is not None and self._total > self._size
        )

"""A cache of values by key with a bounded weight, which threads share and a forked child begins anew."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from maskl_storage.disk.forks import renewed

__all__ = ["Cache"]

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """Values by key, up to a weight: those that were not asked for longest go first.

    Parameters
    ----------
    limit : int
        The weight of all values together; the last one is kept even if it is heavier.
    weigh : callable
        Returns the weight of a value.
    """

    def __init__(self, limit: int, weigh: Callable[[Value], int]) -> None:
        self._limit, self._weigh = limit, weigh
        self.renew()
        renewed(self)

    def get(self, key: Hashable) -> Value | None:
        """Return a value, None where it is not kept."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: Value) -> None:
        """Keep a value, or weigh it again."""
        weight = self._weigh(value)
        with self._lock:
            old = self._values.pop(key, None)
            self._values[key] = (value, weight)
            self._weight += weight - (0 if old is None else old[1])
            while self._weight > self._limit and len(self._values) > 1:
                _, (_, weight) = self._values.popitem(last=False)
                self._weight -= weight

    def renew(self) -> None:
        """Forget everything."""
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._weight = 0

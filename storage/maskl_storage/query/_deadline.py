"""The time that a query may take: it runs while the query is looked at, planned and run, and not between."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from maskl_storage.errors import InvalidValue

__all__ = ["Deadline"]


class Deadline:
    """The time that a query may take.

    What the store does meanwhile, such as making the views that the query names, does not count: it depends on the
    store, and not on the query.

    Parameters
    ----------
    timeout : float, optional
        Seconds; without it, any time.
    told : callable, optional
        Is told whether the time runs, whenever that changes.

    Raises
    ------
    InvalidValue
        The timeout is no number of seconds.
    """

    def __init__(self, timeout: float | None, told: Callable[[bool], None] = lambda _running: None) -> None:
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < threading.TIMEOUT_MAX
        ):
            raise InvalidValue(f"timeout must be a number of seconds above 0; got {timeout!r:.40}")
        self.timeout = timeout
        self._told = told
        self._left = timeout

    @property
    def left(self) -> float | None:
        """The seconds that are left, None where there is no end."""
        return None if self._left is None else max(self._left, 0.0)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Have the time run."""
        self._told(True)
        began = time.monotonic()
        try:
            yield
        finally:
            if self._left is not None:
                self._left -= time.monotonic() - began
            self._told(False)

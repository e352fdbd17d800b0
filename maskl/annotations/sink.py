"""Where values go as they are made: the writer of the active run, which the runs of this process set."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from maskl_storage.write.null import NullWriter
    from maskl_storage.write.writer import Writer

__all__ = ["TRUTH_KEYS", "Sink", "sink"]

Thing = TypeVar("Thing", bound=Hashable)

#: the masks that others are compared with, where nobody says which
TRUTH_KEYS: Final = ("ground_truth",)


class Sink:
    """What images, masks and tables ask of the active run, which they cannot see."""

    def __init__(self) -> None:
        #: what somebody was told of, by the writer that values went to then
        self._told: weakref.WeakKeyDictionary[Any, set[Hashable]] = weakref.WeakKeyDictionary()
        self.lead_to(None)

    def lead_to(
        self,
        writer: Writer | NullWriter | None,
        truth_keys: Sequence[str] | None = None,
        *,
        strict: bool = False,
        log_artifact: Callable[[Any], object] | None = None,
        image_format: str | None = None,
    ) -> None:
        """Have values go to a writer from now on; masks of these keys are those that others are compared with."""
        #: whether what only W&B's server would heed is an error
        self.strict = strict
        #: makes a version of an artifact; None while no run is active
        self.log_artifact = log_artifact
        #: of an image with many masks, the pairs with one of these are counted
        self.truth_keys = TRUTH_KEYS if truth_keys is None else tuple(truth_keys)
        #: the format that arrays are kept in; None while no run is active, when the environment says it
        self.image_format = image_format
        #: stores images as soon as they are encoded; None while no run is active, when they wait in memory for a log()
        self.writer = writer
        #: whether what is made goes nowhere, so that nothing of it needs to be looked at
        self.discards = writer is not None and writer.discards

    @contextlib.contextmanager
    def lent_to(self, writer: Writer | NullWriter) -> Iterator[None]:
        """Have values go to a writer meanwhile, as to a run with the usual settings."""
        before = vars(self).copy()
        self.lead_to(writer)
        try:
            yield
        finally:
            vars(self).update(before)

    def not_told(self, things: Iterable[Thing]) -> list[Thing]:
        """Return those of some things that nobody was told of in this run; from now on they are told."""
        if self.writer is None:  # nothing says when to begin anew
            return list(things)
        told = self._told.setdefault(self.writer, set())
        new = [thing for thing in things if thing not in told]
        told.update(new)
        return new


#: the process's sink
sink: Final = Sink()

"""Where values go as they are made: the writer of the active run, which the runs of this process set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from maskl_storage.write.null import NullWriter
    from maskl_storage.write.writer import Writer

__all__ = ["TRUTH_KEYS", "Sink", "sink"]

#: the masks that others are compared with, where nobody says which
TRUTH_KEYS: Final = ("ground_truth",)


class Sink:
    """What images, masks and tables ask of the active run, which they cannot see."""

    def __init__(self) -> None:
        self.lead_to(None)

    def lead_to(
        self,
        writer: Writer | NullWriter | None,
        truth_keys: Sequence[str] | None = None,
        *,
        strict: bool = False,
        log_artifact: Callable[[Any], object] | None = None,
    ) -> None:
        """Have values go to a writer from now on; masks of these keys are those that others are compared with."""
        #: whether what only W&B's server would heed is an error
        self.strict = strict
        #: makes a version of an artifact; None while no run is active
        self.log_artifact = log_artifact
        #: whether somebody was told that pairs of masks are not compared
        self.told_of_pairs = False
        #: masks and their ids without a name that somebody was told of
        self._told_of_ids: set[tuple[str, int]] = set()
        #: of an image with many masks, the pairs with one of these are counted
        self.truth_keys = TRUTH_KEYS if truth_keys is None else tuple(truth_keys)
        #: stores images as soon as they are encoded; None while no run is active, when they wait in memory for a log()
        self.writer = writer
        #: whether what is made goes nowhere, so that nothing of it needs to be looked at
        self.discards = writer is not None and writer.discards

    def not_told(self, key: str, ids: Iterable[int]) -> list[int]:
        """Return the ids of a mask that nobody was told of since the run began, in order; from now on they are told."""
        new = sorted(number for number in ids if (key, number) not in self._told_of_ids)
        if self.writer is not None:  # else nothing says when to begin anew
            self._told_of_ids.update((key, number) for number in new)
        return new


#: the process's sink
sink: Final = Sink()

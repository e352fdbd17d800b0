"""Totals that are read once: a part never changes, so its rows are known by its hash.

What a few parts hold is so little that each connection reads it for itself, when it is first asked for. What many small
parts hold is kept in the process.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import pyarrow as pa

from maskl_storage.catalog.listing import Listing, Sealed
from maskl_storage.format.schemas import TOTALS

__all__ = ["HELD", "Held", "has_few_totals", "kinds_of_few", "kinds_of_many"]

#: parts of a kind from which on they are read once: opening so many files takes longer than the questions
PARTS: Final = 64
#: rows of a kind up to which they are
ROWS: Final = 1 << 18
#: rows of a kind with fewer parts up to which a connection has them as a table: to read all of them when it is first
#: asked takes no longer than to read what one question needs
FEW_ROWS: Final = 1 << 15
#: bytes that are kept in a process
BYTES: Final = 32 << 20

Key = tuple[str, str]


class Held:
    """Rows of parts, kept by the parts' paths and hashes.

    Parameters
    ----------
    most : int, optional
        The bytes that are kept; the last rows that were asked for are, however many.
    """

    def __init__(self, most: int = BYTES) -> None:
        self._most = most
        self._kept: OrderedDict[frozenset[Key], pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, parts: Sequence[Sealed], read: Callable[[Sequence[Sealed]], pa.Table]) -> pa.Table:
        """Return the rows of some parts of one kind, in no order; ``read`` returns those of parts that are not known.

        Where all parts of an earlier question are among them, only the others are read, and these rows take its place.
        """
        keys = {(sealed.part.path, sealed.part.blake3): sealed for sealed in parts}
        wanted = frozenset(keys)
        with self._lock:
            known = max((kept for kept in self._kept if kept <= wanted), key=len, default=None)
            pieces = [] if known is None else [self._kept[known]]
        missing = [sealed for key, sealed in keys.items() if known is None or key not in known]
        if missing:
            pieces.append(read(missing))
        table = pa.concat_tables(pieces)
        with self._lock:
            if known is not None:
                self._kept.pop(known, None)
            self._kept[wanted] = table
            self._kept.move_to_end(wanted)
            while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > self._most:
                self._kept.popitem(last=False)
        return table


#: of this process
HELD: Final = Held()


def kinds_of_many(listing: Listing) -> frozenset[str]:
    """Return the kinds of totals that a listing has many small parts of."""
    return frozenset(
        kind
        for kind, parts in _totals(listing).items()
        if len(parts) >= PARTS and sum(sealed.part.rows for sealed in parts) <= ROWS
    )


def kinds_of_few(listing: Listing) -> frozenset[str]:
    """Return the kinds of totals that a listing has few parts of, with few rows."""
    return frozenset(
        kind
        for kind, parts in _totals(listing).items()
        if 0 < len(parts) < PARTS and sum(sealed.part.rows for sealed in parts) <= FEW_ROWS
    )


def has_few_totals(listing: Listing) -> bool:
    """Whether what sums all totals has few rows."""
    return all(sum(sealed.part.rows for sealed in parts) <= FEW_ROWS for parts in _totals(listing).values())


def _totals(listing: Listing) -> dict[str, list[Sealed]]:
    return {kind: listing.of(kind) for kind in TOTALS}

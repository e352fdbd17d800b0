"""Scores that were computed more than once: of each, the last counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from maskl_storage.format.schemas import FIXED

__all__ = ["latest_scores"]

#: what tells scores apart
KEYS: Final = tuple(name for name in FIXED["pixel_scores"].names if name not in ("version", "value"))


def latest_scores(blocks: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield scores, sorted by row, without those that a later one of the same key replaces.

    Parameters
    ----------
    blocks : iterable of pyarrow.Table
        Columns of *pixel_scores*, of a row in the order of the parts.
    """
    left: pa.Table | None = None
    for block in blocks:
        table = block if left is None else pa.concat_tables([left, block]).unify_dictionaries()
        rows = table["_row"].to_numpy()
        whole = int(rows.searchsorted(rows[-1])) if rows.size else 0  # the last row may go on in the next block
        if whole:
            yield _latest(table.slice(0, whole))
        left = table.slice(whole)
    if left is not None and left.num_rows:
        yield _latest(left)


def _latest(table: pa.Table) -> pa.Table:
    keys = {name: _plain(table[name]) for name in KEYS}
    numbered = pa.table(keys | {"place": pa.array(np.arange(table.num_rows))})
    last = numbered.group_by(list(KEYS), use_threads=False).aggregate([("place", "max")])["place_max"].to_numpy()
    if last.size == table.num_rows:
        return table
    return table.take(pa.array(np.sort(last)))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of names as text: those of one dictionary may stand in several."""
    return pc.cast(column, column.type.value_type) if pa.types.is_dictionary(column.type) else column

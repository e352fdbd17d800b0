"""What the store has counted of the chosen rows' masks, as list columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import numpy as np
import pyarrow as pa

from maskl.interchange.selection import Selection
from maskl_storage.format.union import UnionSchema

__all__ = ["CONFUSION", "PIXELS", "Statistics"]

#: the classes of a mask: those declared for it, zeros included, and those that are present
PIXELS: Final = pa.list_(
    pa.struct([("class_id", pa.int32()), ("class_name", pa.string()), ("ignored", pa.bool_()), ("pixels", pa.int64())])
)
#: the pairs of classes that occur at the same pixel of two masks
CONFUSION: Final = pa.list_(
    pa.struct(
        [
            ("class_id_a", pa.int32()),
            ("class_id_b", pa.int32()),
            ("class_a", pa.string()),
            ("class_b", pa.string()),
            ("pixels", pa.int64()),
        ]
    )
)
#: by name: the column's type, the key columns of a group, and the query of what was counted
_PIXELS_SQL: Final = """
    SELECT k.n, c.image_column, c.mask_key AS key_a, '' AS key_b,
           list({'class_id': c.class_id, 'class_name': c.class_name, 'ignored': c.ignored, 'pixels': c.pixels}
                ORDER BY c.class_id) AS found
    FROM class_pixels AS c JOIN maskl_chosen AS k USING (run_id, table_name, _row)
    GROUP BY ALL ORDER BY ALL
"""
_CONFUSION_SQL: Final = """
    SELECT k.n, c.image_column, c.truth_key AS key_a, c.prediction_key AS key_b,
           list({'class_id_a': c.truth_class_id, 'class_id_b': c.prediction_class_id, 'class_a': c.truth_class,
                 'class_b': c.prediction_class, 'pixels': c.pixels}
                ORDER BY c.truth_class_id, c.prediction_class_id) AS found
    FROM confusion AS c JOIN maskl_chosen AS k USING (run_id, table_name, _row)
    WHERE c.truth_key < c.prediction_key
    GROUP BY ALL ORDER BY ALL
"""
_PRESENT_SQL: Final = """
    SELECT DISTINCT c.image_column, c.mask_key, c.class_id, c.class_name
    FROM class_pixels AS c JOIN maskl_chosen AS k USING (run_id, table_name, _row)
    WHERE c.pixels > 0 ORDER BY ALL
"""

#: an image column as the selection has it, and one or two keys of masks
Masks = tuple[str, str, str]


class Statistics:
    """Questions about the masks of rows, over one connection.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        A connection with the store's views.
    union : UnionSchema
        The rows' columns; what the views know of masks, by stored names, is told by the names of these.
    """

    def __init__(self, connection: Any, union: UnionSchema) -> None:
        self._connection = connection
        self._masks = {
            layer: (str(union.columns[name].image), str(union.columns[name].key))
            for name, layers in union.layers.items()
            for layer in layers
            if union.columns[name].kind == "mask"
        }

    @classmethod
    @contextmanager
    def of(cls, selection: Selection) -> Iterator[Statistics]:
        """Open a connection to the selection's store, and close it."""
        with closing(selection.store.connect()) as connection:
            # what it takes beside a program that exports; more threads take more memory, and little less time
            connection.execute("SET memory_limit = '200MB'")
            connection.execute("SET threads = 1")
            yield cls(connection, selection.union)

    def pixels(self, rows: pa.Table) -> dict[Masks, pa.Array]:
        """Return the classes of each mask of these rows, a column of type :data:`PIXELS` a mask."""
        return self._columns(rows, _PIXELS_SQL, PIXELS)

    def confusion(self, rows: pa.Table) -> dict[Masks, pa.Array]:
        """Return the joint histogram of each pair of masks of these rows, of type :data:`CONFUSION`."""
        return self._columns(rows, _CONFUSION_SQL, CONFUSION)

    def present(self, rows: pa.Table) -> list[tuple[str, str, int, str]]:
        """Return image column, key, id and name of the classes that occur in masks of these rows."""
        found = self._asked(rows, _PRESENT_SQL).fetchall()
        return [(*self._masks.get((image, key), (image, key)), number, name) for image, key, number, name in found]

    def _columns(self, rows: pa.Table, query: str, kind: pa.DataType) -> dict[Masks, pa.Array]:
        found = self._asked(rows, query).to_arrow_table()
        names = zip(*(found[name].to_pylist() for name in ("image_column", "key_a", "key_b")), strict=True)
        keys = [self._named(*masks) for masks in names]
        at: dict[Masks, list[int]] = {}
        for index, key in enumerate(keys):
            at.setdefault(key, []).append(index)
        lists = found["found"].combine_chunks().cast(kind)
        numbers = found["n"].to_numpy()
        columns = {}
        for key, members in at.items():
            places = np.full(rows.num_rows, -1, np.int64)
            places[numbers[members]] = members
            columns[key] = lists.take(pa.array(places, mask=places < 0))
        return columns

    def _named(self, image: str, a: str, b: str) -> Masks:
        """Return an image column and keys of its masks as the selection has them."""
        named, first = self._masks.get((image, a), (image, a))
        return named, first, self._masks.get((image, b), (image, b))[1]

    def _asked(self, rows: pa.Table, query: str) -> Any:
        chosen = rows.select(["run_id", "table_name", "_row"]).append_column("n", pa.array(np.arange(rows.num_rows)))
        self._connection.register("maskl_chosen", chosen)
        return self._connection.sql(query)

"""A sample of the scores that a store keeps, computed once more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from maskl.annotations.mask import ImageMask
from maskl.scoring._batch import scores_of
from maskl.scoring._metrics import VERSIONS, stored_metric
from maskl_storage.errors import MasklError
from maskl_storage.read.table import StoredImage
from maskl_storage.store import Store
from maskl_storage.verify.verify import Fault

__all__ = ["recount"]

#: rows that are scored once more, of all that a store keeps
SAMPLE: Final = 512
#: how exact a sum is that is added in another order
EXACT: Final = 1e-9
KEYS: Final = "run_id, table_name, image_column, truth_key, prediction_key, metric, version, params"
#: which rows of each metric are looked at: some of all, the same at each call
CHOSEN: Final = f"""
    SELECT {KEYS}, arg_min(_row, hash(_row), $n) AS chosen
    FROM (SELECT DISTINCT {KEYS}, _row FROM pixel_scores) GROUP BY {KEYS} ORDER BY {KEYS}
"""
VALUES: Final = f"""
    SELECT _row, class_name, name, value FROM pixel_scores
    WHERE ({KEYS}) = ($1, $2, $3, $4, $5, $6, $7, $8) AND name IS NOT NULL AND list_contains($9, _row)
"""


def recount(store: Store) -> Iterator[Fault]:
    """Yield what is wrong with a sample of the scores of metrics whose version is known here."""
    kept = store.sql(f"SELECT count(*) FROM (SELECT DISTINCT {KEYS} FROM pixel_scores)").fetchall()[0][0]
    if not kept:
        return
    parts = {(sealed.run_id, sealed.table): sealed.part.path for sealed in store._layout.listing().of("pixel_scores")}
    for *key, rows in store.sql(CHOSEN, {"n": max(1, SAMPLE // kept)}).fetchall():
        run_id, table, image, truth, prediction, metric, version, params = key
        if metric not in VERSIONS or VERSIONS[metric] != version:
            continue
        path = parts.get((run_id, table), "pixel_scores")
        known = stored_metric(metric, version, params)
        if known is None:
            yield Fault(path, f"{metric} has no parameters {params!r:.80}", column="params")
            continue
        stored: dict[int, dict[tuple[str | None, str], float | None]] = {row: {} for row in rows}
        for row, of, name, value in store.sql(VALUES, [*key, rows]).fetchall():
            stored[row][of, name] = value
        for row, found in stored.items():
            try:
                masks = _masks(store, run_id, table, row, image)
                right = scores_of(known, masks.get(truth), masks.get(prediction), {})
            except MasklError:  # what cannot be read is a fault of its own
                continue
            if not _same(found, {(of, name): value for of, name, value in right}):
                problem = f"its {metric} is not that of its masks, by {params}"
                yield Fault(path, problem, row, image, f"{truth}, {prediction}")


def _masks(store: Store, run_id: str, table: str, row: int, image: str) -> dict[str, ImageMask]:
    stored = store.table(table, run=run_id)
    labels = stored.union().labels
    cell = stored.undecoded.find(run_id, row).get(labels.get(image, image))
    if not isinstance(cell, StoredImage):
        return {}
    return {
        key: ImageMask.from_stored(data, key, items, cell.segments.get(key))
        for key, (data, items) in cell.masks.items()
    }


def _same(found: Mapping[Any, float | None], right: Mapping[Any, float | None]) -> bool:
    return found.keys() == right.keys() and all(
        value == right[key]
        or (value is not None and right[key] is not None and math.isclose(value, right[key] or 0.0, rel_tol=EXACT))
        for key, value in found.items()
    )

"""What is known of the classes of a set of rows: coverage and IoU, from stored counts."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from maskl.viewer._session import Session
from maskl.viewer._sets import RowSet
from maskl_storage.errors import MasklError

__all__ = ["class_statistics"]

#: bits of a row's number within its block: rows of a block are one range of bits
BLOCK: Final = 20
#: blocks that are read each by a query of its own, which knows its run and its range; more are joined
APART: Final = 8
#: the steps of runs, of which totals are kept
STEPS: Final = "(SELECT unnest($runs) AS run_id, unnest($steps) AS _step)"
#: blocks of rows of runs, and where the bits of each begin
BLOCKS: Final = (
    "(SELECT unnest($runs) AS run_id, unnest($blocks) AS block, unnest($firsts) AS low, unnest($lasts) AS high, "
    "unnest($offsets) AS at)"
)
COUNTED: Final = {
    "class_pixels": ("pixels", "x.image_column = $i AND x.mask_key = $m"),
    "class_scores": ("tp, fp, fn", "x.image_column = $i AND x.truth_key = $a AND x.prediction_key = $b"),
}


def class_statistics(session: Session, found: RowSet) -> dict[str, Any]:
    """Return coverage and IoU of each class, per run and of all of them together.

    Coverage is the prediction's where there is no truth.
    """
    request = found.request
    mask = request.truth or request.prediction
    if request.image is None or mask is None or not len(found.order):
        return {"classes": [], "together": [], "notes": []}
    params: dict[str, Any] = {"t": request.table, "i": request.image, "m": mask}
    if found.whole:
        params |= {"runs": list(found.steps), "steps": list(found.steps.values())}
        counts, scores = TOTALS, CLASS_IOU
    else:
        with session.alone:
            counts, scores, rows = _of_rows(found)
        params |= rows
    notes: list[str] = []
    rows_of = None
    if request.truth is not None and request.prediction is not None:
        pair = params | {"a": request.truth, "b": request.prediction}
        try:
            rows_of = session.ask(_grouped(counts, scores), pair).to_pylist()
        except MasklError as error:  # what cannot be compared still covers something
            notes = [str(error)[:500]]
    if rows_of is None:
        rows_of = session.ask(_grouped(counts, None), params).to_pylist()
    order = {run: place for place, run in enumerate(request.runs)}
    together = [{**row, "run_id": None} for row in rows_of if not row["run_id"]]
    single = sorted((row for row in rows_of if row["run_id"]), key=lambda row: order[row["run_id"]])
    return {"classes": single, "together": together, "notes": notes}


def _of_rows(found: RowSet) -> tuple[str, str, dict[str, Any]]:
    """Return what selects the pixels and scores of a set's rows, and its parameters.

    The rows are bits, one for each row from the first to the last of a block: a million are 125 kB, and one look each.
    """
    runs, places = found.request.runs, np.sort(found.order)
    of, rows = found.base.runs_of(places), found.base.row[places]
    blocks = rows >> BLOCK
    starts = np.flatnonzero(np.r_[True, (np.diff(of) != 0) | (np.diff(blocks) != 0)])
    ends = np.r_[starts[1:], len(rows)]
    packed: list[bytes] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        bits = np.zeros(int(rows[end - 1] - rows[start]) + 1, np.uint8)
        bits[rows[start:end] - rows[start]] = 1
        packed.append(np.packbits(bits).tobytes())
    named = [runs[place] for place in of[starts].tolist()]
    firsts, lasts = rows[starts].tolist(), rows[ends - 1].tolist()
    params: dict[str, Any]
    if len(packed) <= APART:
        ranges = zip(named, firsts, lasts, packed, strict=True)
        params = {
            f"{name}{n}": value for n, of_one in enumerate(ranges) for name, value in zip("rxyz", of_one, strict=True)
        }
        each = [
            f"x.run_id = $r{n} AND x._row BETWEEN $x{n} AND $y{n} AND "
            + _is_set(f"$x{n}", f"$y{n}", f"$z{n}", f"x._row - $x{n}")
            for n in range(len(packed))
        ]
        counts, scores = (
            " UNION ALL ".join(
                f"SELECT x.run_id, x.class_name, {_sums(columns)} FROM {view} AS x "
                f"WHERE x.table_name = $t AND {where} AND {one} GROUP BY ALL"
                for one in each
            )
            for view, (columns, where) in COUNTED.items()
        )
        return counts, scores, params
    offsets = np.cumsum([0, *(8 * len(bits) for bits in packed[:-1])]).tolist()
    params = {"runs": named, "blocks": blocks[starts].tolist(), "firsts": firsts, "lasts": lasts, "offsets": offsets}
    chosen = _is_set("o.low", "o.high", "$bits", "x._row - o.low + o.at")
    counts, scores = (
        f"SELECT x.run_id, x.class_name, {_sums(columns)} FROM {view} AS x JOIN {BLOCKS} AS o "
        f"ON x.run_id = o.run_id AND (x._row >> {BLOCK}) = o.block WHERE x.table_name = $t AND {where} AND {chosen} "
        "GROUP BY ALL"
        for view, (columns, where) in COUNTED.items()
    )
    return counts, scores, {**params, "bits": b"".join(packed)}


def _is_set(low: str, high: str, bits: str, at: str) -> str:
    """Return whether the bit of a row is set; one that there is not would be an error, and is not looked at."""
    return f"CASE WHEN x._row BETWEEN {low} AND {high} THEN get_bit(CAST({bits} AS BIT), CAST({at} AS INTEGER)) = 1 END"


def _sums(columns: str) -> str:
    return ", ".join(f"sum({name}) AS {name}" for name in columns.split(", "))


def _grouped(counts: str, scores: str | None) -> str:
    """Return the query of each run and of all of them, joined by the names of classes."""
    coverage = (
        "SELECT coalesce(run_id, '') AS run_id, class_name, "
        "CAST(sum(pixels) AS DOUBLE) / nullif(sum(sum(pixels)) OVER (PARTITION BY run_id), 0) AS coverage "
        f"FROM ({counts}) GROUP BY GROUPING SETS ((run_id, class_name), (class_name))"
    )
    if scores is None:
        return f"SELECT run_id, class_name, coverage, CAST(NULL AS DOUBLE) AS iou FROM ({coverage})"
    ious = (
        "SELECT coalesce(run_id, '') AS run_id, class_name, iou(tp, fp, fn) AS iou "
        f"FROM ({scores}) GROUP BY GROUPING SETS ((run_id, class_name), (class_name))"
    )
    return (
        "SELECT run_id, class_name, c.coverage, s.iou "
        f"FROM ({coverage}) AS c FULL JOIN ({ious}) AS s USING (run_id, class_name)"
    )


TOTALS: Final = f"""
SELECT c.run_id, c.class_name, sum(c.pixels) AS pixels
FROM class_coverage($t, mask := $m, step := 'each') AS c JOIN {STEPS} AS s USING (run_id, _step)
WHERE c.image_column = $i GROUP BY ALL
"""
CLASS_IOU: Final = f"""
SELECT c.run_id, c.class_name, c.tp, c.fp, c.fn
FROM class_iou($t, truth := $a, prediction := $b, step := 'each') AS c JOIN {STEPS} AS s USING (run_id, _step)
WHERE c.image_column = $i
"""

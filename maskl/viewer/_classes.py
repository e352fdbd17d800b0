"""What is known of the classes of a set of rows: coverage and IoU, from stored counts."""

from __future__ import annotations

from typing import Any, Final

from maskl.viewer._session import Session
from maskl.viewer._sets import RUNS, RowSet
from maskl_storage.errors import MasklError

__all__ = ["class_statistics"]

#: the steps of runs, of which totals are kept
STEPS: Final = "(SELECT unnest($runs) AS run_id, unnest($steps) AS _step)"
#: single rows of runs
ROWS: Final = (
    f"(SELECT n.run_id, c._row FROM (SELECT unnest($places) AS place, unnest($rows) AS _row) AS c "
    f"JOIN {RUNS} AS n USING (place))"
)
IOU: Final = "iou(tp, fp, fn)"


def class_statistics(session: Session, found: RowSet) -> dict[str, Any]:
    """Return coverage and IoU of each class, per run; coverage is the prediction's where there is no truth."""
    request = found.request
    mask = request.truth or request.prediction
    if request.image is None or mask is None or not len(found.order):
        return {"classes": [], "notes": []}
    params: dict[str, Any] = {"t": request.table, "i": request.image, "m": mask}
    if found.whole:
        params |= {"runs": list(found.steps), "steps": list(found.steps.values())}
    else:
        places, rows = found.base.run[found.order].tolist(), found.base.row[found.order].tolist()
        params |= {"runs": list(request.runs), "places": places, "rows": rows}
    coverage = session.ask(TOTALS if found.whole else COUNTS, params).to_pylist()
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for row in coverage:
        entry = known.setdefault((row["run_id"], row["class_name"]), {**row, "iou": None})
        entry["coverage"] = row["coverage"]
    notes: list[str] = []
    if request.truth is not None and request.prediction is not None:
        pair = {name: params[name] for name in params if name != "m"} | {"a": request.truth, "b": request.prediction}
        try:
            scores = session.ask(CLASS_IOU if found.whole else SCORES, pair).to_pylist()
        except MasklError as error:
            scores, notes = [], [str(error)[:500]]
        for row in scores:
            blank = {"run_id": row["run_id"], "class_name": row["class_name"], "coverage": None, "iou": None}
            known.setdefault((row["run_id"], row["class_name"]), blank)["iou"] = row["iou"]
    order = {run: place for place, run in enumerate(request.runs)}
    return {"classes": sorted(known.values(), key=lambda row: order.get(row["run_id"], 0)), "notes": notes}


TOTALS: Final = f"""
SELECT c.run_id, c.class_name, sum(c.coverage) AS coverage
FROM class_coverage($t, mask := $m, step := 'each') AS c JOIN {STEPS} AS s USING (run_id, _step)
WHERE c.image_column = $i GROUP BY ALL
"""
COUNTS: Final = f"""
WITH chosen AS (
    SELECT p.run_id, p._row, p.class_name, p.pixels, p.mask_pixels
    FROM class_pixels AS p JOIN {ROWS} AS r USING (run_id, _row)
    WHERE p.table_name = $t AND p.image_column = $i AND p.mask_key = $m
), sizes AS (
    SELECT run_id, sum(mask_pixels) AS pixels
    FROM (SELECT run_id, _row, any_value(mask_pixels) AS mask_pixels FROM chosen GROUP BY ALL) GROUP BY ALL
)
SELECT c.run_id, c.class_name, CAST(sum(c.pixels) AS DOUBLE) / any_value(s.pixels) AS coverage
FROM chosen AS c JOIN sizes AS s USING (run_id) GROUP BY ALL
"""
CLASS_IOU: Final = f"""
SELECT c.run_id, c.class_name, c.iou
FROM class_iou($t, truth := $a, prediction := $b, step := 'each') AS c JOIN {STEPS} AS s USING (run_id, _step)
WHERE c.image_column = $i
"""
SCORES: Final = f"""
SELECT c.run_id, c.class_name, {IOU} AS iou FROM class_scores AS c JOIN {ROWS} AS r USING (run_id, _row)
WHERE c.table_name = $t AND c.image_column = $i AND c.truth_key = $a AND c.prediction_key = $b GROUP BY ALL
"""

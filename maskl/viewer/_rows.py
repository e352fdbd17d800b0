"""Rows as the page takes them: those of a window of the grid, and one row whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import numpy as np

from maskl.viewer._catalog import class_rows, table_colors
from maskl.viewer._session import Moment, Session
from maskl.viewer._sets import RowSet
from maskl.viewer._values import SHORT, plain
from maskl_storage.errors import MasklError, NotFound
from maskl_storage.format.boxes import CENTER, PIXEL, Box
from maskl_storage.format.metadata import ClassSet, class_name
from maskl_storage.format.names import encode_name
from maskl_storage.format.segments import classes_by_id
from maskl_storage.masks.codec import mask_info
from maskl_storage.query.table_views import quote_text
from maskl_storage.read.table import Row, StoredImage

__all__ = ["mask_of", "row_whole", "window"]

#: boxes of an image that are drawn
MAX_BOXES: Final = 5000


def window(moment: Moment, found: RowSet, start: int, stop: int, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a set from one place to another, with the columns that the grid shows."""
    table, image = found.request.table, found.request.image
    rows = []
    for run, row, step, score in found.addresses(start, stop):
        entry: dict[str, Any] = {
            "run": run, "table": table, "row": str(row), "step": step, "image": None, "score": score, "values": {},
            "masks": [],
        }  # fmt: skip
        try:
            stored = moment.table(table, run)
            cells = stored.find(run, row)
            labels = stored.union().labels
            cell = cells.get(labels.get(image, image)) if image is not None else None
            if isinstance(cell, StoredImage):
                entry["image"] = _picture(cell, SHORT)
                entry["masks"] = list(cell.masks)
            entry["values"] = {name: plain(_value(cells, labels, name), SHORT) for name in columns}
        except (MasklError, OSError) as error:  # a damaged part hides its own rows and no others
            entry["problem"] = str(error)[:SHORT]
        rows.append(entry)
    return rows


def row_whole(
    session: Session, moment: Moment, place: tuple[str, str, int], wanted: Mapping[str, Any]
) -> dict[str, Any]:
    """Return one row with all that is known of it.

    Parameters
    ----------
    session, moment
        What is looked at.
    place : tuple of (str, str, int)
        Run, table and ``_row``.
    wanted : mapping
        ``image``, ``truth``, ``prediction``, and for the same image elsewhere ``runs``, ``step`` and ``key``.
    """
    run, table, number = place
    stored = moment.table(table, run)
    cells = stored.find(run, number)
    union = stored.union()
    images = [name for name, column in union.columns.items() if column.kind == "image"]
    image = wanted.get("image") or next(iter(images), None)
    cell = cells.get(union.labels.get(image, image)) if image is not None else None
    answer: dict[str, Any] = {
        "run": run,
        "table": table,
        "row": str(number),
        "step": cells.step,
        "image": None,
        "masks": [],
        "boxes": {},
        "columns": {
            name: plain(cells.get(union.labels[name]))
            for name, column in union.columns.items()
            if column.kind == "value"
        },
        "scores": None,
        "matches": [],
        "python": f"maskl.open({str(session.store.root)!r}).table({table!r}, {run!r}).find({run!r}, {number})",
        "sql": f"FROM {moment.relation(table)} WHERE run_id = {quote_text(run)} AND _row = {number}",
    }
    if isinstance(cell, StoredImage) and image is not None:
        answer["image"] = _picture(cell)
        colors = table_colors(session, moment, table)
        answer["masks"] = [
            _mask(place, image, key, data) | {"classes": class_rows(items, colors)}
            for key, (data, items) in cell.masks.items()
        ]
        size = _size(cell)
        answer["boxes"] = {
            key: [_box(box, items, size) for box in boxes[:MAX_BOXES]] for key, (boxes, items) in cell.boxes.items()
        }
    if image is not None and wanted.get("truth") and wanted.get("prediction"):
        answer["scores"] = _scores(session, place, image, wanted["truth"], wanted["prediction"])
    if image is not None and wanted.get("runs"):
        answer["matches"] = _matches(session, moment, place, image, wanted)
    return answer


def mask_of(moment: Moment, place: tuple[str, str, int], column: str) -> tuple[bytes, dict[int, int]]:
    """Return a row's mask as it is stored, by the name of its column in SQL, and the class of each id of a segment.

    Raises
    ------
    NotFound
        There is no such run, table, row or column, or the row has no such mask.
    """
    run, table, number = place
    stored = moment.table(table, run)
    union = stored.union()
    described = union.columns.get(column)
    if described is None or described.kind != "mask":
        raise NotFound(f"table {table!r:.120} has no column of masks {column!r:.200}")
    cell = stored.find(run, number).get(union.labels[column])
    masks = cell.masks if isinstance(cell, StoredImage) else {}
    key = next((key for key in union.keys(column) if key in masks), None)
    if key is None or not isinstance(cell, StoredImage):
        raise NotFound(f"row {number} has no mask {described.key!r:.120}")
    return masks[key][0], classes_by_id(cell.segments.get(key, ()))


# --- inside ---------------------------------------------------------------------------------------


def _value(cells: Row, labels: Mapping[str, str], name: str) -> Any:
    value = cells.get(labels.get(name, name))
    return None if isinstance(value, StoredImage) else value


def _picture(cell: StoredImage, longest: int = 10_000) -> dict[str, Any]:
    found = {
        "digest": cell.digest,
        "width": cell.width,
        "height": cell.height,
        "format": cell.format,
        "caption": plain(cell.caption, longest),
    }
    return found if cell.digest is not None else {**found, "reference": plain(cell.path, longest)}


def _mask(place: tuple[str, str, int], image: str, key: str, data: bytes) -> dict[str, Any]:
    run, table, number = place
    height, width = mask_info(data).shape
    column = f"{image}__mask__{key}"
    parts = (quote(encode_name(run), safe=""), quote(encode_name(table), safe=""), number, quote(column, safe=""))
    url = "api/mask/{}/{}/{}/{}".format(*parts)
    return {"key": key, "width": width, "height": height, "url": url}


def _size(cell: StoredImage) -> tuple[int, int] | None:
    """Return width and height of an image, of a reference those of its first mask."""
    if cell.width and cell.height:
        return cell.width, cell.height
    for data, _ in cell.masks.values():
        height, width = mask_info(data).shape
        return width, height
    return None


def _box(box: Box, items: ClassSet, size: tuple[int, int] | None) -> dict[str, Any]:
    a, b, c, d = box.position
    corners = (a - c / 2, b - d / 2, a + c / 2, b + d / 2) if box.form == CENTER else (a, b, c, d)
    if box.domain == PIXEL:
        width, height = size or (1, 1)
        corners = (corners[0] / width, corners[1] / height, corners[2] / width, corners[3] / height)
    known = {item.id: item for item in items}
    named = None if box.class_id is None else class_name(known.get(box.class_id), box.class_id)
    sides = zip(("min_x", "min_y", "max_x", "max_y"), corners, strict=True)
    return {
        **{name: side if np.isfinite(side) else None for name, side in sides},
        "class_id": box.class_id,
        "class_name": named,
        "caption": plain(box.caption, SHORT),
        "scores": None if box.scores is None else {name: plain(value) for name, value in box.scores.items()},
    }


def _scores(
    session: Session, place: tuple[str, str, int], image: str, truth: str, prediction: str
) -> dict[str, Any] | None:
    """Return the scores of one row's two masks; None where they were not compared."""
    run, table, number = place
    params = {"r": run, "t": table, "n": number, "i": image, "a": truth, "b": prediction}
    where = (
        "run_id = $r AND table_name = $t AND _row = $n AND image_column = $i AND truth_key = $a AND prediction_key = $b"
    )
    means = session.ask(f"SELECT mean_iou, mean_dice, pixel_accuracy FROM scores WHERE {where}", params).to_pylist()
    if not means:
        return None
    counts = session.ask(
        f"SELECT class_name AS name, maskl_iou(tp, fp, fn) AS iou, maskl_dice(tp, fp, fn) AS dice, tp, fp, fn "
        f"FROM class_scores WHERE {where} ORDER BY class_name",
        params,
    ).to_pylist()
    return {**{name: plain(value) for name, value in means[0].items()}, "classes": counts}


def _matches(
    session: Session, moment: Moment, place: tuple[str, str, int], image: str, wanted: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the same image in other runs, at the step that is looked at: by what ``compare_rows`` matches rows by."""
    run, table, number = place
    runs = [other for other in dict.fromkeys(wanted["runs"]) if other in moment.by_id and other != run]
    if not runs:
        return []
    # the name of the table stands in the text too: by it the view is made that the macro reads
    keys = f"maskl_row_keys({quote_text(table)}, $k) WHERE image_column = $i"
    params: dict[str, Any] = {"k": wanted.get("key"), "i": image}
    mine = session.ask(f"SELECT row_key FROM {keys} AND run_id = $r AND _row = $n", params | {"r": run, "n": number})
    key = next(iter(mine["row_key"].to_pylist()), None)
    if key is None:
        return []
    # of each run one row, of the highest step up to the one that is looked at, however many rows show the same
    query = (
        f"SELECT t.run_id, t._row, t._step FROM {moment.relation(table)} AS t JOIN "
        f"(SELECT run_id, _row FROM {keys} AND list_contains($runs, run_id) AND row_key = $key) AS o "
        "USING (run_id, _row) WHERE $step IS NULL OR t._step <= $step "
        "QUALIFY row_number() OVER (PARTITION BY t.run_id ORDER BY t._step DESC, t._row) = 1"
    )
    params |= {"runs": runs, "key": key, "step": wanted.get("step")}
    best = {
        one["run_id"]: {"run": one["run_id"], "table": table, "row": str(one["_row"]), "step": one["_step"]}
        for one in session.ask(query, params).to_pylist()
    }
    return [best[other] for other in runs if other in best]

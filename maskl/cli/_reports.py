"""What the command line asks about models: metrics side by side, worst rows, and what changed between two runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from maskl.cli._output import Result, fetch
from maskl_storage.errors import NotFound
from maskl_storage.query.table_views import TableView, quote_name, quote_text

if TYPE_CHECKING:
    from maskl.cli._pages import Entry, Sheet
    from maskl.images.image import Image
    from maskl.reading.metrics import Steps
    from maskl.reading.store import Store
    from maskl_storage.read.table import StoredTable

__all__ = [
    "Question",
    "comparison",
    "comparison_entries",
    "labels",
    "sheet",
    "worst",
    "worst_entries",
]

MASKS: Final = "truth := $truth, prediction := $prediction, step := $step"


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared with what.

    Parameters
    ----------
    table : str
        The logged table.
    truth, prediction : str
        The keys of the masks.
    step : int or {'each', 'last', 'all'}
        The steps to count.
    class_name : str, optional
        Score by this one class instead of the mean over classes.
    class_map : mapping, optional
        Other names for classes.
    """

    table: str
    truth: str
    prediction: str
    step: Steps
    class_name: str | None = None
    class_map: Mapping[str, str] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of the query's parameters."""
        values = {"t": self.table, "truth": self.truth, "prediction": self.prediction, "step": self.step}
        return values if self.class_name is None else values | {"class": self.class_name}


def worst(store: Store, question: Question, count: int) -> Result:
    """Return the rows with the lowest scores, those first, with the captions of their images."""
    view = store.view(question.table)
    if question.class_name is None:
        scored = f"SELECT *, mean_iou AS score FROM row_iou($t, {MASKS})"
        fields = "w.mean_iou, w.mean_dice, w.pixel_accuracy"
    else:
        scored = f"SELECT *, iou AS score FROM row_class_iou($t, {MASKS}) WHERE class_name = $class"
        fields = "w.iou, w.dice, w.tp, w.fp, w.fn"
    query = f"""
        WITH w AS ({scored} ORDER BY score, run_id, _row, image_column LIMIT {count})
        SELECT w.run_id, maskl_run_name(w.run_id) AS run_name, w.table_name, w._step, w._row, w.image_column,
               {fields}, {_caption(view, "w")} AS caption
        FROM w JOIN tables.{quote_name(view.name)} AS v ON v.run_id = w.run_id AND v._row = w._row
        WHERE w.score IS NOT NULL ORDER BY w.score, w.run_id, w._row, w.image_column
    """
    result = fetch(store.sql(query, question.parameters, class_map=question.class_map))
    if not result.rows:
        raise NotFound(_why_nothing(store, question))
    return result


def comparison(
    store: Store, runs: tuple[str, str], question: Question, key: str | None, resamples: int = 0
) -> tuple[Result, Result]:
    """Return the classes of two runs side by side, and the rows of both, those that moved most first."""
    answer = store.compare(
        question.table,
        *runs,
        question.truth,
        question.prediction,
        step=question.step,
        key=key,
        class_map=question.class_map,
        resamples=resamples,
    )
    classes = Result(tuple(answer.column_names), [tuple(row.values()) for row in answer])
    if question.class_name is not None and question.class_name not in {row[5] for row in classes.rows}:
        raise NotFound(_no_class(question, [row[5] for row in classes.rows]))
    view = store.view(question.table)
    parameters = question.parameters | {"a": store.run(runs[0]).id, "b": store.run(runs[1]).id}
    class_ = "NULL" if question.class_name is None else "$class"
    query = f"""
        WITH c AS (FROM compare_rows($t, $a, $b, class := {class_}, key := $key, {MASKS}))
        SELECT c.*, {_caption(view, "c")} AS caption
        FROM c JOIN tables.{quote_name(view.name)} AS v ON v.run_id = c.run_id AND v._row = c._row
        ORDER BY abs(c.change) DESC NULLS LAST, c.row_key, c.image_column
    """
    return classes, fetch(store.sql(query, parameters | {"key": key}, class_map=question.class_map))


def worst_entries(store: Store, question: Question, result: Result) -> list[Entry]:
    """Return the rows of :func:`worst` for a page."""
    from maskl.cli._pages import Entry, Prediction

    rows = store.table(question.table)
    entries = []
    for row in _dicts(result):
        image = _image(rows, row["run_id"], row["_row"], row["image_column"])
        scores = [
            (name.replace("_", " "), _number(row[name]))
            for name in ("mean_iou", "mean_dice", "pixel_accuracy", "iou", "dice")
            if name in row
        ]
        prediction = Prediction(row["run_name"], image, question.prediction)
        heading = f"{row['run_name']} · step {row['_step']} · row {row['_row']}"
        entries.append(Entry(heading, image, question.truth, [prediction], scores))
    return entries


def comparison_entries(store: Store, question: Question, runs: tuple[str, str], result: Result) -> list[Entry]:
    """Return rows of :func:`comparison` for a page."""
    from maskl.cli._pages import Entry, Prediction

    names = labels(store, runs)
    rows = store.table(question.table)
    entries = []
    for row in _dicts(result):
        image_a = _image(rows, row["run_id_a"], row["row_a"], row["image_column"])
        image_b = _image(rows, row["run_id"], row["_row"], row["image_column"])
        pairs = ((names[0], image_a), (names[1], image_b))
        predictions = [Prediction(name, image, question.prediction) for name, image in pairs]
        scores = [
            (f"IoU {names[0]}", _number(row["iou_a"])),
            (f"IoU {names[1]}", _number(row["iou_b"])),
            ("change", _number(row["change"], signed=True)),
        ]
        heading = f"row {row['_row']}"
        if row["row_a"] != row["_row"]:
            heading = f"row {row['row_a']} of {names[0]}, row {row['_row']} of {names[1]}"
        entries.append(Entry(heading, image_b, question.truth, predictions, scores))
    return entries


def labels(store: Store, runs: tuple[str, str]) -> tuple[str, str]:
    """Return what tells two runs apart for people: their names, where these are the same their ids."""
    first, second = (store.run(run) for run in runs)
    return (first.name, second.name) if first.name != second.name else (first.id, second.id)


def sheet(caption: str, result: Result, headings: Sequence[str]) -> Sheet:
    """Return a result as a table of a page, with other names for its columns."""
    from maskl.cli._pages import Sheet

    rows = [
        [
            _number(cell, signed=name.startswith("change")) if cell is None or isinstance(cell, float) else str(cell)
            for name, cell in zip(result.columns, row, strict=True)
        ]
        for row in result.rows
    ]
    return Sheet(caption, headings, rows)


# --- parts of answers ---------------------------------------------------------------------------


def _caption(view: TableView, name: str) -> str:
    """Return the expression for what tells a person which image a row is of: its caption, else its file."""
    cases = [
        f"WHEN {quote_text(image)} THEN coalesce(v.{quote_name(image)}.caption, v.{quote_name(image)}.path)"
        for image in view.images
    ]
    return f"CASE {name}.image_column {' '.join(cases)} END"


def _image(rows: StoredTable, run_id: str, row: int, image_column: str) -> Image:
    image: Image = rows.find(run_id, row)[rows.image_name(image_column)]
    return image


def _dicts(result: Result) -> Iterator[dict[str, Any]]:
    return (dict(zip(result.columns, row, strict=True)) for row in result.rows)


def _number(value: float | None, *, signed: bool = False) -> str:
    return "–" if value is None else f"{value:+.3f}" if signed else f"{value:.3f}"


def _why_nothing(store: Store, question: Question) -> str:
    """Say why there are no scores: no such masks, steps or class."""
    answer = store.metrics(
        question.table,
        question.truth,
        question.prediction,
        step=question.step,
        class_map=question.class_map,
    )
    if question.class_name is None:
        return f"table {question.table!r} has no row whose masks can be compared at step {question.step}"
    return _no_class(question, answer["class_name"])


def _no_class(question: Question, names: Sequence[str]) -> str:
    known = ", ".join(repr(name) for name in dict.fromkeys(names)) or "none"
    return f"no row of table {question.table!r} has a score for class {question.class_name!r}; its classes are: {known}"

"""Every macro on 500 random runs against scikit-learn, and against NumPy where scikit-learn defines it otherwise.

Where scikit-learn differs, and what is done about it:

- It knows no classes of the truth alone: a prediction of any other class is a label like the rest, with a
  score of its own. Such predictions are given to it as one more label, ``OTHER``, that is never asked about.
- A class that is in neither mask scores 0 (``zero_division``) and lowers its macro averages; here it is NULL and
  left out. It is asked about the classes that occur.
- It knows nothing of coverage, of images that show two classes, or of masks that are missing or differ in size:
  those are counted with NumPy.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pytest
import sklearn
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

import maskl
from maskl.errors import ClassMapWarning, SizeMismatchWarning

#: an id may be called as one without a name would be, and take a name that another mask of its image gives it
pytestmark = pytest.mark.filterwarnings("ignore:class ids .* have one name")

GT, PRED = "ground_truth", "predictions"
#: pairs of masks that are compared: truth, prediction
PAIRS = ((GT, PRED), (PRED, GT), (PRED, "second"))
#: 500 cases: an image column of a run is one, with labels, ignored ids and masks of its own
STORES, RUNS, COLUMNS = int(os.environ.get("MASKL_ORACLE_STORES", "6")), 5, 10
#: a seed does not shrink to a simpler case
PHASES = (Phase.explicit, Phase.generate)
#: what a class map is tried with: two classes of one name, one renamed, one that no mask has a name for
CLASS_MAP = {"car": "vehicle", "bus": "vehicle", "나무": "tree", "class_3": "sky", "class_7": "vehicle"}

Pixels = npt.NDArray[np.int64]


@dataclass(eq=False)
class Mask:
    """A logged mask and what its ids are called."""

    ids: npt.NDArray[Any]
    labels: dict[int, str] | None
    ignored: set[int]
    names: dict[int, str] = field(default_factory=dict)
    #: whether no class has a name, so that any may be one of the mask's
    is_open: bool = False
    #: classes that the mask is said to have because of others
    more: frozenset[str] = frozenset()

    @property
    def declared(self) -> set[int]:
        return {*self.names, *self.ignored}

    @property
    def present(self) -> set[int]:
        return {int(number) for number in np.unique(self.ids)}

    def name(self, number: int) -> str:
        return self.names.get(number, f"class_{number}")

    def classes(self, *, ignored: bool) -> set[str]:
        """The names of ids that are declared or present; those that are ignored too, or without them."""
        return {self.name(n) for n in self.declared | self.present if ignored or n not in self.ignored}

    def admits(self, name: str) -> bool:
        return self.is_open or name in self.more or name in self.classes(ignored=True)

    def named(self) -> npt.NDArray[np.str_]:
        distinct, places = np.unique(self.ids.reshape(-1), return_inverse=True)
        return np.array([self.name(int(number)) for number in distinct])[places.reshape(-1)]

    def valid(self) -> npt.NDArray[np.bool_]:
        return ~np.isin(self.ids.reshape(-1), list(self.ignored))


@dataclass(eq=False)
class Cell:
    """The masks of one image of one row."""

    run: str
    step: int
    row: int
    column: str
    masks: dict[str, Mask]


Group = tuple[str, int | None, str]
OTHER = "<other>"


# --- random runs --------------------------------------------------------------------------------


def random_labels(rng: np.random.Generator, ids: Sequence[int]) -> dict[int, str] | None:
    """Names for none, some or all ids; one may be called as an unnamed id would be."""
    if rng.random() < 0.25:
        return None
    names = rng.choice(["sky", "road", "car", "bus", "나무", "class_2"], len(ids), replace=False).tolist()
    kept = rng.random(len(ids)) < rng.choice([0.6, 1.0])
    return {int(i): name for i, name, keep in zip(ids, names, kept, strict=True) if keep} or None


def random_mask(
    rng: np.random.Generator, shape: tuple[int, ...], ids: Sequence[int], labels: Any, ignored: Any
) -> Mask:
    few = rng.choice(ids, rng.integers(1, len(ids) + 1), replace=False)
    return Mask(rng.choice(few, shape).astype(rng.choice(["i4", "i8"])), labels, set(ignored))


def random_run(rng: np.random.Generator, run: str) -> list[Cell]:
    """Return a run of a few steps and rows; each of its image columns is a case of its own."""
    steps = sorted(rng.choice([0, 1, 5, 40], rng.integers(1, 4), replace=False).tolist())
    rows = [step for step in steps for _ in range(rng.integers(1, 4))]
    columns = [random_column(rng, run, f"image{number}", rows) for number in range(COLUMNS)]
    return [cell for column in columns for cell in column]


def random_column(rng: np.random.Generator, run: str, column: str, rows: Sequence[int]) -> list[Cell]:
    """Return one image a row, with masks that may be missing, unlabelled, of another size or with unknown ids."""
    ids = rng.choice([-1, 0, 1, 2, 3, 7, 255, 70_000], rng.integers(2, 6), replace=False).tolist()
    labels = {key: random_labels(rng, ids) for key in (GT, PRED, "second")}
    if rng.random() < 0.5:
        labels[PRED] = labels[GT]
    ignored = {key: rng.choice(ids, rng.choice([0, 1, 2]), replace=False).tolist() for key in labels}
    changing = rng.random() < 0.2
    cells = []
    for row, step in enumerate(rows):
        shape = tuple(rng.integers(1, 7, 2).tolist())
        masks = {}
        for key in (GT, PRED, "second"):
            if rng.random() < (0.5 if key == "second" else 0.08):
                continue
            mine: Any = labels[key], ignored[key]
            if changing and rng.random() < 0.5:
                mine = random_labels(rng, ids), rng.choice(ids, rng.choice([0, 1]), replace=False).tolist()
            size = (shape[0] + 1, shape[1]) if rng.random() < 0.06 else shape
            unknown = [*ids, 9] if key == PRED and rng.random() < 0.2 else ids
            masks[key] = random_mask(rng, size, unknown, *mine)
        _name(masks)
        cells.append(Cell(run, step, row, column, masks))
    return cells


def _name(masks: dict[str, Mask]) -> None:
    """Give each mask's ids the names they stand under: its own, else those of the image's first mask that has any."""
    for key, mask in masks.items():
        sources = [mask.labels, *(other.labels for name, other in masks.items() if name != key)]
        known = [source for source in sources if source]
        mask.names = dict(known[0]) if known else {}
        mask.is_open = not known
        for source in known[1:]:
            unnamed = mask.present - mask.names.keys() - (mask.labels or {}).keys()
            mask.names |= {number: name for number, name in source.items() if number in unnamed}
        every = {number: mask.names.get(number, f"class_{number}") for number in mask.present | mask.ignored}
        every |= mask.names
        for number in sorted(every):  # no two ids have one name: the lowest keeps it
            name = every[number]
            if any(every[lower] == name for lower in every if lower < number):
                while name in every.values():
                    name += f" ({number})"
                every[number] = mask.names[number] = name


def log(directory: Path, run: str, tables: dict[str, list[Cell]]) -> None:
    with maskl.init(dir=directory, id=f"t-{run}", name=run) as live:
        for table, cells in tables.items():
            columns = list(dict.fromkeys(cell.column for cell in cells))
            ordered = sorted(cells, key=lambda cell: cell.row)
            for step, of_step in groupby(ordered, key=lambda cell: cell.step):
                rows = maskl.Table(columns=["key", *columns])
                for number, of_row in groupby(of_step, key=lambda cell: cell.row):
                    rows.add_data(f"k{number}", *(_image(cell) for cell in of_row))
                live.log({table: rows}, step=step)


def _image(cell: Cell) -> maskl.Image | None:
    if not cell.masks:
        return None
    masks = {
        key: {"mask_data": mask.ids, "class_labels": mask.labels, "ignore_index": sorted(mask.ignored)}
        for key, mask in cell.masks.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SizeMismatchWarning)
        return maskl.Image(np.zeros((2, 2), np.uint8), masks=masks)


# --- the oracle ---------------------------------------------------------------------------------


def counted_steps(cells: Iterable[Cell]) -> dict[str, int]:
    """Each run's last step that has a mask."""
    last: dict[str, int] = {}
    for cell in cells:
        if cell.masks:
            last[cell.run] = max(cell.step, last.get(cell.run, cell.step))
    return last


def chosen(cells: Sequence[Cell], step: str) -> list[Cell]:
    last = counted_steps(cells)
    return [c for c in cells if step in ("each", "all") or c.step == (last.get(c.run) if step == "last" else int(step))]


def grouped(cells: Sequence[Cell], step: str) -> dict[Group, list[Cell]]:
    groups: dict[Group, list[Cell]] = {}
    for cell in chosen(cells, step):
        groups.setdefault((cell.run, None if step == "all" else cell.step, cell.column), []).append(cell)
    return groups


def comparable(cell: Cell, truth: str, prediction: str) -> bool:
    both = truth in cell.masks and prediction in cell.masks
    return both and cell.masks[truth].ids.shape == cell.masks[prediction].ids.shape


def shares_names(cells: Sequence[Cell], truth: str, prediction: str) -> bool:
    """Whether a class of one mask is, or could be, one of the other: by all of a group's masks, or in one row."""
    names = [
        {name for c in cells if key in c.masks for name in c.masks[key].classes(ignored=True)}
        for key in (truth, prediction)
    ]
    pairs = [(c.masks[truth], c.masks[prediction]) for c in cells if comparable(c, truth, prediction)]
    return bool(names[0] & names[1]) or any(a.is_open or b.is_open for a, b in pairs)


def is_apart(cells: Sequence[Cell], pairs: Sequence[tuple[str, str]] = PAIRS) -> bool:
    """Whether a pair of masks that is compared has no class name in common in some group."""
    return any(
        any(comparable(c, *pair) for c in members) and not shares_names(members, *pair)
        for members in grouped(cells, "each").values()
        for pair in pairs
    )


@dataclass
class Scores:
    """What is known of one row or group; counts are None where no masks could be compared."""

    classes: list[str]
    counts: dict[str, tuple[int, int, int]] | None
    values: dict[str, dict[str, float | None]]
    mean_iou: float | None = None
    mean_dice: float | None = None
    mean_accuracy: float | None = None
    frequency_weighted_iou: float | None = None
    pixel_accuracy: float | None = None


NAMES = ("iou", "dice", "recall", "precision")


Groups = Mapping[Any, Sequence[Cell]]


def score(groups: Groups, truth: str, prediction: str, exclude: Sequence[str] = ()) -> dict[Any, Scores]:
    """Score groups of images that have both masks.

    All groups are one call to scikit-learn, each with labels of its own: it scores each label for itself.
    """
    found: dict[Any, Scores] = {}
    labels: dict[tuple[Any, str], int] = {}
    true, predicted, group_of = [], [], []
    for key, cells in groups.items():
        truths = [cell.masks[truth] for cell in cells if truth in cell.masks]
        if not truths or not any(prediction in cell.masks for cell in cells):
            continue
        pieces = list(pixels_that_count(cells, truth, prediction))
        classes = {name for mask in truths for name in mask.classes(ignored=False)}
        hidden = {mask.name(number) for mask in truths for number in mask.ignored}
        classes |= {name for _, names in pieces for name in names} - hidden - {OTHER}
        counts = dict.fromkeys(sorted(classes), (0, 0, 0)) if pieces else None
        found[key] = Scores(sorted(classes), counts, {name: dict.fromkeys(NAMES) for name in classes})
        for true_names, predicted_names in pieces:
            true += [labels.setdefault((key, name), len(labels)) for name in true_names]
            predicted += [labels.setdefault((key, name), len(labels)) for name in predicted_names]
            group_of += [len(found) - 1] * len(true_names)
    if true:
        _fill(found, labels, (np.array(true), np.array(predicted), np.array(group_of)), exclude)
    return found


def pixels_that_count(cells: Sequence[Cell], truth: str, prediction: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the class names of both masks where the truth is not ignored."""
    for cell in cells:
        if comparable(cell, truth, prediction):
            a, b = cell.masks[truth], cell.masks[prediction]
            names = b.named()[a.valid()].tolist()
            known = {name: name if a.admits(name) else OTHER for name in names}
            yield a.named()[a.valid()].tolist(), [known[name] for name in names]


def _fill(
    found: dict[Any, Scores], labels: Mapping[tuple[Any, str], int], pixels: Sequence[Pixels], exclude: Sequence[str]
) -> None:
    """Fill in what scikit-learn says of each label, and the means of each group's."""
    true, predicted, group_of = pixels
    asked = {(key, name): code for (key, name), code in labels.items() if name in found[key].classes}
    codes = list(asked.values())
    matrices = sk.multilabel_confusion_matrix(true, predicted, labels=codes).tolist()
    iou = sk.jaccard_score(true, predicted, labels=codes, average=None, zero_division=0)
    precision, recall, dice, support = sk.precision_recall_fscore_support(
        true, predicted, labels=codes, average=None, zero_division=np.nan
    )
    kept: dict[Any, list[int]] = {}
    for place, (key, name) in enumerate(asked):
        ((_, fp), (fn, tp)), result = matrices[place], found[key]
        assert result.counts is not None
        result.counts[name] = (tp, fp, fn)
        figures = (iou[place], dice[place], recall[place], precision[place])
        result.values[name] = {k: None if math.isnan(v) else float(v) for k, v in zip(NAMES, figures, strict=True)}
        if name not in exclude and tp + fp + fn:
            kept.setdefault(key, []).append(place)
    for key, places in kept.items():
        result = found[key]
        result.mean_iou, result.mean_dice = float(iou[places].mean()), float(dice[places].mean())
        if support[places].sum():
            result.mean_accuracy = float(np.nanmean(recall[places]))
            result.frequency_weighted_iou = float(np.average(iou[places], weights=support[places]))
    # the share of a group's pixels that are right is the recall of the group
    groups = np.unique(group_of)
    right = sk.recall_score(group_of, np.where(true == predicted, group_of, -1), labels=groups, average=None)
    for place, accuracy in zip(groups.tolist(), right.tolist(), strict=True):
        list(found.values())[place].pixel_accuracy = accuracy


def coverage(cells: Sequence[Cell], key: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Return (class id, name, ignored) to (pixels, coverage, valid_coverage, n_rows), by NumPy."""
    masks = [cell.masks[key] for cell in cells if key in cell.masks]
    pixels: dict[tuple[Any, ...], int] = {}
    for mask in masks:
        for number in mask.declared | mask.present:
            entry = (number, mask.name(number), number in mask.ignored)
            pixels[entry] = pixels.get(entry, 0) + int((mask.ids == number).sum())
    total = sum(mask.ids.size for mask in masks)
    valid = sum(int(mask.valid().sum()) for mask in masks)
    return {
        entry: (count, count / total, count / valid if valid and not entry[2] else None, len(masks))
        for entry, count in pixels.items()
    }


def confusion(groups: Groups, truth: str, prediction: str) -> dict[Any, dict[tuple[str, str], tuple[int, float]]]:
    """Return each group's pairs of classes to pixels and their share of the truth's class."""
    labels: dict[tuple[Any, str], int] = {}
    true, predicted = [], []
    for key, cells in groups.items():
        for cell in cells:
            if comparable(cell, truth, prediction):
                valid = cell.masks[truth].valid()
                for names, codes in ((cell.masks[truth].named(), true), (cell.masks[prediction].named(), predicted)):
                    codes += [labels.setdefault((key, name), len(labels)) for name in names[valid].tolist()]
    found: dict[Any, dict[tuple[str, str], tuple[int, float]]] = {key: {} for key in groups}
    if not true:
        return found
    codes = [*range(len(labels)), -1]  # it warns of a single label
    matrix = sk.confusion_matrix(true, predicted, labels=codes)
    shares = sk.confusion_matrix(true, predicted, labels=codes, normalize="true")
    names = list(labels)
    for i, j in zip(*matrix.nonzero(), strict=True):
        found[names[i][0]][names[i][1], names[j][1]] = (int(matrix[i, j]), float(shares[i, j]))
    return found


def together(cells: Sequence[Cell], key: str) -> dict[tuple[str, str], tuple[int, float]]:
    """Return pairs of classes to the images that show both, and their share of the first's, by NumPy."""
    shown = [
        {mask.name(n) for n in mask.present - mask.ignored} for c in cells if (mask := c.masks.get(key)) is not None
    ]
    names = sorted(set().union(*shown))
    has = np.array([[name in row for name in names] for row in shown], np.int64).reshape(len(shown), len(names))
    both = has.T @ has
    return {
        (a, b): (int(both[i, j]), both[i, j] / both[i, i])
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i != j and both[i, j]
    }


# --- what SQL says ------------------------------------------------------------------------------


def answer(store: maskl.Store, query: str, keys: int, **options: Any) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Return a query's rows by their first columns, which must tell them apart."""
    rows = store.sql(query, **options).fetchall()
    found = {row[:keys]: row[keys:] for row in rows}
    assert len(found) == len(rows), f"rows that say the same twice: {query}"
    return found


def same(found: dict[Any, Any], expected: dict[Any, Any], what: str) -> None:
    assert found.keys() == expected.keys(), (what, set(found) ^ set(expected))
    for key, values in expected.items():
        for got, value in zip(found[key], values, strict=True):
            close = got == value or (got is not None and value is not None and math.isclose(got, value, rel_tol=1e-12))
            assert close, (what, key, found[key], values)


def arguments(pair: tuple[str, str], step: str) -> str:
    return f"'t', truth := '{pair[0]}', prediction := '{pair[1]}', step := '{step}'"


@pytest.fixture(autouse=True, scope="module")
def _quick_scikit_learn() -> Any:
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        yield


def check_coverage(store: maskl.Store, cells: Sequence[Cell], key: str, step: str) -> None:
    columns = "run_name, _step, image_column, class_id, class_name, ignored, pixels, coverage, valid_coverage, n_rows"
    query = f"SELECT {columns} FROM class_coverage('t', mask := '{key}', step := '{step}')"
    expected = {
        group + entry: values
        for group, members in grouped(cells, step).items()
        for entry, values in coverage(members, key).items()
    }
    same(answer(store, query, 6), expected, query)


def check_mapped_coverage(store: maskl.Store, cells: Sequence[Cell], **sql: Any) -> None:
    """Under a class map several ids may be one class."""
    columns = "run_name, image_column, class_name, ignored, pixels, coverage, valid_coverage, n_rows"
    expected: dict[tuple[Any, ...], Any] = {}
    for (run, _, column), members in grouped(cells, "all").items():
        for (_, name, ignored), values in coverage(members, GT).items():
            so_far = expected.get((run, column, name, ignored))
            added = [None if value is None else value + (so_far[i] if so_far else 0) for i, value in enumerate(values)]
            expected[run, column, name, ignored] = (*added[:3], values[3])
    same(
        answer(store, f"SELECT {columns} FROM class_coverage('t', step := 'all')", 4, **sql),
        expected,
        "class_coverage under a class map",
    )


def check_groups(store: maskl.Store, cells: Sequence[Cell], pair: tuple[str, str], step: str, **sql: Any) -> None:
    """class_iou and mean_iou, with two classes left out of the means."""
    exclude = ["sky", "class_0"] if step != "each" else []
    scored = score(grouped(cells, step), *pair, exclude)
    query = f"SELECT run_name, _step, image_column, class_name, tp, fp, fn, {', '.join(NAMES)} FROM class_iou"
    expected = {
        (*group, name): (*(s.counts[name] if s.counts else (None,) * 3), *s.values[name].values())
        for group, s in scored.items()
        for name in s.classes
    }
    same(answer(store, f"{query}({arguments(pair, step)})", 4, **sql), expected, f"class_iou {pair} {step}")
    means = ("mean_iou", "mean_dice", "mean_accuracy", "frequency_weighted_iou", "pixel_accuracy")
    query = f"SELECT run_name, _step, image_column, {', '.join(means)} FROM mean_iou"
    expected = {group: tuple(getattr(s, name) for name in means) for group, s in scored.items() if s.classes}
    found = answer(store, f"{query}({arguments(pair, step)}, exclude := {exclude})", 3, **sql)
    same(found, expected, f"mean_iou {pair} {step}")


def check_rows(store: maskl.Store, cells: Sequence[Cell], pair: tuple[str, str], step: str, **sql: Any) -> None:
    """row_iou, row_class_iou, and the aggregates iou() and dice() over the rows of a run."""
    both = [c for c in chosen(cells, step) if pair[0] in c.masks and pair[1] in c.masks]
    scored = list(zip(both, score({number: [c] for number, c in enumerate(both)}, *pair).values(), strict=True))
    query = "SELECT run_id, _step, image_column, _row, mean_iou, mean_dice, pixel_accuracy FROM row_iou"
    expected = {(f"t-{c.run}", c.step, c.column, c.row): (s.mean_iou, s.mean_dice, s.pixel_accuracy) for c, s in scored}
    same(answer(store, f"{query}({arguments(pair, step)})", 4, **sql), expected, f"row_iou {pair} {step}")
    query = "SELECT run_id, _step, image_column, _row, class_name, tp, fp, fn, iou, dice FROM row_class_iou"
    by_class = {
        (f"t-{c.run}", c.step, c.column, c.row, name): (
            *(s.counts[name] if s.counts else (None,) * 3),
            *(s.values[name][k] for k in NAMES[:2]),
        )
        for c, s in scored
        for name in s.classes
    }
    same(answer(store, f"{query}({arguments(pair, step)})", 5, **sql), by_class, f"row_class_iou {pair} {step}")
    sums: dict[tuple[str, str], Pixels] = {}
    for (run, _, _, _, name), (tp, fp, fn, *_) in by_class.items():
        sums[run, name] = sums.get((run, name), np.zeros(3, np.int64)) + (np.array([tp or 0, fp or 0, fn or 0]))
    aggregated = {
        key: (tp / (tp + fp + fn), 2 * tp / (2 * tp + fp + fn)) if tp + fp + fn else (None, None)
        for key, (tp, fp, fn) in ((key, total.tolist()) for key, total in sums.items())
    }
    query = f"SELECT run_id, class_name, iou(tp, fp, fn), dice(tp, fp, fn) FROM row_class_iou({arguments(pair, step)})"
    same(answer(store, f"{query} GROUP BY ALL", 2, **sql), aggregated, query)


def check_tallies(store: maskl.Store, cells: Sequence[Cell], pair: tuple[str, str], step: str, **sql: Any) -> None:
    """confusion_matrix and cooccurrence."""
    groups = grouped(cells, step)
    query = "SELECT run_name, _step, image_column, truth_class, prediction_class, pixels, share FROM confusion_matrix"
    expected = {group + key: v for group, pairs in confusion(groups, *pair).items() for key, v in pairs.items()}
    same(answer(store, f"{query}({arguments(pair, step)})", 5, **sql), expected, f"confusion_matrix {pair} {step}")
    query = "SELECT run_name, _step, image_column, class_a, class_b, n_rows, share FROM cooccurrence"
    expected = {group + key: v for group, members in groups.items() for key, v in together(members, pair[0]).items()}
    found = answer(store, f"{query}('t', mask := '{pair[0]}', step := '{step}')", 5, **sql)
    same(found, expected, f"cooccurrence {pair[0]} {step}")


def check_comparison(store: maskl.Store, cells: Sequence[Cell], a: str, b: str, step: str) -> None:
    """compare_classes and compare_rows against the scores of both runs, which are checked above."""

    def meets(cell: Cell) -> int:
        return {"last": 0, "all": 0}.get(step, cell.step)

    scored: dict[str, dict[tuple[Any, ...], float | None]] = {}
    rows: dict[str, dict[tuple[Any, ...], float | None]] = {}
    for run in (a, b):
        mine = [cell for cell in cells if cell.run == run]
        scored[run] = {
            (0 if step in ("last", "all") else group[1], group[2], name): s.values[name]["iou"]
            for group, s in score(grouped(mine, step), GT, PRED).items()
            for name in s.classes
        }
        each = {(meets(c), c.column, f"k{c.row}"): [c] for c in chosen(mine, step)}
        rows[run] = {key: s.mean_iou for key, s in score(each, GT, PRED).items()}

    def change(key: Any, of: dict[str, dict[Any, Any]]) -> tuple[Any, ...]:
        old, new = of[a].get(key), of[b].get(key)
        return old, new, None if old is None or new is None else new - old

    arguments = f"'t', 't-{a}', '{b}', step := '{step}'"
    columns = "coalesce(step_a, step_b, 0), image_column, class_name, iou_a, iou_b, change"
    query = f"SELECT {columns} FROM compare_classes({arguments})"
    found = {(0 if step == "last" else k[0], *k[1:]): v for k, v in answer(store, query, 3).items()}
    keys = scored[a].keys() | scored[b].keys()
    same(found, {key: change(key, scored) for key in keys}, query)
    query = f"SELECT step_b, image_column, row_key, iou_a, iou_b, change FROM compare_rows({arguments}, key := 'key')"
    found = {(0 if step == "last" else k[0], *k[1:]): v for k, v in answer(store, query, 3).items()}
    same(found, {key: change(key, rows) for key in rows[a].keys() & rows[b].keys()}, query)


def check_errors(store: maskl.Store, apart: Sequence[Cell]) -> None:
    """Every macro of a pair says which masks of which run have no name in common, whatever it is asked for."""
    for run, pair in list(dict.fromkeys((cell.run, pair) for cell in apart for pair in PAIRS))[:5]:
        mine = [cell for cell in apart if cell.run == run]
        groups = [cells for cells in grouped(mine, "each").values() if is_apart(cells, [pair])]
        # without a class of the truth that counts there is nothing to be wrong about
        masks = [cell.masks.get(pair[0]) for cells in groups for cell in cells]
        if not any(mask is not None and mask.classes(ignored=False) for mask in masks):
            continue
        words = f"'apart': masks '{pair[0]}' and '{pair[1]}' of run 't-{run}' have no class name in common"
        call = f"('apart', truth := '{pair[0]}', prediction := '{pair[1]}') WHERE run_id = 't-{run}'"
        for query in (
            "FROM class_iou",
            "FROM mean_iou",
            "SELECT pixel_accuracy FROM row_iou",
            "SELECT fp FROM row_class_iou",
        ):
            with pytest.raises(duckdb.Error, match=words):
                store.sql(f"{query}{call}").fetchall()


def has_pair(cells: Iterable[Cell], run: str) -> bool:
    return {GT, PRED} <= {key for cell in cells if cell.run == run for key in cell.masks}


# --- the tests ----------------------------------------------------------------------------------


def make_store(directory: Path, seed: int) -> tuple[maskl.Store, list[Cell], list[Cell]]:
    """Log random runs: columns whose masks share names in table t, the others in table apart."""
    rng = np.random.default_rng(seed)
    logged: dict[str, list[Cell]] = {"t": [], "apart": []}
    for number in range(RUNS):
        tables: dict[str, list[Cell]] = {}
        for _, column in groupby(random_run(rng, f"run{number}"), key=lambda cell: cell.column):
            cells = list(column)
            tables.setdefault("apart" if is_apart(cells) else "t", []).extend(cells)
        log(directory, f"run{number}", tables)
        for table, cells in tables.items():
            logged[table] += cells
    return maskl.open(directory), logged["t"], logged["apart"]


def mapped(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells as if their masks had been relabelled with the class map's names before they were logged.

    A class that the map makes is one of a mask where it is one of any such mask of the step.
    """
    made = [Cell(c.run, c.step, c.row, c.column, {key: _mapped(mask) for key, mask in c.masks.items()}) for c in cells]
    for members in grouped(made, "each").values():
        for key in (GT, PRED, "second"):
            masks = [cell.masks[key] for cell in members if key in cell.masks]
            names = {name for mask in masks for name in mask.classes(ignored=True)}
            for mask in masks:
                mask.more = frozenset(names & set(CLASS_MAP.values()))
    return made


def _mapped(mask: Mask) -> Mask:
    names = {number: mask.name(number) for number in mask.declared | mask.present}
    names = {number: CLASS_MAP.get(name, name) for number, name in names.items()}
    return Mask(mask.ids, mask.labels, mask.ignored, names, mask.is_open)


def as_version_1_0(root: Path, copy: Path) -> maskl.Store:
    """Return a copy of a store as version 1.0 wrote it: without scores."""
    shutil.copytree(root, copy)
    for kind in ("scores", "class_scores"):
        shutil.rmtree(copy / kind)
    for path in copy.glob("seals/*/*.json"):
        seal = json.loads(path.read_text())
        seal["version"] = "1.0.0"
        seal["parts"] = [part for part in seal["parts"] if part["path"].split("/")[0] not in ("scores", "class_scores")]
        path.write_text(json.dumps(seal))
    return maskl.open(copy)


@settings(max_examples=STORES, phases=PHASES)
@given(seed=st.integers(0, (1 << 32) - 1))
def test_every_macro_equals_the_oracle(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    directory = tmp_path_factory.mktemp("oracle")
    store, cells, apart = make_store(directory, seed)
    for key, step in ((GT, "each"), (PRED, "last"), (GT, "all"), ("second", "5")):
        check_coverage(store, cells, key, step)
    for pair, step in zip([*PAIRS, PAIRS[0], PAIRS[0]], ("each", "last", "all", "all", "5"), strict=True):
        check_groups(store, cells, pair, step)
        check_tallies(store, cells, pair, step)
    for pair, step in zip(PAIRS, ("each", "last", "each"), strict=True):
        check_rows(store, cells, pair, step)
    runs = [run for run in dict.fromkeys(cell.run for cell in cells) if has_pair(cells, run)]
    for a, b, step in zip(runs, runs[1:], ("last", "each"), strict=False):
        check_comparison(store, cells, a, b, step)
    check_errors(store, apart)
    shutil.rmtree(directory)


@settings(max_examples=max(1, STORES // 5), phases=PHASES)
@given(seed=st.integers(0, (1 << 32) - 1))
def test_stores_without_scores_give_the_same(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    directory = tmp_path_factory.mktemp("oracle")
    store, cells, apart = make_store(directory, seed)
    old = as_version_1_0(store.root, directory / "old")
    for pair in PAIRS:
        check_rows(old, cells, pair, "each")
    check_errors(old, apart)
    shutil.rmtree(directory)


@settings(max_examples=max(1, STORES // 5), phases=PHASES)
@given(seed=st.integers(0, (1 << 32) - 1))
def test_class_maps_are_as_masks_relabelled_before(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    directory = tmp_path_factory.mktemp("oracle")
    store, cells, _ = make_store(directory, seed)
    as_mapped = mapped(cells)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClassMapWarning)  # not every store has every class
        check_mapped_coverage(store, as_mapped, class_map=CLASS_MAP)
        for pair, step in zip(PAIRS, ("each", "last", "all"), strict=True):
            check_groups(store, as_mapped, pair, step, class_map=CLASS_MAP)
            check_tallies(store, as_mapped, pair, step, class_map=CLASS_MAP)
            check_rows(store, as_mapped, pair, step, class_map=CLASS_MAP)
    shutil.rmtree(directory)

"""The scores of each row's pairs of masks, so that the worst images are found without adding up pixels.

The definitions are those of the SQL macros (docs/metrics.md), for one row at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from maskl_storage.cells.cells import Batch, ImageCell, MaskClasses
from maskl_storage.cells.class_pixels import JointGroup, JointGroups, Pair
from maskl_storage.format.schemas import FIXED
from maskl_storage.masks.histograms import numbered

__all__ = ["score_tables", "unmatched_pairs"]

#: counts that are held at a time, one for each row and class
BLOCK: Final = 1 << 20

#: what dictionaries are sorted as
PLAIN: Final = {"class_name": pa.string()}

#: image column, mask that is the truth, mask that is the prediction
Key = tuple[str, str, str]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
#: the ids of the truth, and those of the prediction
Sides = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]


@dataclass(frozen=True, slots=True)
class _Names:
    """The classes of two masks by number, in order of name.

    ``codes`` of both masks' ids; ``is_class`` where a prediction of the class counts as one,
    ``declared`` where every row has it.
    """

    names: tuple[str, ...]
    of_truth: Mapping[int, int]
    of_prediction: Mapping[int, int]
    is_class: npt.NDArray[np.bool_]
    declared: npt.NDArray[np.bool_]
    in_common: bool


def score_tables(
    batch: Batch, groups: JointGroups, unmatched: Mapping[Pair, Sequence[int]]
) -> Iterator[tuple[str, pa.Table]]:
    """Yield ``scores`` and ``class_scores``, with rows for each pair of masks of an image, either of them the truth.

    ``unmatched`` has the positions in the batch of pairs whose masks differ in size.
    """
    scores: dict[Key, list[pa.Table]] = {}
    class_scores: dict[Key, list[pa.Table]] = {}
    for (name, a, b, classes_a, classes_b), joints in groups.items():
        at = joints.positions
        for key, sides, truth, prediction in (
            ((name, a, b), (joints.ids_a, joints.ids_b), classes_a, classes_b),
            ((name, b, a), (joints.ids_b, joints.ids_a), classes_b, classes_a),
        ):
            names = _names(sides, truth, prediction)
            means, counts = _count(joints, sides, truth.ignored, names)
            scores.setdefault(key, []).append(_scores(batch, at, key, means, names.in_common, same_size=True))
            class_scores.setdefault(key, []).append(_class_scores(batch, at, key, counts, names))
    for (name, a, b, classes_a, classes_b), positions in unmatched.items():
        at = np.array(positions)
        for key, truth in (((name, a, b), classes_a), ((name, b, a), classes_b)):
            nothing = np.full((3, at.size), np.nan)
            scores.setdefault(key, []).append(_scores(batch, at, key, nothing, True, same_size=False))
            class_scores.setdefault(key, []).append(_unknown(batch, at, key, truth))
    if scores:
        yield "scores", _joined(scores, ["_row"])
        yield "class_scores", _joined(class_scores, ["class_name", "_row"])


def unmatched_pairs(batch: Batch, images: Sequence[tuple[str, int]]) -> dict[Pair, list[int]]:
    """Return where counted masks of one image differ in size; ``images`` as for the groups."""
    found: dict[Pair, list[int]] = {}
    for name, index in images:
        for position, row in enumerate(batch.rows):
            cell: ImageCell | None = row[index]
            if cell is None or len({mask.shape for mask in cell.masks.values()}) < 2:
                continue
            counted = [key for key, mask in cell.masks.items() if mask.counts is not None]
            for a, b in cell.paired(counted):
                mask_a, mask_b = cell.masks[a], cell.masks[b]
                if mask_a.shape != mask_b.shape:
                    classes = (MaskClasses(mask.class_set, mask.unnamed) for mask in (mask_a, mask_b))
                    found.setdefault((name, a, b, *classes), []).append(position)  # type: ignore[arg-type]  # two of them
    return found


# --- counting -----------------------------------------------------------------------------------


def _names(sides: Sides, truth: MaskClasses, prediction: MaskClasses) -> _Names:
    ids = [numbered(side)[0].tolist() for side in sides]
    of_truth, of_prediction = truth.names(ids[0]), prediction.names(ids[1])
    names = sorted({*of_truth.values(), *of_prediction.values()})
    codes = {name: code for code, name in enumerate(names)}
    valid = {name for number, name in of_truth.items() if number not in truth.ignored}
    # a prediction of a class that the truth ignores is an error of the truth's class and no class of its own
    hidden = {of_truth[number] for number in truth.ignored} - valid
    declared = {item.name or of_truth[item.id] for item in truth.class_set if not item.ignore}
    admitted = zip(names, truth.admits(names), strict=True)
    return _Names(
        names=tuple(names),
        of_truth={number: codes[name] for number, name in of_truth.items()},
        of_prediction={number: codes[name] for number, name in of_prediction.items()},
        is_class=np.array([admits and name not in hidden for name, admits in admitted], np.bool_),
        declared=np.array([name in declared for name in names], np.bool_),
        in_common=any(truth.admits(of_prediction.values())) or any(prediction.admits(of_truth.values())),
    )


def _count(joints: JointGroup, sides: Sides, ignored: frozenset[int], names: _Names) -> tuple[Floats, Ints]:
    """Return the means of each joint histogram, and its counts by class.

    Returns
    -------
    means : ndarray of float64, shape (3, n)
        Mean IoU, mean Dice and pixel accuracy; NaN where nothing is counted.
    counts : ndarray of int64, shape (5, m)
        Number of the histogram, code of the class, true positives, false positives, false negatives.
    """
    width = len(names.names)
    step = max(1, BLOCK // width)
    means, counts = [], []
    ends = np.concatenate(([0], joints.lengths.cumsum()))
    for start in range(0, joints.lengths.size, step):
        lengths = joints.lengths[start : start + step]
        block = slice(ends[start], ends[start + lengths.size])
        rows = np.arange(lengths.size).repeat(lengths) * width
        truth_ids, prediction_ids = (side[block] for side in sides)
        pixels = joints.pixels[block].astype(np.float64)  # exact below 2**53
        if ignored:
            pixels[np.isin(truth_ids, list(ignored))] = 0
        at_truth, at_prediction = _coded(truth_ids, names.of_truth), _coded(prediction_ids, names.of_prediction)
        hits = pixels * (at_truth == at_prediction)
        weighted = ((at_truth, hits), (at_truth, pixels), (at_prediction, pixels * names.is_class[at_prediction]))
        tp, of_truth, predicted = (
            np.bincount(rows + at, weights, lengths.size * width)
            .reshape(lengths.size, width)
            .astype(np.float64, copy=False)
            for at, weights in weighted
        )
        means.append(_means(tp, of_truth, predicted))
        row, code = np.nonzero(names.declared | (of_truth > 0) | (predicted > 0))
        flat = row * width + code
        tp_, of_truth_, predicted_ = (values.reshape(-1).take(flat) for values in (tp, of_truth, predicted))
        counts.append(np.stack([row + start, code, tp_, predicted_ - tp_, of_truth_ - tp_]).astype(np.int64))
    return np.concatenate(means, axis=1), np.concatenate(counts, axis=1)


def _coded(ids: npt.NDArray[np.int32], codes: Mapping[int, int]) -> Ints:
    distinct, places = numbered(ids)
    return np.array([codes[number] for number in distinct.tolist()], np.int64).take(places)


def _means(tp: Floats, of_truth: Floats, predicted: Floats) -> Floats:
    """Return the three means of each row from its classes' counts, each of shape (n, classes)."""
    both = of_truth + predicted
    union = both - tp
    with np.errstate(invalid="ignore", divide="ignore"):
        present = np.count_nonzero(both, axis=1)
        iou = np.divide(tp, union, out=np.zeros_like(tp), where=union > 0).sum(axis=1) / present
        dice = np.divide(2 * tp, both, out=np.zeros_like(tp), where=both > 0).sum(axis=1) / present
        accuracy = tp.sum(axis=1) / of_truth.sum(axis=1)
    return np.stack((iou, dice, accuracy))


# --- tables -------------------------------------------------------------------------------------


def _scores(batch: Batch, at: Ints, key: Key, means: Floats, in_common: bool, *, same_size: bool) -> pa.Table:
    names = ("mean_iou", "mean_dice", "pixel_accuracy")
    columns: dict[str, Any] = {
        **_places(batch, at, key),
        **{name: pa.array(values, from_pandas=True) for name, values in zip(names, means, strict=True)},  # NaN is null
        "same_size": pa.repeat(pa.scalar(same_size), at.size),
        "names_in_common": pa.repeat(pa.scalar(in_common), at.size),
    }
    return pa.table(columns, schema=FIXED["scores"])


def _class_scores(batch: Batch, at: Ints, key: Key, counts: Ints, names: _Names) -> pa.Table:
    row, code, tp, fp, fn = counts[:, np.argsort(counts[1].astype(np.uint32), kind="stable")]
    columns = {
        **_places(batch, at[row], key),
        "class_name": pa.DictionaryArray.from_arrays(code.astype(np.int32), pa.array(names.names, pa.string())),
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "names_in_common": pa.repeat(pa.scalar(names.in_common), row.size),
    }
    return pa.table(columns, schema=FIXED["class_scores"])


def _unknown(batch: Batch, at: Ints, key: Key, truth: MaskClasses) -> pa.Table:
    """Return the classes of truths that have no prediction of their size: their counts are null."""
    names = sorted({name for number, name in truth.names().items() if number not in truth.ignored})
    code, row = (values.reshape(-1) for values in np.indices((len(names), at.size)))
    columns = {
        **_places(batch, at[row], key),
        "class_name": pa.DictionaryArray.from_arrays(code.astype(np.int32), pa.array(names, pa.string())),
        **dict.fromkeys(("tp", "fp", "fn"), pa.nulls(row.size, pa.int64())),
        "names_in_common": pa.repeat(pa.scalar(True), row.size),
    }
    return pa.table(columns, schema=FIXED["class_scores"])


def _places(batch: Batch, at: Ints, key: Key) -> dict[str, Any]:
    names = ("image_column", "truth_key", "prediction_key")
    return {
        "_row": batch.row_ids[at],
        "_step": batch.steps[at],
        **{
            name: pa.DictionaryArray.from_arrays(np.zeros(at.size, np.int32), pa.array([value], pa.string()))
            for name, value in zip(names, key, strict=True)
        },
    }


def _joined(pieces: Mapping[Key, Sequence[pa.Table]], order: Sequence[str]) -> pa.Table:
    tables = []
    for key in sorted(pieces):
        table = pa.concat_tables(pieces[key])
        if len(pieces[key]) > 1:
            plain = pa.table({name: table[name].cast(PLAIN.get(name, pa.int64())) for name in order})
            table = table.take(pc.sort_indices(plain, [(name, "ascending") for name in order]))
        tables.append(table)
    return pa.concat_tables(tables).unify_dictionaries()

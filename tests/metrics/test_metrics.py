"""The metrics of Python: against NumPy over the pixels, scikit-learn's definitions, and the SQL macros."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import maskl
from maskl import ImageMask, metrics
from maskl.errors import DuplicateNameWarning, InvalidType, InvalidValue
from maskl_storage.format.metadata import ClassSet

Mask = npt.NDArray[Any]
KEYS = ("ground_truth", "predictions")
LABELS = {0: "sky", 1: "road", 2: "car"}


def mask(data: Any, labels: dict[int, str] | None = None, ignore: Any = None, key: str = "m") -> ImageMask:
    return ImageMask({"mask_data": np.array(data), "class_labels": labels, "ignore_index": ignore}, key)


def counts(matrix: metrics.ConfusionMatrix) -> dict[str, tuple[int, int, int]]:
    columns = (matrix.tp.tolist(), matrix.fp.tolist(), matrix.fn.tolist())
    return dict(zip(matrix.truth_classes, zip(*columns, strict=True), strict=True))


def oracle(rows: list[tuple[Mask, Mask]], declared: dict[int, str], ignored: set[int]) -> dict[str, Any]:
    """Return TP, FP and FN of every class, and the metrics, straight from the pixels.

    scikit-learn has no classes that one image's truth knows and another's does not, hence NumPy.
    """
    by_class: dict[str, Any] = {}
    for truth, predicted in rows:
        kept = ~np.isin(truth, list(ignored))
        known = set(np.unique(truth).tolist()) | set(declared)
        if not declared:  # a truth without names knows every class
            known |= set(np.unique(predicted[kept]).tolist())
        for i in known - ignored:
            tp = int((kept & (truth == i) & (predicted == i)).sum())
            fp = int((kept & (truth != i) & (predicted == i)).sum())
            fn = int((kept & (truth == i) & (predicted != i)).sum())
            name = declared.get(i, f"class_{i}")
            by_class[name] = tuple(np.add(by_class.get(name, (0, 0, 0)), (tp, fp, fn)).tolist())
    ious = {name: tp / (tp + fp + fn) if tp + fp + fn else None for name, (tp, fp, fn) in by_class.items()}
    recalls = [tp / (tp + fn) for tp, _, fn in by_class.values() if tp + fn]
    right, size = sum(tp for tp, _, _ in by_class.values()), sum(tp + fn for tp, _, fn in by_class.values())
    some = [value for value in ious.values() if value is not None]
    weighted = sum((tp + fn) * (ious[name] or 0) for name, (tp, _, fn) in by_class.items())
    return {
        "counts": by_class,
        "iou": ious,
        "mean_iou": np.mean(some) if some else None,
        "mean_accuracy": np.mean(recalls) if recalls else None,
        "pixel_accuracy": right / size if size else None,
        "frequency_weighted_iou": weighted / size if size else None,
    }


def same(got: float | None, wanted: float | None) -> bool:
    return got is wanted if got is None or wanted is None else math.isclose(got, wanted, rel_tol=1e-12, abs_tol=1e-15)


ids = st.integers(-1, 5)


@st.composite
def datasets(draw: st.DrawFn) -> dict[str, Any]:
    """Draw pairs of masks, names for some ids, and what is ignored."""
    declared = {key: f"{draw(st.sampled_from(['a', 'b', '나무']))}{key}" for key in draw(st.sets(ids, max_size=5))}
    elements = draw(st.lists(ids, min_size=1, max_size=4, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
        dtypes = [draw(st.sampled_from([np.int8, np.int32, np.int64, ">i2"])) for _ in range(2)]
        rows.append(tuple(rng.choice(elements, shape).astype(dtype) for dtype in dtypes))
    return {"declared": declared, "rows": rows, "ignored": draw(st.sets(ids, max_size=2))}


@settings(max_examples=200)
@given(data=datasets())
def test_metrics_equal_numpy(data: dict[str, Any]) -> None:
    rows, declared, ignored = data["rows"], data["declared"], data["ignored"]
    truths, predictions = ([row[i] for row in rows] for i in range(2))
    options = {"classes": declared or None, "ignore_index": sorted(ignored)}
    matrix = metrics.confusion_matrix(truths, predictions, **options)
    expected = oracle(rows, declared, ignored)
    assert counts(matrix) == expected["counts"]
    assert matrix.pixels.sum() == sum(tp + fn for tp, _, fn in expected["counts"].values())
    assert metrics.iou(truths, predictions, **options) == expected["iou"]
    for name in ("mean_iou", "mean_accuracy", "pixel_accuracy", "frequency_weighted_iou"):
        assert same(getattr(metrics, name)(truths, predictions, **options), expected[name]), name
    dices = metrics.dice(truths, predictions, **options)
    for name, value in expected["iou"].items():
        assert same(dices[name], None if value is None else 2 * value / (1 + value))
    as_masks = [[mask(array, declared, sorted(ignored)) for array in arrays] for arrays in (truths, predictions)]
    assert counts(metrics.confusion_matrix(*as_masks)) == expected["counts"]


@st.composite
def logged_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw the masks of some images, each mask with labels, ignored ids and elements of its own."""
    rows = []
    labels = st.one_of(st.none(), st.dictionaries(ids, st.sampled_from(["a", "b", "c", "class_1"]), max_size=4))
    for _ in range(draw(st.integers(1, 3))):
        shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
        rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
        row = {}
        for key in KEYS:
            elements = draw(st.lists(ids, min_size=1, max_size=4, unique=True))
            row[key] = {
                "mask_data": rng.choice(elements, shape).astype(np.int16),
                "class_labels": draw(labels),
                "ignore_index": sorted(draw(st.sets(ids, max_size=2))),
            }
        rows.append(row)
    return rows


@pytest.mark.filterwarnings("ignore:class ids .* have one name")
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=logged_rows())
def test_metrics_of_stored_masks_equal_those_of_sql(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    """Class sets that differ by image and by mask included; new masks as though they were logged."""
    table = maskl.Table(["image"])
    for row in rows:
        shape = row["ground_truth"]["mask_data"].shape
        table.add_data(maskl.Image(np.zeros((*shape, 3), np.uint8), masks=row))
    with maskl.init(dir=tmp_path_factory.mktemp("metrics")) as run:
        run.log({"t": table})
    store = maskl.open(run.dir)
    images = [row["image"].masks for row in store.table("t")]
    stored = [[image[key] for image in images] for key in KEYS]
    new = [[ImageMask(row[key], key) for row in rows] for key in KEYS]
    # a file keeps the union of its images' class sets, so only alike ones come back as they were
    alike = all(
        len({(str(row[key]["class_labels"]), str(row[key]["ignore_index"])) for row in rows}) == 1 for key in KEYS
    )
    pairs = [new, stored] if alike else [new]
    query = "SELECT class_name, tp, fp, fn FROM class_iou('t', step := 'all')"
    try:
        expected = {name: tuple(numbers) for name, *numbers in store.sql(query).fetchall()}
    except duckdb.InvalidInputException as refused:
        for pair in pairs:
            with pytest.raises(InvalidValue, match="no class name in common"):
                metrics.confusion_matrix(*pair)
        if "no class name in common" not in str(refused):
            raise
        return
    for pair in pairs:
        matrix = metrics.confusion_matrix(*pair)
        if matrix.pixels.sum():  # without a pixel that counts, SQL's counts are NULL
            assert counts(matrix) == expected
            names = ("mean_iou", "mean_dice", "mean_accuracy", "frequency_weighted_iou", "pixel_accuracy")
            for excluded in ([], ["a"]):
                (means,) = store.sql(f"SELECT {', '.join(names)} FROM mean_iou('t', exclude := {excluded})").fetchall()
                for name, value in zip(names, means, strict=True):
                    arguments = [] if name == "pixel_accuracy" else [excluded]
                    assert same(getattr(matrix, name)(*arguments), value), name
        else:
            assert matrix.mean_iou() is matrix.pixel_accuracy() is None


def test_the_worked_example() -> None:
    matrix = metrics.confusion_matrix([[0, 0, 1, 2, 9]], [[0, 1, 1, 7, 1]], classes=LABELS, ignore_index=9)
    assert matrix.truth_classes == ("sky", "road", "car")
    assert matrix.prediction_classes == ("sky", "road", "car", "class_7")
    assert matrix.pixels.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert matrix.pixels.dtype == matrix.fp.dtype == np.int64
    assert counts(matrix) == {"sky": (1, 0, 1), "road": (1, 1, 0), "car": (0, 0, 1)}
    assert matrix.iou() == {"sky": 0.5, "road": 0.5, "car": 0.0}
    assert matrix.dice() == {"sky": 2 / 3, "road": 2 / 3, "car": 0.0}
    assert matrix.precision() == {"sky": 1.0, "road": 0.5, "car": None}
    assert matrix.recall() == {"sky": 0.5, "road": 1.0, "car": 0.0}
    assert matrix.mean_iou() == 1 / 3
    assert matrix.mean_iou(["car"]) == 0.5
    assert matrix.mean_accuracy(exclude={"car", "sky"}) == 1.0
    assert matrix.pixel_accuracy() == 0.5
    assert matrix.frequency_weighted_iou() == (2 * 0.5 + 1 * 0.5) / 4
    assert matrix.frequency_weighted_iou(["car"]) == 0.5


def test_counts_are_summed_before_they_are_divided() -> None:
    truths, predictions = [np.array([[0, 0, 0, 0]]), np.array([[0, 1]])], [np.array([[0, 0, 0, 1]]), np.array([[1, 1]])]
    pooled = {"class_0": 3 / 5, "class_1": 1 / 3}
    assert metrics.iou(truths, predictions) == pooled
    assert metrics.iou(iter(truths), (p for p in predictions)) == pooled
    flat = [np.concatenate([array.reshape(-1) for array in arrays])[None] for arrays in (truths, predictions)]
    assert metrics.iou(*flat) == pooled
    batch = np.array([[[0, 1]], [[1, 1]]])
    assert metrics.iou(batch, batch[::-1]) == {"class_0": 0.0, "class_1": 0.5}
    assert metrics.iou(batch.tolist(), list(batch)) == {"class_0": 1.0, "class_1": 1.0}


def test_a_predicted_class_that_the_truth_ignores_makes_no_class() -> None:
    truth = mask([[0, 0, 1, 2]], LABELS, ignore=2)
    matrix = metrics.confusion_matrix(truth, mask([[0, 2, 1, 1]], LABELS))
    assert counts(matrix) == {"sky": (1, 0, 1), "road": (1, 0, 0)}
    assert matrix.prediction_classes == ("sky", "road", "car")


def test_ignore_index_adds_to_what_the_truth_ignores_and_never_reads_the_prediction() -> None:
    truth, prediction = mask([[0, 1, 2]], LABELS, ignore=2), mask([[0, 1, 0]], LABELS, ignore=[0, 1])
    assert metrics.iou(truth, prediction) == {"sky": 1.0, "road": 1.0}
    assert metrics.iou(truth, prediction, ignore_index=0) == {"road": 1.0}
    assert metrics.iou(truth, prediction, ignore_index=range(2)) == {}
    assert metrics.mean_iou(truth, prediction, ignore_index=range(2)) is None
    assert metrics.pixel_accuracy(truth, prediction, ignore_index=np.array([0, 1])) is None


def test_ignore_index_of_a_stored_mask(tmp_path: Path) -> None:
    image = maskl.Image(
        np.zeros((1, 3, 3), np.uint8),
        masks={"a": {"mask_data": np.array([[0, 1, 2]]), "class_labels": LABELS, "ignore_index": 2}},
    )
    with maskl.init(dir=tmp_path) as run:
        run.log({"t": image})
    (row,) = maskl.open(tmp_path).table("t")
    truth = row["image"].masks["a"]
    assert metrics.iou(truth, [[0, 0, 0]]) == {"sky": 0.5, "road": 0.0}
    assert metrics.iou(truth, [[0, 0, 0]], ignore_index=1) == {"sky": 1.0}
    assert metrics.iou(truth, [[0, 1, 0]], classes=LABELS) == {"sky": 1.0, "road": 1.0}


def test_a_truth_without_names_knows_every_class() -> None:
    assert counts(metrics.confusion_matrix([[0, 0]], mask([[0, 1]]))) == {"class_0": (1, 0, 1), "class_1": (0, 1, 0)}
    # names come from the other mask, as in an image
    assert metrics.iou([[0, 0]], mask([[0, 1]], {0: "sky"})) == {"sky": 0.5}
    assert counts(metrics.confusion_matrix([[0, 0]], [[0, 5]])) == {"class_0": (1, 0, 1), "class_5": (0, 1, 0)}
    # and a truth with names only its own
    assert metrics.iou(mask([[0, 0]], LABELS), [[0, 5]]) == {"sky": 0.5, "road": None, "car": None}


def test_classes_match_by_name() -> None:
    truth, prediction = mask([[0, 1]], {0: "하늘", 1: "길"}), mask([[7, 9]], {7: "하늘", 9: "길"})
    assert metrics.iou(truth, prediction) == {"하늘": 1.0, "길": 1.0}
    # two ids of one name are not one class
    with pytest.warns(DuplicateNameWarning):
        truth = mask([[0, 1]], {0: "a", 1: "a"})
    assert metrics.iou(truth, mask([[0, 0]], {0: "a"})) == {"a": 0.5, "a (1)": 0.0}


def test_no_name_in_common_is_an_error() -> None:
    with pytest.raises(InvalidValue, match=r"no class name in common: the truth has 'a', the prediction 'b'; give"):
        metrics.iou(mask([[0]], {0: "a"}), mask([[0]], {0: "b"}))


def test_names_that_are_given_as_classes_ignore_too() -> None:
    classes = maskl.Classes([{"id": 0, "name": "sky"}, {"id": 255, "name": "void", "ignore": True}])
    assert metrics.iou([[0, 255]], [[0, 0]], classes=classes) == {"sky": 1.0}


def test_classes_come_in_the_order_of_their_ids() -> None:
    matrix = metrics.confusion_matrix(
        [mask([[2]], {2: "b"}), mask([[1]], {1: "z"})], [mask([[9]], {2: "b", 9: "x"}), mask([[1]], {1: "z"})]
    )
    assert matrix.truth_classes == ("z", "b")
    assert matrix.prediction_classes == ("z", "b", "x")


def test_a_foreign_prediction_is_a_false_positive_only_where_the_truth_knows_the_class() -> None:
    labels = {0: "sky", 1: "road"}
    known, unknown = mask([[0]], labels), mask([[0]], {0: "sky"})
    matrix = metrics.confusion_matrix([known, unknown], [mask([[1]], labels)] * 2)
    assert matrix.pixels.tolist() == [[0, 2], [0, 0]]
    assert counts(matrix) == {"sky": (0, 0, 2), "road": (0, 1, 0)}


def test_the_matrix_cannot_be_changed() -> None:
    matrix = metrics.confusion_matrix([[0]], [[0]])
    with pytest.raises(ValueError, match="read-only"):
        matrix.pixels[0, 0] = 5
    with pytest.raises(AttributeError):
        matrix.truth_classes = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("truth", "prediction", "error", "words"),
    [
        ([[0]], [[0, 1]], InvalidValue, "image 0: the truth is 1×1 pixels and the prediction 2×1"),
        ([np.eye(2, dtype=int)] * 2, [np.eye(2, dtype=int)], InvalidValue, "equally long; prediction ends after 1"),
        (iter([]), [np.eye(2, dtype=int)], InvalidValue, "equally long; truth ends after 0"),
        ([], [], InvalidValue, "at least one truth and one prediction"),
        ([[0]], [np.eye(2, dtype=int)], InvalidType, "both be one mask, or both several; truth is one"),
        ([np.eye(2, dtype=int)], mask([[0]]), InvalidType, "prediction is one"),
        ([0, 1], [0, 1], InvalidType, "must be a 2D array; got 1 dimensions"),
        (np.zeros((1, 1, 1, 1), int), np.zeros((1, 1, 1, 1), int), InvalidType, "must be a 2D array; got 4"),
        ([[0.5]], [[0]], InvalidType, "holds fractions"),
        (3, [[0]], InvalidType, "a mask, or a sequence of masks, is needed; got 3"),
        ("a.png", [[0]], InvalidType, "a mask, or a sequence of masks, is needed; got 'a.png'"),
        (b"no mask", [[0]], ValueError, "an encoded mask has at least 20 bytes"),
        (np.arange(5000)[None], np.zeros((1, 5000), int), InvalidValue, "5000 distinct ids, more than 4096"),
    ],
)
def test_what_is_refused(truth: Any, prediction: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        metrics.iou(truth, prediction)


def test_arguments_that_are_refused() -> None:
    with pytest.raises(InvalidType, match=r"exclude must be a list of class names, such as \['car'\]"):
        metrics.mean_iou([[0]], [[0]], exclude="car")
    with pytest.raises(InvalidType, match="classes must be Classes, or a dictionary"):
        metrics.iou([[0]], [[0]], classes=["sky"])  # type: ignore[arg-type]
    with pytest.raises(InvalidType, match="ignore_index must be an integer"):
        metrics.iou([[0]], [[0]], ignore_index="255")
    with pytest.raises(TypeError, match="ignore"):
        metrics.iou([[0]], [[0]], ignore=255)  # type: ignore[call-arg]


def test_encoded_masks_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = maskl.ImageMask({"mask_data": np.kron(np.eye(3, dtype=int), np.ones((50, 50), int))}, "m").encoded[0]
    for name in ("decode", "expand"):
        monkeypatch.setattr(f"maskl_storage.masks.codec.{name}", None)
    assert metrics.iou(data, data) == {"class_0": 1.0, "class_1": 1.0}
    stored = ImageMask.from_stored(data, "m", ClassSet())
    assert metrics.iou(stored, stored) == {"class_0": 1.0, "class_1": 1.0}
    assert stored._parsed.encoded is None  # nor are the runs of many masks kept


def test_many_large_masks_sum_exactly() -> None:
    """A float32 sum would be off by hundreds."""
    array = np.zeros((1024, 2048), np.uint8)
    array[0, 0] = 1
    matrix = metrics.confusion_matrix(*[[mask(array)] * 500] * 2)
    assert matrix.tp.tolist() == [500 * (1024 * 2048 - 1), 500]

"""The metrics that SQL returns, against NumPy over the pixels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import maskl
from maskl.errors import SizeMismatchWarning


def log_rows(directory: Path, rows: list[dict[str, Any]], name: str = "run", step: int = 0) -> maskl.Store:
    """Log one image a row, each row a dict of mask key to the mask's dict."""
    table = maskl.Table(columns=["image"])
    for masks in rows:
        first = next(iter(masks.values()))["mask_data"]
        table.add_data(maskl.Image(np.zeros((*np.shape(first), 3), np.uint8), masks=masks))
    with maskl.init(name=name, dir=directory) as run:
        run.log({"t": table}, step=step)
    return maskl.open(directory)


def pair(truth: Any, prediction: Any, labels: Any = None, ignore: Any = None, labels_b: Any = None) -> dict[str, Any]:
    """Return the masks of a row."""
    masks: dict[str, Any] = {
        "ground_truth": {"mask_data": np.array(truth), "class_labels": labels, "ignore_index": ignore},
        "predictions": {"mask_data": np.array(prediction), "class_labels": labels_b or labels},
    }
    return masks


def by_class(store: maskl.Store, query: str, *columns: str) -> dict[str, Any]:
    rows = store.sql(f"SELECT class_name, {', '.join(columns)} FROM {query}").fetchall()
    return {name: values[0] if len(values) == 1 else tuple(values) for name, *values in rows}


LABELS = {0: "sky", 1: "road", 2: "car"}


def oracle(rows: list[tuple[np.ndarray, np.ndarray]], names: dict[int, str], ignored: set[int]) -> dict[str, Any]:
    """Return (tp, fp, fn) of every class that metrics are over, straight from the pixels of each row.

    The classes of a row are those declared or present in its truth; where nothing is declared, any.
    """
    counts: dict[int, list[int]] = {}
    for truth, predicted in rows:
        classes = (names.keys() | set(np.unique(truth).tolist())) - ignored
        if not names:
            classes |= set(np.unique(predicted[~np.isin(truth, list(ignored))]).tolist()) - ignored
        counted = ~np.isin(truth, list(ignored))
        for i in classes:
            tp, fp, fn = counts.setdefault(i, [0, 0, 0])
            tp += int(np.sum(counted & (truth == i) & (predicted == i)))
            fp += int(np.sum(counted & (truth != i) & (predicted == i)))
            fn += int(np.sum(counted & (truth == i) & (predicted != i)))
            counts[i] = [tp, fp, fn]
    return {names.get(i, f"class_{i}"): tuple(values) for i, values in counts.items()}


def test_a_class_that_is_never_predicted_has_iou_0_and_coverage_0(tmp_path: Path) -> None:
    store = log_rows(tmp_path, [pair([[0, 0, 2]], [[0, 0, 0]], LABELS)])
    assert by_class(store, "class_iou('t')", "iou") == {"sky": 2 / 3, "road": None, "car": 0.0}
    assert by_class(store, "class_coverage('t', mask := 'predictions')", "pixels") == {"sky": 3, "road": 0, "car": 0}


def test_prediction_of_an_ignored_class_is_an_error_of_the_truth_and_no_class(tmp_path: Path) -> None:
    store = log_rows(tmp_path, [pair([[0, 0, 1, 2]], [[0, 2, 1, 1]], LABELS, ignore=2)])
    assert by_class(store, "class_iou('t')", "tp", "fp", "fn") == {"sky": (1, 0, 1), "road": (1, 0, 0)}


def test_ignore_index_0(tmp_path: Path) -> None:
    store = log_rows(tmp_path, [pair([[0, 0, 1]], [[1, 0, 1]], LABELS, ignore=0)])
    assert by_class(store, "class_iou('t')", "iou") == {"road": 1.0, "car": None}
    assert by_class(store, "class_coverage('t')", "coverage", "valid_coverage")["sky"] == (2 / 3, None)
    assert by_class(store, "class_coverage('t')", "coverage", "valid_coverage")["road"] == (1 / 3, 1.0)


def test_a_class_absent_from_truth_but_predicted_has_iou_0(tmp_path: Path) -> None:
    store = log_rows(tmp_path, [pair([[0, 0]], [[0, 1]], LABELS)])
    assert by_class(store, "class_iou('t')", "iou") == {"sky": 0.5, "road": 0.0, "car": None}
    assert store.sql("SELECT mean_iou, pixel_accuracy FROM mean_iou('t')").fetchall() == [(0.25, 0.5)]


def test_exclude_leaves_a_class_out_of_the_mean_and_its_pixels_in(tmp_path: Path) -> None:
    store = log_rows(tmp_path, [pair([[0, 0, 1]], [[0, 1, 1]], LABELS)])
    (full,) = store.sql("SELECT mean_iou, pixel_accuracy FROM mean_iou('t')").fetchall()
    (without,) = store.sql("SELECT mean_iou, pixel_accuracy FROM mean_iou('t', exclude := ['road'])").fetchall()
    assert full == (0.5, 2 / 3)
    assert without == (0.5, 2 / 3)
    (one,) = store.sql("SELECT frequency_weighted_iou FROM mean_iou('t', exclude := ['sky'])").fetchall()
    assert one == (0.5,)


def test_masks_that_have_no_name_in_common_are_an_error(tmp_path: Path) -> None:
    store = log_rows(tmp_path, [pair([[0]], [[0]], {0: "a"}, labels_b={0: "b"})])
    queries = ("FROM class_iou('t')", "SELECT iou FROM class_iou('t')", "SELECT count(*) FROM class_iou('t')")
    for query in (*queries, "SELECT pixel_accuracy FROM mean_iou('t')", "FROM class_iou('t') WHERE class_name = 'a'"):
        with pytest.raises(Exception, match="no class name in common: give both the same class_labels"):
            store.sql(query).fetchall()


def test_unlabelled_masks_match_by_id(tmp_path: Path) -> None:
    store = log_rows(tmp_path, [pair([[0, 5]], [[5, 5]])])
    assert by_class(store, "class_iou('t')", "iou") == {"class_0": 0.0, "class_5": 0.5}


def test_classes_match_by_name_where_ids_differ(tmp_path: Path) -> None:
    store = log_rows(tmp_path, [pair([[0, 1]], [[7, 9]], {0: "a", 1: "b"}, labels_b={7: "a", 9: "b"})])
    assert by_class(store, "class_iou('t')", "iou") == {"a": 1.0, "b": 1.0}


def test_sizes_that_differ_have_no_confusion_and_null_metrics(tmp_path: Path) -> None:
    with pytest.warns(SizeMismatchWarning, match="'predictions' is 1×1 and its image 2×1"):
        store = log_rows(tmp_path, [pair([[0, 1]], [[0]], LABELS)])
    assert store.sql("FROM confusion").fetchall() == []
    assert by_class(store, "class_iou('t')", "iou", "tp") == dict.fromkeys(LABELS.values(), (None, None))
    assert store.sql("SELECT mean_iou, pixel_accuracy FROM mean_iou('t')").fetchall() == [(None, None)]


def test_the_denominator_is_every_mask_also_those_without_the_class(tmp_path: Path) -> None:
    store = log_rows(tmp_path, [{"ground_truth": {"mask_data": np.full((2, 2), i)}} for i in (0, 0, 0, 7)])
    assert by_class(store, "class_coverage('t')", "coverage", "n_rows") == {"class_0": (0.75, 4), "class_7": (0.25, 4)}


def test_steps_are_not_summed_unless_asked(tmp_path: Path) -> None:
    table = maskl.Table(["image"])
    table.add_data(maskl.Image(np.zeros((1, 4), np.uint8), masks=pair([[0, 0, 0, 1]], [[0, 0, 0, 1]], LABELS)))
    with maskl.init(dir=tmp_path, name="a") as run:
        for step in (0, 10, 20):
            run.log({"t": table}, step=step)
    store = maskl.open(tmp_path)

    def steps(step: str) -> list[Any]:
        query = f"SELECT _step, pixels FROM class_coverage('t', step := {step}) WHERE class_name = 'sky'"
        return store.sql(query).fetchall()

    assert steps("'each'") == [(0, 3), (10, 3), (20, 3)]
    assert steps("'last'") == [(20, 3)]
    assert steps("'all'") == [(None, 9)]
    assert steps("10") == steps("'10'") == [(10, 3)]
    assert store.sql("SELECT _step, tp FROM class_iou('t', step := 'all') WHERE class_name = 'sky'").fetchall() == [
        (None, 9)
    ]
    for bad in ("'first'", "1.5", "NULL"):
        with pytest.raises(Exception, match="step must be 'each', 'last', 'all' or a whole number"):
            steps(bad)


def test_image_columns_are_not_pooled(tmp_path: Path) -> None:
    table = maskl.Table(["left", "right"])
    table.add_data(
        *(maskl.Image(np.zeros((1, 2), np.uint8), masks=pair([[0, 1]], [p], LABELS)) for p in ([0, 1], [1, 0]))
    )
    with maskl.init(dir=tmp_path, name="a") as run:
        run.log({"t": table})
    rows = maskl.open(tmp_path).sql("SELECT image_column, pixel_accuracy FROM mean_iou('t')").fetchall()
    assert rows == [("left", 1.0), ("right", 0.0)]


def test_large_masks_sum_exactly(tmp_path: Path) -> None:
    mask = np.zeros((1024, 2048), np.uint8)
    mask[0, 0] = 1
    cells = {"mask_data": mask, "class_labels": LABELS}
    table = maskl.Table(["image"])
    image = maskl.Image(np.zeros((1, 1), np.uint8))
    with pytest.warns(SizeMismatchWarning):
        image = maskl.Image(image, masks={"ground_truth": cells, "predictions": cells})
    for _ in range(500):
        table.add_data(image)
    with maskl.init(dir=tmp_path) as run:
        run.log({"t": table})
    store = maskl.open(tmp_path)
    pixels = 500 * (1024 * 2048 - 1)
    assert by_class(store, "class_coverage('t')", "pixels") == {"sky": pixels, "road": 500, "car": 0}
    assert by_class(store, "class_iou('t')", "tp") == {"sky": pixels, "road": 500, "car": 0}


def test_metrics_are_bigint_and_double(tmp_path: Path) -> None:
    store = log_rows(tmp_path, [pair([[0, 1]], [[0, 0]], LABELS)])
    for macro in ("class_coverage", "class_iou", "mean_iou"):
        kinds = {str(kind) for kind in store.sql(f"FROM {macro}('t')").types}
        assert kinds <= {"BIGINT", "DOUBLE", "VARCHAR", "BOOLEAN", "INTEGER"}, (macro, kinds)


ids = st.integers(-1, 5)


@st.composite
def datasets(draw: st.DrawFn) -> dict[str, Any]:
    """Draw rows of two masks, labels for some ids, and what is ignored."""
    names = draw(st.dictionaries(ids, st.sampled_from(["a", "b", "c", "d", "나무"]), max_size=5))
    names = {key: f"{name}{key}" for key, name in names.items()}
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    dtype = draw(st.sampled_from([np.int8, np.int32, np.int64]))
    elements = draw(st.lists(ids, min_size=1, max_size=4, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    rows = [tuple(rng.choice(elements, shape).astype(dtype) for _ in range(2)) for _ in range(draw(st.integers(1, 4)))]
    return {"names": names, "rows": rows, "ignored": draw(st.sets(ids, max_size=2))}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=datasets())
def test_metrics_equal_numpy(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> None:
    names, ignored = data["names"], data["ignored"]
    rows = [pair(a, b, names, ignore=sorted(ignored)) for a, b in data["rows"]]
    store = log_rows(tmp_path_factory.mktemp("metrics"), rows)
    expected = oracle(data["rows"], names, ignored)
    assert by_class(store, "class_iou('t')", "tp", "fp", "fn") == expected
    means = store.sql("SELECT mean_iou, mean_dice, mean_accuracy, pixel_accuracy FROM mean_iou('t')").fetchall()
    ious = [tp / (tp + fp + fn) for tp, fp, fn in expected.values() if tp + fp + fn]
    dices = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in expected.values() if tp + fp + fn]
    recalls = [tp / (tp + fn) for tp, _, fn in expected.values() if tp + fn]
    counted = sum(tp + fn for tp, _, fn in expected.values())
    right = sum(tp for tp, _, _ in expected.values())
    wanted = [np.mean(v) if v else None for v in (ious, dices, recalls)] + [right / counted if counted else None]
    for got, value in zip(means[0] if means else [None] * 4, wanted, strict=True):
        assert got == value or math.isclose(got, value, rel_tol=1e-12)
    pixels = np.concatenate([a.reshape(-1) for a, _ in data["rows"]])
    coverage = by_class(store, "class_coverage('t')", "pixels", "coverage", "n_rows")
    for number in names.keys() | {int(i) for i in np.unique(pixels)} | ignored:
        count = int((pixels == number).sum())
        name = names.get(number, f"class_{number}")
        assert coverage[name] == (count, count / pixels.size, len(rows))

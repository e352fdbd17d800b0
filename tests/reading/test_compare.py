"""Is the change real: the paired bootstrap against one written here with NumPy, hashlib and nothing of maskl's."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import maskl
from maskl.cli.app import main
from maskl.errors import InvalidType, InvalidValue, NotFound, QueryError, SizeMismatchWarning
from maskl.reading._comparison import Resampled

LABELS = {0: "하늘", 1: "road", 2: "car"}
RESAMPLES = 60
PRIME = 2**31 - 1
#: 100 simulations say less than 1,000: the bounds are where 19 of 20,000 honest intervals are outside
SIMULATIONS = int(os.environ.get("MASKL_COVERAGE_SIMULATIONS", "100"))
Row = tuple[Any, np.ndarray, np.ndarray]


def pixels(seed: Sequence[int], right: float, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (5, 6))
    return truth, np.where(rng.random((5, 6)) < right, truth, rng.integers(0, 3, (5, 6)))


def rows_of(run: int, count: int = 200) -> list[Row]:
    """Rows in another order in each run; some in one run only, one without a key, one that is not compared."""
    found: list[Row] = [(f"장면 {n}", *pixels([n, 0], 0.6 + 0.1 * run)) for n in range(5 * run, count)]
    if run:
        found = [(key, pixels([int(key.split()[1]), 0], 0.6)[0], guess) for key, _, guess in found][::-1]
    found.append((None, *pixels([run, 1], 0.5)))
    found[7] = (found[7][0], found[7][1], found[7][2][:2])
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    directory = tmp_path_factory.mktemp("compare")
    log(directory, "main", rows_of(0))
    log(directory, "candidate", rows_of(1))
    return maskl.open(directory)


def log(directory: Path, name: str, rows: Sequence[Row], labels: Any = LABELS) -> None:
    table = maskl.Table(["key", "image"], dtype=[str, maskl.Image], optional=True)
    for key, truth, guess in rows:
        masks = {"ground_truth": {"mask_data": truth, "class_labels": labels}}
        masks["predictions"] = {"mask_data": guess, "class_labels": labels}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SizeMismatchWarning)
            table.add_data(key, maskl.Image(np.zeros((5, 6), np.uint8), masks=masks))
    with maskl.init(dir=directory, id=name, name=name) as run:
        run.log({"t": table}, step=len(rows))


# --- the oracle ---------------------------------------------------------------------------------


def digest(text: str, below: int) -> int:
    return int(hashlib.md5(text.encode()).hexdigest()[:15], 16) % below


def weight(key: str, resample: int) -> int:
    """How often a resample counts a row."""
    factor, summand = 1 + digest(f"factor {resample}", PRIME - 1), digest(f"summand {resample}", PRIME)
    place = (digest(key, PRIME) * factor + summand) % PRIME
    share, total, times = math.exp(-1), 0.0, 0
    while True:
        total += share
        if place < round(PRIME * total) or times == 12:
            return times
        times += 1
        share /= times


def counted(row: Row) -> np.ndarray:
    _, truth, guess = row
    ids = range(len(LABELS))
    return np.array(
        [
            [
                ((truth == i) & (guess == i)).sum(),
                ((truth != i) & (guess == i)).sum(),
                ((truth == i) & (guess != i)).sum(),
            ]
            for i in ids
        ]
    )


def ious(counts: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.asarray(counts[..., 0] / counts.sum(-1))


def means(counts: np.ndarray) -> dict[str, np.ndarray]:
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    with np.errstate(invalid="ignore"):
        return {
            "mean_iou": np.nanmean(tp / (tp + fp + fn), -1),
            "mean_dice": np.nanmean(2 * tp / (2 * tp + fp + fn), -1),
            "mean_accuracy": np.nanmean(tp / (tp + fn), -1),
            "frequency_weighted_iou": ((tp + fn) * np.nan_to_num(ious(counts))).sum(-1) / (tp + fn).sum(-1),
            "pixel_accuracy": tp.sum(-1) / (tp + fn).sum(-1),
        }


def resampled(run: Sequence[Row], keys: Sequence[str], weights: np.ndarray) -> np.ndarray:
    by_key = {row[0]: row for row in run}
    each = np.array([counted(by_key[key]) for key in keys])
    return np.tensordot(weights, each, 1)


def oracle() -> tuple[dict[str, tuple[float, float]], int]:
    """The intervals of every class and mean, and the number of rows that they are over."""
    a, b = rows_of(0), rows_of(1)
    fits = [{row[0] for row in run if row[0] is not None and row[1].shape == row[2].shape} for run in (a, b)]
    keys = sorted(fits[0] & fits[1])
    weights = np.array([[weight(key, number) for key in keys] for number in range(RESAMPLES)])
    first, second = (resampled(run, keys, weights) for run in (a, b))
    changes = dict(zip(LABELS.values(), np.moveaxis(ious(second) - ious(first), -1, 0), strict=True))
    changes |= {name: means(second)[name] - values for name, values in means(first).items()}
    return {name: tuple(np.nanpercentile(values, (2.5, 97.5))) for name, values in changes.items()}, len(keys)


# --- equal to it --------------------------------------------------------------------------------


def test_intervals_are_those_of_numpy_in_python_in_sql_and_without_maskl(store: maskl.Store) -> None:
    wanted, rows = oracle()
    assert rows == 193
    plain = duckdb.connect()
    plain.execute(store.setup_sql())
    found = set()
    for by, macro, name in (("class", "compare_classes", "class_name"), ("mean", "compare_means", "metric")):
        query = f"FROM {macro}('t', 'main', 'candidate', key := 'key', resamples := {RESAMPLES})"
        with pytest.warns(maskl.errors.RowsLeftOutWarning):
            answer = store.compare("t", "main", "candidate", by=by, key="key", resamples=RESAMPLES)  # type: ignore[arg-type]
        assert answer.to_pylist() == store.sql(query).to_arrow_table().to_pylist()
        assert answer.to_pylist() == plain.sql(query).to_arrow_table().to_pylist()
        for row in answer:
            found.add(row[name])
            assert (row["change_low"], row["change_high"]) == pytest.approx(wanted[row[name]], rel=0, abs=1e-12)
            assert row["change_low"] < row["change"] < row["change_high"]
            assert row["n_matched"] == rows
    assert found == wanted.keys()


@pytest.mark.once
def test_the_number_of_numbers_in_a_block_changes_nothing(store: maskl.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> list[dict[str, Any]]:
        with pytest.warns(maskl.errors.RowsLeftOutWarning):
            return store.compare("t", "main", "candidate", key="key", resamples=RESAMPLES).to_pylist()

    wanted = ask()
    for block, batch in ((1, 1 << 19), (RESAMPLES * 7, 2048), (1 << 22, 2048)):
        monkeypatch.setattr("maskl.reading._comparison.BLOCK", block)
        monkeypatch.setattr("maskl.reading._comparison.BATCH", batch)
        assert ask() == wanted


def test_the_interval_of_each_run(store: maskl.Store) -> None:
    columns = "run_id, mean_iou, mean_iou_low, mean_iou_high"
    query = f"SELECT {columns} FROM mean_iou('t', resamples := {RESAMPLES}, exclude := ['car'])"
    rows = store.sql(query).fetchall()
    assert [name for name, *_ in rows] == ["candidate", "main"]
    numbers = dict(store.sql("SELECT run_id, list(_row ORDER BY _row) FROM tables.t GROUP BY run_id").fetchall())
    for name, mean, low, high in rows:
        run = [
            (str(number), *row[1:])
            for number, row in zip(numbers[name], rows_of(int(name == "candidate")), strict=True)
        ]
        keys = [row[0] for row in run if row[1].shape == row[2].shape]
        weights = np.array([[weight(key, number) for key in keys] for number in range(RESAMPLES)])
        scores = ious(resampled(run, keys, weights))[:, :2].mean(-1)
        assert (low, high) == pytest.approx(tuple(np.percentile(scores, (2.5, 97.5))), rel=0, abs=1e-12)
        assert low < mean < high


# --- the edges ----------------------------------------------------------------------------------


def two(directory: Path, a: Sequence[Row], b: Sequence[Row], labels: Any = LABELS) -> list[dict[str, Any]]:
    log(directory, "a", a)
    log(directory, "b", b, labels)
    store = maskl.open(directory)
    answer = store.compare("t", "a", "b", key="key", resamples=20).to_pylist()
    query = "FROM compare_classes('t', 'a', 'b', key := 'key', resamples := 20)"
    assert answer == store.sql(query).to_arrow_table().to_pylist()
    return answer


def test_one_row_and_no_row_have_no_interval(tmp_path: Path) -> None:
    rows = [(str(n), *pixels([n], 0.5)) for n in range(4)]
    for number, (mine, matched) in enumerate(((rows[:1], 1), ([("x", *rows[0][1:])], 0))):
        for row in two(tmp_path / str(number), rows, mine):
            assert (row["change_low"], row["change_high"], row["n_matched"]) == (None, None, matched)
            assert row["change"] is not None


def test_a_run_against_itself_changes_by_nothing(tmp_path: Path) -> None:
    rows = [(str(n), *pixels([n], 0.5)) for n in range(4)]
    assert {(row["change_low"], row["change_high"]) for row in two(tmp_path, rows, rows)} == {(0.0, 0.0)}


def test_a_class_of_one_run_only_has_no_interval_and_a_class_without_pixels_neither(tmp_path: Path) -> None:
    a = [(str(n), *pixels([n], 0.5, 2)) for n in range(9)]
    a = [(key, truth, np.minimum(guess, 1)) for key, truth, guess in a]
    found = {row["class_name"]: row for row in two(tmp_path, a, a, LABELS | {3: "boat"})}
    assert found["boat"]["change_low"] is found["car"]["change_low"] is None
    assert found["road"]["change_low"] == 0


def test_keys_that_occur_twice_are_an_error_only_where_rows_are_matched(tmp_path: Path) -> None:
    rows = [("x", *pixels([n], 0.5)) for n in range(2)]
    log(tmp_path, "a", rows)
    store = maskl.open(tmp_path)
    assert len(store.compare("t", "a", "a", key="key")) == 3
    with pytest.raises(QueryError, match="several rows of run 'a' have the same key, x"):
        store.compare("t", "a", "a", key="key", resamples=10)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"resamples": -1}, InvalidValue, "from 0 to 100,000; got -1"),
        ({"resamples": 1.5}, InvalidType, "whole number; got float"),
        ({"by": "row"}, InvalidValue, "by must be 'class' or 'mean'"),
        ({"prediction": "x"}, NotFound, "has no mask 'x'; its masks are: 'ground_truth', 'predictions'"),
        ({"run_b": "x"}, NotFound, "x"),
        ({"table": "x"}, NotFound, "there is no table 'x'"),
        ({"step": 7}, NotFound, "has no 'ground_truth' and 'predictions' at step 7; its steps go from "),
        ({"by": "mean", "exclude": "car"}, InvalidType, "exclude must be a list of class names; got 'car'"),
        ({"by": "mean", "exclude": ["kar"]}, NotFound, "has no class 'kar' to exclude; its classes are: "),
        ({"exclude": ["car"]}, InvalidValue, "exclude leaves classes out of means"),
        ({"key": "x", "resamples": 2}, QueryError, "no column to match rows by that is called 'x'"),
    ],
)
@pytest.mark.filterwarnings("ignore::maskl.errors.RowsLeftOutWarning")
def test_what_makes_no_sense(store: maskl.Store, options: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        store.compare(**({"table": "t", "run_a": "main", "run_b": "candidate"} | options))


@pytest.mark.parametrize("number", ["-1", "1.5", "NULL", "'x'", "100001"])
def test_numbers_of_resamples_that_make_no_sense_in_sql(store: maskl.Store, number: str) -> None:
    for call in ("compare_classes('t', 'main', 'candidate'", "compare_means('t', 'main', 'candidate'", "mean_iou('t'"):
        with pytest.raises((duckdb.Error, QueryError), match="resamples must be a whole number from 0 to 100000"):
            store.sql(f"FROM {call}, resamples := {number})").fetchall()


@pytest.mark.once
@pytest.mark.filterwarnings("default")  # which the command prints
def test_the_gate_and_the_command_line(store: maskl.Store, capsys: pytest.CaptureFixture[str]) -> None:
    for run_a, run_b, code in (("main", "candidate", 0), ("candidate", "main", 1)):
        query = f"FROM compare_classes('t', '{run_a}', '{run_b}', key := 'key', resamples := 100) WHERE change_high < 0"
        with pytest.raises(SystemExit) as ended:
            main(["sql", "--dir", str(store.root), "--fail-if-rows", query])
        assert (ended.value.code or 0) == code
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["compare", "main", "candidate", "--dir", str(store.root), "--key", "key", "--resamples", "100", "--json"])
    assert '"change_high": 0.' in capsys.readouterr().out


# --- whether it is true -------------------------------------------------------------------------


def bounds(share: float, count: int, miss: float) -> tuple[int, int]:
    """Between how many of some tries there are but for a chance that is missed, by the binomial distribution."""
    chances = [math.comb(count, n) * share**n * (1 - share) ** (count - n) for n in range(count + 1)]
    below = [sum(chances[: n + 1]) for n in range(count + 1)]
    return sum(chance < miss / 2 for chance in below), sum(chance < 1 - miss / 2 for chance in below)


def draws_of(resamples: int) -> pa.Table:
    """Return what resamples are drawn by, as SQL has it."""
    numbers = range(resamples)
    return pa.table(
        {
            "factor": [1 + digest(f"factor {n}", PRIME - 1) for n in numbers],
            "summand": [digest(f"summand {n}", PRIME) for n in numbers],
        }
    )


def simulations(count: int, rows: int, resamples: int) -> Iterator[tuple[float, float, float]]:
    """Yield the true change of IoU of one class, and the interval that rows of its distribution give."""
    rng = np.random.default_rng(7)
    draws = draws_of(resamples)
    for number in range(count):
        # how hard a row is tells on both runs; of 1,000 pixels so many are hit, and the union is 1,000 and more
        hard = rng.beta(6, 3, rows)
        size = rng.integers(100, 1000, rows)
        found = []
        for gain in (0.0, 0.05):
            hits = rng.binomial(size, np.clip(hard + gain + rng.normal(0, 0.05, rows), 0, 1))
            found.append((hits, size - hits))
        units = np.array([digest(f"{number} {row}", PRIME) for row in range(rows)])
        order = np.argsort(units)
        columns: dict[str, Any] = {"side": ["a"] * rows + ["b"] * rows, "at_step": [0] * 2 * rows}
        columns |= {"of_image": ["image"] * 2 * rows, "of_class": ["car"] * 2 * rows, "unit": np.tile(units, 2)}
        columns |= {"tp": np.concatenate([hits for hits, _ in found]), "fp": np.zeros(2 * rows, np.int64)}
        columns |= {"fn": np.concatenate([lost for _, lost in found])}
        resampled = Resampled(draws)
        resampled.add(pa.table(columns).take(np.stack([order, order + rows], 1).reshape(-1)))
        a, b = (resampled.counts(side, 0, "image")["car"] for side in ("a", "b"))
        low, high = np.percentile(b[0] / (b[0] + b[2]) - a[0] / (a[0] + a[2]), (2.5, 97.5))
        yield truth_of(), float(low), float(high)


def truth_of(cache: list[float] = []) -> float:  # noqa: B006  # computed once
    """The change over so many rows that it is known to four digits."""
    if not cache:
        rng = np.random.default_rng(11)
        rows = 2_000_000
        hard, size = rng.beta(6, 3, rows), rng.integers(100, 1000, rows)
        noise = [np.clip(hard + gain + rng.normal(0, 0.05, rows), 0, 1) for gain in (0.0, 0.05)]
        cache.append(float((size * (noise[1] - noise[0])).sum() / size.sum()))
    return cache[0]


def test_the_interval_holds_the_true_change_as_often_as_it_says() -> None:
    """With 1,000 simulations in 93 to 97 % of them; with fewer in as many as 95 % may be of so few."""
    inside = sum(low <= change <= high for change, low, high in simulations(SIMULATIONS, 200, 400))
    low, high = (0.93, 0.97) if SIMULATIONS >= 1000 else (n / SIMULATIONS for n in bounds(0.95, SIMULATIONS, 0.001))
    assert low <= inside / SIMULATIONS <= high, inside


@pytest.mark.skipif(duckdb.__version__.startswith("1."), reason="this DuckDB loads pandas itself")
def test_the_command_line_compares_without_pandas(store: maskl.Store) -> None:
    code = f"""
import sys
import maskl
store = maskl.open({str(store.root)!r})
assert len(store.compare("t", "main", "candidate", key="key", resamples=10)) == 3
assert "pandas" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_weights_are_poisson() -> None:
    check: Callable[[np.ndarray], float] = lambda found: float(abs(found - 1).max())  # noqa: E731
    units = np.array([digest(f"row {row}", PRIME) for row in range(200)])
    weights = Resampled(draws_of(300))._weights(units)
    assert weights.tolist() == [[weight(f"row {row}", number) for row in range(200)] for number in range(300)]
    assert check(np.array([weights.mean(), weights.var()])) < 0.03
    assert abs(np.corrcoef(weights) - np.eye(300)).max() < 0.4
    assert abs(np.corrcoef(weights.T) - np.eye(200)).max() < 0.35

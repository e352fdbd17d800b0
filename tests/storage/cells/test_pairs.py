"""Which pairs of an image's masks are counted: all of up to 8 masks, of more those with a truth."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import maskl
from maskl.errors import MasklWarning, QueryError, StatisticsWarning
from maskl_storage.cells import cells as cells_module
from maskl_storage.cells.cells import pairs_with
from maskl_storage.upkeep.compact import compact

LABELS = {0: "sky", 1: "road", 2: "car"}
MACROS = ("class_iou", "mean_iou", "row_iou", "row_class_iou", "confusion_matrix")


def masks(count: int, sizes: Mapping[int, int] | None = None) -> dict[str, Any]:
    """Return masks called ground_truth, m01, m02 and so on, each another one; some of another size."""
    made = {}
    for number in range(count):
        side = (sizes or {}).get(number, 6)
        array = (np.arange(side * side).reshape(side, side) // (number + 2) % 3).astype(np.uint8)
        made["ground_truth" if not number else f"m{number:02}"] = {"mask_data": array, "class_labels": LABELS}
    return made


def table(*counts: int, sizes: Mapping[int, int] | None = None) -> maskl.Table:
    made = maskl.Table(["image"])
    for count in counts:
        made.add_data(maskl.Image(np.zeros((6, 6), np.uint8), masks=masks(count, sizes)))
    return made


def log(directory: Path, *counts: int, sizes: Mapping[int, int] | None = None, **settings: Any) -> maskl.Store:
    """Log images with so many masks, and return the store."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MasklWarning)
        with maskl.init(dir=directory, settings={"silent": True, **settings}) as run:
            run.log({"t": table(*counts, sizes=sizes)})
    return maskl.open(directory)


@pytest.fixture
def logged(tmp_path: Path) -> Callable[..., maskl.Store]:
    return partial(log, tmp_path)


@pytest.fixture(scope="module")
def of_ten_and_three(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    """A store of an image with ten masks and one with three, which no test changes."""
    return log(tmp_path_factory.mktemp("pairs"), 10, 3)


def versions(store: maskl.Store) -> list[str]:
    return [json.loads(path.read_text())["version"] for path in sorted(store.root.glob("seals/*/*.json"))]


def pairs(store: maskl.Store, view: str = "scores") -> set[tuple[str, str]]:
    return set(store.sql(f"SELECT DISTINCT truth_key, prediction_key FROM {view}").fetchall())


def test_up_to_eight_masks_are_all_compared(logged: Callable[..., maskl.Store]) -> None:
    store = logged(8)
    assert len(pairs(store)) == 8 * 7
    assert versions(store) == ["1.1.0"]
    assert store.verify().clean


@pytest.mark.parametrize(
    ("settings", "truths"),
    [({}, ("ground_truth",)), ({"truth_keys": "m03"}, ("m03",)), ({"truth_keys": ["m03", "m05"]}, ("m03", "m05"))],
)
def test_of_more_masks_the_pairs_with_a_truth_are_compared(
    logged: Callable[..., maskl.Store], settings: Mapping[str, Any], truths: Sequence[str]
) -> None:
    store = logged(10, 3, **settings)
    keys = ["ground_truth", *(f"m{number:02}" for number in range(1, 10))]
    wanted = {(a, b) for a in keys for b in keys if a != b and (a in truths or b in truths)}
    small = {(a, b) for a in keys[:3] for b in keys[:3] if a != b}
    for view in ("scores", "class_scores", "confusion", "confusion_totals"):
        assert pairs(store, view) == wanted | small
    assert versions(store) == ["1.2.0"]
    assert store.verify().clean
    assert {json.loads(path.read_text())["version"] for path in store.root.glob("runs/*/*.json")} == {"1.1.0"}


@pytest.mark.parametrize("macro", MACROS)
def test_metrics_of_a_pair_that_was_not_counted_say_so(of_ten_and_three: maskl.Store, macro: str) -> None:
    store = of_ten_and_three
    assert store.sql(f"FROM {macro}('t', prediction := 'm02')").fetchall()
    with pytest.raises(duckdb.Error, match="truth_keys='m01'"):  # counted in one row, and not in the other
        store.sql(f"FROM {macro}('t', truth := 'm01', prediction := 'm02')").fetchall()
    with pytest.raises(duckdb.Error, match="has no image with the masks 'm01' and 'nothing'; it has: 'ground_truth'"):
        store.sql(f"FROM {macro}('t', truth := 'm01', prediction := 'nothing')").fetchall()


@pytest.mark.parametrize("macro", MACROS)
@pytest.mark.parametrize("pair", [("m01", "m02"), pytest.param(("m07", "m08"), marks=pytest.mark.once)])
def test_no_filter_and_no_choice_of_columns_hides_that_a_pair_was_not_counted(
    of_ten_and_three: maskl.Store, macro: str, pair: tuple[str, str]
) -> None:
    store = of_ten_and_three
    asked = f"{macro}('t', truth := '{pair[0]}', prediction := '{pair[1]}')"
    columns = dict(store.sql(f"SELECT column_name, column_type FROM (DESCRIBE FROM {asked})").fetchall())
    for column, its_type in columns.items():
        wanted = "'road'" if its_type == "VARCHAR" else "0"
        queries = [f"SELECT {column} FROM {asked}"]
        if column not in ("run_id", "run_name", "table_name", "_step", "image_column"):  # those name the group
            queries += [
                f"FROM {asked} WHERE {column} = {wanted}",
                f"SELECT count(*) FROM {asked} WHERE {column} IS NOT NULL",
                f"SELECT max({column}) FROM {asked} WHERE {column} NOT IN ({wanted})",
            ]
        for query in queries:
            with pytest.raises(duckdb.Error, match=f"truth_keys='{pair[0]}'"):
                store.sql(query).fetchall()


@pytest.mark.parametrize("by", [["run"], ["run", "step", "class"], ["row"], ["row", "class"]])
@pytest.mark.parametrize("exclude", [(), ("sky",)])
def test_metrics_of_the_store_say_that_a_pair_was_not_counted(
    of_ten_and_three: maskl.Store, by: list[Any], exclude: Sequence[str]
) -> None:
    store = of_ten_and_three
    for pair in (("m01", "m02"), ("m07", "m08")):
        with pytest.raises(QueryError, match=f"truth_keys='{pair[0]}'"):
            store.metrics("t", *pair, by=by, exclude=exclude)


def test_masks_of_another_size_are_there_where_their_pair_counts(logged: Callable[..., maskl.Store]) -> None:
    store = logged(10, sizes={4: 5, 5: 5})
    query = "SELECT truth_key, same_size FROM scores WHERE prediction_key = 'm04'"
    assert store.sql(query).fetchall() == [("ground_truth", False)]
    assert store.verify().clean


def test_merging_keeps_which_pairs_were_counted(logged: Callable[..., maskl.Store]) -> None:
    for count in (10, 3, 9):
        store = logged(count, run_id="one", resume="allow")
    before = {view: store.sql(f"FROM {view} ORDER BY ALL").fetchall() for view in ("scores", "confusion_totals")}
    compact(store._layout, ["one"], grace=0)
    store = maskl.open(store.root)
    assert sorted(versions(store)) == ["1.1.0", "1.2.0"]
    assert {view: store.sql(f"FROM {view} ORDER BY ALL").fetchall() for view in before} == before
    assert store.verify().clean


def test_what_a_killed_process_logged_keeps_its_pairs(tmp_path: Path) -> None:
    run = maskl.init(dir=tmp_path, settings={"silent": True, "truth_keys": ["m02"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MasklWarning)
        run.log({"t": table(9)})
    run._writer.abandon()  # as if it was killed: what it logged stands in its write-ahead file
    store = maskl.open(tmp_path / "maskl-store")
    store.recover()
    assert {key for pair in pairs(store) for key in pair if "m02" not in pair} == set()
    assert len(pairs(store)) == 16
    assert store.verify().clean


def test_verification_finds_a_pair_that_is_listed_and_wrong(logged: Callable[..., maskl.Store]) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from blake3 import blake3

    store = logged(10)
    (path,) = store.root.glob("confusion/*/*/*.parquet")
    found = pq.read_table(path, partitioning=None)
    place = found.schema.get_field_index("pixels")
    pq.write_table(found.set_column(place, "pixels", pc.add(found["pixels"], pa.scalar(1, pa.int64()))), path)
    (seal,) = store.root.glob("seals/*/*.json")
    body = json.loads(seal.read_text())
    for part in body["parts"]:
        if part["path"].startswith("confusion/"):
            part |= {"bytes": path.stat().st_size, "blake3": blake3(path.read_bytes()).hexdigest()}
    body.pop("blake3", None)
    seal.write_text(json.dumps(body))
    assert any("its confusion are not those" in fault.problem for fault in maskl.open(store.root).verify().faults)


def test_one_warning_says_which_pairs_are_left_out(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path, settings={"silent": True}), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        table(10, 12, 9)
    (warning,) = [each for each in seen if issubclass(each.category, StatisticsWarning)]
    assert "10 masks" in str(warning.message)
    assert "truth_keys" in str(warning.message)


def test_a_table_that_was_filled_before_its_run_has_the_truths_of_the_run(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MasklWarning)
        made = table(10)
        with maskl.init(dir=tmp_path, settings={"silent": True, "truth_keys": "m01"}) as run:
            run.log({"t": made})
    store = maskl.open(tmp_path)
    assert {pair for pair in pairs(store) if "m01" not in pair} == set()
    assert store.verify().clean


def test_the_environment_names_truths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKL_TRUTH_KEYS", "m01, m02")
    with maskl.init(dir=tmp_path, settings={"silent": True}) as run:
        assert run.settings.truth_keys == ("m01", "m02")


def test_no_more_joint_histograms_are_made_than_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    joint_pixels = cells_module.joint_pixels
    monkeypatch.setattr(cells_module, "joint_pixels", lambda a, b: (made.append(1), joint_pixels(a, b))[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MasklWarning)
        table(80)
    assert len(made) == 79


def test_pairs_without_a_truth_are_none() -> None:
    assert pairs_with([f"m{number}" for number in range(9)], ["ground_truth"]) == frozenset()

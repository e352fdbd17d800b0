"""Values that a masked array hides are missing, wherever they are logged; paths are their text."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest

import maskl
from maskl import Histogram, Table
from maskl.errors import InvalidValue, NameCaseWarning

Start = Callable[..., maskl.Run]


def hiding(values: Any, hidden: Any = 2) -> Any:
    return np.ma.masked_equal(np.array(values), hidden)


def test_hidden_values_of_cells_are_missing(start: Start) -> None:
    with start() as run:
        table = Table(["one", "floats", "ints", "texts"])
        table.add_data(np.ma.masked, hiding([1.0, 2, 3]), hiding([1, 2, 3]), hiding(["a", "b"], "b"))
        table.add_data(4, np.ma.array([1.0, 2, 3]), np.ma.array([1, 2, 3]), np.ma.array(["a", "b"]))
        run.log({"values": table})
    store = maskl.open(run.dir)
    first, second = store.table("values")
    assert first["one"] is None
    for name in ("floats", "ints"):
        assert np.array_equal(first[name], [1, math.nan, 3], equal_nan=True), name
        assert np.array_equal(second[name], [1, 2, 3]), name
    assert (list(first["texts"]), list(second["texts"])) == (["a", None], ["a", "b"])


@pytest.mark.parametrize("kind", ["i4", "f4", "u8"])
def test_hidden_values_of_whole_tables_and_columns_are_missing(kind: str) -> None:
    data = hiding([[1, 2], [3, 4]]).astype(kind)
    assert Table(["a", "b"], data).data == [[1, None], [3, 4]]
    table = Table(["a"], [[1], [2]])
    table.add_column("b", data[0], optional=True)
    assert table.get_column("b") == [1, None]


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**62])
def test_the_first_integers_that_floats_do_not_hold_stay_exact(number: int) -> None:
    assert Table(["a"], [[hiding([2, number])]]).data == [[[None, number]]]


def test_integers_that_floats_do_not_hold_stay_exact() -> None:
    assert Table(["a"], [[hiding([2, (1 << 60) + 1])]]).data == [[[None, (1 << 60) + 1]]]


def test_hidden_values_of_the_history_are_missing(start: Start) -> None:
    with start(config={"betas": hiding([0.5, 2.0])}) as run:
        run.log({"values": hiding([1.0, 2.0]), "kept": np.ma.array([1, 2]), "x": 1})
    store = maskl.open(run.dir)
    stored = store.run(run.id)
    assert stored.values("values") == [(0, "[1.0, NaN]")]
    assert stored.values("kept") == [(0, "[1, 2]")]
    assert stored.config == {"betas": [0.5, None]}


def test_histograms_leave_hidden_values_out() -> None:
    assert sum(Histogram(hiding([1, 2, 2, 3]), num_bins=2).histogram) == 2
    with pytest.raises(InvalidValue, match="hides 1 of its values"):
        Histogram(np_histogram=(hiding([1, 2]), [0, 1, 2]))


def test_a_path_in_a_cell_is_its_text(start: Start) -> None:
    paths = [Path("frames") / "001.png", PurePosixPath("프레임/002.png"), PureWindowsPath("a\\b.png")]
    with start() as run:
        run.log({"files": Table(["path", "paths"], [[path, [path]] for path in paths]), "best": paths[0]})
    store = maskl.open(run.dir)
    texts = [str(path) for path in paths]
    assert [row["path"] for row in store.table("files")] == texts
    assert [list(row["paths"]) for row in store.table("files")] == [[text] for text in texts]


def test_names_of_tables_that_differ_in_case_are_named(start: Start) -> None:
    with start() as run:
        run.log({"evaluation": Table(["a"], [[1]])})
        with pytest.warns(NameCaseWarning, match="'evaluation' and 'Evaluation' differ in case only"):
            run.log({"Evaluation": Table(["a"], [[2]])})
        run.log({"evaluation": Table(["a"], [[3]])})  # not again
        with pytest.warns(NameCaseWarning, match="'STRASSE' and 'straße'|'straße' and 'STRASSE'"):
            run.log({"straße": Table(["a"], [[1]]), "STRASSE": Table(["a"], [[1]])})
    store = maskl.open(run.dir)
    # the one that comes first by its spelling keeps its name
    with pytest.warns(NameCaseWarning, match="its view is") as caught:
        assert store.sql("SELECT sum(a) FROM tables.evaluation_1").fetchall() == [(4,)]
    assert "name of table 'evaluation' differs" in str(caught[0].message)
    assert store.sql("SELECT sum(a) FROM tables.evaluation").fetchall() == [(2,)]

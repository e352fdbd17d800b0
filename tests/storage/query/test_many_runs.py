"""A store of many runs: a question about one run opens that run's files.

A file of another run that is opened is noticed, since all of them are overwritten with something that is no Parquet.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import maskl
from maskl_storage.catalog.listing import Sealed
from maskl_storage.query import database
from maskl_storage.query._held import Held
from maskl_storage.query.database import Database

pytestmark = pytest.mark.once

#: well above the 64 parts of a kind from which on they are read once and kept in the process
RUNS = 250
WANTED = [("sky", 12, 0.75, 1), ("road", 4, 0.25, 1)]
COVERAGE = "SELECT class_name, pixels, coverage, n_rows FROM class_coverage('t')"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of runs that are alike, each with its own images."""
    directory = tmp_path_factory.mktemp("runs")
    labels = {0: "sky", 1: "road"}
    mask = {"mask_data": np.eye(4, dtype=np.uint8), "class_labels": labels}
    table = maskl.Table(["image"])
    table.add_data(maskl.Image(np.zeros((4, 4), np.uint8), masks={"ground_truth": mask, "predictions": mask}))
    with maskl.init(dir=directory, id="run-0", name="name-0") as run:
        run.log({"t": table, "loss": 0.5})
    root = directory / "maskl-store"
    sources = [path for path in root.rglob("*") if path.is_file() and "run_id=run-0" in str(path)]
    for number in range(1, RUNS):
        for source in sources:
            copy = Path(str(source).replace("run_id=run-0", f"run_id=run-{number}"))
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix == ".json":
                text = source.read_text().replace("run-0", f"run-{number}").replace("name-0", f"name-{number}")
                copy.write_text(text)
            else:
                copy.hardlink_to(source)
    return root


@pytest.fixture
def only(template: Path, tmp_path: Path) -> Callable[[Collection[str]], Path]:
    """Return a copy of the store in which all parts but those of some runs are unreadable."""

    def only(runs: Collection[str]) -> Path:
        root = tmp_path / "maskl-store"
        shutil.copytree(template, root, copy_function=lambda source, target: Path(target).hardlink_to(source))
        for path in root.rglob("*.parquet"):
            if path.parent.name.removeprefix("run_id=") not in runs:
                size = path.stat().st_size
                path.unlink()
                path.write_bytes(b"x" * size)
        return root

    return only


QUERIES = [
    "FROM class_coverage('t')",
    "FROM class_iou('t')",
    "FROM mean_iou('t', step := 'last')",
    "FROM row_iou('t')",
    "FROM row_class_iou('t')",
    "FROM confusion_matrix('t')",
    "FROM cooccurrence('t')",
    "FROM history",
    "FROM class_pixels",
    "FROM tables.t",
]
#: class_iou and cooccurrence use their sums several times, and so add up every run's first
PRUNED = ["FROM confusion_matrix('t')", "FROM history", "FROM class_pixels", "FROM tables.t"]


def test_a_store_opened_for_one_run_opens_its_files_only(only: Callable[[Collection[str]], Path]) -> None:
    store = maskl.open(only(["run-7"]), runs=["run-7"])
    assert store.sql(COVERAGE).fetchall() == WANTED
    for query in QUERIES:
        assert {row[0] for row in store.sql(f"SELECT run_id {query}").fetchall()} == {"run-7"}
    assert len(store.table("t")) == 1
    assert store.sql("SELECT count(*), min(octet_length(bytes)) > 0 FROM images").fetchall() == [(1, True)]  # its own


def test_a_question_about_one_run_opens_its_files_only(
    only: Callable[[Collection[str]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB opens the first file of each list for its columns (that of run-0), and no other.

    Which of the listed parts a query reads only DuckDB knows: where their hashes are checked, all are read.
    """
    store = maskl.open(only(["run-0", "run-7"]))
    with pytest.raises(maskl.errors.CorruptData, match="its BLAKE3 is not the one in its seal"):
        store.sql(COVERAGE)
    monkeypatch.setenv("MASKL_CHECK_HASHES", "0")
    for chosen in ("run_id = 'run-7'", "run_name = 'name-7'", "run_id IN ('run-7')"):
        assert store.sql(f"{COVERAGE} WHERE {chosen}").fetchall() == WANTED
        for query in PRUNED:
            assert {row[0] for row in store.sql(f"SELECT run_id {query} WHERE {chosen}").fetchall()} == {"run-7"}
    for query in ("FROM row_iou('t')", "FROM row_class_iou('t')"):
        assert {r[0] for r in store.sql(f"SELECT run_id {query} WHERE run_id = 'run-7'").fetchall()} == {"run-7"}
    with pytest.raises(maskl.errors.QueryError, match="magic bytes"):  # of all runs, the totals are read at once
        store.sql(COVERAGE)


def test_every_run_is_there(template: Path) -> None:
    store = maskl.open(template)
    assert len(store.runs()) == RUNS
    count = "SELECT count(*), count(DISTINCT run_id), sum(pixels) FROM class_coverage('t')"
    assert store.sql(count).fetchall() == [(2 * RUNS, RUNS, 16 * RUNS)]


def test_totals_of_many_runs_are_read_once(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is opened again reads what is new in it; what is replaced does not count."""
    root = tmp_path / "maskl-store"
    shutil.copytree(template, root, copy_function=lambda source, target: Path(target).hardlink_to(source))
    read: list[int] = []
    whole = Database._read

    def seen(self: Database, kind: str, parts: Sequence[Sealed]) -> pa.Table:
        read.append(len(parts))
        return whole(self, kind, parts)

    monkeypatch.setattr(database, "HELD", Held())
    monkeypatch.setattr(Database, "_read", seen)
    query = "SELECT count(*), count(DISTINCT run_name), sum(tp), any_value(iou) FROM class_iou('t')"
    everything = [(2 * RUNS, RUNS, 16 * RUNS, 1.0)]
    assert maskl.open(root).sql(query).fetchall() == everything
    assert maskl.open(root).sql(query).fetchall() == everything
    assert maskl.open(root).sql(f"{query} WHERE run_id = 'run-7'").fetchall() == [(2, 1, 16, 1.0)]
    assert read == [RUNS, RUNS]  # of two kinds of totals
    mask = {"mask_data": np.eye(4, dtype=np.uint8), "class_labels": {0: "sky", 1: "road"}}
    with maskl.init(dir=root, id="새 run") as run:
        run.log({"t": maskl.Image(np.zeros((4, 4), np.uint8), masks={"ground_truth": mask, "predictions": mask})})
    store = maskl.open(root)
    assert store.sql(query).fetchall() == [(2 * RUNS + 2, RUNS + 1, 16 * (RUNS + 1), 1.0)]
    assert read[2:] == [1, 1]
    store.delete("run-7")
    assert maskl.open(root).sql(query).fetchall() == everything

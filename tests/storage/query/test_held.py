"""Totals of few parts are tables of a connection: answers are those of the files, and the files are read once.

And questions that sum totals are planned once: they are answered when they are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import maskl
from maskl_storage.query import _held
from maskl_storage.query._allowed import asks_for_sums
from tests.conftest import HANGS

pytestmark = pytest.mark.filterwarnings(
    "ignore::maskl.errors.SizeMismatchWarning", "ignore::maskl.errors.UnnamedClassWarning"
)

LABELS = {0: "하늘", 1: "road", 2: "자동차", 7: "road sign"}
NAMES = ("첫 번째", "second", "it's 'third'")
QUERIES = (
    "FROM class_iou('표')",
    "FROM class_iou('표', 'predictions', 'ground_truth', step := 'all') WHERE run_name = '첫 번째'",
    "SELECT run_name, count(*), avg(iou) FROM class_iou('changes', step := 'last') GROUP BY ALL ORDER BY ALL",
    "FROM class_coverage('표', mask := 'predictions') WHERE run_id <> 'r1'",
    "FROM confusion_matrix('changes') WHERE run_id = 'r0'",
    "FROM compare_classes('표', 'r0', 'r1')",
    "SELECT * EXCLUDE run_name FROM class_totals ORDER BY ALL",
    "FROM confusion_totals ORDER BY ALL",
)
ONE = QUERIES[-2:]
MAP = {"road sign": "road"}
COVERAGE = "SELECT run_id, class_name, pixels FROM class_coverage('표')"


def image(rng: np.random.Generator) -> maskl.Image:
    """Return an image whose masks may differ in size, in classes, or be missing."""
    shape = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    masks = {}
    for key in ("ground_truth", "predictions"):
        if rng.random() < 0.9:
            size = shape if rng.random() < 0.8 else (2, 3)
            masks[key] = {"mask_data": rng.choice([*LABELS, 9], size).astype(np.uint8), "class_labels": LABELS}
    return maskl.Image(rng.integers(0, 255, (*shape, 3)).astype(np.uint8), masks=masks)


def log(directory: Path, rng: np.random.Generator, number: int) -> None:
    with maskl.init(dir=directory, id=f"r{number}", name=NAMES[number]) as run:
        for step in range(3):
            rows = [[image(rng), loss] for loss in range(int(rng.integers(2, 5)))]
            run.log({"표": maskl.Table(["image", "loss"], rows)}, step=step)
        table = maskl.Table(["image"], log_mode="MUTABLE")
        for _ in range(2):
            table.add_data(image(rng))
            run.log({"changes": table})


def answers(store: maskl.Store, queries: Sequence[str] = QUERIES, **options: Any) -> list[object]:
    """Return what a store answers."""
    found: list[object] = [store.sql(query, **options).fetchall() for query in queries]
    assert all(found)
    return found


def test_answers_from_tables_are_those_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        log(tmp_path, rng, number)
    maskl.open(tmp_path).delete("r2")
    tables = maskl.open(tmp_path)
    wanted = answers(tables)
    assert tables._database()._held == {"class_totals", "confusion_totals"}
    assert answers(tables, QUERIES[:2], timeout=HANGS) == wanted[:2]
    mapped = answers(tables, QUERIES[:1], class_map=MAP)
    assert mapped != wanted[:1]
    one = answers(maskl.open(tmp_path, runs=["r0"]), ONE)
    monkeypatch.setattr(_held, "FEW_ROWS", 0)
    files = maskl.open(tmp_path)
    assert answers(files) == wanted
    assert answers(files, QUERIES[:1], class_map=MAP) == mapped
    assert not files._database()._held
    assert answers(maskl.open(tmp_path, runs=["r0"]), ONE) == one
    monkeypatch.setattr(_held, "PARTS", 1)
    assert answers(maskl.open(tmp_path), QUERIES[:2]) == wanted[:2]


def broken(root: Path, run: str) -> None:
    """Make the totals of a run unreadable."""
    for path in root.glob(f"maskl-store/*_totals/*/run_id={run}/*.parquet"):
        size = path.stat().st_size
        path.unlink()
        path.write_bytes(b"x" * size)


def test_files_are_read_for_the_first_question_alone(tmp_path: Path) -> None:
    log(tmp_path, np.random.default_rng(3), 0)
    log(tmp_path, np.random.default_rng(4), 1)
    store = maskl.open(tmp_path)
    pairs = store.sql("FROM confusion_matrix('표')").fetchall()
    rows = store.sql(COVERAGE).fetchall()
    assert {run_id for run_id, *_ in rows} == {"r0", "r1"}
    for run in ("r0", "r1"):
        broken(tmp_path, run)
    assert store.sql(COVERAGE).fetchall() == rows
    one = [row for row in rows if row[0] == "r1"]
    assert store.sql(f"{COVERAGE} WHERE run_id = 'r1'").fetchall() == one
    assert store.sql("FROM confusion_matrix('표')").fetchall() == pairs


def test_a_question_about_one_run_that_comes_first_reads_its_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        log(tmp_path, np.random.default_rng(number), number)
    wanted = maskl.open(tmp_path).sql(f"{COVERAGE} WHERE run_id = 'r1'").fetchall()
    whole = maskl.open(tmp_path).sql(COVERAGE).fetchall()
    store = maskl.open(tmp_path)
    monkeypatch.setenv("MASKL_CHECK_HASHES", "0")  # where they are checked, all files of a kind are read
    for chosen in ("run_id = 'r1'", "run_name = 'second'"):
        assert store.sql(f"{COVERAGE} WHERE {chosen}").fetchall() == wanted
    assert not store._database()._held
    broken(tmp_path, "r2")
    assert store.sql(f"{COVERAGE} WHERE run_id = 'r1'").fetchall() == wanted
    other = maskl.open(tmp_path)
    assert other.sql(f"{COVERAGE} WHERE run_id = 'r1'").fetchall() == wanted
    with pytest.raises(maskl.errors.QueryError, match="magic bytes"):
        other.sql(COVERAGE)
    assert len(whole) > len(wanted)


def test_what_a_store_got_and_lost_meanwhile_is_seen(tmp_path: Path) -> None:
    log(tmp_path, np.random.default_rng(0), 0)
    stores = [maskl.open(tmp_path) for _ in range(2)]
    count = "SELECT count(DISTINCT run_id), sum(pixels) FROM class_coverage('표')"
    answers = [stores[0].sql(count).fetchall()]
    log(tmp_path, np.random.default_rng(1), 1)
    answers.append(stores[0].sql(count).fetchall())
    stores[1].delete("r0")
    answers.append(stores[0].sql(count).fetchall())
    assert [runs for ((runs, _),) in answers] == [1, 2, 1]
    assert answers[1][0][1] == answers[0][0][1] + answers[2][0][1]
    assert stores[1].sql(count).fetchall() == answers[2]


def test_totals_of_many_rows_stay_in_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log(tmp_path, np.random.default_rng(0), 0)
    monkeypatch.setattr(_held, "FEW_ROWS", 30)
    store = maskl.open(tmp_path)
    rows = store.sql("SELECT count(*) FROM class_totals").fetchall()[0][0]
    others = store.sql("SELECT count(*) FROM confusion_totals").fetchall()[0][0]
    assert rows > 30 or others > 30
    held = store._database()._held
    assert ("class_totals" in held, "confusion_totals" in held) == (rows <= 30, others // 2 <= 30)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    directory = tmp_path_factory.mktemp("sums")
    for number in range(2):
        log(directory, np.random.default_rng(number), number)
    return maskl.open(directory)


SUMS = (
    "FROM class_iou('표')",
    "FROM class_iou('표', 'predictions', prediction := 'ground_truth', step := 'last');",
    "select class_name AS \"이름\", iou, iou FROM CLASS_IOU('표') -- all of them",
    "SELECT * EXCLUDE iou FROM class_iou('표') WHERE class_name = 'it''s' OR iou BETWEEN 0 AND 1 ORDER BY tp LIMIT 3",
    "SELECT run_name, sum(tp) AS tp, count(*), avg(iou) FILTER (class_name <> 'road'), iou(tp, fp, fn) "
    "FROM class_iou('표') GROUP BY run_name HAVING count(*) > 0 ORDER BY ALL",
    "SELECT CASE WHEN mean_iou > 0.5 THEN 'good' END, round(mean_iou, 2) - 1, n_rows::HUGEINT FROM mean_iou('표')",
    "FROM class_coverage('표') WHERE false",
    "FROM compare_classes('표', 'r0', 'r1')",
    "FROM confusion_matrix('changes')",
)
OTHERS = (
    "FROM row_iou('표')",
    'FROM tables."표"',
    "FROM class_totals",
    "SELECT unnest(range(3)) FROM class_iou('표')",
    "SELECT repeat(class_name, 3) FROM class_iou('표')",
    "SELECT (SELECT count(*) FROM range(3)) FROM class_iou('표')",
    "FROM class_iou('표') AS a, class_iou('표') AS b",
    "FROM class_iou('표'), range(3)",
    "FROM class_iou('표') UNION ALL FROM class_iou('표')",
    "WITH a AS (FROM class_iou('표')) FROM a, a AS b",
    "SELECT class_name, count(*) FROM class_iou('표') GROUP BY CUBE (class_name, run_id)",
    "FROM mean_iou('표', resamples := 10)",
)


@pytest.mark.parametrize("query", SUMS)
def test_a_question_that_sums_is_answered_when_it_is_asked(
    store: maskl.Store, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = store.sql(query)
    assert asked.type == "MATERIALIZED_RELATION"
    monkeypatch.setattr(store._database(), "_few_sums", False)
    lazy = store.sql(query)
    assert lazy.type == "QUERY_RELATION"
    assert (asked.columns, asked.types) == (lazy.columns, lazy.types)
    rows = lazy.fetchall()
    assert asked.fetchall() == asked.fetchall() == rows
    assert asked.to_arrow_table().equals(lazy.to_arrow_table())
    assert asked.filter("true").limit(2).fetchall() == rows[:2]
    assert str(asked) == str(lazy)


@pytest.mark.parametrize("query", OTHERS)
def test_any_other_question_is_answered_when_its_rows_are_fetched(store: maskl.Store, query: str) -> None:
    relation = store.sql(query)
    assert relation.type == "QUERY_RELATION"
    assert relation.limit(1).fetchall()


def test_what_is_wrong_with_a_sum_is_said_when_it_was(store: maskl.Store) -> None:
    relation = store.sql("FROM class_iou('nowhere')")
    with pytest.raises(duckdb.InvalidInputException, match="there is no table 'nowhere'"):
        relation.fetchall()
    with pytest.raises(maskl.errors.QueryError, match='"io" not found'):
        store.sql("SELECT io FROM class_iou('표')")


def test_sums_of_many_totals_are_not_kept_at_once(store: maskl.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_held, "FEW_ROWS", 3)
    other = maskl.open(store.root)
    assert other.sql(SUMS[0]).type == "QUERY_RELATION"
    assert other.sql(SUMS[0]).fetchall() == store.sql(SUMS[0]).fetchall()


@pytest.mark.parametrize(
    "tree", [{"error": True}, {"statements": []}, {"statements": [{}]}, {"statements": [{"node": 1}]}]
)
def test_of_a_tree_that_is_written_in_another_way_nothing_is_known(tree: dict[str, Any]) -> None:
    assert not asks_for_sums(tree)

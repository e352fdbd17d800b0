"""Paths in a store: what builds one and what reads it agree, and nothing else knows what they are made of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskl_storage.errors import InvalidValue
from maskl_storage.format import paths
from maskl_storage.format.names import check_name
from maskl_storage.format.paths import Place, is_part, is_seal, place_of

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[3]
#: what a path of a store holds and no other text does, a docstring aside
PIECES = re.compile(
    r"run_id=|table_name=|(^|/)(seals|runs|wal|spool)/|^writer-|\.(wal|lock|damaged)\b|^\.(import|resume)-"
    r"|maskl\.json|maskl-store|\.gitignore"
)
#: what belongs to a store below maskl_storage, and to files of other formats above it
STORED = re.compile(r"\.(parquet|tmp)\b")
FOLDERS = {"seals", "runs", "wal", "spool"}


def is_name(text: str) -> bool:
    try:
        check_name(text, "name")
    except InvalidValue:
        return False
    return True


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(is_name) | st.sampled_from(
    ["a=b", "val/평가 1", "..", ".tmp", "0-0.parquet", "run_id=x", "table_name=y", "a[b]*?{c}", "%2F", "100%"]
)
numbers = st.integers(0, 1 << 40)


@given(kind=st.sampled_from(paths.KINDS), run=names, table=names, writer=numbers, seal=numbers)
def test_what_is_built_is_read(kind: str, run: str, table: str, writer: int, seal: int) -> None:
    part = paths.part_path(kind, run, table, writer, seal)
    of = table if kind in paths.TABLE_KINDS else None
    assert place_of(part) == Place(kind, run, writer, seal, of, ".parquet")
    assert (paths.kind_of(part), paths.table_of(part), paths.run_of(part)) == (kind, of, run)
    assert place_of(paths.seal_path(run, writer, seal)) == Place("seals", run, writer, seal, None, ".json")
    assert place_of(paths.wal_path(run, writer, seal)) == Place("wal", run, writer, seal, None, ".wal")
    assert place_of(paths.lock_path(run, writer)) == Place("wal", run, writer, None, None, ".lock")
    description = paths.writer_path(run, writer)
    assert place_of(description) == Place("runs", run, writer, None, None, ".json")
    assert (paths.run_of(description), paths.writer_of(description)) == (run, writer)
    assert place_of(paths.compaction_lock_path(run)) is None
    assert (is_part(part), is_seal(paths.seal_path(run, writer, seal))) == (True, True)


@pytest.mark.parametrize(
    "path", [paths.seal_path("r", 2, 5), paths.writer_path("r", 2), paths.part_path("rows", "r", "t", 2, 5)]
)
def test_a_file_that_is_not_finished_is_its_writers(path: str) -> None:
    whole = place_of(path)
    assert whole is not None
    assert whole.finished
    folder, _, name = path.rpartition("/")
    unfinished = f"{folder}/{paths.unfinished_name(name, 77)}"
    if name.endswith(paths.PART):
        unfinished = path.removesuffix(paths.PART) + paths.UNFINISHED
    place = place_of(unfinished)
    assert place is not None
    assert (place.run_id, place.writer, place.seal, place.finished) == ("r", 2, whole.seal, False)
    assert not is_part(unfinished)
    assert not is_seal(unfinished)


@pytest.mark.parametrize(
    "path",
    [
        *("maskl.json", ".gitignore", "rows", "rows/run_id=r", "rows/0-0.parquet", "rows/x/run_id=r/0-0.parquet"),
        *("rows/table_name=t/run_id=r/0.parquet", "rows/table_name=t/run_id=r/a-0.parquet", "rows/run_id=r/0-0.csv"),
        *("wal/run_id=r/compact.lock", "wal/run_id=r/0-0.lock", "wal/run_id=r/0.wal", "runs/run_id=r/writer-x.json"),
        *("seals/run_id=r/0-0.json.x.tmp", "seals/run_id=r/sub/0-0.json", "seals/run_id=/0-0.json"),
    ],
)
def test_what_is_no_file_of_a_writer(path: str) -> None:
    assert place_of(path) is None


@pytest.mark.parametrize(
    "path",
    [
        *("wal/run_id=r/0-0.parquet", "elsewhere/run_id=r/0-0.parquet", "rows/run_id=r/.0-0.parquet"),
        *("rows/run_id=r/0-0.tmp", "rows/run_id=r/0-0.json", "seals/run_id=r/0-0.json"),
    ],
)
def test_what_is_no_part(path: str) -> None:
    assert not is_part(path)


@pytest.mark.parametrize(
    "path",
    [
        *("rows/run_id=r/0-0.json", "seals/run_id=r/0-0.parquet", "seals/run_id=r/.0-0.json"),
        *("seals/table_name=t/run_id=r/0-0.json", "seals/run_id=r/writer-0.json"),
    ],
)
def test_what_is_no_seal(path: str) -> None:
    assert not is_seal(path)


@pytest.mark.parametrize("run", ["r", "a[b]*?", "100%", "val/평가"])
def test_patterns_find_the_files_of_a_run_and_no_others(tmp_path: Path, run: str) -> None:
    made = {}
    for one in (run, f"{run}x", "other"):
        made[one] = {
            "writer": paths.writer_path(one, 3),
            "seal": paths.seal_path(one, 3, 4),
            "wal": paths.wal_path(one, 3, 4),
            "another": paths.wal_path(one, 33, 4),
            "lock": paths.lock_path(one, 3),
            "rows": paths.part_path("rows", one, "t", 3, 4),
            "images": paths.part_path("images", one, None, 3, 4),
        }
        for path in made[one].values():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()

    def found(pattern: str) -> set[str]:
        return {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob(pattern)}

    def every(*names: str) -> set[str]:
        return {files[name] for files in made.values() for name in names}

    mine = made[run]
    assert found(paths.writer_pattern(run)) == {mine["writer"]}
    assert found(paths.wal_pattern(run)) == {mine["wal"], mine["another"]}
    assert found(paths.wal_pattern(run, 3)) == {mine["wal"]}
    assert found(paths.writer_pattern()) == every("writer")
    assert found(paths.seal_pattern()) == every("seal")
    assert found(paths.wal_pattern()) == every("wal", "another")
    assert found(paths.lock_pattern()) == every("lock")
    for kind in ("rows", "images", "seals"):
        name = "seal" if kind == "seals" else kind
        folders = paths.run_folder_patterns(kind, run)
        assert set().union(*(found(f"{folder}/*") for folder in folders)) == {mine[name]}
        folders = paths.run_folder_patterns(kind)
        assert set().union(*(found(f"{folder}/*") for folder in folders)) == every(name)


@pytest.mark.parametrize("folder", ["a*b", "a?", "[x]", "{x}", "run_id=7", "a=b"])
def test_a_path_that_sql_would_read_otherwise_is_no_stores(folder: str) -> None:
    with pytest.raises(InvalidValue, match="choose another directory"):
        paths.check_root(Path("/data") / folder / "maskl-store")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module that are no docstrings, and folders that paths are joined with."""
    tree = ast.parse(path.read_text("utf-8"))
    documentation = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr):
                documentation.add(id(first.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            yield node.lineno, f"{node.right.value}/" if node.right.value in FOLDERS else ""


@pytest.mark.once
def test_no_other_module_holds_what_paths_are_made_of() -> None:
    #: where the names of a store and of its document stand
    owners = {"format/paths.py", "format/document.py"}
    found = []
    for package in ("maskl", "storage/maskl_storage"):
        for path in sorted((ROOT / package).rglob("*.py")):
            below = path.relative_to(ROOT / package).as_posix()
            if package == "maskl" or below not in owners:
                for line, text in texts(path):
                    if PIECES.search(text) or (package != "maskl" and STORED.search(text)):
                        found.append(f"{package}/{below}:{line}: {text:.60}")
    assert found == []


def test_the_search_for_pieces_of_paths_finds_some() -> None:
    found = [text for _, text in texts(ROOT / "storage" / "maskl_storage" / "format" / "paths.py")]
    assert sum(bool(PIECES.search(text)) for text in found) >= 6

"""``maskl export``: what it takes, writes and prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from maskl.cli.app import main
from maskl.formats import parquet
from maskl.interchange.options import Dropped

pytestmark = pytest.mark.once
Outcome = tuple[int, str, str]


@pytest.fixture
def export(filled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    monkeypatch.setenv("MASKL_DIR", str(filled))

    def call(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as exit_:
            main(["export", *arguments])
        out, err = capsys.readouterr()
        return int(exit_.value.code or 0), out, err

    return call


def ids(path: Path) -> list[float]:
    return [float(number) for number in pq.read_table(path)["id"].to_pylist()]


def test_a_table_goes_to_a_folder(export: Callable[..., Outcome], tmp_path: Path) -> None:
    code, out, err = export("표", "out")
    assert (code, err) == (0, "")
    assert out.startswith("17 rows as parquet in out (")
    assert len(ids(tmp_path / "out")) == 17


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["표", "--run", "second"], [0.5, 1.5, 2.5, 3.5, 4.5]),
        (["표", "--step", "last", "--where", "id > 9"], [10, 11]),
        (["표", "--step", "0", "--limit", "2", "--columns", "id, loss"], [0, 1]),
        (["--sql", "SELECT run_id, table_name, _row FROM tables.표 WHERE id < 1 ORDER BY id DESC"], [0.5, 0]),
    ],
)
def test_rows_are_chosen(
    export: Callable[..., Outcome], tmp_path: Path, arguments: list[str], expected: list[float]
) -> None:
    assert export(*arguments, "out.parquet")[0] == 0
    assert ids(tmp_path / "out.parquet") == expected


def test_json_says_what_was_written(export: Callable[..., Outcome], tmp_path: Path) -> None:
    _, out, _ = export("other", "out", "--format", "huggingface", "--json")
    size = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    expected = {"path": str(tmp_path / "out"), "format": "huggingface", "rows": 2, "bytes": size}
    assert json.loads(out) == [expected | {"dropped": {}, "converted": {}}]


@pytest.mark.filterwarnings("always")
def test_what_is_dropped_is_said_on_standard_error(
    export: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "FORMAT", replace(parquet.FORMAT, write=lambda *_: Dropped({"captions": 2})))
    code, out, err = export("other", "out")
    assert (code, out) == (0, "2 rows as parquet in out (0 bytes)\n")
    assert err == "maskl: warning: parquet cannot hold all that was exported; left out: captions (2)\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ""),
        (("표",), "export needs a table and a destination, or a destination and --sql; got 1 names"),
        (("표", "out", "more"), "got 3 names"),
        (("표", "out", "--sql", "FROM runs"), "got 2 names with --sql"),
        (("nope", "out"), "there is no table 'nope'"),
        (("표", "out", "--step", "first"), "step must be a whole number or 'last'; got 'first'"),
        (("표", "out", "--masks", "gif"), "masks must be 'maskl' or 'png'"),
        (("표", "out", "-f", "zip"), "format must be one of"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    export: Callable[..., Outcome], tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = export(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("maskl: ")
    assert words in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_second_time_needs_force(export: Callable[..., Outcome], tmp_path: Path) -> None:
    assert export("other", "out")[0] == 0
    code, _, err = export("표", "out")
    assert code == 2
    assert "replace it with --force" in err
    assert export("표", "out", "--force")[0] == 0
    assert len(ids(tmp_path / "out")) == 17

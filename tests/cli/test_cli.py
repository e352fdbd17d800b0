from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest
from typer.main import get_command

import maskl
from maskl.cli._charts import bar, print_coverage
from maskl.cli._output import Result, print_result
from maskl.cli.app import app, main

pytestmark = pytest.mark.once

TABLE = "val/평가"
LABELS = {0: "하늘", 1: "[red]road[/red]"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one table with Korean names, logged at two steps."""
    directory = tmp_path_factory.mktemp("저장소")
    truth = np.zeros((36, 48), np.uint8)
    truth[:, 12:] = 1
    for name, shift in (("첫 실행", 0), ("second", 6)):
        with maskl.init(project="도로", name=name, dir=directory) as run:
            for step in range(2):
                masks = {
                    "ground_truth": {"mask_data": truth, "class_labels": LABELS},
                    "predictions": {"mask_data": np.roll(truth, shift, 1), "class_labels": LABELS},
                }
                table = maskl.Table(columns=["id", "image"])
                table.add_data(step, maskl.Image(np.zeros((36, 48, 3), np.uint8), masks=masks))
                run.log({TABLE: table, "loss": 0.123456789}, step=step)
    return directory


Outcome = tuple[int, str, str]


@pytest.fixture
def cli(store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    monkeypatch.setenv("MASKL_DIR", str(store))

    def call(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        out, err = capsys.readouterr()
        return int(exit_.value.code or 0), out, err

    return call


def rows(cli: Callable[..., Outcome], *arguments: str) -> list[dict[str, object]]:
    code, out, err = cli(*arguments, "--json")
    assert (code, err) == (0, "")
    parsed = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert isinstance(parsed, list)
    return parsed


def test_runs_lists_runs_with_their_tables(cli: Callable[..., Outcome]) -> None:
    first, second = rows(cli, "runs")
    assert list(first) == ["run_id", "name", "project", "state", "started", "tables"]
    assert (first["name"], first["project"], first["state"], first["tables"]) == (
        "첫 실행",
        "도로",
        "finished",
        [TABLE],
    )
    assert second["name"] == "second"
    assert "T" in str(first["started"])
    code, out, _ = cli("runs")
    assert code == 0
    assert "첫 실행" in out
    assert TABLE in out


def test_tables_lists_rows_runs_and_columns(cli: Callable[..., Outcome]) -> None:
    (table,) = rows(cli, "tables")
    assert (table["name"], table["rows"]) == (TABLE, 4)
    assert len(table["runs"]) == 2  # type: ignore[arg-type]
    assert "image__mask__ground_truth" in table["columns"]  # type: ignore[operator]


def test_run_and_project_limit_what_is_seen(cli: Callable[..., Outcome]) -> None:
    assert [row["name"] for row in rows(cli, "runs", "--run", "첫 실행")] == ["첫 실행"]
    assert len(rows(cli, "runs", "--run", "첫 실행", "--run", "second")) == 2
    assert rows(cli, "runs", "--project", "other") == []
    assert len(rows(cli, "runs", "--project", "도로")) == 2
    query = f'SELECT DISTINCT run_name FROM tables."{TABLE}"'
    assert rows(cli, "sql", query, "--run", "second") == [{"run_name": "second"}]
    assert {row["run_name"] for row in rows(cli, "coverage", TABLE, "--run", "second")} == {"second"}


def test_dir_names_the_store(cli: Callable[..., Outcome], store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASKL_DIR")
    assert len(rows(cli, "runs", "--dir", str(store))) == 2
    assert len(rows(cli, "runs", "--dir", str(store / "maskl-store"))) == 2


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_blobs_are_described_and_never_printed(cli: Callable[..., Outcome], form: tuple[str, ...]) -> None:
    code, out, _ = cli("sql", f'SELECT *, [image__mask__predictions] AS l FROM tables."{TABLE}"', *form)
    assert code == 0
    assert "<mask 48×36 uint8>" in out
    assert "MSKL" not in out
    code, out, _ = cli("sql", "SELECT bytes, 'MSKL'::BLOB AS torn, {'a': 'xy'::BLOB} AS s FROM images", *form)
    assert code == 0
    assert "RIFF" not in out
    assert "<4 bytes>" in out
    assert "<2 bytes>" in out


def test_null_nan_and_times(cli: Callable[..., Outcome]) -> None:
    query = """SELECT NULL AS n, 'nan'::DOUBLE AS nan, '-inf'::DOUBLE AS inf, 1.5::DECIMAL(4, 2) AS d, 1/3 AS third,
               TIMESTAMPTZ '2026-01-02 03:04:05.678+00' AS t, ['1.0', 'nan']::DOUBLE[] AS l, true AS yes"""
    (row,) = rows(cli, "sql", query)
    assert row == {
        "n": None, "nan": None, "inf": None, "d": 1.5, "third": 1 / 3, "t": "2026-01-02T03:04:05.678000+00:00",
        "l": [1.0, None], "yes": True,
    }  # fmt: skip
    (line,) = csv.DictReader(io.StringIO(cli("sql", query, "--csv")[1]))
    assert (line["n"], line["third"], line["t"]) == ("", repr(1 / 3), row["t"])
    assert line["yes"] == "true"
    out = cli("sql", query)[1]
    assert "·" in out
    assert "0.3333 " in out
    assert "2026-01-02T03:04:05Z" in out


def test_csv_quotes_what_needs_it(cli: Callable[..., Outcome]) -> None:
    code, out, _ = cli("sql", "SELECT 'a,\"b' AS x, chr(10) AS y", "--csv")
    assert code == 0
    assert list(csv.reader(io.StringIO(out))) == [["x", "y"], ['a,"b', "\n"]]


def test_markup_and_control_characters_are_literal(cli: Callable[..., Outcome]) -> None:
    _, out, _ = cli(
        "sql", "SELECT '[red]x[/red] :smile:' AS \"[bold]h\", chr(27) || '[31m' AS esc, 'a' || chr(10) AS nl"
    )
    assert "[red]x[/red] :smile:" in out
    assert "[bold]h" in out
    assert "\x1b" not in out
    assert "\\x1b[31m" in out
    assert "a\\n" in out
    assert "[red]road[/red]" in cli("coverage", TABLE)[1]


def test_nothing_is_cut_where_there_is_no_terminal(cli: Callable[..., Outcome]) -> None:
    _, out, _ = cli("sql", "SELECT repeat('가', 500) AS a, repeat('b', 3000) AS b")
    assert "가" * 500 in out
    assert "b" * 3000 in out


def test_no_rows(cli: Callable[..., Outcome]) -> None:
    assert rows(cli, "sql", "FROM runs LIMIT 0") == []
    assert cli("sql", "SELECT 1 AS one LIMIT 0", "--csv")[1] == "one\n"
    assert cli("sql", "SELECT 1 AS one LIMIT 0")[1] == "one\n(no rows)\n"


def test_parameters(cli: Callable[..., Outcome]) -> None:
    query = "SELECT $n + 1 AS n, $f AS f, $s AS s, $zero AS zero, $neg AS neg, typeof($f) AS kind"
    words = ["-p", "n", "41", "-p", "f", "2.5", "-p", "s", "a=한글", "-p", "zero", "007", "--param", "$neg", "-3"]
    (row,) = rows(cli, "sql", *words, query)
    assert row == {"n": 42, "f": 2.5, "s": "a=한글", "zero": "007", "neg": -3, "kind": "DOUBLE"}


def test_query_from_standard_input(cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT '한글' AS x -- end"))
    assert rows(cli, "sql", "-") == [{"x": "한글"}]


def test_print_setup_makes_the_views_in_any_connection(cli: Callable[..., Outcome]) -> None:
    code, out, _ = cli("sql", "--print-setup")
    assert code == 0
    with duckdb.connect() as connection:
        connection.execute(out)
        counted = connection.execute(f"SELECT DISTINCT run_name, n_rows FROM class_coverage('{TABLE}') ORDER BY 1")
        assert counted.fetchall() == [("second", 1), ("첫 실행", 1)]
        assert connection.execute(f'SELECT count(*) FROM tables."{TABLE}"').fetchone() == (4,)


def test_coverage(cli: Callable[..., Outcome]) -> None:
    listed = rows(cli, "coverage", TABLE, "--step", "last")
    assert [(r["run_name"], r["_step"], r["class_name"], r["coverage"]) for r in listed] == [
        ("첫 실행", 1, LABELS[1], 0.75), ("첫 실행", 1, LABELS[0], 0.25),
        ("second", 1, LABELS[1], 0.75), ("second", 1, LABELS[0], 0.25),
    ]  # fmt: skip
    assert len(rows(cli, "coverage", TABLE)) == 8
    assert {row["n_rows"] for row in rows(cli, "coverage", TABLE, "--step", "all")} == {2}
    assert {row["_step"] for row in rows(cli, "coverage", TABLE, "--step", "0", "--mask", "predictions")} == {0}
    code, out, _ = cli("coverage", TABLE, "--step", "last")
    assert code == 0
    assert "첫 실행 · step 1 · 1 mask" in out
    (line,) = [line for line in out.splitlines() if "하늘" in line][:1]
    assert "25.00 %" in line
    assert line.count("█") == 13  # a third of the longest bar, 40 wide, and an eighth


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "No such command 'nope'"),
        (["runs", "--bad"], "--bad"),
        (["coverage"], "Missing argument"),
        (["runs", "--json", "--csv"], "--json and --csv exclude each other"),
        (["runs", "--run", "없음"], "there is no run '없음'"),
        (["runs", "--dir", "/nonexistent/place"], "/nonexistent/place does not exist"),
        (["sql"], "sql needs a query"),
        (["sql", "SELECT nope FROM runs"], "nope"),
        (["sql", "SELEC 1"], "syntax error"),
        (["sql", "SELECT error('boom')"], "boom"),
        (["sql", "SELECT 'x'::INT"], "Could not convert"),
        (["sql", "DROP TABLE x"], "one SELECT is needed"),
        (["sql", "SELECT $a"], "a"),
        (["sql", "-p", "a", "1", "-p", "a", "2", "SELECT $a"], "'a' is given twice"),
        (["sql", "FROM runs", "-p", "a"], "-p needs a name and a value"),
        (["coverage", "nope"], "there is no table 'nope' in"),
        (["coverage", "nope"], f"there are: '{TABLE}'"),
        (["coverage", TABLE, "--mask", "nope"], "it has: 'ground_truth', 'predictions'"),
        (["coverage", TABLE, "--step", "9"], "its steps go from 0 to 1"),
        (["coverage", TABLE, "--step", "soon"], "--step must be each, last, all or a whole number"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(cli: Callable[..., Outcome], arguments: list[str], message: str) -> None:
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("maskl: ")
    assert err.count("\n") == 1
    assert message in err


def test_version_and_no_command(cli: Callable[..., Outcome]) -> None:
    assert cli("--version") == (0, f"maskl {maskl.__version__}\n", "")
    code, out, _ = cli()
    assert code == 0
    for name in (
        "demo",
        "runs",
        "tables",
        "sql",
        "coverage",
        "metrics",
        "worst",
        "compare",
        "verify",
        "compact",
        "delete",
    ):
        assert name in out


def test_every_command_and_option_has_help() -> None:
    group = get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    evaluating = {"coverage", "metrics", "worst", "compare", "score", "export", "import"}
    keeping = {"verify", "recover", "compact", "delete"}
    known = {"demo", "runs", "tables", "artifacts", "sql", "config", "history", "view"}
    assert set(commands) == known | evaluating | keeping
    for name, command in [("maskl", group), *commands.items()]:
        assert command.help, name
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name}"
    for name in ("runs", "tables", "sql", "coverage", "metrics", "worst"):
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert {"--dir", "--project", "--run", "--json", "--csv"} <= options, name


PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")


def test_the_page_of_the_command_line_names_every_command_and_option() -> None:
    options = {option: cells for row in re.findall(r"^\| (`-.*)$", PAGE, re.MULTILINE)
               for cells in [row.split(" | ")] for option in re.findall(r"`(-.*?)`", cells[0])}  # fmt: skip
    known = set()
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f"$ maskl {name} " in PAGE or f"$ maskl {name}\n" in PAGE
        for parameter in command.params:
            names = {option for option in parameter.opts if option.startswith("-")}
            known |= names
            assert names <= options.keys(), f"{name} {parameter.name}"
    assert options.keys() == known  # and none that is gone


def test_every_line_of_the_page_of_the_command_line_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a server would go on until somebody ends it: tests/viewer starts real ones
    monkeypatch.setattr("maskl.viewer.serving.serve", lambda *_, fragment, say, **__: say(fragment))
    lines = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
    assert lines[1].startswith("export ")
    for line in lines[:1] + lines[2:]:
        words = shlex.split(line)
        if words[1] != "demo":
            words += ["--dir", "maskl-demo"]
        with pytest.raises(SystemExit) as ended:
            main(words[1:])
        out, err = capsys.readouterr()
        assert (ended.value.code, err) == (0, "")
        assert out
        assert ("(no rows)" in out) is ("--fail-if-rows" in words)  # the improved model is better at every class
    assert {path.name for path in tmp_path.glob("*.html")} == {"worst.html", "compare.html"}


def test_console_script_is_quiet_when_its_reader_leaves(store: Path) -> None:
    command = [sys.executable, "-c", "from maskl.cli.app import main; main()", "sql", "FROM range(200000)", "--csv"]
    with subprocess.Popen(
        [*command, "--dir", str(store)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


def test_warnings_are_lines_without_source(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    for value in (1, "text"):
        with maskl.init(name=f"run-{value}", dir=tmp_path) as run:
            run.log({"t": maskl.Table(columns=["a"], data=[[value]])})
    command = [sys.executable, "-c", "from maskl.cli.app import main; main()", "sql", "FROM t", "--dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stderr.startswith("maskl: warning: table 't': column 'a' is")
    assert done.stderr.count("\n") == 1


def test_terminal_gets_folded_tables_or_records(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "dumb")
    print_result(Result(("frequency_weighted_iou", "run_name", "x_y"), [(0.5, "baseline", "z" * 12)]))
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= 40
    assert "frequency_" in table
    print_result(Result(("name", "n"), [("z" * 60, 123456789012345678901234567)]))
    assert " 123456789012345678901234567\n" in capsys.readouterr().out  # numbers are never folded
    print_result(Result(tuple(f"column_{n}" for n in range(20)), [(None, *range(19))]))
    records = capsys.readouterr().out
    assert "row 1 of 1" in records
    assert "column_19  18" in records


def test_bars(capsys: pytest.CaptureFixture[str]) -> None:
    assert bar(1, 3) == "███"
    assert bar(2, 3) == "███"
    assert bar(1 / 3, 3) == "█"
    columns = ("run_id", "run_name", "_step", "image_column", "class_name", "ignored", "coverage", "n_rows")
    print_coverage(
        Result(
            columns,
            [
                ("r", "런", None, "image", "big", False, 0.99996, 3),
                ("r", "런", None, "image", "tiny", False, 0.00004, 3),
                ("r", "런", None, "image", "absent", False, 0.0, 3),
                ("r", "런", None, "other", "void", True, 0.5, 3),
            ],
        )
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "런 · all steps · image · 3 masks"
    assert lines[2].split() == ["tiny", "<0.01", "%", "▏"]
    assert lines[3].split() == ["absent", "0.00", "%", "none"]
    assert lines[-1].split()[-1] == "ignored"


def test_a_long_result_is_cut_in_a_table_and_whole_as_csv(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path) as run:
        run.log({"t": maskl.Table(["n"], [[number] for number in range(1500)])})
    result = subprocess.run(
        [sys.executable, "-c", "from maskl.cli.app import main; main()", "sql", "--dir", tmp_path, "SELECT n FROM t"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.splitlines()[-1] == "… and 500 more rows: --csv or --json prints all"
    whole = subprocess.run(
        [sys.executable, "-c", "from maskl.cli.app import main; main()", "sql", "--csv", "--dir", tmp_path, "FROM t"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(whole.stdout.splitlines()) == 1501

"""Whatever names and messages hold, no command steers the terminal it prints on; what programs read stays exact."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

import maskl
from maskl.cli.app import app, main
from maskl.errors import MasklWarning
from maskl.interchange.progress import progress
from maskl.interchange.terminal import Terminal
from maskl_storage.format.visible import visible

#: a title of the window, an erased screen, text turned round, a C1 sequence, a forged line, half a tag
EVIL = "\x1b]0;owned\x07\x1b[2J\u202egnp\u200b\x9b31m\r\n\x00\x7f\u2028\U000e0041"
#: what must come out as it went in
GOOD = "한강 👩‍🚀🏳️‍🌈 e\u0301 می‌خواهم"
NAME = GOOD + EVIL


def steering(text: str) -> list[str]:
    """Return the characters of an output that a terminal would act upon."""
    kept = text.translate(dict.fromkeys(map(ord, "\n\u200c\u200d")))  # a line, and what joins letters and emoji
    return [character for character in kept if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which everything that has a name has such a one."""
    directory = tmp_path_factory.mktemp("place")
    for number, run_id in enumerate(("one" + NAME, "two" + NAME)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MasklWarning)
            with maskl.init(
                dir=directory, id=run_id, name=f"{number}{NAME}", project=NAME, group=NAME, job_type=NAME, tags=[NAME],
                notes=NAME, config={NAME: NAME},
            ) as run:  # fmt: skip
                labels = {0: "sky" + NAME, 1: "road" + NAME}
                truth = np.zeros((4, 6), np.uint8)
                truth[2:] = 1
                masks = {
                    "ground_truth": {"mask_data": truth, "class_labels": labels},
                    "predictions": {"mask_data": np.roll(truth, number, 0), "class_labels": labels},
                }
                boxes = {NAME: {"box_data": [], "class_labels": labels}}
                image = maskl.Image(np.zeros((4, 6, 3), np.uint8), caption=NAME, masks=masks, boxes=boxes)
                table = maskl.Table(columns=["image", "text" + NAME], data=[[image, NAME]])
                run.log({"t" + NAME: table, "loss" + NAME: 1.0, "note": NAME})
    return directory


def commands(place: Path) -> dict[str, list[list[str]]]:
    """Return ways to call each command, right and wrong."""
    table, one, two = "t" + NAME, "one" + NAME, "two" + NAME
    by_name = {
        "demo": [["--dir", str(place / "maskl-store" / "maskl.json" / NAME)]],
        "runs": [[], ["--run", "no" + NAME], ["--project", NAME]],
        "tables": [[]],
        "artifacts": [[], ["no" + NAME], ["no" + NAME + ":v0"], [NAME + ":v0", "--download", str(place / "out")]],
        "sql": [
            *(["FROM runs"], ["FROM history"], [f'FROM tables."{table}"'], ["FROM class_totals"], ["SELECT '" + NAME],
              ["FROM images LIMIT 0"], [f"SELECT 1 AS \"a{NAME}\" WHERE false"], [f"SELECT error('{NAME}')"],
              ["SELECT $x", "-p", "x", NAME], ["SELECT 1", "-p", NAME], ["FROM runs", "--timeout", NAME],
              ["SELECT 1", "--memory-limit", NAME], ["SELECT 1", "--class-map", str(place / NAME)]),
        ],
        "coverage": [[table], ["no" + NAME], [table, "--mask", NAME], [table, "--step", NAME]],
        "metrics": [[table], [table, "--metric", NAME], [table, "--truth", NAME]],
        "worst": [[table], [table, "--class", "road" + NAME], [table, "--class", NAME], [table, "-n", NAME]],
        "compare": [[one, two], [one, NAME], [one, two, "--table", table, "--class", "sky" + NAME]],
        "score": [
            ["boundary", "--table", table, "--processes", "1"], ["panoptic", "--table", NAME], [NAME, "--table", table],
            [f"json:{NAME}", "--table", table], ["boundary", "--table", table, "--truth", NAME],
            ["boundary", "--table", table, "--dilation-ratio", NAME],
        ],
        "config": [[one, two], [one, two, "--all"], [one, NAME]],
        "history": [[one], [one, "loss" + NAME, "note"], [one, NAME], [NAME]],
        "export": [
            [table, str(place / f"out{NAME}".replace("\0", ""))], [NAME, "x"], [table, "y", "--format", NAME],
        ],
        "import": [[str(place / "nothing")], [NAME], ["coco", NAME, NAME]],
        "verify": [[]],
        "recover": [[], ["--dry-run"]],
        "compact": [["--dry-run"], ["--run", NAME], []],
        "delete": [
            [NAME], [one, "--dry-run"], ["--where", NAME], ["--table", NAME], [one, "--table", table, "--dry-run"],
        ],
        "view": [["--step", NAME], ["--port", NAME], ["--host", NAME, "--no-open"]],  # what is right never ends
    }  # fmt: skip
    known: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]  # a group has them
    assert by_name.keys() == known.keys(), "each command is called here"
    return {
        name: [[name, *words, *([] if "--dir" in words else ["--dir", str(place)])] for words in ways]
        for name, ways in by_name.items()
    }


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


@pytest.mark.once  # arguments with a NUL, which no shell passes on: the oldest typer and DuckDB stop at them
def test_no_command_steers_the_terminal(place: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    shown = ""
    for ways in commands(place).values():
        for way in ways:
            code, out, err = cli(*way)
            assert code in (0, 2), (way, err)
            assert steering(out + err) == [], way
            assert "Traceback" not in err
            shown += out + err
    assert GOOD in shown
    assert r"\x1b]0;owned\x07\x1b[2J\u202egnp\u200b\x9b31m\r\n\x00\x7f\u2028\U000e0041" in shown


def test_a_line_of_a_store_forges_none(place: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    _, out, _ = cli("tables", "--dir", str(place))
    assert len(out.splitlines()) == 3  # the header, a rule, a table
    code, out, err = cli("runs", "--run", "x\nmaskl: all is well", "--dir", str(place))
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.once  # arguments with a NUL, which no shell passes on: the oldest typer and DuckDB stop at them
def test_what_programs_read_is_exact(place: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    table = "t" + NAME
    _, out, _ = cli("runs", "--json", "--dir", str(place))
    assert {row["run_id"] for row in json.loads(out)} == {"one" + NAME, "two" + NAME}
    assert GOOD + "\\u001b]0;owned" in out
    _, out, _ = cli("sql", f'SELECT "text{NAME}" FROM tables."{table}"', "--csv", "--dir", str(place))
    assert {row[0] for row in csv.reader(io.StringIO(out, newline=""))} == {"text" + NAME, NAME}
    _, out, _ = cli("sql", "--print-setup", "--dir", str(place))
    assert NAME.replace("'", "''") in out
    for command in ("verify", "recover"):
        json.loads(cli(command, "--json", "--dir", str(place))[1])


@pytest.mark.parametrize("text", ["[" * 3000 + "]" * 3000, "1" * 5000, '"\\ud800"'])
def test_json_that_python_cannot_read_is_printed_as_it_is(
    place: Path, cli: Callable[..., tuple[int, str, str]], text: str
) -> None:
    code, out, err = cli("sql", f"SELECT CAST('{text}' AS JSON) AS j", "--csv", "--dir", str(place))
    assert (code in (0, 2), "Traceback" in err) == (True, False)
    assert code == 2 or text in out


def on_a_terminal(arguments: list[str], columns: int = 200) -> str:
    """Return what a person sees of a command, escape sequences included."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    with subprocess.Popen(
        [sys.executable, "-m", "maskl", *arguments], stdout=theirs, stderr=theirs, stdin=theirs, env=environment
    ) as process:
        os.close(theirs)
        pieces = []
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            pieces.append(piece)
        process.wait()
    os.close(ours)
    return b"".join(pieces).decode()


#: what rich draws with: colours, and a bar that goes away
DRAWN = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[0-9]*[A-DKG]|\x1b\[2K|\r")


@pytest.mark.parametrize(
    "words", [["runs", "--csv"], ["runs", "--json"], ["sql", "--print-setup"], ["runs"], ["verify"]]
)
def test_on_a_terminal_everything_is_shown_safely(place: Path, words: list[str]) -> None:
    seen = on_a_terminal([*words, "--dir", str(place)])
    assert steering(DRAWN.sub("", seen)) == []
    assert "\x1b]0;" not in seen
    assert "\x1b[2J" not in seen


def test_help_on_a_terminal_keeps_its_colours() -> None:
    seen = on_a_terminal(["runs", "--help"])
    assert "\x1b[" in seen
    assert "\\x1b" not in seen


def test_what_a_run_says_at_its_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASKL_SILENT")
    with maskl.init(dir=tmp_path, id=NAME) as run:
        run.log({NAME: maskl.Table(columns=["a"], data=[[1]])})
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 2
    assert steering(err) == []


def test_a_bar_says_names_safely(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal(sys.stderr))
    with progress("copying" + EVIL, 3, "rows" + EVIL, shown=True) as bar:
        bar.advance(1)
    assert steering(DRAWN.sub("", capsys.readouterr().err)) == []


def test_every_character_shows_or_is_spelled_out() -> None:
    stream = io.StringIO()
    shown = Terminal(stream)
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in "\n\t":
            assert shown.write(character) == 1
    assert stream.getvalue().isascii()
    assert stream.getvalue().isprintable()
    for text in (GOOD, "한글 조합 ㅎㅏㄴ", "🇰🇷👨‍👩‍👧", "Z̸a̷l", "ไทย", "עברית", "\u00a0\u3000"):
        assert visible(text) == text
    assert visible("a\u200db") == r"a\u200db"  # nothing joins these

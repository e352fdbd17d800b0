"""What the commands about configs and logged numbers print and refuse."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import maskl
from maskl.cli._charts import curve, curve_width, sparks
from maskl.cli.app import main

pytestmark = pytest.mark.once

Outcome = tuple[int, str, str]
Cli = Callable[..., Outcome]
BRAILLE = range(0x2801, 0x2900)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs whose configs differ in every way, and whose history has numbers, strings and what cannot be drawn."""
    folder = tmp_path_factory.mktemp("scalars")
    quiet = maskl.Settings(silent=True)
    model = {"depth": 3, "heads": {"road": 1}, "empty": {}}
    first = {"lr": 0.1, "모델": model, "seed": None, "layers": [1, 2], "on": True, "epochs": 2, "\x1b[2J": 1}
    second = {
        "lr": 0.2,
        "모델": {"depth": 3, "heads": {"road": 2}},
        "layers": [1, 3],
        "on": 1,
        "epochs": 2.0,
        "new": "글",
    }
    with maskl.init(dir=folder, name="기준", id="a", config=first, settings=quiet) as run:
        for step in range(300):
            run.log({"gone": float("nan") if step >= 100 else step}, step=step)
            run.log({"loss": 1 / (step + 1), "손실/검증": float("nan") if step % 2 else step / 10}, step=step)
        run.log({"note": "처음\x1b[2J", "rate": float("inf"), "once": 5})
        run.log({"note": "마지막", "mixed": 1})
        run.log({"mixed": "word"})
    with maskl.init(dir=folder, name="후보", id="b", config=second, settings=quiet):
        pass
    for name in ("twin-1", "twin-2"):
        with maskl.init(dir=folder, name="twin", id=name, config={"n": name}, settings=quiet):
            pass
    return folder


@pytest.fixture
def cli(store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("MASKL_DIR", str(store))

    def call(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def told(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    code, out, err = cli(*arguments, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert isinstance(found, list)
    return found


# --- config ---------------------------------------------------------------------------------------------


def test_configs_differ_item_by_item(cli: Cli) -> None:
    rows = {row["key"]: (row["a"], row["b"], row["change"]) for row in told(cli, "config", "기준", "후보")}
    assert rows == {
        "lr": (0.1, 0.2, "changed"),
        "모델/heads/road": (1, 2, "changed"),
        "모델/empty": ({}, None, "only_a"),
        "seed": (None, None, "only_a"),
        "layers": ([1, 2], [1, 3], "changed"),
        "on": (True, 1, "changed"),
        "\x1b[2J": (1, None, "only_a"),
        "new": (None, "글", "only_b"),
    }


def test_what_is_the_same_is_listed_where_it_is_asked_for(cli: Cli) -> None:
    rows = {row["key"]: row["change"] for row in told(cli, "config", "a", "b", "--all")}
    assert (rows["모델/depth"], rows["epochs"], rows["lr"]) == ("same", "same", "changed")
    code, out, _ = cli("config", "a", "b", "--csv")
    lines = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [line["key"] for line in lines] == [row["key"] for row in told(cli, "config", "a", "b")]


def test_a_table_of_differences_tells_none_from_nothing(cli: Cli) -> None:
    _, out, _ = cli("config", "a", "b")
    lines = out.splitlines()
    assert lines[0].split() == ["key", "기준", "후보"]
    cells = {line.split()[0]: line.split()[1:] for line in lines[2:]}
    assert cells["seed"] == ["null", "·"]
    assert cells["new"] == ["·", "글"]
    assert cells["on"] == ["true", "1"]
    assert "\x1b" not in out


def test_runs_of_one_name_are_told_apart(cli: Cli) -> None:
    _, out, _ = cli("config", "twin-1", "twin-2")
    assert out.splitlines()[0].split() == ["key", "twin-1", "twin-2"]


def test_configs_that_are_the_same_are_said_to_be(cli: Cli) -> None:
    assert cli("config", "a", "a") == (0, "no difference: both runs have the same 9 items\n", "")
    assert told(cli, "config", "a", "a") == []


def test_a_run_that_is_not_there_is_named(cli: Cli) -> None:
    code, out, err = cli("config", "a", "nobody")
    assert (code, out) == (2, "")
    assert "'nobody'" in err


# --- history -------------------------------------------------------------------------------------------


def test_names_are_listed_with_their_extremes(cli: Cli) -> None:
    _, out, err = cli("history", "기준")
    assert err == ""
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines()[2:]}
    assert lines["loss"][:5] == ["300", "0–299", "0.003333", "1", "0.003333"]
    assert lines["손실/검증"][:4] == ["300", "0–299", "0", "29.8"]
    assert lines["note"] == ["2", "299–300", "·", "·", "마지막"]
    assert lines["rate"] == ["1", "299–299", "·", "·", "inf"]
    assert lines["once"] == ["1", "299–299", "5", "5", "5", "▅"]
    assert lines["mixed"][:5] == ["2", "300–301", "1", "1", "word"]
    assert lines["loss"][5][0] == "█"
    assert "\x1b" not in out


def test_curves_are_drawn(cli: Cli) -> None:
    code, out, err = cli("history", "a", "손실/검증", "note", "loss", "loss")
    assert (code, err) == (0, "")
    blocks = out.split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [
        "손실/검증 · 기준 · 300 values, of which 150 cannot be drawn, the last nan",
        "note · 기준 · 2 values, the last 마지막",
        "loss · 기준 · 300 values, the last 0.003333",
    ]
    lines = blocks[2].splitlines()
    assert len(lines) == 1 + 8 + 1
    assert lines[1].split("│")[0].strip() == "1"
    assert lines[8].split("│")[0].strip() == "0.003333"
    assert lines[9].split() == ["step", "0", "299"]
    drawn = [line.split("│")[1] for line in lines[1:9]]
    assert {ord(letter) for line in drawn for letter in line} - {0x20} <= set(BRAILLE)
    assert {len(line) for line in drawn[:-1]} < set(range(1, curve_width() // 2)), "it falls, and stays low"
    assert len(drawn[-1]) == curve_width()


def test_a_curve_ends_where_its_numbers_do(cli: Cli) -> None:
    _, out, _ = cli("history", "a", "gone")
    lines = out.splitlines()
    assert lines[9].split() == ["step", "0", "299"]
    drawn = max(len(line.split("│")[1]) for line in lines[1:9])
    assert drawn / curve_width() == pytest.approx(1 / 3, abs=0.03)
    assert lines[1].split("│")[0].strip() == "99"


def test_a_curve_of_one_value_is_a_dot(cli: Cli) -> None:
    _, out, _ = cli("history", "a", "once")
    assert sum(ord(letter) in BRAILLE for letter in out) == 1
    assert out.splitlines()[-1].split() == ["step", "299"]


def test_programs_get_every_value(cli: Cli) -> None:
    rows = told(cli, "history", "a", "loss", "note")
    assert len(rows) == 302
    assert list(rows[0]) == ["run_id", "_step", "_timestamp", "key", "value", "text"]
    assert [(row["_step"], row["value"]) for row in rows if row["key"] == "loss"][:2] == [(0, 1.0), (1, 0.5)]
    assert [row["text"] for row in rows if row["key"] == "note"] == ["처음\x1b[2J", "마지막"]
    assert len(told(cli, "history", "a")) == 906
    _, out, _ = cli("history", "a", "mixed", "--csv")
    assert [(row["value"], row["text"]) for row in csv.DictReader(io.StringIO(out))] == [("1.0", ""), ("", "word")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("a", "los"),
            "run 'a' has no 'los' in its history: what was logged to it are 'gone', 'loss', '손실/검증', 'note'",
        ),
        (("b",), "run 'b' has no values in its history: what was logged to it are none"),
        (("nobody", "loss"), "'nobody'"),
        (("a", "--json", "--csv"), "--json and --csv exclude each other"),
    ],
)
def test_what_cannot_be_shown_is_one_line(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = cli("history", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


# --- curves -----------------------------------------------------------------------------------------------


def test_a_curve_is_joined_where_it_jumps() -> None:
    up = curve([(0, 0.0, 0.0), (3, 1.0, 1.0)], 2, 2)
    dots = sum(bin(ord(letter) - 0x2800).count("1") for line in up for letter in line if letter != " ")
    assert dots >= 8, "each of the eight rows has a dot"
    assert curve([(0, -1.0, 1.0), (1, 0.0, 0.0)], 1, 1) == ["⡷"]


@pytest.mark.parametrize("value", [0.0, -3.0, 1e308, 5e-324])
def test_a_flat_curve_lies_in_the_middle(value: float) -> None:
    lines = curve([(0, value, value), (9, value, value)], 5, 3)
    assert [line.strip() != "" for line in lines] == [False, True, False]
    assert sparks([(0, value, value), (1, value, value)], 2) == "▅▅"


def test_extremes_of_floats_can_be_drawn() -> None:
    largest = 1.7e308
    lines = curve([(0, -largest, largest), (1, largest, largest)], 1, 2)
    assert len(lines) == 2
    assert sparks([(0, -largest, -largest), (1, largest, largest)], 2) == "▁█"
    assert sparks([], 5) == ""

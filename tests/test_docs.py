"""What the README and the docs say runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import maskl
from maskl import cli, demo

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SQL = (ROOT / "docs" / "sql.md").read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Run the demo once, and keep what it printed."""
    import contextlib
    import io

    directory = tmp_path_factory.mktemp("docs") / "maskl-demo"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        demo.run(directory)
    return SimpleNamespace(directory=directory, printed=printed.getvalue())


@pytest.mark.parametrize("query", blocks(SQL, "sql"))
def test_every_query_of_the_sql_page_returns_rows(made: SimpleNamespace, query: str) -> None:
    assert maskl.open(made.directory).sql(query).fetchall()


@pytest.mark.parametrize("block", blocks(SQL, "python"))
def test_python_of_the_sql_page_runs(made: SimpleNamespace, block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.directory.parent)
    exec(block, {"maskl": maskl})


def test_the_example_of_boxes_finds_the_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = (block for block in blocks(SQL, "python") if "boxes" in block)
    names: dict[str, Any] = {"maskl": maskl}
    exec(block.replace("maskl.sql(", "found = maskl.sql(").replace(".show()", ".fetchall()"), names)
    assert names["found"] == [("detector", 0, "car", 0.9, 0.3)]


@pytest.mark.parametrize("macro", ["class_coverage", "class_iou", "mean_iou"])
def test_the_sql_page_lists_the_columns_of_every_macro(made: SimpleNamespace, macro: str) -> None:
    (listed,) = re.findall(rf"\| `{macro}\(t.*?\)` \| `(.*?)` \|", SQL)
    assert maskl.open(made.directory).sql(f"FROM {macro}('evaluation')").columns == listed.split(", ")


VIEWS = ["runs", "history", "classes", "images", "class_pixels", "class_totals", "confusion", "confusion_totals"]


@pytest.mark.parametrize("view", VIEWS)
def test_the_sql_page_lists_the_columns_of_every_view(made: SimpleNamespace, view: str) -> None:
    (listed,) = re.findall(rf"^\| `{view}` \| .*? \| `(.*?)` \|$", SQL, re.MULTILINE)
    assert maskl.open(made.directory).sql(f"FROM {view}").columns == listed.split(", ")


def test_the_readme_shows_what_the_demo_prints(made: SimpleNamespace) -> None:
    shown = next(block for block in blocks(README, "") if "class_name  baseline  improved" in block)
    printed = {line.rstrip() for line in made.printed.splitlines()}
    missing = [line for line in shown.splitlines() if line.rstrip() not in printed]
    assert not missing


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 2, (8, 8)).astype(np.uint8) for _ in range(2)]
    names: dict[str, Any] = {"dataset": [("a", np.zeros((8, 8, 3), np.uint8), *masks)]}
    log, ask, read = blocks(README, "python")
    exec(log, names)
    exec(ask.replace(".show()", ".fetchall()"), names)
    exec(read, names)
    assert names["rows"][0]["name"] == "a"


def test_the_commands_of_the_readme_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    known = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    assert set(re.findall(r"\bmaskl (\w+)", "\n".join(blocks(README, "")))) - {"keeps"} <= known


def test_a_process_that_never_imported_the_command_line_can_log(tmp_path: Path) -> None:
    """Logging must not pay for the command line's imports."""
    code = "import sys, maskl; print([n for n in ('typer', 'rich', 'maskl.cli') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"

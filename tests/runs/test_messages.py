"""What a run says at its two ends, on stderr."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import maskl
from maskl import Settings, Table
from maskl.cli import app

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]


@pytest.fixture(autouse=True)
def _loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASKL_SILENT")


def test_the_first_line_says_where_the_store_is(
    start: Start, store_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start(id="r")
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"maskl: run 'r' logs to {store_dir}\n")


def test_a_run_that_goes_on_says_from_where(start: Start, store_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with start(id="r", settings=Settings(silent=True)) as run:
        run.log({"a": 1}, step=4)
    start(id="r")
    assert capsys.readouterr().err == f"maskl: run 'r' logs to {store_dir}, from step 5\n"


@pytest.mark.parametrize("name", ["evaluation", "val/평가 \"'", "history"])
def test_the_last_line_has_a_command_that_works(
    start: Start, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with start(id="r") as run:
        run.log({name: Table(["word"], [["found"]] * 1200), "loss": 1})
        run.log({"other": Table(["a"], [[1]]), "loss": 1})
        capsys.readouterr()
    line = capsys.readouterr().err
    said, command = line.removesuffix("\n").split("; see: ")
    assert said == "maskl: run 'r' finished with 2 tables, 1,201 rows, 2 scalars"
    program, *arguments = shlex.split(command)
    assert program == "maskl"
    assert "--dir" not in arguments  # the store is found from here
    monkeypatch.setattr("sys.argv", [program, *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert not ended.value.code
    assert "found" in capsys.readouterr().out


def test_elsewhere_the_command_names_the_store(
    start: Start, store_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with start(id="r") as run:
        run.log({"a": 1})
        monkeypatch.chdir("/")
        capsys.readouterr()
    expected = f"failed with 0 tables, 0 rows, 1 scalar; see: maskl sql --dir {store_dir} 'FROM history'"
    assert expected.replace("failed", "finished") in capsys.readouterr().err
    start(id="q").finish(1)
    assert "failed with 0 tables, 0 rows, 0 scalars; see: " in capsys.readouterr().err


def test_silent_says_nothing_and_quiet_only_the_end(
    start: Start, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start(settings=Settings(silent=True)).finish()
    monkeypatch.setenv("MASKL_SILENT", "1")
    start().finish()
    assert capsys.readouterr().err == ""
    monkeypatch.delenv("MASKL_SILENT")
    monkeypatch.setenv("MASKL_QUIET", "on")
    run = start()
    assert capsys.readouterr().err == ""
    run.finish()
    assert "finished with" in capsys.readouterr().err
    start().finish(quiet=True)
    assert capsys.readouterr().err == ""


def test_a_disabled_run_says_nothing(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    start(mode="disabled").finish()
    assert capsys.readouterr().err == ""


def test_whoever_disables_wandb_is_told_what_to_set(
    start: Start, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    start()
    assert capsys.readouterr().err.endswith(" (WANDB_MODE is not read; MASKL_MODE is)\n")

"""A bar on a terminal, and nothing anywhere else."""

from __future__ import annotations

import pytest

from maskl.interchange.progress import progress


@pytest.mark.parametrize(
    ("total", "unit", "expected"),
    [(1200, "rows", "600/1200 rows"), (None, "rows", "600/? rows"), (1200, "", "50%")],
)
def test_a_bar_says_what_is_done_and_how_far_it_is(
    capsys: pytest.CaptureFixture[str], total: int | None, unit: str, expected: str
) -> None:
    with progress("copying [b]", total, unit, shown=True) as bar:
        bar.advance(200)
        bar.advance(400)
    out, err = capsys.readouterr()
    assert out == ""
    assert "copying [b]" in err
    assert expected in " ".join(err.split())


def test_a_bar_may_hear_how_many_there_are_when_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("checking", shown=True) as bar:
        bar.reach(3, 4)
    assert "75%" in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [None, False])
def test_nothing_is_shown_where_nobody_looks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool | None
) -> None:
    if terminal is None:
        monkeypatch.setattr("sys.stderr", None)
    with progress("copying", 2, "rows") as bar:
        bar.advance(1)
        bar.reach(2, 2)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress("copying", 2, "rows") as bar:
        bar.advance(2)
    err = capsys.readouterr().err
    assert "2/2" in err
    assert err.rstrip().endswith("\x1b[2K")  # the line is erased

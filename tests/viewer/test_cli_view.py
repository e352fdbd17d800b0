"""``maskl view`` as a command: what it prints, what it opens, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

import maskl
from maskl.cli.app import main
from maskl.errors import MissingExtra
from maskl.viewer import serving
from maskl_storage import extras
from tests.conftest import HANGS, files_of

pytestmark = pytest.mark.once

TABLE = "val/평가"


@contextmanager
def viewing(store: Path, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``maskl view`` as a process of its own."""
    command = [sys.executable, "-m", "maskl", "view", *arguments, "--dir", str(store)]
    inherited = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=inherited | variables, **streams) as server:  # type: ignore[call-overload]
        try:
            yield server
        finally:
            server.kill()


def test_the_first_line_is_the_address_and_ctrl_c_ends_it(filled: Path) -> None:
    before = files_of(filled)
    with viewing(filled, "--no-open", "--port", "0") as server:
        address = server.stdout.readline().rstrip("\n")
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*/[\w-]{43}/", address)
        with urllib.request.urlopen(f"{address}api/state") as answer:
            assert json.loads(answer.read())["store"] == "maskl-store"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address.rsplit("/", 2)[0] + "/")
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=HANGS)
        assert (server.returncode, out, err) == (0, "", "")
    assert files_of(filled) == before


def test_what_the_page_begins_with_stands_in_the_second_line(filled: Path) -> None:
    sql = "FROM row_iou('val/평가') ORDER BY mean_iou"
    run = maskl.open(filled).run("실험").id
    arguments = [TABLE, "--run", "실험", "--step", "1", "--sql", sql, "--project", "거리", "--no-open"]
    with viewing(filled, *arguments, SSH_CONNECTION="10.0.0.9 50000 10.0.0.1 2222") as server:
        address, deep, tunnel = (server.stdout.readline().rstrip("\n") for _ in range(3))
    assert address.endswith("/")
    assert deep.startswith(f"{address}#")
    assert parse_qs(urlsplit(deep).fragment) == {
        "project": ["거리"],
        "table": [TABLE],
        "run": [run],
        "step": ["1"],
        "sql": [sql],
    }
    port = urlsplit(address).port
    assert f"ssh -N -L {port}:127.0.0.1:{port} -p 2222 " in tunnel
    assert tunnel.endswith("@10.0.0.1")


def test_the_page_may_begin_with_all_steps(filled: Path) -> None:
    with viewing(filled, TABLE, "--step", "all", "--no-open", SSH_CONNECTION="10.0.0.9 50000 10.0.0.1 2222") as server:
        deep = [server.stdout.readline() for _ in range(2)][1]
    assert parse_qs(urlsplit(deep.strip()).fragment) == {"table": [TABLE], "step": ["all"]}


class Served:
    """Stands in for uvicorn: it serves nothing, and ends at once."""

    class Config:
        def __init__(self, app: Any, **_: Any) -> None:
            self.app = app

    class Server:
        def __init__(self, config: Any) -> None:
            self.config = config

        def run(self, sockets: Any) -> None:
            raise KeyboardInterrupt


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command where nothing is served, and return its code and what it printed."""
    monkeypatch.setattr(serving, "optional", lambda module, *_, **__: Served if module == "uvicorn" else extras)
    monkeypatch.delenv("SSH_CONNECTION", raising=False)

    def said(*arguments: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["view", *arguments])
        return ended.value.code, *capsys.readouterr()

    return said


def test_the_browser_opens_a_file_that_only_its_owner_reads(
    filled: Path, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[int, str]] = []
    paths: list[Path] = []

    def browser(address: str) -> bool:
        path = Path(unquote(urlsplit(address).path))
        paths.append(path)
        opened.append((stat.S_IMODE(path.stat().st_mode), path.read_text("utf-8")))
        return True

    class Now:
        def __init__(self, target: Any, **_: Any) -> None:
            self.start = target

    monkeypatch.setattr(serving.webbrowser, "open", browser)
    monkeypatch.setattr(serving.threading, "Thread", Now)
    code, out, err = said("--dir", str(filled), "--sql", "SELECT '<script>'")
    address = out.splitlines()[0]
    ((mode, text),) = opened
    assert (code, err, mode) == (0, "", 0o600)
    assert f"url={address}#sql=" in text
    assert "<script>" not in text
    assert not paths[0].exists()
    opened.clear()
    monkeypatch.setenv("SSH_CONNECTION", "1 2 3 22")
    said("--dir", str(filled))
    said("--dir", str(filled), "--no-open")
    assert opened == []


def test_no_browser_is_said(filled: Path, said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def browser(_: str) -> bool:
        raise serving.webbrowser.Error("none")

    class Now:
        def __init__(self, target: Any, **_: Any) -> None:
            self.start = target

    monkeypatch.setattr(serving.webbrowser, "open", browser)
    monkeypatch.setattr(serving.threading, "Thread", Now)
    assert "open the address yourself" in said("--dir", str(filled))[2]


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_a_host_that_others_reach_is_warned_of(filled: Path, said: Any, host: str, warned: bool) -> None:
    code, out, err = said("--dir", str(filled), "--no-open", "--host", host)
    assert code == 0
    assert ("unencrypted" in err) is warned
    assert out.startswith(f"http://{'127.0.0.1' if warned else host}:")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no table 'nothing'"),
        (["--run", "nobody"], "there is no run 'nobody'"),
        (["--step", "each"], "--step must be last or a whole number"),
        (["--step", "soon"], "--step must be"),
        (["--host", "192.0.2.1"], "cannot listen on '192.0.2.1'"),
        (["--host", "no such host"], "cannot listen on"),
        (["--port", "70000"], "65535"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(filled: Path, said: Any, arguments: list[str], message: str) -> None:
    code, out, err = said(*arguments, "--dir", str(filled), "--no-open")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.parametrize("missing", ["uvicorn", "starlette"])
def test_without_the_extra_it_says_how_to_get_it(filled: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=re.escape(f"maskl view needs {missing}: pip install 'maskl[view]'")):
        serving.serve(serving.ViewedStore(filled), "1", open_browser=False)

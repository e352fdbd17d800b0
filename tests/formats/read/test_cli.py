"""``maskl import`` on the command line, its page in the docs, and imports that are killed."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import maskl
from maskl import Image
from maskl.cli.app import main
from maskl.formats import BUILT_IN
from maskl.importing.importer import import_dataset
from tests.formats.read.test_hostile import exported, with_cell  # noqa: F401  # a fixture

pytestmark = pytest.mark.once

PAGE = Path(__file__).parents[3] / "docs" / "importing.md"
Start = Callable[..., maskl.Run]


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


def test_import_says_what_it_did(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    words = (
        "import",
        "parquet",
        exported,
        "--dir",
        tmp_path / "other",
        "--run",
        "mine",
        "--table",
        "val/평가",
        "--step",
        7,
    )
    assert run(capsys, *words) == (0, "imported val/평가 (4 rows) as run mine\n", "")
    assert {row.step for row in maskl.open(tmp_path / "other").table("val/평가")} == {7}
    code, output, error = run(capsys, "import", exported, "--json", "--dir", tmp_path / "other", "--name", "이름")
    found = json.loads(output)
    assert (code, error) == (0, "")
    assert found["runs"][0].startswith("이름-")
    assert {key: found[key] for key in found if key != "runs"} == {
        "tables": {"t": 4},
        "skipped": 0,
        "problems": [],
        "unused": [],
    }


def test_bad_rows_end_it_or_are_listed(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    with_cell(exported, "image__bytes", 2, b"no image")
    code, output, error = run(capsys, "import", exported, "--dir", tmp_path / "other")
    assert (code, output) == (2, "")
    assert error.startswith(f"maskl: {exported}, row 2: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "other").exists()
    code, output, error = run(capsys, "import", exported, "--dir", tmp_path / "other", "--skip-bad", "--run", "r")
    assert (code, output) == (0, "imported t (3 rows) as run r\nleft out 1\n")
    assert error.startswith(f"maskl: left out: {exported}, row 2: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a", "b"), "one SOURCE"),
        (("none.parquet",), "there is no file or folder none.parquet"),
        (("--format", "xls", "."), "format must be one of"),
        (("wandb", "."), "holds no run of W&B"),
        (("parquet", "."), "holds no Parquet file"),
        (("arrow", "."), "holds no Arrow file"),
        (("huggingface", "."), "holds no Parquet file"),
        ((".",), "--format"),
    ],
)
def test_bad_words(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, output, error = run(capsys, "import", *words)
    assert (code, output) == (2, "")
    assert message in error
    assert not list(Path().rglob("*"))


def test_several_runs_stay_several(start: Start, store_dir: Path, tmp_path: Path) -> None:
    for name in ("첫째", "second"):
        with start(name=name) as made:
            made.log({"t": Image(np.zeros((2, 2), np.uint8), caption=name)}, step=4)
    maskl.open(store_dir).export("t", tmp_path / "out", "parquet")
    with pytest.raises(SystemExit):
        main(["import", str(tmp_path / "out"), "--dir", str(tmp_path / "other"), "--name", "one"])
    assert not (tmp_path / "other").exists()
    with pytest.raises(SystemExit):
        main(["import", str(tmp_path / "out"), "--dir", str(tmp_path / "other")])
    store = maskl.open(tmp_path / "other")
    found = [(info.name, info.state, store.table("t", run=info.name)[0]["image"].caption) for info in store.runs()]
    assert found == [("첫째", "finished", "첫째"), ("second", "finished", "second")]


def test_the_page_names_every_format_and_its_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text("utf-8")
    assert not [name for name in BUILT_IN if f"`{name}`" not in text]
    (block,) = re.findall(r"```console\n(\$ maskl demo.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for line in block.splitlines():
        assert run(capsys, *shlex.split(line.removeprefix("$ maskl ")))[0] == 0
    store = maskl.open("other")
    assert len(store.table("copy", step=3)) == len(store.table("evaluation")) > 0
    assert [info.name for info in store.runs()] == ["baseline", "improved"] * 2


KILLED = """
import sys
from maskl import formats
from maskl.importing import importer
from maskl.interchange import records
def slow(source, options, problems):
    yield records.Block("t", ["a"], [[1]])
    print("begun", flush=True)
    sys.stdin.read()  # until it is killed
formats.register(formats.Format("slow", read=slow))
importer.import_dataset(sys.argv[1], format="slow", dir=sys.argv[2])
"""


def test_a_killed_import_leaves_nothing_that_stays(exported: Path, store_dir: Path) -> None:  # noqa: F811
    before = set(store_dir.rglob("*"))
    command = [sys.executable, "-c", KILLED, exported, store_dir]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    left = set(store_dir.glob(".import-*"))
    assert left
    main_store = maskl.open(store_dir)
    assert [info.name for info in main_store.tables()] == ["t"]
    import_dataset(exported, dir=store_dir, run="beside")
    assert set(store_dir.glob(".import-*")) == left  # a live import's
    child.send_signal(signal.SIGKILL)
    child.communicate()
    import_dataset(exported, dir=store_dir, run="after")
    assert not list(store_dir.glob(".import-*"))
    assert [info.run_id for info in maskl.open(store_dir).runs()][1:] == ["beside", "after"]
    assert before <= set(store_dir.rglob("*"))


KILLED_MOVING = """
import os, signal, sys
from maskl.importing import importer
from maskl_storage.disk.local import Folder
real, left = Folder.move, [int(sys.argv[3])]
def move(folder, path, into, target):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    real(folder, path, into, target)
Folder.move = move
importer.import_dataset(sys.argv[1], dir=sys.argv[2], run="mine")
"""


@pytest.mark.parametrize(("moves", "new"), [(0, True), (3, False), (5, True)])
def test_an_import_that_is_killed_while_it_moves_is_completed(
    exported: Path,  # noqa: F811
    store_dir: Path,
    tmp_path: Path,
    moves: int,
    new: bool,
) -> None:
    store = tmp_path / "new" / "maskl-store" if new else store_dir
    done = subprocess.run([sys.executable, "-c", KILLED_MOVING, exported, store, str(moves)], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    if (store / "maskl.json").exists():
        assert "mine" not in [run for table in maskl.open(store).tables() for run in table.runs]
    import_dataset(exported, dir=store, run="after")
    found = maskl.open(store)
    assert len(found.table("t", run="mine")) == len(found.table("t", run="after")) == 4
    assert not list(tmp_path.rglob(".import-*"))

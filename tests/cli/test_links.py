"""A store from somewhere else touches nothing that lies outside of it, whatever is done with it."""

from __future__ import annotations

import os
import shutil
import socket
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pytest

import maskl
from maskl.cli import app
from maskl.errors import DamagedWarning, MasklError
from maskl_storage import Layout, RunInfo, Writer
from maskl_storage.disk import local
from maskl_storage.disk.local import Folder
from maskl_storage.format import paths
from tests.conftest import some_of, traces_in

pytestmark = [pytest.mark.once, pytest.mark.skipif(os.name != "posix", reason="no links to make")]

#: runs of the store: one that is attacked, one that is innocent, and one whose rows wait in a write-ahead file
BAD, GOOD, DEAD = "bad", "good", "dead"
#: kinds of parts: each is read in another way
KINDS: Final = ("images", "rows", "history", "class_totals")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, and a folder beside it that holds the same names, and some of a stranger's."""
    base = tmp_path_factory.mktemp("links")
    for run_id in (BAD, GOOD):
        with maskl.init(dir=base / "maskl-store", id=run_id, settings=maskl.Settings(silent=True)) as run:
            for step in range(2):
                mask = {"mask_data": np.eye(4, 5, dtype=np.uint8), "class_labels": {1: "도로"}}
                pixels = np.full((4, 5, 3), 10 * step + len(run_id), np.uint8)
                image = maskl.Image(pixels, masks={"ground_truth": mask, "predictions": mask})
                run.log({"t": maskl.Table(["image", "n"], [[image, step]]), "loss": 0.5})
                run._writer.seal()
    writer = Writer(Layout(base / "maskl-store"), RunInfo(DEAD, DEAD))
    writer.log_scalars({"loss": 1.0}, 0)
    writer.abandon()
    outside = base / "outside"
    for kind in (*paths.KINDS, paths.SEALS, paths.RUNS, paths.WAL):
        for folder in sorted((base / "maskl-store").glob(f"{kind}/**/run_id=*")):
            shutil.copytree(folder, outside / folder.relative_to(base / "maskl-store"))
            for name in ("2024-01.parquet", "2024-01.parquet.bak", "notes.tmp", "7-0.parquet", "7-0.tmp", "7.lock"):
                (outside / folder.relative_to(base / "maskl-store") / name).write_text("a stranger's")
    (outside / "bashrc").write_text("a stranger's")
    return base


@pytest.fixture
def place(base: Path, tmp_path: Path) -> Path:
    """A copy of both."""
    shutil.copytree(base, tmp_path / "here", symlinks=True)
    return tmp_path / "here"


# --- what is done to the store ------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Something in a store that is not what its name says."""

    path: str
    what: str

    def make(self, place: Path) -> None:
        """Put it in the place of what is there."""
        path = place / "maskl-store" / self.path
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        outside = place / "outside"
        if self.what == "link":
            there = outside / self.path
            path.symlink_to(there if there.exists() else outside / "bashrc")
        elif self.what == "dangling":
            path.symlink_to(outside / "made")
        elif self.what == "FIFO":
            os.mkfifo(path)
        elif self.what == "device":
            path.symlink_to("/dev/zero")
        elif self.what == "socket":
            here = os.getcwd()
            os.chdir(path.parent)  # the path of a socket is short
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(path.name)
            os.chdir(here)
        else:
            path.mkdir()


def cases() -> Iterator[Case]:
    """Yield each place of a store with what may be there."""
    for kind in KINDS:
        for folder in (kind, paths.run_folder(kind, BAD, "t" if kind in paths.TABLE_KINDS else None)):
            yield Case(folder, "link")
        yield Case(paths.part_path(kind, BAD, "t", 0, 0), "link")
    yield Case("rows/table_name=t", "link")
    for folder in (paths.SEALS, paths.RUNS, paths.WAL, paths.SPOOL):
        yield Case(folder, "link")
        yield Case(folder, "FIFO")
        if folder != paths.SPOOL:
            yield Case(paths.run_folder(folder, BAD), "link")
            yield Case(paths.run_folder(folder, BAD), "FIFO")
    yield Case(paths.run_folder(paths.WAL, DEAD), "link")
    for path in (paths.seal_path(BAD, 0, 0), paths.writer_path(BAD, 0), paths.part_path("rows", BAD, "t", 0, 1)):
        for what in ("link", "FIFO", "device", "socket", "folder"):
            yield Case(path, what)
    for path in (
        *(paths.part_path("images", BAD, None, 0, 1), paths.lock_path(BAD, 0), paths.lock_path(DEAD, 0)),
        *(paths.compaction_lock_path(BAD), paths.wal_path(DEAD, 0, 0), "maskl.json"),
    ):
        for what in ("link", "dangling", "FIFO"):
            yield Case(path, what)
    for path in (".import-00ff.lock", ".import-00ff", ".gitignore", "wal/run_id=stranger/3.lock"):
        yield Case(path, "link" if path.endswith(".lock") else "dangling")


CASES: Final = list(cases())


# --- what is done with it -----------------------------------------------------------------------


def log(place: Path) -> None:
    """Log to a new run."""
    with maskl.init(dir=place / "maskl-store", resume="auto", project="p", settings=maskl.Settings(silent=True)) as run:
        image = maskl.Image(np.full((4, 5, 3), 99, np.uint8), masks={"m": {"mask_data": np.eye(4, 5, dtype=np.uint8)}})
        run.log({"t": maskl.Table(["image", "n"], [[image, 1]]), "loss": 0.1})


def go_on(place: Path) -> None:
    """Take up again the run that is attacked."""
    with maskl.init(dir=place / "maskl-store", id=BAD, settings=maskl.Settings(silent=True)) as run:
        run.log({"loss": 0.1})


def read(place: Path) -> None:
    """Look at all that there is."""
    for row in maskl.open(place / "maskl-store").table("t"):
        assert row["image"].image.size == (5, 4)


def bring_in(place: Path) -> None:
    """Import a dataset into the store."""
    maskl.open(place / "maskl-store", runs=[GOOD]).export("t", place / "in.parquet", force=True)
    maskl.import_dataset(place / "in.parquet", dir=place / "maskl-store")


Do = Callable[[Path], None]
CALLS: dict[str, Do] = {"log": log, "go on": go_on, "read": read, "import": bring_in}
COMMANDS: dict[str, tuple[str, ...]] = {
    "runs": ("runs",),
    "sql": ("sql", "SELECT count(*) FROM class_pixels, history, t, images"),
    "secret": ("sql", "SELECT * FROM t"),
    "setup": ("sql", "--print-setup"),
    "verify": ("verify",),
    "recover": ("recover",),
    "compact": ("compact", "--grace", "0"),
    "delete": ("delete", BAD),
    "export": ("export", "t", "OUT", "--force"),
}


def do(name: str, place: Path) -> int:
    """Do something with the store, and return how it ended, as a command says it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in CALLS:
            try:
                CALLS[name](place)
            except (MasklError, OSError):
                return 2
            finally:
                maskl.teardown()
            return 0
        command = [str(place / "out.parquet") if part == "OUT" else part for part in COMMANDS[name]]
        with pytest.raises(SystemExit) as ended:
            app.main([*command, "--dir", str(place / "maskl-store")])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.once
@pytest.mark.parametrize("case", some_of(CASES), ids=lambda case: f"{case.path} is a {case.what}")
def test_nothing_outside_is_touched(place: Path, case: Case) -> None:
    """Each case with some of the commands, others than the case before it."""
    case.make(place)
    outside = place / "outside"
    before = traces_in(outside)
    names = [*COMMANDS, *CALLS]
    for turn in range(2):
        name = names[(CASES.index(case) * 2 + turn) % len(names)]
        code = do(name, place)
        assert code in ((0, 1, 2) if name == "verify" else (0, 2)), name
        assert traces_in(outside) == before, name


ATTACKS = [
    case
    for case in CASES
    if case.what == "link" and case.path.startswith(("history/run_id", "wal/run_id=bad", "seals/run_id", "rows/"))
]


@pytest.mark.once
@pytest.mark.parametrize("case", some_of(ATTACKS), ids=lambda case: case.path)
@pytest.mark.parametrize("name", ["compact", "delete", "recover", "go on"])
def test_what_removes_and_writes_stays_inside(place: Path, case: Case, name: str) -> None:
    case.make(place)
    before = traces_in(place / "outside")
    assert do(name, place) in (0, 2)
    assert traces_in(place / "outside") == before


@pytest.mark.once
@pytest.mark.parametrize("case", some_of(CASES), ids=lambda case: f"{case.path} is a {case.what}")
def test_verify_names_it(place: Path, case: Case) -> None:
    case.make(place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedWarning)
        if case.path == "maskl.json":
            with pytest.raises(MasklError, match=r"maskl\.json: a file is needed; it is a "):
                maskl.open(place / "maskl-store")
            return
        found = maskl.open(place / "maskl-store").verify()
    if case.what != "folder":
        assert any(fault.file == case.path and "it is a " in fault.problem for fault in found.faults), found.faults


@pytest.mark.parametrize(
    "case",
    some_of([case for case in CASES if BAD in case.path or DEAD in case.path or case.path.startswith(".")][::2]),
    ids=lambda case: f"{case.path} is a {case.what}",
)
def test_other_runs_go_on(place: Path, case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.make(place)
    assert do("runs", place) == 0
    assert GOOD in capsys.readouterr().out
    assert do("recover", place) == 0
    seals = len(list((place / "maskl-store" / "seals" / f"run_id={GOOD}").iterdir()))
    assert do("compact", place) == 0
    assert len(list((place / "maskl-store" / "seals" / f"run_id={GOOD}").iterdir())) < seals
    assert do("log", place) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedWarning)
        rows = maskl.open(place / "maskl-store", runs=[GOOD]).table("t", GOOD)
        assert [row["n"] for row in rows] == [0, 1]


@pytest.mark.parametrize("path", [paths.part_path("rows", BAD, "t", 0, 1), "rows/table_name=t", "rows"])
def test_sql_reads_nothing_through_a_link(place: Path, path: str) -> None:
    """Neither by the store's views nor by the path itself."""
    Case(path, "link").make(place)
    store = maskl.open(place / "maskl-store")
    with pytest.raises(MasklError, match=r"it is a link"):
        store.sql("FROM t").fetchall()
    with pytest.raises(MasklError, match=r"it is a link"):
        store.connect()


def test_a_folder_with_a_link_becomes_no_store(tmp_path: Path) -> None:
    (tmp_path / "bashrc").write_text("a stranger's")
    (tmp_path / "maskl-store").mkdir()
    (tmp_path / "maskl-store" / ".gitignore").symlink_to("../bashrc")
    with pytest.raises(MasklError, match=r"\.gitignore: a file is needed; it is a link"):
        maskl.init(dir=tmp_path / "maskl-store")
    assert (tmp_path / "bashrc").read_text() == "a stranger's"
    assert [path.name for path in (tmp_path / "maskl-store").iterdir()] == [".gitignore"]


def test_what_resumes_a_run_is_no_link(place: Path) -> None:
    assert do("log", place) == 0
    (marker,) = (place / "maskl-store").glob(".resume-*")
    for target in ("bashrc", "made"):
        marker.unlink()
        marker.symlink_to(place / "outside" / target)
        before = traces_in(place / "outside")
        assert do("log", place) == 0
        assert traces_in(place / "outside") == before


def test_a_store_behind_a_link_is_a_store(place: Path) -> None:
    (place / "there").symlink_to(place / "maskl-store")
    assert len(maskl.open(place / "there").runs()) == 3


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.what in ("link", "FIFO")][::5], ids=lambda case: case.path
)
def test_so_it_is_where_folders_cannot_be_held_open(place: Path, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "AT", False)
    case.make(place)
    before = traces_in(place / "outside")
    for name in ("runs", "compact", "log", "verify"):
        assert do(name, place) in (0, 1, 2)
        assert traces_in(place / "outside") == before, name


def test_there_are_cases_of_each_kind() -> None:
    assert {case.what for case in CASES} >= {"link", "dangling", "FIFO", "device", "socket", "folder"}
    assert len(ATTACKS) >= 5
    assert Folder(Path("/")).exists("dev")

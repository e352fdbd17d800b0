"""The files of a run: its folder, what is saved, and what is there after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import maskl
from maskl.errors import InvalidValue, NotFound, NotStoredWarning

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]


def kept(store_dir: Path, run_id: str | None = None) -> dict[str, int]:
    """Return the names and sizes of the files that runs keep."""
    where = "" if run_id is None else f"WHERE run_id = '{run_id}'"
    return dict(maskl.open(store_dir).sql(f"SELECT path, size FROM run_files {where} ORDER BY ALL").fetchall())


def test_each_run_has_a_folder_of_its_own(start: Start, store_dir: Path) -> None:
    for run_id in ("한강", "b"):
        with start(id=run_id) as run:
            assert not (store_dir / "files" / f"run_id={run_id}").exists()  # it is made when it is asked for
            Path(run.dir, "best.pt").write_text(run_id)
            Path(run.dir, "below").mkdir()
            Path(run.dir, "below", "모델").write_text("x")
            assert run.store_dir == str(store_dir)
    with start(id="c") as run:
        assert run.dir != maskl.open(store_dir).root
    assert kept(store_dir, "한강") == {"below/모델": 1, "best.pt": 6}
    assert kept(store_dir, "b") == {"below/모델": 1, "best.pt": 1}
    assert kept(store_dir, "c") == {}
    assert maskl.open(store_dir).verify().clean


def test_what_lies_in_a_store_leads_to_it(start: Start, store_dir: Path) -> None:
    with start(id="r") as run:
        run.log({"a": 1})
        folder = run.dir
    assert maskl.open(folder).root == store_dir
    assert maskl.sql("SELECT count(*) FROM history", dir=folder).fetchall() == [(1,)]
    with maskl.init(dir=folder) as run:
        assert run.store_dir == str(store_dir)


def test_saved_files_are_there_at_once(start: Start, store_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "ckpt").mkdir()
    for name in ("a.pt", "b.pt", "notes[1].txt"):
        (tmp_path / "ckpt" / name).write_text(name)
    with start() as run:
        assert run.save("ckpt/*.pt") == [str(tmp_path / "ckpt" / name) for name in ("a.pt", "b.pt")]
        assert kept(store_dir) == {"ckpt/a.pt": 4, "ckpt/b.pt": 4}
        run.save("ckpt/notes[1].txt", glob=False)
        run.save(tmp_path / "ckpt" / "a.pt", base_path=tmp_path / "ckpt", policy="now")
        run.save(str(tmp_path / "ckpt" / "b.pt"))  # of an absolute path the folder above is kept
        assert run.save("none/*") == []
        Path(run.dir, "in.txt").write_text("inside")
        run.save(os.path.join(run.dir, "in.txt"))
        assert set(kept(store_dir)) == {"ckpt/a.pt", "ckpt/b.pt", "ckpt/notes[1].txt", "a.pt", "in.txt"}
        (tmp_path / "ckpt" / "a.pt").write_text("as it is at the end")
        (tmp_path / "ckpt" / "b.pt").unlink()
    assert kept(store_dir) == {"a.pt": 4, "ckpt/a.pt": 19, "ckpt/b.pt": 4, "ckpt/notes[1].txt": 12, "in.txt": 6}


def test_what_cannot_be_saved(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    with start() as run:
        with pytest.raises(InvalidValue, match="policy must be one of 'live', 'now', 'end'"):
            run.save("a", policy="later")
        with pytest.raises(InvalidValue, match="does not lie in"):
            run.save("a", base_path=tmp_path / "other")
        with pytest.warns(NotStoredWarning, match="an address such as"):
            assert run.save("s3://bucket/a") == []
    assert kept(tmp_path) == {}


def test_files_are_given_back(start: Start, store_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    with start(id="one") as run:
        run.save("a.txt")
    (tmp_path / "a.txt").write_text("two")
    with start(id="two") as run:
        with pytest.raises(NotFound, match=r"keeps no file 'a\.txt'; there are: none"):
            run.restore("a.txt")
        with run.restore("a.txt", run_path="team/project/one") as file:
            assert (file.read(), file.name) == ("one", os.path.join(run.dir, "a.txt"))
        with run.restore("a.txt", run_path="one", root=tmp_path) as file:
            assert file.read() == "two"  # one that is there is left as it is
        with run.restore("a.txt", run_path="one", root=tmp_path, replace=True) as file:
            assert file.read() == "one"
        for name in ("../a.txt", "/etc/passwd", ""):
            with pytest.raises(InvalidValue, match="is a relative path of names"):
                run.restore(name)


@pytest.mark.skipif(os.name != "posix", reason="no links to make")
def test_nothing_is_kept_through_a_link(start: Start, store_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret")
    with start() as run:
        Path(run.dir, "link").symlink_to(tmp_path / "secret")
        Path(run.dir, "mine").write_text("mine")
        with pytest.warns(NotStoredWarning, match="link is not kept: a file is expected here, and it is a link|link"):
            run.finish()
    assert kept(store_dir) == {"mine": 4}


KILLED = """
import os, pathlib, sys, maskl
run = maskl.init(dir=sys.argv[1], id="killed")
pathlib.Path("a").write_text("saved")
run.save("a")
pathlib.Path(run.dir, "left").write_text("left")
run.log({"loss": 1.0})
os._exit(9)
"""


def test_what_lies_in_the_folder_of_a_killed_run_is_kept(store_dir: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, store_dir], check=False)
    assert kept(store_dir) == {"a": 5}
    store = maskl.open(store_dir)
    (found,) = store.recover(dry_run=True)
    assert (found.files, kept(store_dir)) == (1, {"a": 5})
    (found,) = store.recover()
    assert (found.files, found.killed, found.scalars) == (1, True, 1)
    assert kept(store_dir) == {"a": 5, "left": 4}
    assert store.recover() == []
    assert store.verify().clean


def test_a_run_that_goes_on_keeps_what_it_had(start: Start, store_dir: Path, tmp_path: Path) -> None:
    for text in ("first", "second one"):
        with start(id="r", resume="allow") as run:
            Path(run.dir, "log.txt").write_text(text)
    assert kept(store_dir) == {"log.txt": 10}
    assert len(list(store_dir.glob("blobs/*/*"))) == 2
    with start(id="r", resume="allow"):
        pass
    assert len(list(store_dir.glob("blobs/*/*"))) == 2

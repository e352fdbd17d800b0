"""No room, no rights, no folder, no file descriptors: a clear error, nothing lost, and logging goes on afterwards."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.errors import NotStoredWarning, StorageError
from maskl_storage import Layout
from maskl_storage.disk import atomic
from maskl_storage.upkeep.recovery import recover
from maskl_storage.write import commit
from tests.conftest import HANGS
from tests.durability.children import start

rng = np.random.default_rng(0)


def image(number: int, size: int = 16) -> maskl.Image:
    mask = {"mask_data": np.full((size, size), number % 5, np.uint8), "class_labels": dict.fromkeys(range(5), "x")}
    mask["class_labels"] = {index: f"class {index}" for index in range(5)}
    picture = np.random.default_rng(number).integers(0, 256, (size, size, 3), np.uint8)
    return maskl.Image(picture, masks={"ground_truth": mask})


def rows(number: int, size: int = 16) -> maskl.Table:
    return maskl.Table(["n", "image"], [[number, image(number, size)]])


def stored(root: Path) -> list[int]:
    """Return which rows a store holds, after a look at each mask and image."""
    found = []
    for row in maskl.open(root).table("t"):
        assert (row["image"].masks["ground_truth"].mask_data == row["n"] % 5).all()
        assert np.asarray(row["image"].image).shape[2] == 3
        found.append(row["n"])
    return found


# --- a full disk --------------------------------------------------------------------------------


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Return a folder on a file system of 3 MB of its own."""
    folder = Path(tempfile.mkdtemp(prefix="maskl-disk-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()[:100]}")
    yield folder
    maskl.teardown()
    subprocess.run(["umount", "--lazy", folder], check=True)
    folder.rmdir()


def fill(folder: Path, leave: int) -> Path:
    """Use up a file system but for some bytes."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize - leave))
    return ballast


@pytest.mark.parametrize("durability", ["process", "fsync"])
def test_a_full_disk(durability: str, small_disk: Path) -> None:
    root = small_disk / "maskl-store"
    run = maskl.init(dir=root, id="r", durability=durability)
    run.log({"t": rows(0)})
    ballast = fill(small_disk, 100_000)
    acknowledged = [0]

    def log_on() -> None:
        for number in range(1, 200):
            run.log({"t": rows(number, 64), "n": number})
            acknowledged.append(number)

    with pytest.raises(StorageError, match=r"could not be written to .*No space left.*logged before is kept"):
        log_on()
    refused = len(acknowledged)
    assert 1 < refused < 30
    with pytest.raises(StorageError, match="No space left"):
        run._writer.seal()
    ballast.unlink()
    run.log({"t": rows(refused), "n": refused})
    run.finish()
    assert stored(root) == [*acknowledged, refused]
    assert maskl.open(root).sql("SELECT value FROM history ORDER BY _row").fetchall() == [
        (number,) for number in range(1, refused + 1)
    ]
    assert recover(Layout(root)) == []


def test_a_full_disk_where_training_goes_on(small_disk: Path) -> None:
    root = small_disk / "maskl-store"
    run = maskl.init(dir=root, id="r", on_error="warn")
    ballast = fill(small_disk, 50_000)
    warned = []
    for number in range(40):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run.log({"t": rows(number, 64), "n": number})
        if caught:
            assert [warning.category for warning in caught] == [NotStoredWarning]
            assert "not stored: 't', 'n': what was logged at step" in str(caught[0].message)
            warned.append(number)
        if number == 30:
            ballast.unlink()
    assert warned[-1] == 30
    lost = {"calls": len(warned), "rows": len(warned), "values": len(warned)}
    assert run.summary["not_stored"] == lost
    run.finish()
    assert stored(root) == [number for number in range(40) if number not in warned]
    assert maskl.open(root).run("r").summary["not_stored"] == lost


def fill_and_die(folder: Path) -> None:
    run = maskl.init(dir=folder / "maskl-store", id="r")
    for number in range(5):
        run.log({"t": rows(number, 64)})
    fill(folder, 0)
    os._exit(0)


def test_recovery_on_a_full_disk_keeps_what_there_is_for_later(small_disk: Path) -> None:
    root = small_disk / "maskl-store"
    start(fill_and_die, small_disk).join()
    with pytest.raises(StorageError, match=r"No space left"):
        recover(Layout(root))
    with pytest.raises(StorageError, match=r"No space left"):
        maskl.init(dir=root)
    (small_disk / "ballast").unlink()
    (left,) = recover(Layout(root))
    assert left.rows == {"t": 5}
    assert stored(root) == list(range(5))


# --- a stand-in for it, for machines that mount nothing -----------------------------------------


class Disk:
    """Refuses what would be written, from the n-th effect on, while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.effects: int | None = None
        for module, name in (
            (atomic.os, "write"), (atomic.os, "replace"), (atomic.os, "fsync"),
            (commit, "write_part"), (commit.Committer, "image_part"), (atomic.os, "mkdir"),
        ):  # fmt: skip
            monkeypatch.setattr(module, name, self.refusing(getattr(module, name)))

    def refusing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(*args: Any, **kwargs: Any) -> Any:
            if self.effects is not None:
                self.effects -= 1
                if self.effects < 0:
                    if call.__name__ == "write":  # half of it finds room
                        call(args[0], memoryview(args[1])[: len(args[1]) // 2])
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*args, **kwargs)

        return refuse


@pytest.mark.parametrize("durability", ["process", "fsync"])
def test_a_disk_that_is_full_from_any_effect_on(
    durability: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    root = tmp_path / "maskl-store"
    run = maskl.init(dir=root, id="r", durability=durability)
    changing = maskl.Table(["n"], log_mode="MUTABLE")
    acknowledged: list[int] = []
    refused, reasons = 0, set()
    for number in range(80):
        large = number % 4 == 3
        run._writer._seal_bytes = 200 if large else 64 << 20
        disk.effects = number % 40
        try:
            if number % 20 == 19:
                changing.add_data(number)
            run.log({"t": rows(number), "n": number, "changing": changing})
            acknowledged.append(number)
            if number % 3:
                run._writer.seal()
        except StorageError as error:
            reasons.add(error.errno)
            refused += 1
        disk.effects = None
    run.log({"changing": changing})
    run.finish()
    assert reasons == {errno.ENOSPC}
    assert min(len(acknowledged), refused) > 10
    assert stored(root) == acknowledged
    assert len(maskl.open(root).table("changing")) == 4
    values = maskl.open(root).sql("SELECT value FROM history ORDER BY _row").fetchall()
    assert values == [(number,) for number in acknowledged]


# --- no rights ----------------------------------------------------------------------------------

READ_ONLY = """
import os, sys
import maskl
from pathlib import Path
os.chdir(sys.argv[1])
with maskl.init(dir="other") as run:  # whatever is imported late is imported now
    run.log({"n": 0})
maskl.open("other").sql("FROM history").fetchall()
is_root = os.geteuid() == 0
if is_root:
    os.seteuid(65534)  # root may write anywhere
root = Path(sys.argv[1]) / "maskl-store"

def allow(mode):
    for folder, folders, names in os.walk(root):
        os.chmod(folder, mode)

run = maskl.init(dir=root, id="r")
run.log({"n": 0})
allow(0o555)
run.log({"n": 1})  # the file that is open takes it
for call in (run._writer.seal, lambda: setattr(run, "name", "other"), run.finish):
    try:
        call()
    except maskl.errors.StorageError as error:
        assert "Permission denied" in str(error) and str(root) in str(error), error
    else:
        raise AssertionError(call)
allow(0o755)
run.log({"n": 2})
run._writer.seal()
allow(0o555)
try:
    run.log({"n": 3})
except maskl.errors.StorageError as error:
    assert "Permission denied" in str(error), error
else:
    raise AssertionError("logged where nothing can be written")
try:
    maskl.init(dir=root, id="q", reinit="create_new")
except maskl.errors.StorageError as error:
    assert "Permission denied" in str(error), error
else:
    raise AssertionError("a run began where nothing can be written")
allow(0o755)
run.log({"n": 4})
run.finish()
if is_root:
    os.seteuid(0)
assert maskl.open(root).sql("SELECT value FROM history ORDER BY _row").fetchall() == [(0,), (1,), (2,), (4,)]
"""


def test_a_read_only_folder() -> None:
    with tempfile.TemporaryDirectory(prefix="maskl-") as folder:
        os.chmod(folder, 0o777)
        done = run_script(READ_ONLY, folder)
        assert done.returncode == 0, done.stderr[-2000:]


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"MASKL_SILENT": "true", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANGS, env=environment)


# --- no folder ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sealed", [False, True])
def test_a_folder_that_is_moved_away_and_back(sealed: bool, tmp_path: Path) -> None:
    root, away = tmp_path / "maskl-store", tmp_path / "away"
    run = maskl.init(dir=root, id="r")
    run.log({"t": rows(0), "n": 0})
    if sealed:
        run._writer.seal()
    root.rename(away)
    with pytest.raises(StorageError, match=r"is not there any more.*put it back and log again"):
        run.log({"t": rows(1), "n": 1})
    assert not root.exists()
    away.rename(root)
    run.log({"t": rows(2), "n": 2})
    assert maskl.open(root).run("r").state == "running"
    assert recover(Layout(root)) == []
    run.finish()
    assert stored(root) == [0, 2]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_folder_that_is_removed_and_put_back_from_a_copy(sealed: bool, tmp_path: Path) -> None:
    root, copy = tmp_path / "maskl-store", tmp_path / "copy"
    run = maskl.init(dir=root, id="r")
    run.log({"t": rows(0), "n": 0})
    if sealed:
        run._writer.seal()
    shutil.copytree(root, copy)
    shutil.rmtree(root)
    with pytest.raises(StorageError, match=r"is not there any more"):
        run.log({"t": rows(1), "n": 1})
    shutil.copytree(copy, root)
    run.log({"t": rows(2), "n": 2})
    assert Layout(root).runs()[0].state == "running"
    assert recover(Layout(root)) == []
    run.log({"t": rows(3), "n": 3})
    run.finish()
    assert recover(Layout(root)) == []
    assert stored(root) == [0, 2, 3]
    assert maskl.open(root).sql("SELECT value FROM history ORDER BY _row").fetchall() == [(0,), (2,), (3,)]


# --- no file descriptors ------------------------------------------------------------------------

FEW_FILES = """
import json, os, resource, sys
import numpy as np
import maskl
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
run = maskl.init(dir=sys.argv[1], id="r", durability=sys.argv[2])
done, refused, taken = [], 0, []

def image(number):
    picture = np.full((4, 4, 3), number, np.uint8)
    return maskl.Image(picture, masks={"m": {"mask_data": np.full((4, 4), number, np.uint8)}})

for number in range(54):
    if number % 9 == 4:  # somebody else takes what there is
        try:
            while len(taken) < 100:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            for _ in range(number // 9 % 5):  # but for a few
                os.close(taken.pop())
    try:
        run.log({"t": maskl.Table(["n", "image"], [[number, image(number)]]), "n": number})
        done.append(number)
        run._writer.seal()
    except maskl.errors.StorageError as error:
        assert "Too many open files" in str(error), error
        refused += 1
    if number % 9 == 6:
        while taken:
            os.close(taken.pop())
run.finish()
print(json.dumps([done, refused]))
"""


@pytest.mark.parametrize("durability", ["process", "fsync"])
def test_few_file_descriptors(durability: str, tmp_path: Path) -> None:
    done = run_script(FEW_FILES, str(tmp_path), durability)
    assert done.returncode == 0, done.stderr[-2000:]
    acknowledged, refused = json.loads(done.stdout.splitlines()[-1])
    assert refused > 3
    store = maskl.open(tmp_path)
    assert [row["n"] for row in store.table("t")] == acknowledged
    assert all((row["image"].masks["m"].mask_data == row["n"]).all() for row in store.table("t"))
    assert recover(Layout(store.root)) == []

"""Compaction leaves few files, and every answer as it was, whoever is alive or was killed in the middle of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from maskl_storage import Column, ImageCell, Layout, Rows, RunInfo, Store, Writer
from maskl_storage.disk.local import OpenFolder, folder_of
from maskl_storage.disk.locks import FileLock, LocksUnsupported
from maskl_storage.errors import StateError
from maskl_storage.format.paths import lock_path
from maskl_storage.merge import GRACE, leftovers
from maskl_storage.merge import rewrite as merge_module
from maskl_storage.upkeep import compact as compact_module
from maskl_storage.upkeep.compact import compact
from maskl_storage.verify.verify import verify
from tests.storage.stores import everything, fill, png

NUMBERS = (Column("value", "n", "int"),)
IMAGE = (Column("image", "image"),)


@pytest.fixture
def layout(store_dir: Path) -> Layout:
    return Layout.create(store_dir)


@pytest.fixture
def alive(layout: Layout) -> Iterator[Any]:
    """Lock writers as living ones do."""
    locks = []

    def lock(run_id: str, writer: int) -> FileLock:
        path = lock_path(run_id, writer)
        layout.files.make_folder(folder_of(path))
        locks.append(FileLock(layout.files, path))
        assert locks[-1].acquire()
        return locks[-1]

    yield lock
    for one in locks:
        one.release(remove=True)


def sealed(layout: Layout, run: str, values: list[int], *, first_image: int | None = None, name: str = "t") -> Writer:
    """Write one seal a value, each with an image of its own where asked to."""
    writer = Writer(layout, RunInfo(run, run), merges=False)
    for value in values:
        if first_image is None:
            writer.write({name: Rows(NUMBERS, [(value,)])}, value, {"loss": value})
        else:
            image = png(first_image + value)
            writer.add_image(image)
            writer.write({name: Rows(IMAGE, [(ImageCell(image.digest, "png", "L", 1, 1),)])}, value)
        writer.seal()
    return writer


def files(root: Path, pattern: str = "*") -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob(pattern) if path.is_file())


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have the age of files counted as if it were later."""
    real = leftovers.time.time
    monkeypatch.setattr(leftovers, "time", SimpleNamespace(time=lambda: real() + seconds))


def test_a_run_that_is_being_copied_in_with_its_times_keeps_its_files(layout: Layout, tmp_path: Path) -> None:
    """Parts come before the seals that name them, and a copy may bear the times of what it is a copy of."""
    sealed(layout, "r", [0, 1, 2]).close()
    other = Layout.create(tmp_path / "other" / "maskl-store")
    names = files(layout.root)
    for name in (name for name in names if not name.startswith("seals/")):
        (other.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(layout.root / name, other.root / name)
        os.utime(other.root / name, (0, 0))
    before = files(other.root)
    done = compact(other)
    assert (done.removed, files(other.root)) == (0, before)
    shutil.copytree(layout.root / "seals", other.root / "seals")
    assert [row["n"] for row in Store(other.root).table("t")] == [0, 1, 2]
    assert verify(other).clean


@pytest.mark.once
def test_nothing_that_is_asked_changes_and_few_files_are_left(layout: Layout) -> None:
    fill(layout, 3, runs=1, seals=8)
    before = everything(layout.root)
    told = compact(layout, dry_run=True)
    assert everything(layout.root) == before
    done = compact(layout, grace=0)
    assert (told.seals_before, told.seals_after) == (done.seals_before, done.seals_after)
    assert done.seals_after <= 4 < done.seals_before
    assert done.skipped == []
    after = everything(layout.root)
    dropped = after.pop("images")
    kept = before.pop("images")
    assert after == before
    assert set(dropped[2]) <= set(kept[2])
    assert verify(layout).faults == []
    assert verify(layout).notes == []
    again = compact(layout, grace=0)
    assert (again.seals_before, again.images, again.removed) == (done.seals_after, 0, 0)
    assert files(layout.root / "wal") == []


def test_replaced_files_stay_for_the_grace(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed(layout, "r", [0, 1, 2]).close()
    before = files(layout.root)
    done = compact(layout)
    assert (done.removed, done.kept) == (0, 9)
    assert set(before) < set(files(layout.root))
    pass_time(monkeypatch, GRACE + 1)
    done = compact(layout)
    assert (done.removed, done.kept) == (9, 0)
    assert len(files(layout.root, "*.parquet")) == 2
    assert [row["n"] for row in Store(layout.root).table("t")] == [0, 1, 2]


def test_a_living_writers_seals_are_its_own(layout: Layout, alive: Any) -> None:
    for values in ([0, 1], [2, 3], [4, 5]):
        sealed(layout, "r", values).close()
    alive("r", 1)
    done = compact(layout, grace=0)
    assert done.seals_after == 4
    assert "run 'r' is being written: the seals of writer 1" in done.skipped[0]
    assert {path.name for path in layout.root.glob("rows/*/*/*")} >= {"1-0.parquet", "1-1.parquet"}
    assert [row["n"] for row in Store(layout.root).table("t")] == list(range(6))


def test_a_living_writers_unfinished_files_stay(layout: Layout) -> None:
    writer = sealed(layout, "r", [0])
    stray = layout.root / "rows/table_name=t/run_id=r"
    (stray / "0-7.tmp").write_bytes(b"half")
    (stray / "0-8.parquet").write_bytes(b"whole, and not sealed yet")
    assert compact(layout, grace=0).removed == 0
    writer.close()
    assert compact(layout).kept == 2
    assert compact(layout, grace=0).removed == 2
    assert files(stray) == ["0-0.parquet"]


def test_one_compacts_a_run_at_a_time(layout: Layout) -> None:
    sealed(layout, "r", [0, 1]).close()
    lock = FileLock(layout.files, f"{folder_of(lock_path('r', 0))}/compact.lock")
    layout.files.make_folder(folder_of(lock.path))
    assert lock.acquire()
    done = compact(layout)
    assert done.runs == 0
    assert "compacted by another process" in done.skipped[0]
    lock.release()
    assert compact(layout).seals_after == 1


# --- images -------------------------------------------------------------------------------------


def test_images_that_nothing_refers_to_go(layout: Layout) -> None:
    sealed(layout, "a", [0, 1], first_image=0).close()
    sealed(layout, "b", [0, 1, 2], first_image=1).close()  # image 1 stands in a's part alone
    assert compact(layout, grace=0).images == 0
    Store(layout.root).delete("a")
    assert Store(layout.root).sql("SELECT count(*) FROM images").fetchall() == [(4,)]
    told = compact(layout, dry_run=True)
    assert told.images == 1
    done = compact(layout, grace=0)
    assert (done.images, done.image_bytes) == (1, told.image_bytes)
    store = Store(layout.root)
    assert store.sql("SELECT count(*) FROM images").fetchall() == [(3,)]
    assert [store.image(row["image"].digest) for row in store.table("t")] == [png(n).data for n in (1, 2, 3)]
    assert verify(layout).faults == []
    store.delete("b")
    compact(layout, grace=0)
    assert sorted(path.name for path in layout.root.iterdir()) == [".gitignore", "maskl.json"] or not files(
        layout.root, "*.parquet"
    )


def test_images_stay_while_any_writer_lives_or_has_rows_to_recover(layout: Layout, alive: Any) -> None:
    sealed(layout, "a", [0], first_image=0).close()
    Store(layout.root).delete("a")
    lock = alive("other", 0)
    assert "alive may refer" in compact(layout, grace=0).skipped[0]
    lock.release(remove=True)
    waiting = layout.root / "wal" / "run_id=other" / "0-0.wal"
    waiting.parent.mkdir(parents=True, exist_ok=True)
    waiting.write_bytes(b"")
    assert "maskl recover first" in compact(layout, grace=0, dry_run=True).skipped[0]
    assert Store(layout.root).sql("SELECT count(*) FROM images").fetchall() == [(1,)]
    assert compact(layout, grace=0).images == 1  # what waited is brought in first
    assert not waiting.exists()
    assert Store(layout.root).sql("SELECT count(*) FROM images").fetchall() == [(0,)]


@pytest.mark.parametrize("after", [False, True])
def test_images_come_back_if_a_writer_appears_meanwhile(
    layout: Layout, alive: Any, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    sealed(layout, "a", [0], first_image=0).close()
    sealed(layout, "b", [0], first_image=5).close()
    Store(layout.root).delete("a")
    real = compact_module.merge if after else compact_module._add_referenced

    def appearing(*arguments: Any, **more: Any) -> Any:
        made = real(*arguments, **more)
        alive("new", 0)
        return made

    monkeypatch.setattr(compact_module, real.__name__, appearing)
    done = compact(layout, grace=0)
    assert done.images == 0
    assert ("since a writer appeared" if after else "a writer that is alive may refer") in done.skipped[0]
    assert Store(layout.root).sql("SELECT count(*) FROM images").fetchall() == [(2,)]
    assert verify(layout).faults == []


# --- crashes ------------------------------------------------------------------------------------


class Killed(BaseException):
    """What a killed process does: nothing."""


@pytest.mark.parametrize(("before", "call"), [("_in_use", 2), ("_drop_images_of", 1), ("merge", 1)])
def test_a_writer_that_comes_and_goes_while_images_are_dropped_keeps_its_own(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, before: str, call: int
) -> None:
    """It logs an image that nothing referred to, and is gone before anybody looks again whether one lives."""
    sealed(layout, "a", [0, 1], first_image=0).close()
    Store(layout.root).delete("a")
    real, calls = getattr(compact_module, before), 0

    def coming(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            sealed(layout, "b", [0], first_image=0).close()
        return real(*arguments, **more)

    monkeypatch.setattr(compact_module, before, coming)
    compact(layout, grace=0)
    assert calls >= call
    assert verify(layout).faults == []
    row = Store(layout.root).table("t")[0]
    assert Store(layout.root).image(row["image"].digest) == png(0).data


def test_a_writer_that_appears_while_images_are_dropped_is_none_the_worse_if_that_is_killed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed(layout, "a", [0, 1], first_image=0).close()
    Store(layout.root).delete("a")
    real, writers = compact_module.merge, []

    def coming(*arguments: Any, **more: Any) -> Any:
        writer = Writer(layout, RunInfo("b", "b"), merges=False)
        writer.add_image(png(0))
        writers.append(writer)
        real(*arguments, **more)
        raise Killed

    monkeypatch.setattr(compact_module, "merge", coming)
    with pytest.raises(Killed):
        compact(layout, grace=0)
    [writer] = writers
    writer.write({"t": Rows(IMAGE, [(ImageCell(png(0).digest, "png", "L", 1, 1),)])}, 0)
    writer.close()
    assert verify(layout).faults == []
    assert Store(layout.root).image(png(0).digest) == png(0).data


def test_a_compaction_that_is_cut_short_anywhere_changes_nothing(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in range(3):
        sealed(layout, "a", [2 * value, 2 * value + 1], first_image=0).close()
    sealed(layout, "b", [0, 1], first_image=0, name="u").close()
    Store(layout.root).delete("b")
    before = everything(layout.root)
    before.pop("images")
    copy = tmp_path / "copy"
    shutil.copytree(layout.root, copy)
    real_rename, real_remove = OpenFolder.rename, OpenFolder.remove
    survived = 0
    for moment in range(0, 400, 3):
        shutil.rmtree(layout.root)
        shutil.copytree(copy, layout.root)
        calls = 0

        def tick() -> None:
            nonlocal calls
            calls += 1
            if calls > moment:  # noqa: B023  # called in this turn only
                raise Killed

        def renaming(*arguments: Any) -> None:
            tick()
            real_rename(*arguments)

        def removing(*arguments: Any) -> None:
            tick()
            real_remove(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(OpenFolder, "rename", renaming)
            patch.setattr(OpenFolder, "remove", removing)
            try:
                compact(Layout(layout.root), grace=0)
                survived += 1
            except Killed:
                pass
        if moment % 4 == 0 or survived:  # the locks of this process are let go when it dies
            after = everything(layout.root)
            after.pop("images")
            assert after == before, moment
        assert verify(Layout(layout.root)).faults == [], moment
        if survived:
            break
    assert survived
    assert moment > 10
    compact(Layout(layout.root), grace=0)
    assert len(files(layout.root, "*.parquet")) == 2


def test_where_locks_do_not_work_nothing_is_compacted(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed(layout, "r", [0, 1]).close()

    def unsupported(*_: Any, **__: Any) -> bool:
        raise LocksUnsupported("no locks")

    monkeypatch.setattr(FileLock, "acquire", unsupported)
    (layout.root / "wal" / "run_id=r").mkdir(parents=True, exist_ok=True)
    (layout.root / "wal" / "run_id=r" / "0.lock").touch()
    before = files(layout.root)
    with pytest.raises(StateError, match="locks do not work there"):
        compact(layout)
    assert files(layout.root) == before


def test_many_seals_are_merged_a_few_at_a_time(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed(layout, "r", list(range(40))).close()
    most = 0
    real = merge_module.merge

    def merging(layout: Layout, sources: Any, *arguments: Any, **more: Any) -> Any:
        nonlocal most
        most = max(most, len(sources))
        return real(layout, sources, *arguments, **more)

    monkeypatch.setattr(compact_module, "merge", merging)
    assert compact(layout, grace=0).seals_after == 1
    assert most == 16
    assert [row["n"] for row in Store(layout.root).table("t")] == list(range(40))

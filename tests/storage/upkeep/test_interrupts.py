"""Whatever interrupts a merge, a compaction or a deletion, and wherever: what was sealed is there, once."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskl_storage import Column, Layout, Rows, RunInfo, Store, Writer
from maskl_storage.errors import NotFound
from maskl_storage.merge import rewrite
from maskl_storage.merge.background import merge_writer
from maskl_storage.upkeep import delete as upkeep_delete
from maskl_storage.upkeep.compact import compact
from maskl_storage.upkeep.delete import delete
from maskl_storage.verify.verify import verify
from tests.durability.interrupts import AtSeam
from tests.storage.stores import png

pytestmark = [
    pytest.mark.once,
    # what was interrupted before it kept a file leaves it to the collector, which warns
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]

COLUMNS = (Column("value", "n", "int"),)
TABLES = ("표", "u")
#: interruptions of each way that are tried: while a seal is written, and at any effect on the disk
TRIALS = 5
WAYS: dict[str, Callable[[Layout], Any]] = {
    "merge": lambda layout: merge_writer(layout, "r", 0, last=True, grace=0),
    "compact": lambda layout: compact(layout, grace=0),
    "delete": lambda layout: delete(layout, ["r"], "u", grace=0),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "maskl-store"
    writer = Writer(Layout.create(root), RunInfo("r", "run"), merges=False)
    for number in range(6):
        writer.add_image(png(number))
        writer.write({name: Rows(COLUMNS, [(number,)]) for name in TABLES}, number, {"loss": number / 2})
        writer.seal()
    writer.close()
    return root


def there(root: Path) -> dict[str, list[Any]]:
    store = Store(root)
    names = {info.name for info in store.tables()}
    found: dict[str, list[Any]] = {name: [row["n"] for row in store.table(name)] for name in sorted(names)}
    found["history"] = [value for (value,) in store.sql("SELECT value FROM history ORDER BY _row").fetchall()]
    return found


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("way", WAYS)
def test_what_was_sealed_is_there_once(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, after: bool
) -> None:
    current: list[AtSeam] = []
    act, wanted = WAYS[way], there(made)
    kept = {name: rows for name, rows in wanted.items() if way != "delete" or name != "u"}

    def interrupted(at: int) -> int:
        root = tmp_path / f"{at}" / "maskl-store"
        shutil.copytree(made, root)
        interrupt = AtSeam(at, after=after)
        current.append(interrupt)
        try:
            with interrupt:
                act(Layout(root))
        except KeyboardInterrupt:
            assert at
        found = there(root)
        assert {name: found.get(name) for name in kept} == kept, at
        assert {*found.get("u", [])} <= {*wanted["u"]}, at  # of what is deleted seal by seal, some may be left
        assert not verify(Layout(root)).faults, at
        with contextlib.suppress(NotFound):  # and it can be done again, if it was not done
            act(Layout(root))
        found = there(root)
        assert {name: found.get(name) for name in kept} == kept, at
        shutil.rmtree(root)
        return interrupt.count

    # where a seal comes to be is always among them: all depends on that
    sealing: set[int] = set()
    for module in (rewrite, upkeep_delete):
        monkeypatch.setattr(module, "write_seal", noting(module.write_seal, current, sealing))
    count = interrupted(0)
    monkeypatch.undo()
    assert sealing
    chance = random.Random(f"{way}-{after}")
    for at in {*chance.sample(sorted(sealing), min(TRIALS, len(sealing))), *chance.sample(range(1, count + 1), TRIALS)}:
        interrupted(at)


def noting(real: Callable[..., None], current: list[AtSeam], noted: set[int]) -> Callable[..., None]:
    """Return a call that notes the effects on the disk that another one has."""

    def call(*args: Any, **options: Any) -> None:
        first = current[-1].count + 1
        real(*args, **options)
        noted.update(range(first, current[-1].count + 1))

    return call

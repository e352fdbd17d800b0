"""Sizes that honest users have: a store of 3,000 runs, 80 masks in one image, a mask of 65,535 ids.

Each round opens the store anew, in a process that has imported everything and asked once, and so has read the store's
small documents and totals, which it keeps by their hashes. What the first question of a process takes stands beside it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

import maskl
from benchmarks.cells import image_cell, image_of_all
from benchmarks.report import Result, at_most, info
from benchmarks.timing import timed
from maskl_storage import ClassItem, Column, ImageCell, Layout, Rows, RunInfo, Writer, locate
from maskl_storage.format.metadata import ClassSet

__all__ = ["TABLE", "loop", "run", "write"]

RUNS: Final = 3000
ROUNDS: Final = 5
MASKS: Final = 80
MASK_SIDE: Final = 256
IDS: Final = 65_535
#: what the machine's noise is told by: this many additions take a fifth of a second or so
ADDITIONS: Final = 3_000_000
SIDE: Final = 16
TABLE: Final = "evaluation"
CLASS_SET: Final = ClassSet(ClassItem(number, name) for number, name in enumerate(("sky", "road", "car", "tree")))
COLUMNS: Final = (Column("value", "id", "int"), Column("image", "image"))


def run(scale: float) -> list[Result]:
    """Ask a store of many runs, seal an image of many masks, and ask for a mask of many ids."""
    with _folder() as temporary:
        folder = temporary / "store"
        count = max(10, round(RUNS * scale))
        write(folder, count)
        of = f"{count:,} runs, opened and asked"
        return [
            _result(f"`FROM runs` of {of}", lambda: maskl.open(folder).sql("FROM runs").fetchall(), 1.5),
            _result(
                f"`FROM class_iou('{TABLE}')` of {of}",
                lambda: maskl.open(folder).sql(f"FROM class_iou('{TABLE}')").fetchall(),
                2.0,
            ),
            _result(f"one row of a table of {of}", lambda: maskl.open(folder).table(TABLE)[count], 0.5),
            *(_first(folder, what, of) for what in ("FROM runs", f"FROM class_iou('{TABLE}')")),
            *_many_masks(max(9, round(MASKS * scale))),
            *_many_ids(),
        ]


def _first(folder: Path, query: str, of: str) -> Result:
    """Return what the first question of a process takes, beside its imports: the median of some processes."""
    command = [sys.executable, "-m", __spec__.name if __spec__ else "benchmarks.many_runs", "ask", str(folder), query]
    taken = [float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(ROUNDS)]
    said = f"{statistics.median(taken):.2f} s ({min(taken):.2f} to {max(taken):.2f})"
    return info(f"`{query}` of {of} by a process that read nothing before", said)


def _ask(folder: Path, query: str) -> float:
    with maskl.init(dir=folder.with_name("other"), settings={"silent": True}):  # so that what it takes is imported
        pass
    maskl.open(folder.with_name("other")).sql("FROM runs").fetchall()
    return timed(lambda: maskl.open(folder).sql(query).fetchall())


def _many_masks(count: int) -> Iterator[Result]:
    """Yield what it takes to encode, log and seal an image of many masks."""
    for classes in (4, 100):
        arrays = _waves(count, classes)

        def seal(arrays: dict[str, Any] = arrays) -> None:
            with _folder() as folder, maskl.init(dir=folder, settings={"silent": True}) as active:
                active.log({"t": maskl.Image(np.zeros((MASK_SIDE, MASK_SIDE), np.uint8), masks=arrays)})

        yield _result(f"init(), log() and finish() of an image of {count} masks of {classes} classes", seal, 1.0)


def _waves(count: int, classes: int) -> dict[str, Any]:
    y, x = np.mgrid[:MASK_SIDE, :MASK_SIDE]
    labels = {number: f"class {number}" for number in range(classes)}
    made: dict[str, Any] = {}
    for number in range(count):
        wave = np.sin((x + 7 * number) / 23) + np.cos((y - 5 * number) / 17) + 2
        key = f"model {number}" if number else "ground_truth"
        made[key] = {"mask_data": (wave / 4.001 * classes).astype(np.uint8), "class_labels": labels}
    return made


def _many_ids() -> Iterator[Result]:
    """Yield what it takes to write the run lengths of every id of a mask."""
    mask = np.arange(256 * 256, dtype=np.uint16).reshape(256, 256)
    mask[0, 0] = 1  # which leaves 65,535 ids
    with _folder() as folder:
        with maskl.init(dir=folder, settings={"silent": True}) as active:
            active.log({"t": maskl.Image(np.zeros((256, 256), np.uint8), masks={"m": {"mask_data": mask}})})
        store = maskl.open(folder)
        query = "SELECT len(mask_rle(image__mask__m)) FROM tables.t"
        if store.sql(query).fetchall() != [(IDS,)]:
            raise AssertionError(f"the mask has {IDS:,} ids")
        yield _result(f"`mask_rle` of a mask of {IDS:,} ids", lambda: store.sql(query).fetchall(), 0.3)


def _result(what: str, call: Callable[[], Any], seconds: float) -> Result:
    """Return the median of some rounds, with what the machine's noise did to a loop between them."""
    call()
    taken, loops = [], []
    for _ in range(ROUNDS):
        taken.append(timed(call))
        loops.append(timed(loop))
    median = statistics.median(taken)
    noise = f"a loop between the rounds: {min(loops):.2f} to {max(loops):.2f} s"
    return at_most(what, f"{median:.2f} s ({min(taken):.2f} to {max(taken):.2f})", noise, median, seconds)


def loop() -> None:
    """Do what takes as long as the machine is slow."""
    total = 0
    for number in range(ADDITIONS):
        total += number


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", maskl.errors.MasklWarning)
        yield Path(temporary)


def write(folder: Path, runs: int = RUNS, only: Iterable[int] | None = None) -> None:
    """Write a store of runs that each log two rows to one table, and a loss at two steps; or only some of them."""
    layout = Layout.create(locate(folder))
    for number in range(runs) if only is None else only:
        writer = Writer(layout, RunInfo(f"run-{number:04}", f"name-{number}", config={"lr": number / runs}))
        if not number:  # the rows of the others refer to it
            writer.add_image(image_of_all(SIDE))
        for step in range(2):
            rows = Rows(COLUMNS, [(step, _cell(number, step))])
            writer.write({TABLE: rows}, step, {"loss": 1 / (1 + number + step)})
        writer.close()


def _cell(number: int, step: int) -> ImageCell:
    rng = np.random.default_rng([number, step])
    arrays: dict[str, Any] = {
        key: np.sort(rng.integers(0, len(CLASS_SET), (SIDE, SIDE), np.uint8)) for key in ("ground_truth", "predictions")
    }
    return image_cell(arrays, CLASS_SET)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        print(_ask(Path(sys.argv[2]), sys.argv[3]))
    else:  # DIR RUNS, or also FIRST STEP: several processes write one store
        count, first, step = map(int, [*sys.argv[2:], "0", "1"][:3])
        write(Path(sys.argv[1]), count, range(first, count, step))

"""Export a logged table, or write it as a dataset the way its users do, and print how long it took.

Usage: python -m benchmarks.exporting_worker {store,parquet,huggingface,datasets} STORE DEST [ROWS {epochs,distinct}]
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute  # pa.compute

import maskl
from benchmarks.data import CLASSES, moved, scenes
from benchmarks.timing import peak_bytes
from maskl.interchange.selection import choose
from maskl_storage import decode

TABLE: Final = "evaluation"
MASKS: Final = ("ground_truth", "predictions")


def log(folder: Path, count: int, *, distinct: bool) -> None:
    """Log the scenes again and again, as epochs of a training do: each time with other predictions.

    Where ``distinct``, their frames and ground truth differ from epoch to epoch as well.
    """
    originals = scenes()
    with maskl.init(dir=folder, name="run") as run:
        for first in range(0, count, len(originals)):
            table = maskl.Table(["id", "image", "loss"])
            for number, scene in enumerate(originals[: count - first], first):
                other = moved(scene, first // len(originals))
                shown = other if distinct else scene
                masks = {
                    key: {"mask_data": mask, "class_labels": CLASSES}
                    for key, mask in zip(MASKS, (shown.truth, other.final), strict=True)
                }
                table.add_data(number, maskl.Image(shown.frame, masks=masks), 1 / (number + 1))
            run.log({TABLE: table}, step=first // len(originals))


def rows(folder: str) -> Iterator[dict[str, Any]]:
    """Yield the rows as a user hands them to ``datasets``: images as their files, masks as arrays.

    They are read as the export reads them, so that only the writing differs.
    """
    selection = choose(maskl.open(folder), TABLE)
    for batch in selection.batches(64):
        files = selection.images.column(pa.compute.struct_field(batch["image"], "digest"))
        masks = [batch[f"image__mask__{key}"] for key in MASKS]
        for number, data, loss, *encoded in zip(batch["id"], files, batch["loss"], *masks, strict=True):
            decoded = {key: decode(mask.as_py()) for key, mask in zip(MASKS, encoded, strict=True)}
            yield {
                "id": number.as_py(),
                "image": {"bytes": data.as_py(), "path": None},
                **decoded,
                "loss": loss.as_py(),
            }


def write_dataset(folder: Path, dest: Path) -> None:
    """Write the rows through ``datasets``' own functions."""
    from datasets import Dataset, Features, Image, Value, disable_progress_bars

    disable_progress_bars()
    features = Features(
        {"id": Value("int64"), "image": Image(), **dict.fromkeys(MASKS, Image()), "loss": Value("float64")}
    )
    with tempfile.TemporaryDirectory(dir=dest.parent) as cache:
        made = Dataset.from_generator(rows, features=features, gen_kwargs={"folder": str(folder)}, cache_dir=cache)
        made.to_parquet(dest)


def main() -> None:
    """Do what is asked for, and report."""
    what, folder, dest = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    before = peak_bytes()
    start = time.perf_counter()
    if what == "store":
        log(folder, int(sys.argv[4]), distinct=sys.argv[5] == "distinct")
    elif what == "datasets":
        write_dataset(folder, dest)
    else:
        maskl.open(folder).export(TABLE, dest, what)
    print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak_bytes(), "before": before}))


if __name__ == "__main__":
    main()

"""Read rows of masks and frames kept as PNG with Lance or Hugging Face ``datasets``, as a parent asks for them.

Usage: python random_access_worker.py {lance,datasets} FOLDER ROWS FRAMES
       python random_access_worker.py maskl STORE

Makes two tables of the PNG files in FOLDER: ROWS rows of two masks, and FRAMES rows of two masks and a frame. Then
answers each line of JSON on the standard input, ``{"case", "rows", "check"}``, with the seconds that it took. There
are several ways to read with either library; the first question of a case finds the fastest, which is used from then
on. Frames become torch's tensors where the case asks for these; so does maskl read them, from a store that is there.
Needs the library, NumPy, Pillow and torch, and nothing of this package.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

MASKS = ["truth", "prediction"]
FRAME = [*MASKS, "frame"]
ALONE = ["frame"]
TENSORS = "tensors in order"
BLOCK = 1000
TRIAL = 200

Rows = Iterator[list[bytes]]
Way = Callable[[list[int]], Rows]


def tables(folder: Path, count: int, columns: list[str]) -> Iterator[pa.Table]:
    """Yield the rows, some at a time."""
    files = {name: [path.read_bytes() for path in sorted((folder / name).glob("*.png"))] for name in columns}
    for start in range(0, count, BLOCK):
        rows = range(start, min(start + BLOCK, count))
        yield pa.table({name: [data[row % len(data)] for row in rows] for name, data in files.items()})


def with_lance(folder: Path, counts: dict[str, int]) -> dict[str, dict[str, Way]]:
    """Make the tables, and return the ways to read them."""
    import lance

    ways: dict[str, dict[str, Way]] = {}
    for name, columns in (("masks", MASKS), ("frames", FRAME)):
        blocks = tables(folder, counts[name], columns)
        schema = pa.schema([(column, pa.binary()) for column in columns])
        batches = (batch for table in blocks for batch in table.to_batches())
        place = str(folder / f"{name}.lance")
        made = lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches), place)

        def taken(size: int, made: Any = made, columns: list[str] = columns) -> Way:
            def read(rows: list[int]) -> Rows:
                for start in range(0, len(rows), size):
                    yield from in_rows(made.take(rows[start : start + size], columns=columns), columns)

            return read

        def scanned(size: int, columns: list[str] = columns, made: Any = made) -> Way:
            def read(rows: list[int]) -> Rows:
                scan = made.scanner(columns=columns, offset=rows[0], limit=len(rows), batch_size=size)
                for batch in scan.to_batches():
                    yield from in_rows(batch, columns)

            return read

        ways[name] = {f"take of {size}": taken(size) for size in (1, 32, 256)}
        ways[f"{name} in order"] = {f"scan of {size}": scanned(size) for size in (256, 2048)}
    ways[TENSORS] = {f"scan of {size}": scanned(size, ALONE) for size in (32, 256)}
    return ways


def with_datasets(folder: Path, counts: dict[str, int]) -> dict[str, dict[str, Way]]:
    """Make the tables, and return the ways to read them."""
    from datasets import Dataset, Features, disable_progress_bars, load_from_disk
    from datasets import Image as Feature

    disable_progress_bars()
    ways: dict[str, dict[str, Way]] = {}
    for name, columns in (("masks", MASKS), ("frames", FRAME)):

        def rows_of(columns: list[str] = columns, name: str = name) -> Iterator[dict[str, Any]]:
            for table in tables(folder, counts[name], columns):
                for row in table.to_pylist():
                    yield {column: {"bytes": data, "path": None} for column, data in row.items()}

        features = Features({column: Feature() for column in columns})
        cache = folder / "cache"
        Dataset.from_generator(rows_of, features=features, cache_dir=str(cache)).save_to_disk(
            str(folder / f"{name}.hf")
        )
        shutil.rmtree(cache)
        decoded = load_from_disk(str(folder / f"{name}.hf"))
        raw = decoded.cast(Features({column: Feature(decode=False) for column in columns}))
        arrow = raw.with_format("arrow")
        tensors = decoded.select_columns(ALONE).with_format("torch") if name == "frames" else None

        def one(rows: list[int], decoded: Any = decoded, columns: list[str] = columns) -> Any:
            for number in rows:
                row = decoded[number]
                yield [row[column] for column in columns]

        def some(size: int, raw: Any = raw, columns: list[str] = columns) -> Way:
            def read(rows: list[int]) -> Rows:
                for start in range(0, len(rows), size):
                    found = (
                        raw[rows[start : start + size]] if size > 1 else {k: [v] for k, v in raw[rows[start]].items()}
                    )
                    for cells in zip(*(found[column] for column in columns), strict=True):
                        yield [cell["bytes"] for cell in cells]

            return read

        def arrows(size: int, arrow: Any = arrow, columns: list[str] = columns) -> Way:
            def read(rows: list[int]) -> Rows:
                for start in range(0, len(rows), size):
                    table = arrow[rows[start : start + size]]
                    yield from in_rows(
                        pa.table({c: table[c].combine_chunks().field("bytes") for c in columns}), columns
                    )

            return read

        def in_order(size: int, columns: list[str] = columns, arrow: Any = arrow) -> Way:
            def read(rows: list[int]) -> Rows:
                for table in arrow.select(range(rows[0], rows[0] + len(rows))).iter(size):
                    yield from in_rows(
                        pa.table({c: table[c].combine_chunks().field("bytes") for c in columns}), columns
                    )

            return read

        ways[name] = {"decoded": one, "bytes of 1": some(1), "bytes of 32": some(32), "arrow of 1": arrows(1)}
        ways[f"{name} in order"] = {"decoded": one, "bytes of 256": some(256), "arrow of 256": in_order(256)}

    def formatted(rows: list[int]) -> Any:
        for number in rows:
            yield [tensors[number]["frame"]]

    def batches(rows: list[int]) -> Any:
        for batch in tensors.select(range(rows[0], rows[0] + len(rows))).iter(32):
            for frame in batch["frame"]:
                yield [frame]

    ways[TENSORS] = {"torch format": formatted, "torch format, 32": batches, "arrow of 32": in_order(32, ALONE)}
    return ways


def with_maskl(store: Path, _counts: dict[str, int]) -> dict[str, dict[str, Way]]:
    """Return how frames are read from a store, as a DataLoader without workers reads them."""
    import maskl

    dataset = maskl.open(store).table("evaluation").to_torch(["image"])

    def read(rows: list[int]) -> Any:
        for number in rows:
            yield [dataset[number]["image"]]

    return {TENSORS: {"to_torch": read}}


def in_rows(table: Any, columns: list[str]) -> Rows:
    """Yield the cells of each row."""
    yield from map(list, zip(*(table[column].to_pylist() for column in columns), strict=True))


def array(cell: Any) -> np.ndarray[Any, Any]:
    """Return the pixels of a PNG file, or of what the library decoded."""
    return np.asarray(Image.open(io.BytesIO(cell)) if isinstance(cell, bytes) else cell)


def tensor(cell: Any) -> Any:
    """Return the pixels of a PNG file as a tensor of shape (C, H, W), or the tensor that the library made."""
    import torch

    if not isinstance(cell, bytes):
        return cell
    return torch.from_numpy(np.array(Image.open(io.BytesIO(cell)))).permute(2, 0, 1).contiguous()


def read(way: Way, rows: list[int], decode: Callable[[Any], Any]) -> float:
    """Decode all, and return the seconds."""
    start = time.perf_counter()
    for cells in way(rows):
        for cell in cells:
            decode(cell)
    return time.perf_counter() - start


def main() -> None:
    """Make the tables, then answer."""
    library, folder = sys.argv[1], Path(sys.argv[2])
    counts = dict(zip(("masks", "frames"), map(int, sys.argv[3:]), strict=False))
    ways = {"lance": with_lance, "datasets": with_datasets, "maskl": with_maskl}[library](folder, counts)
    print(json.dumps({"ready": True}), flush=True)
    fastest: dict[str, str] = {}
    for line in sys.stdin:
        question = json.loads(line)
        case, rows = question["case"], question["rows"]
        decode = tensor if case == TENSORS else array
        if case not in fastest:
            trial = rows[:TRIAL]
            for way in ways[case].values():
                read(way, trial, decode)
            seconds = {name: min(read(way, trial, decode) for _ in range(3)) for name, way in ways[case].items()}
            fastest[case] = min(seconds, key=lambda name: seconds[name])
        way = ways[case][fastest[case]]
        if question["check"]:
            answer: Any = [[int(decode(cell).sum()) for cell in cells] for cells in way(rows)]
        else:
            answer = read(way, rows, decode)
        print(json.dumps({"way": fastest[case], "answer": answer}), flush=True)


if __name__ == "__main__":
    main()

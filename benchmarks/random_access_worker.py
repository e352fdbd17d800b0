"""Read rows of masks and frames kept as PNG with Lance or Hugging Face ``datasets``, as a parent asks for them.

Usage: python random_access_worker.py {lance,datasets} FOLDER ROWS FRAMES

Makes two tables of the PNG files in FOLDER: ROWS rows of two masks, and FRAMES rows of two masks and a frame. Then
answers each line of JSON on the standard input, ``{"case", "rows", "check"}``, with the seconds that it took. There
are several ways to read with either library; the first question of a case finds the fastest, which is used from then
on. Needs the library, NumPy and Pillow, and nothing of this package.
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

        def scanned(size: int, made: Any = made, columns: list[str] = columns) -> Way:
            def read(rows: list[int]) -> Rows:
                scan = made.scanner(columns=columns, offset=rows[0], limit=len(rows), batch_size=size)
                for batch in scan.to_batches():
                    yield from in_rows(batch, columns)

            return read

        ways[name] = {f"take of {size}": taken(size) for size in (1, 32, 256)}
        ways[f"{name} in order"] = {f"scan of {size}": scanned(size) for size in (256, 2048)}
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

        def in_order(size: int, arrow: Any = arrow, columns: list[str] = columns) -> Way:
            def read(rows: list[int]) -> Rows:
                for table in arrow.select(range(rows[0], rows[0] + len(rows))).iter(size):
                    yield from in_rows(
                        pa.table({c: table[c].combine_chunks().field("bytes") for c in columns}), columns
                    )

            return read

        ways[name] = {"decoded": one, "bytes of 1": some(1), "bytes of 32": some(32), "arrow of 1": arrows(1)}
        ways[f"{name} in order"] = {"decoded": one, "bytes of 256": some(256), "arrow of 256": in_order(256)}
    return ways


def in_rows(table: Any, columns: list[str]) -> Rows:
    """Yield the cells of each row."""
    yield from map(list, zip(*(table[column].to_pylist() for column in columns), strict=True))


def array(cell: Any) -> np.ndarray[Any, Any]:
    """Return the pixels of a PNG file, or of what the library decoded."""
    return np.asarray(Image.open(io.BytesIO(cell)) if isinstance(cell, bytes) else cell)


def read(way: Way, rows: list[int]) -> float:
    """Decode all, and return the seconds."""
    start = time.perf_counter()
    for cells in way(rows):
        for cell in cells:
            array(cell)
    return time.perf_counter() - start


def main() -> None:
    """Make the tables, then answer."""
    library, folder = sys.argv[1], Path(sys.argv[2])
    counts = {"masks": int(sys.argv[3]), "frames": int(sys.argv[4])}
    ways = {"lance": with_lance, "datasets": with_datasets}[library](folder, counts)
    print(json.dumps({"ready": True}), flush=True)
    fastest: dict[str, str] = {}
    for line in sys.stdin:
        question = json.loads(line)
        case, rows = question["case"], question["rows"]
        if case not in fastest:
            trial = rows[:TRIAL]
            for way in ways[case].values():
                read(way, trial)
            seconds = {name: min(read(way, trial) for _ in range(3)) for name, way in ways[case].items()}
            fastest[case] = min(seconds, key=lambda name: seconds[name])
        way = ways[case][fastest[case]]
        if question["check"]:
            answer: Any = [[int(array(cell).sum()) for cell in cells] for cells in way(rows)]
        else:
            answer = read(way, rows)
        print(json.dumps({"way": fastest[case], "answer": answer}), flush=True)


if __name__ == "__main__":
    main()

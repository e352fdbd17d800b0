"""Random changes of any file of a store, with every checksum mended, and every command over what comes out.

A *mutation* is drawn from a seed: a file, a way to change it, and where. Documents are changed as values, parts as
tables or as bytes, write-ahead files as records; any file may become a folder, a link, a FIFO or nothing.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

import maskl
from maskl.cli.app import main
from maskl_storage.catalog.signed import signed
from maskl_storage.cells.packing import pack
from maskl_storage.disk.local import Folder
from maskl_storage.write.wal import Mark, WalFile, read_wal
from tests.conftest import files_of

__all__ = ["COMMANDS", "WAYS", "mutate", "store_of_all_kinds", "try_mutations"]

#: each with the codes that it may end with
COMMANDS: list[tuple[list[str], set[int]]] = [
    *((words, {0, 2}) for words in (
        ["runs"], ["runs", "--json"], ["tables"], ["sql", "FROM tables.t"], ["sql", "FROM history", "--csv"],
        ["sql", "SELECT run_id, _row, mask_rle(image__mask__p) FROM tables.t"], ["sql", "FROM class_iou('t')"],
        ["sql", "FROM images"], ["sql", "FROM tables.u", "--print-setup"], ["coverage", "t"], ["metrics", "t"],
        ["worst", "t", "--html", "worst.html", "--force"], ["compare", "a", "b", "--table", "t"],
        ["export", "t", "out-parquet"], ["export", "t", "out-hf", "--format", "huggingface"],
        ["export", "t", "out-png", "--format", "png"], ["export", "t", "out-coco", "--format", "coco-panoptic"],
        ["recover"], ["recover", "--dry-run"], ["compact"], ["compact", "--grace", "0"], ["compact", "--dry-run"],
        ["delete", "a"], ["delete", "a", "--table", "t"], ["delete", "--where", "run_name = 'a'"],
        ["log"], ["log", "a"], ["score", "panoptic", "--table", "t", "--prediction", "p", "--processes", "1"],
        ["sql", "FROM panoptic_quality('t', prediction := 'p')"], ["sql", "FROM pixel_scores"],
        ["score", "boundary", "--table", "t", "--prediction", "p", "--processes", "1", "--again"],
    )),
    (["verify"], {0, 1, 2}),
    (["verify", "--json"], {0, 1, 2}),
]  # fmt: skip

#: what no place in a document expects
VALUES: list[Any] = [
    *(None, True, -1, 0, 2**31, 2**63, 2**64, 10**4999, 1.5, 1e308, "", "x", "soon", "a\0b", "한강", "../../outside"),
    *("\ud800", "\x1b]0;x\x07", "a\\b", "con", "x" * 300, "9999-12-31T23:59:59.999999+00:00", [], {}, [[]], {"": {}}),
    *(["../outside/secret.parquet"], {"a": {"b": [1]}}, [1, "a", None], "0001-01-01", "1.99.0", "2.0.0"),
]
#: blobs and texts for the cells of parts
BYTES: list[bytes] = [b"", b"\0", b"MSKL", b"\xff" * 40, bytes(64), b"\x89PNG\r\n\x1a\n" + bytes(30), b"x" * 3000]


def store_of_all_kinds(root: Path) -> Path:
    """Make a small store that has each kind of file: two runs, one of which left a write-ahead file."""
    for number, run_id in enumerate("ab"):
        run = maskl.init(dir=root, id=run_id, project="p", tags=["x"], config={"lr": number}, resume="allow")
        table = maskl.Table(["image", "n", "text", "json", "array"], log_mode="INCREMENTAL")
        changing = maskl.Table(["n"], log_mode="MUTABLE")
        for step in range(3):
            table.add_data(picture(step), step, f"글 {step}", {"a": [step]}, np.arange(step + 1))
            changing.add_data(step)
            run.log({"t": table, "u": changing, "loss": step / 2, "note": "단계"})
            if step != 1:
                run._writer.seal()
        if run_id == "a":
            run.finish()
            maskl.open(root).score("t", "panoptic", prediction="p")
    run.log({"t": maskl.Table(["image", "n", "text"], [[picture(9), 9, "waits"]]), "loss": 9.0})
    run._writer.abandon()
    maskl.teardown()
    return root


def picture(number: int) -> maskl.Image:
    truth = np.full((5, 6), number % 2, np.uint8)
    labels = {0: "하늘", 1: "road"}
    masks = {
        "ground_truth": {"mask_data": truth, "class_labels": labels, "ignore_index": 255},
        "p": {
            "mask_data": truth.T.reshape(5, 6).astype(np.int32) + 2000,
            "class_labels": labels,
            "segments": {2001: {"class_id": 1, "score": 0.5}} if number % 2 else {2000: 0},
        },
    }
    position = {"minX": 0.1, "maxX": 0.2, "minY": 0.1, "maxY": 0.2}
    boxes = {"b": {"box_data": [{"position": position, "class_id": 1, "scores": {"s": 0.5}}], "class_labels": labels}}
    return maskl.Image(np.full((5, 6, 3), number, np.uint8), masks=masks, boxes=boxes, caption="설명")


# --- changes ------------------------------------------------------------------------------------


def mutate(root: Path, chance: random.Random, name: str | None = None, way: str | None = None) -> str:
    """Change a file of a store, and return what was done to which."""
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    name = chance.choice(names) if name is None else name
    path = root / name
    way = chance.choice(ways_of(name)) if way is None else way
    WAYS[way](path, chance)
    if name.endswith(".parquet"):
        mend(root, name)
    return f"{way} {name}"


def ways_of(name: str) -> list[str]:
    """Return the ways in which a file of a name can be changed."""
    special = {".json": ["value"] * 6, ".wal": ["records"] * 6, ".parquet": ["cells"] * 4 + ["metadata"] * 2}
    return [*special.get(Path(name).suffix, []), "bytes", "bytes", "cut", "kind"]


def change_value(path: Path, chance: random.Random) -> None:
    """Change a value of a document, or its text, and sign it again."""
    text = path.read_bytes().decode()
    body = json.loads(text)
    body.pop("blake3", None)
    if chance.random() < 0.1:
        path.write_bytes(chance.choice([b"[" * 3000, b"[]", b"5", b"null", b'{"a": ' * 3000, b'"x"', b"", b"\xff\xfe"]))
        return
    body = changed(body, chance)
    try:
        made = text_of(body, ascii_only=chance.random() < 0.5)
        path.write_bytes(signed(made) if isinstance(body, dict) and body else made.encode("utf-8", "surrogatepass"))
    except UnicodeEncodeError:
        path.write_bytes(signed(text_of(body)))


def text_of(value: Any, *, ascii_only: bool = True) -> str:
    """Return a value as JSON, whatever number of digits it has."""
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value, ensure_ascii=ascii_only, default=str)
    finally:
        sys.set_int_max_str_digits(4300)


def changed(body: Any, chance: random.Random) -> Any:
    """Return a value with one of what it holds, or itself, in another form."""
    if isinstance(body, dict) and body and chance.random() < 0.85:
        key = chance.choice(sorted(body, key=str))
        kind = chance.random()
        if kind < 0.1:
            return {other: value for other, value in body.items() if other != key}
        if kind < 0.2:
            return {**body, chance.choice(["x", "", "a\0", "한"]): chance.choice(VALUES)}
        return {**body, key: changed(body[key], chance)}
    if isinstance(body, list) and body and chance.random() < 0.85:
        at = chance.randrange(len(body))
        kind = chance.random()
        if kind < 0.1:
            return body[:at] + body[at + 1 :]
        if kind < 0.2:
            return [*body, body[at]]
        return [*body[:at], changed(body[at], chance), *body[at + 1 :]]
    if isinstance(body, bytes) and chance.random() < 0.7:
        return flipped(body, chance)
    if isinstance(body, msgpack.ExtType):
        return msgpack.ExtType(body.code, flipped(body.data, chance))
    return chance.choice(VALUES)


def change_records(path: Path, chance: random.Random) -> None:
    """Change a value of a record of a write-ahead file, and write all with their checksums."""
    files = Folder(path.parent)
    records = [(value, data) for value, data in read_wal(files, path.name)]
    at = chance.randrange(len(records))
    value, data = records[at]
    for _ in range(20):
        try:
            new = changed(value, chance) if chance.random() < 0.9 else value
            pack(new)
        except (OverflowError, ValueError, TypeError, UnicodeEncodeError):  # what no file can hold
            continue
        break
    else:
        new = 5
    records[at] = (new, flipped(data, chance) if chance.random() < 0.2 else data)
    path.unlink()
    file = WalFile(files, path.name)
    file.append(Mark(), records)
    file.close()


def change_cells(path: Path, chance: random.Random) -> None:
    """Change a column of a part: a value, its type, or that it is there."""
    table = pq.ParquetFile(path).read()
    at = chance.randrange(table.num_columns)
    field, column = table.schema.field(at), table.column(at)
    kind = chance.random()
    if kind < 0.15:
        table = table.remove_column(at)
    elif kind < 0.3:
        table = table.set_column(at, field.name, pa.array([chance.choice(["x", None, "\x1b"])] * table.num_rows))
    elif kind < 0.45:
        table = table.set_column(at, field.name, pa.array([chance.choice([-1, 2**62, 0, None])] * table.num_rows))
    elif pa.types.is_binary(field.type):
        cells = [
            chance.choice(BYTES) if cell is None or chance.random() < 0.4 else flipped(cell, chance)
            for cell in column.to_pylist()
        ]
        table = table.set_column(at, field, pa.array(cells, field.type))
    elif pa.types.is_integer(field.type):
        width = field.type.bit_width - 1
        value = chance.choice([-1, 0, (1 << width) - 1, 1])
        table = table.set_column(at, field, pa.array([max(value, 0)] * table.num_rows, field.type))
    elif pa.types.is_string(field.type):
        table = table.set_column(
            at, field, pa.array([chance.choice(["", "x" * 300, "\x1b[2J"])] * table.num_rows, field.type)
        )
    else:
        table = table.set_column(at, field, pa.nulls(table.num_rows, field.type))
    pq.write_table(table.replace_schema_metadata(table.schema.metadata), path)


def change_metadata(path: Path, chance: random.Random) -> None:
    """Change what a part's own metadata says."""
    table = pq.ParquetFile(path).read()
    metadata = dict(table.schema.metadata or {})
    key = b"maskl"
    if key not in metadata or chance.random() < 0.2:
        metadata[key] = chance.choice([b"", b"[" * 5000, b"5", b"\xff", b'{"columns": 5}'])
    else:
        metadata[key] = text_of(changed(json.loads(metadata[key]), chance)).encode()
    pq.write_table(table.replace_schema_metadata(metadata), path)


def change_bytes(path: Path, chance: random.Random) -> None:
    """Change some bytes."""
    path.write_bytes(flipped(path.read_bytes(), chance))


def cut(path: Path, chance: random.Random) -> None:
    """Cut the file, or add to it."""
    data = path.read_bytes()
    at = chance.randrange(len(data) + 1)
    path.write_bytes(chance.choice([data[:at], data + data[at:], data[:at] + bytes(len(data) - at), b""]))


def change_kind(path: Path, chance: random.Random) -> None:
    """Put something in the place of the file, or of the folder that it lies in, that is none."""
    outside = path.parents[len(path.parts) - 1 - path.parts.index("maskl-store") + 0].parent / "outside"
    target = path if chance.random() < 0.7 or path.parent.name == "maskl-store" else path.parent
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()
    kind = chance.randrange(5)
    if kind == 0:
        target.symlink_to(outside if target.suffix == "" else outside / "secret.parquet")
    elif kind == 1:
        os.mkfifo(target)
    elif kind == 2:
        target.mkdir()
    elif kind == 3:
        target.symlink_to("/dev/zero")


def flipped(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with one or some changed."""
    if not data:
        return chance.choice(BYTES)
    changed_bytes = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        changed_bytes[chance.randrange(len(data))] = chance.choice([0, 255, 127, 128, chance.randrange(256)])
    return bytes(changed_bytes)


WAYS: dict[str, Callable[[Path, random.Random], None]] = {
    "value": change_value,
    "records": change_records,
    "cells": change_cells,
    "metadata": change_metadata,
    "bytes": change_bytes,
    "cut": cut,
    "kind": change_kind,
}


def mend(root: Path, name: str) -> None:
    """Have the seals that name a part say what it is now, so that nobody stops at a checksum."""
    if not (root / name).is_file() or (root / name).is_symlink():
        return
    data = (root / name).read_bytes()
    for seal in root.glob("seals/*/*.json"):
        body = json.loads(seal.read_bytes())
        named = [part for part in body["parts"] if part["path"] == name]
        if named:
            named[0] |= {"bytes": len(data), "blake3": blake3(data).hexdigest()}
            body.pop("blake3")
            seal.write_bytes(signed(json.dumps(body)))


# --- trials -------------------------------------------------------------------------------------


def try_mutations(
    made: Path, folder: Path, trials: list[tuple[str, str | None, str | None, int | None]], told: Connection
) -> None:
    """Try mutations one after another in this process, and tell of each that ends otherwise than it should.

    A trial is a seed, and perhaps a file, a way and the number of a command; what it lacks is drawn.
    """
    os.environ["MASKL_SILENT"] = "true"
    warnings.simplefilter("ignore")
    memory = 0
    for seed, name, way, number in trials:
        chance = random.Random(seed)
        place = folder / "trial"
        root, outside = place / "maskl-store", place / "outside"
        shutil.copytree(made, root)
        outside.mkdir()
        for number_of_file in range(2):
            (outside / ["secret.parquet", "0-0.wal"][number_of_file]).write_bytes(b"of a stranger")
        before = files_of(outside)
        done = mutate(root, chance, name, way)
        words, codes = COMMANDS[chance.randrange(len(COMMANDS)) if number is None else number]
        os.chdir(place)
        code, text = run(words, root)
        if code not in codes or "Traceback" in text:
            told.send(f"{seed}: after {done}, {' '.join(words)} ended with {code}: {text[-1500:]}")
        if files_of(outside) != before:
            told.send(f"{seed}: after {done}, {' '.join(words)} touched what lies outside: {sorted(files_of(outside))}")
        maskl.teardown()
        os.chdir(folder)
        shutil.rmtree(place)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if used > max(memory, 1_500_000):
            told.send(f"{seed}: after {done}, {' '.join(words)} took {used >> 10} MB")
        memory = max(memory, used)
    told.send(None)


def run(words: list[str], root: Path) -> tuple[int, str]:
    """Run a command, or log, in this process, and return its code and what it said."""
    out, err = StringIO(), StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            if words[0] == "log":
                log(root, *words[1:])
                return 0, err.getvalue()
            main([*words, "--dir", str(root)])
    except SystemExit as end:
        return int(end.code or 0), err.getvalue()
    except maskl.errors.MasklError as error:
        return (2 if words[0] == "log" else -1), str(error)
    except BaseException:
        return -1, traceback.format_exc()
    return 0, err.getvalue()


def log(root: Path, run_id: str | None = None) -> None:
    """Log to a store, to a new run or to one that is there."""
    with maskl.init(dir=root, id=run_id, project="p", resume="allow" if run_id else "auto") as run_:
        run_.log({"t": maskl.Table(["image", "n"], [[picture(3), 3]]), "loss": 1.0})

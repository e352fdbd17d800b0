"""Random runs written through the storage's own writer, for tests of what keeps a store in order."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from maskl_storage import (
    Box,
    BoxesCell,
    Column,
    ImageCell,
    Layout,
    Rows,
    RunInfo,
    Store,
    StoredImage,
    Writer,
    count_mask,
    encode_mask,
    joint_cells,
)
from maskl_storage.format.metadata import ClassItem, ClassSet
from maskl_storage.images.writer import ImageBytes

IMAGE = Column("image", "image")
NAMES = ("하늘", "road", "car", "나무", "road")
MACROS = ("class_coverage", "class_iou", "mean_iou", "row_iou", "row_class_iou", "confusion_matrix", "cooccurrence")
#: one PNG of one pixel
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


def png(number: int) -> ImageBytes:
    """Return an image of its own digest: what follows the end of a PNG is no part of it."""
    from blake3 import blake3

    data = PNG + str(number).encode()
    return ImageBytes(blake3(b"file\n" + data).hexdigest(), "png", "L", 1, 1, data)


def class_set(rng: random.Random) -> ClassSet:
    """Some classes of few ids, so that sets of one mask agree, contradict each other, or are parts of another."""
    items = []
    for number in sorted(rng.sample(range(5), rng.randint(0, 4))):
        name = rng.choice([NAMES[number], NAMES[number], f"other {number}", None])
        items.append(ClassItem(number, name, rng.choice([None, None, "#00ff00"]), ignore=rng.random() < 0.2))
    return ClassSet(items)


def cell(rng: random.Random, writer: Writer, sets: list[ClassSet]) -> ImageCell | None:
    """Return an image with some masks and boxes, or none."""
    if rng.random() < 0.05:
        return None
    masks, runs, boxes = {}, {}, {}
    shape = (rng.randint(1, 9), rng.randint(1, 9))
    for key in ("ground_truth", "predictions", "셋"):
        if rng.random() < 0.7:
            size = shape if rng.random() < 0.9 else (2, 2)
            pixels = (
                np.array([rng.randrange(5) for _ in range(size[0] * size[1])]).reshape(size).astype(rng.choice("Bhi"))
            )
            data, found, counts = encode_mask(pixels)
            masks[key] = count_mask(
                data, found, counts, rng.choice(sets), statistics=False if rng.random() < 0.05 else None
            )
            if masks[key].counts is not None:
                runs[key] = found
    if rng.random() < 0.3:
        some = [
            Box((0.1, 0.2, 0.3, 0.4), "corners", "fractional", rng.choice([None, 1])) for _ in range(rng.randint(0, 2))
        ]
        chosen = rng.choice(sets)
        ids = {box.class_id for box in some if box.class_id is not None}
        boxes["k"] = BoxesCell(tuple(some), chosen, frozenset(ids - {item.id for item in chosen}))
    digest, more = None, {"path": "s3://x/y.png"}
    if rng.random() < 0.8:
        image = png(rng.randrange(30))
        writer.add_image(image)
        digest, more = image.digest, {}
    return ImageCell(
        digest,
        "png",
        "L",
        1,
        1,
        masks=masks,
        joints=joint_cells(runs),
        boxes=boxes,
        caption=rng.choice([None, "글"]),
        **more,
    )


def value(rng: random.Random, kind: str) -> Any:
    if rng.random() < 0.1:
        return None
    return {
        "int": lambda: rng.randrange(-9, 9),
        "float": lambda: rng.choice([0.5, float("nan"), 1e300]),
        "string": lambda: rng.choice(["", "a", "값"]),
        "json": lambda: rng.choice(['{"a": [1, null]}', "[]"]),
        "bool": lambda: rng.random() < 0.5,
        "null": lambda: None,
        "array": lambda: np.zeros((rng.randrange(3), 2)),
    }[kind]()


def column(rng: random.Random, name: str) -> Column:
    kind = rng.choice(["int", "int", "float", "string", "json", "bool", "null", "array"])
    if kind == "array":
        return Column("value", name, "array", dtype="float64", ndim=2, shape=(None, 2))
    return Column("value", name, kind, primary_key=kind == "int" and name == "n" and rng.random() < 0.3)


def rows(rng: random.Random, writer: Writer, sets: list[ClassSet], count: int, *, replace: bool = False) -> Rows:
    """Return rows whose columns differ from call to call."""
    names = [name for name in ("n", "loss", "Loss_2", "값") if rng.random() < 0.6]
    columns = [IMAGE, *(column(rng, name) for name in names)]
    if rng.random() < 0.3:
        rng.shuffle(columns)
    cells = [
        tuple(cell(rng, writer, sets) if c.kind == "image" else value(rng, str(c.type)) for c in columns)
        for _ in range(count)
    ]
    return Rows(tuple(columns), cells, replace=replace)


def fill(layout: Layout, seed: int, *, runs: int = 2, seals: int = 12) -> None:
    """Write runs of several writers, tables, generations and steps; everything follows from the seed."""
    rng = random.Random(seed)
    for number in range(runs):
        sets = [class_set(rng) for _ in range(4)]
        for _ in range(rng.randint(1, 2)):
            writer = Writer(layout, RunInfo(f"run {number}", f"이름 {number}", project="p"), merges=False)
            for step in range(rng.randint(1, seals)):
                for table in rng.sample(["t", "val/평가", "m"], rng.randint(0, 3)):
                    some = rows(rng, writer, sets, rng.randint(0, 4), replace=table == "m" and rng.random() < 0.5)
                    writer.write({table: some}, step // 3, {"loss": step / 2, "note": "글"})
                if rng.random() < 0.2:
                    frame = pa.table({"n": pa.array(range(5), pa.int64())})
                    writer.write({"f": Rows((Column("value", "n", "int"),), frame=frame)}, step)
                if rng.random() < 0.8:
                    writer.seal()
            writer.close()


def everything(root: Path) -> dict[str, Any]:
    """Return what every view, macro and reader says of a store, without what depends on no order being asked for."""
    import warnings

    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = Store(root)
        for view in ("runs", "history", "classes", "images", "class_pixels", "confusion", "scores", "class_scores"):
            found[view] = answer(store, f"FROM {view}")
        totals = "class_totals", "pixels, masks"
        found["class_totals"] = answer(store, summed(store, *totals))
        found["confusion_totals"] = answer(store, summed(store, "confusion_totals", "pixels"))
        for info in store.tables():
            name = '"' + info.name + '"'
            found[f"tables.{info.name}"] = answer(store, f"FROM tables.{name}")
            table = store.table(info.name)
            # a row says nothing of a column that its part has not, and None of one that holds nothing
            found[f"rows of {info.name}"] = [
                (row.run_id, row.row, row.step, sorted((k, told(v)) for k, v in row.items() if v is not None))
                for row in table
            ]
            found[f"columns of {info.name}"] = (table.columns, table.primary_key, info.rows, info.runs, info.columns)
            for macro in MACROS if "image" in info.columns else ():
                query = f"FROM {macro}('{info.name}', step := '{'all' if macro == 'class_iou' else 'each'}')"
                found[query] = answer(store, query)
    return found


def told(value: Any) -> str:
    """Return a cell as text; the masks of an image are in no order."""
    if isinstance(value, StoredImage):
        value = replace(value, masks=sorted(value.masks.items()), boxes=sorted(value.boxes.items()))
    return repr(value)


def summed(store: Store, view: str, amounts: str) -> str:
    """Return a query of totals by what they are summed for: which seal a row stood in is no content."""
    sums = ", ".join(f"sum({name})" for name in amounts.split(", "))
    return f"SELECT * EXCLUDE ({amounts}), {sums} FROM {view} GROUP BY ALL"


def answer(store: Store, query: str) -> Any:
    from maskl_storage.errors import QueryError

    try:
        relation = store.sql(query)
        rows = relation.fetchall()
    except Exception as error:  # an error is an answer too
        return (
            str(error).splitlines()[0]
            if isinstance(error, QueryError)
            else f"{type(error).__name__}: {str(error)[:100]}"
        )
    return relation.columns, [str(kind) for kind in relation.types], sorted(map(repr, rows))

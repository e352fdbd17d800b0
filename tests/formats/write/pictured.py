"""Tables of images with masks, as the formats of folders are tested with."""

from __future__ import annotations

import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

import maskl
from maskl.importing.importer import Imported, import_dataset

CLASSES = [
    {"id": 0, "name": "도로", "color": "#10203f"},
    {"id": 1, "name": "sky"},
    {"id": 7, "name": "person, sitting"},
    {"id": 255, "name": "void", "ignore": True},
]
OTHERS = [{"id": 0, "name": "on"}, {"id": 1, "name": "off", "color": "#ffffff"}, {"id": 300, "name": "far"}]
#: ids of each dtype: some of a class, some of none, some beyond 8 and 16 bits
IDS = {
    "bool": [0, 1],
    "uint8": [0, 1, 7, 200, 255],
    "int8": [0, 1, -3, 127],
    "uint16": [0, 7, 255, 300, 65535],
    "int16": [0, 1, -300, 300],
    "uint32": [1, 7, 70_000],
    "int32": [0, 255, -70_000],
    "uint64": [0, 1, 300],
    ">u2": [1, 300],
    "int64": [0, 1, 7, 255, 1 << 30],
}
WHEN = datetime(2026, 3, 1, 12, 30, 15, 250_000, timezone.utc)
VALUES: dict[str, list[Any]] = {
    "id": [0, 1, -(1 << 40)],
    "점수": [0.25, float("inf"), None],
    "note": ["여름", 'a "b"\n\u2028', None, ""],
    "tags": [[1, 2], [], None],
    "extra": [{"a": [1, None]}, {"$x": b"1", "b": float("-inf")}, None],
    "when": [WHEN, None],
    "blob": [b"\x00\xff", None],
    "box_file_name": ["x.png", None],
    "vector": [np.array([1.5, np.nan]), np.zeros(0), None],
}


@dataclass(frozen=True)
class Spec:
    """One row: how its image and masks are made."""

    mode: str
    size: tuple[int, int]
    seed: int
    caption: str | None
    masks: Mapping[str, tuple[str, bool]]
    values: tuple[Any, ...]


@st.composite
def tables(draw: st.DrawFn, keys: tuple[str, ...] = ("ground_truth", "예측")) -> list[Spec]:
    mask = st.tuples(st.sampled_from(list(IDS)), st.booleans())
    row = st.builds(
        Spec,
        st.sampled_from(["RGB", "L", "RGBA", "1", "I;16", "jpeg", "url", "none"]),
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        st.integers(0, 1 << 20),
        st.sampled_from([None, "설명 1", "b"]),
        st.fixed_dictionaries({}, optional=dict.fromkeys(keys, mask)),
        st.tuples(*(st.sampled_from(values) for values in VALUES.values())),
    )
    return draw(st.lists(row, min_size=1, max_size=4))


def pixels_of(spec: Spec, folder: Path) -> Any:
    rng = np.random.default_rng(spec.seed)
    shape = spec.size
    if spec.mode == "url":
        return f"https://example.com/{spec.seed}.jpg"
    if spec.mode == "1":
        return rng.integers(0, 2, shape).astype(bool)
    if spec.mode == "I;16":
        return rng.integers(0, 65535, shape).astype(np.uint16)
    if spec.mode == "jpeg":
        path = folder / f"{spec.seed}.jpg"
        maskl.Image(rng.integers(0, 255, (*shape, 3), np.uint8)).image.save(path)
        return path
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[spec.mode]
    pixels = rng.integers(0, 255, (*shape, *channels)).astype(np.uint8)
    if spec.mode == "RGBA" and spec.seed % 2:
        pixels[..., 3] = 255  # which WebP leaves out
    return pixels


def mask_of(spec: Spec, key: str) -> np.ndarray[Any, Any]:
    kind, _ = spec.masks[key]
    rng = np.random.default_rng(spec.seed + len(key))
    return rng.choice(np.array(IDS[kind]), spec.size).astype(kind)


def image_of(spec: Spec, folder: Path, sets: Mapping[str, list[list[dict[str, Any]]]]) -> maskl.Image | None:
    if spec.mode == "none":
        return None
    masks = {}
    for key, (_, second) in spec.masks.items():
        items = sets[key][second]
        masks[key] = {
            "mask_data": mask_of(spec, key),
            "class_labels": {item["id"]: item["name"] for item in items},
            "ignore_index": [item["id"] for item in items if item.get("ignore")],
        }
    return maskl.Image(pixels_of(spec, folder), caption=spec.caption, masks=masks, classes=CLASSES)


@contextmanager
def logged(specs: list[Spec], sets: Mapping[str, list[list[dict[str, Any]]]]) -> Iterator[tuple[Path, maskl.Store]]:
    """Log a table, and yield a folder to work in and its store."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with maskl.init(dir=folder / "store", name="run") as run:
            table = maskl.Table(columns=["picture", *VALUES])
            for spec in specs:
                table.add_data(image_of(spec, folder, sets), *spec.values)
            run.log({"표": table})
        yield folder, maskl.open(folder / "store")


def export(store: maskl.Store, folder: Path, kind: str, **options: Any) -> Counter[str]:
    """Export a table twice, check that the bytes are the same, and return what was left out."""
    found = []
    for name in ("once", "twice"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", maskl.errors.DroppedWarning)
            found.append(store.export("표", folder / name, kind, **options))
    assert files(folder / "once") == files(folder / "twice")
    return Counter(found[0].dropped)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def bring(source: Path, kind: str, *, skip_bad: bool = False, **options: Any) -> tuple[Imported, list[Any]]:
    """Import a source into a store beside it, and return the rows of its one table."""
    target = source.parent / "imported"
    found = import_dataset(source, format=kind, **options, dir=target, skip_bad=skip_bad)
    (table,) = found.rows
    return found, list(maskl.open(target).table(table))


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal, arrays and NaN too."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return bool(np.array_equal(a, b, equal_nan=True)) and a.dtype == b.dtype
    return type(a) is type(b) and a == b


def names_of(image: maskl.Image, key: str) -> dict[int, tuple[str, bool]]:
    """Return name and whether it is ignored of each id that is present in a mask."""
    mask = image.masks[key]
    labels = mask.class_labels
    ids = np.unique(mask.mask_data).astype(int).tolist()
    return {number: (labels.get(number, f"class_{number}"), number in mask.ignore_index) for number in ids}

"""Compares a store with what should be in it; everything is counted anew from the pixels."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

import maskl
from maskl_storage.read.table import Row
from tests.durability.plan import IGNORED, MORE, ROWS, Call, Held, RowSpec

__all__ = ["Child", "check_store", "rows_of"]

PIXELS = """
SELECT run_id, _row, mask_key, class_id, class_name, pixels, mask_pixels, valid_pixels FROM class_pixels
WHERE table_name = ?
"""
PAIRS = """
SELECT run_id, _row, truth_key, prediction_key, truth_class_id, prediction_class_id, pixels FROM confusion
WHERE table_name = ? AND pixels > 0
"""


@dataclass
class Child:
    """What a killed child was told that it has logged, and the call that it may have been in.

    ``whole`` says whether that call is in the store whole or not at all; one that is sealed by itself, since
    it is large, may be there with some of its tables.
    """

    run_id: str
    held: Held
    flying: Call | None = None
    whole: bool = True

    def possible(self) -> list[Held]:
        """Return all that the store may hold of the child."""
        if self.flying is None:
            return [self.held]
        after = self.held.after(self.flying)
        if self.whole:
            return [self.held, after]
        found = []
        names = [*self.flying.tables, *self.flying.plain]
        for chosen in itertools.product([self.held, after], repeat=len(names) + 1):
            held = Held(dict(self.held.tables), dict(self.held.plain), chosen[-1].scalars)
            for name, state in zip(names, chosen, strict=False):
                for kind in ("tables", "plain"):
                    if name in getattr(state, kind):
                        getattr(held, kind)[name] = getattr(state, kind)[name]
            found.append(held)
        return found


def check_store(root: Path, children: Mapping[int, Child]) -> dict[int, Held]:
    """Check that a store holds what its children logged, each row once, and return what it holds of each."""
    store = maskl.open(root)
    found: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for name in sorted({info.name for info in store.tables()} - {"plain"}):
        rows = list(store.table(name))
        for row in rows:
            found[row["id"] // ROWS, name].append(row)
        check_statistics(store, name, rows)
    plain = plain_rows(store)
    assert {child for child, _ in found} | set(plain) <= set(children)
    left = {}
    for number, child in children.items():
        mine = {name: rows for (owner, name), rows in found.items() if owner == number}
        left[number] = [held for held in child.possible() if same_rows(held, mine, plain[number])]
        assert left[number], f"child {number}: {difference(child, mine, plain[number])}"
        for name, rows in mine.items():
            specs = {spec.number: spec for spec in left[number][0].tables[name]}
            for row in rows:
                check_row(row, specs[row["id"]])
    return check_scalars(store, children, left)


def same_rows(held: Held, found: Mapping[str, Sequence[Row]], plain: Sequence[tuple[int, int]]) -> bool:
    tables = {name: [(row.number, row.step) for row in rows] for name, rows in held.tables.items() if rows}
    return tables == {name: [(row["id"], row.step) for row in rows] for name, rows in found.items()} and list(
        plain
    ) == held.plain.get("plain", [])


def difference(child: Child, found: Mapping[str, Sequence[Row]], plain: Sequence[tuple[int, int]]) -> str:
    """Say what there is more or less than was acknowledged."""
    lines = [f"in flight: {child.flying}"]
    for name in {*child.held.tables, *found}:
        wanted = [(row.number, row.step) for row in child.held.tables.get(name, [])]
        got = [(row["id"], row.step) for row in found.get(name, [])]
        more, less = Counter(got) - Counter(wanted), Counter(wanted) - Counter(got)
        lines.append(f"table {name!r}: more {dict(more)}, less {dict(less)}, same order {got == wanted}")
    more, less = (
        Counter(plain) - Counter(child.held.plain.get("plain", [])),
        Counter(child.held.plain.get("plain", [])) - Counter(plain),
    )
    return "\n".join([*lines, f"plain: more {dict(more)}, less {dict(less)}"])


def plain_rows(store: maskl.Store) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    if any(info.name == "plain" for info in store.tables()):
        for number, step, half in store.sql("SELECT id, _step, half FROM plain ORDER BY run_id, _row").fetchall():
            assert half == number / 2
            found[number // ROWS].append((number, step))
    return found


def check_scalars(
    store: maskl.Store, children: Mapping[int, Child], left: Mapping[int, Sequence[Held]]
) -> dict[int, Held]:
    """Check the history of each run: of every child what was acknowledged, and all or nothing of what was not."""
    scalars: dict[str, Counter[Any]] = defaultdict(Counter)
    for run_id, key, step, value, text in store.sql("SELECT run_id, key, _step, value, text FROM history").fetchall():
        scalars[run_id][key, step, value if text is None else text] += 1
    held: dict[int, Held] = {}
    for run_id in {child.run_id for child in children.values()}:
        mine = [number for number, child in children.items() if child.run_id == run_id]
        for states in itertools.product(*(left[number] for number in mine)):
            if sum((state.scalars for state in states), Counter()) == scalars[run_id]:
                held.update(zip(mine, states, strict=True))
                break
        else:
            wanted = sum((children[number].held.scalars for number in mine), Counter())
            raise AssertionError(f"{run_id}: more {scalars[run_id] - wanted}, less {wanted - scalars[run_id]}")
    return held


def check_row(row: Row, spec: RowSpec) -> None:
    """Check a row's values against what was logged."""
    image = row["image"]
    picture = np.asarray(PillowImage.Image.convert(image.image, "RGB"))
    assert (picture == spec.picture()).all()
    assert image.caption == f"{spec.number} 번"
    assert set(image.masks) == set(spec.keys)
    assert row["score"] == spec.score
    for key in spec.keys:
        stored, logged = image.masks[key].mask_data, spec.mask(key)
        assert stored.dtype == logged.dtype
        assert (stored == logged).all()


def check_statistics(store: maskl.Store, table: str, rows: Sequence[Row]) -> None:
    """Check that each row is there once, and its counts against the pixels of its masks."""
    masks = {(row.run_id, row.row, key): mask.mask_data for row in rows for key, mask in row["image"].masks.items()}
    assert len({(row.run_id, row.row) for row in rows}) == len(rows)
    counted: dict[Any, dict[int, int]] = defaultdict(dict)
    for run_id, number, key, class_id, name, pixels, size, valid in store.sql(PIXELS, [table]).fetchall():
        mask = masks[run_id, number, key]  # no counts of a row that is not there
        assert (size, valid) == (mask.size, (mask != IGNORED).sum())
        assert name == MORE.get(class_id, f"class_{class_id}")
        assert class_id not in counted[run_id, number, key]
        counted[run_id, number, key][class_id] = pixels
    assert {place: {c: n for c, n in found.items() if n} for place, found in counted.items()} == {
        place: histogram(mask) for place, mask in masks.items()
    }
    joint: dict[Any, dict[tuple[int, int], int]] = defaultdict(dict)
    for run_id, number, a, b, class_a, class_b, pixels in store.sql(PAIRS, [table]).fetchall():
        joint[run_id, number, a, b][class_a, class_b] = pixels
    assert joint == dict(joints(masks))


def histogram(mask: Any) -> dict[int, int]:
    ids, counts = np.unique(mask, return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def joints(masks: Mapping[Any, Any]) -> Iterator[tuple[Any, dict[tuple[int, int], int]]]:
    """Yield the joint histogram of each two masks of an image, both ways."""
    by_row: dict[Any, dict[str, Any]] = defaultdict(dict)
    for (run_id, number, key), mask in masks.items():
        by_row[run_id, number][key] = mask
    for place, found in by_row.items():
        for a, b in itertools.permutations(found, 2):
            pairs = Counter(zip(found[a].ravel().tolist(), found[b].ravel().tolist(), strict=True))
            yield (*place, a, b), dict(pairs)


def rows_of(root: Path) -> list[tuple[Any, ...]]:
    """Return every row of every table, and of the history, as plain values."""
    store = maskl.open(root)
    found: list[tuple[Any, ...]] = []
    for info in store.tables():
        for row in store.table(info.name):
            masks = (
                {key: mask.mask_data.tobytes() for key, mask in row["image"].masks.items()} if "image" in row else {}
            )
            plain = {key: value for key, value in row.items() if key != "image"}
            found.append((info.name, row.run_id, row.row, row.step, plain, masks))
    history = store.sql("SELECT run_id, _row, _step, key, value, text FROM history ORDER BY ALL").fetchall()
    return sorted(found, key=repr) + history

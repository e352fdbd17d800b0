"""What a child process logs: the same calls from the same seed, and what a store holds after some of them.

Rows are described, not made: the child makes values of them, the test makes the pixels and counts them itself.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import maskl

#: ids of a child's rows begin at its number times this
ROWS = 1_000_000
LABELS = {0: "sky", 1: "road", 2: "나무", 255: "void"}
#: a set of classes that grew
MORE = {**LABELS, 3: "car"}
IGNORED = 255

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class RowSpec:
    """A row that is logged: ``frame`` says which picture, which other rows may show too."""

    number: int
    step: int
    frame: int
    keys: tuple[str, ...]
    score: float | None
    grown: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        return 5 + self.frame % 7, 9 + self.frame % 5

    def picture(self) -> Pixels:
        return np.random.default_rng(self.frame).integers(0, 256, (*self.shape, 3), np.uint8)

    def mask(self, key: str) -> Pixels:
        kind = np.int64 if key == "predictions" else np.uint8
        seed = [self.number, len(key)]
        return np.random.default_rng(seed).choice([0, 1, 2, 7, IGNORED], self.shape).astype(kind)

    def labels(self) -> dict[int, str]:
        return MORE if self.grown else LABELS

    def image(self) -> maskl.Image:
        masks = {
            key: {"mask_data": self.mask(key), "class_labels": self.labels(), "ignore_index": IGNORED}
            for key in self.keys
        }
        return maskl.Image(self.picture(), masks=masks, caption=f"{self.number} 번")


@dataclass
class Call:
    """One call of ``log()``: the new rows of each table with its log mode, scalars, and a frame of plain rows."""

    step: int
    tables: dict[str, tuple[str, list[RowSpec]]] = field(default_factory=dict)
    plain: dict[str, list[int]] = field(default_factory=dict)
    scalars: dict[str, float | str] = field(default_factory=dict)
    seal: bool = False


@dataclass
class Held:
    """What a store holds of one child: rows by table, plain rows by table, scalars."""

    tables: dict[str, list[RowSpec]] = field(default_factory=dict)
    plain: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    scalars: Counter[tuple[str, int, float | str]] = field(default_factory=Counter)

    def after(self, call: Call) -> Held:
        """Return what is held once the call is in."""
        held = Held(dict(self.tables), dict(self.plain), Counter(self.scalars))
        for name, (mode, rows) in call.tables.items():
            before = self.tables.get(name, [])
            if mode == "MUTABLE":  # all of it is stored anew, at this step
                before = [replace(row, step=call.step) for row in before]
            held.tables[name] = before + rows
        for name, numbers in call.plain.items():
            held.plain[name] = self.plain.get(name, []) + [(number, call.step) for number in numbers]
        held.scalars.update((key, call.step, value) for key, value in call.scalars.items())
        return held


def calls(seed: str, child: int, start: int = 0) -> Iterator[Call]:
    """Yield the calls that a child makes, without end; ``start`` is the first step."""
    chance = random.Random(seed)
    number = child * ROWS
    step = start

    def rows(count: int) -> list[RowSpec]:
        nonlocal number
        made = []
        for _ in range(count):
            frame = chance.randrange(12) if chance.random() < 0.5 else chance.randrange(10_000)
            keys = [("ground_truth",), ("ground_truth", "predictions"), ("ground_truth", "predictions", "third")]
            score = chance.choice([None, number, number + 0.25])
            made.append(RowSpec(number, step, frame, chance.choice(keys), score, chance.random() < 0.3))
            number += 1
        return made

    while True:
        call = Call(step, seal=chance.random() < 0.15)
        kind = chance.random()
        if kind < 0.35:  # a training loop
            call.scalars = {"loss": chance.random(), "child": child, "note": f"단계 {step}"}
        elif kind < 0.55:
            call.tables["evaluation"] = ("IMMUTABLE", rows(chance.choice([1, 1, 2, 5])))
        elif kind < 0.7:
            call.tables[f"changing_{child}"] = ("MUTABLE", rows(chance.choice([1, 2])))
            call.scalars = {"loss": chance.random()}
        elif kind < 0.82:
            call.tables[f"growing_{child}"] = ("INCREMENTAL", rows(chance.choice([1, 3])))
        elif kind < 0.9:
            call.tables["evaluation"] = ("IMMUTABLE", rows(2))
            call.tables[f"changing_{child}"] = ("MUTABLE", rows(1))
            call.scalars = {"child": child}
        elif kind < 0.96:
            call.plain["plain"] = list(range(number, number + 40))
            number += 40
        else:  # larger than what the smallest seals hold
            call.tables["evaluation"] = ("IMMUTABLE", rows(25))
        yield call
        step += 1


class Logger:
    """Makes calls on a run, keeping the tables that are logged again."""

    def __init__(self, run: maskl.Run) -> None:
        self._run = run
        self._tables: dict[str, maskl.Table] = {}

    def log(self, call: Call) -> None:
        data: dict[str, Any] = dict(call.scalars)
        for name, (mode, rows) in call.tables.items():
            table = self._tables.get(name)
            if table is None:
                table = maskl.Table(columns=["id", "image", "score"], log_mode=mode)
                if mode != "IMMUTABLE":
                    self._tables[name] = table
            for row in rows:
                table.add_data(row.number, row.image(), row.score)
            data[name] = table
        for name, numbers in call.plain.items():
            data[name] = pa.table({"id": numbers, "half": [number / 2 for number in numbers]})
        self._run.log(data, step=call.step)
        if call.seal:
            self._run._writer.seal()

"""An exception at any moment of what a program does with a store, and what has to hold afterwards.

The interpreter runs signal handlers, and so raises KeyboardInterrupt, at the beginning of a function, after a call and
when a loop goes back: ``AtMoment`` raises at the n-th such moment, ``AtSeam`` before or after the n-th effect on the
disk. ``play`` makes calls, goes on after what interrupts them, and says which returned; ``check`` says what does not
hold then.
"""

from __future__ import annotations

import dis
import fcntl
import gc
import os
import random
import signal
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.errors import MasklError
from maskl_storage import Layout
from maskl_storage.upkeep.recovery import recover
from maskl_storage.verify.verify import verify

__all__ = ["LARGE", "SMALL", "AtMoment", "AtSeam", "Interrupt", "Played", "check", "interrupted_child", "play"]

#: after these the interpreter looks whether a signal came
OPEN, DUPLICATE = os.open, os.dup2
#: what changes files, and what locks them
SEAMS: list[tuple[Any, str]] = [
    *((os, name) for name in ("open", "write", "lseek", "ftruncate", "fsync", "replace", "unlink", "mkdir", "rmdir")),
    *((os, name) for name in ("close", "dup2")),
    (fcntl, "flock"),
]
#: bytes of a seal: of small ones there are so many that they are merged
SMALL, LARGE = 5_000, 1 << 20
#: calls of ``log()`` that are played
CALLS = 12
MOMENTS = {number for name, number in dis.opmap.items() if name.startswith(("CALL", "RESUME", "JUMP_BACKWARD"))}


class Interrupt:
    """Raises KeyboardInterrupt at the n-th moment while it is entered, in this thread; 0 never.

    ``count`` says how many moments there were.
    """

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def passed(self) -> None:
        """Note a moment, and raise at the one that was asked for."""
        self.count += 1
        if self.count == self.at:
            raise KeyboardInterrupt

    @property
    def done(self) -> bool:
        """Whether it has raised already."""
        return 0 < self.at <= self.count

    def __enter__(self) -> Interrupt:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError


class AtMoment(Interrupt):
    """Raises where the interpreter looks whether a signal came."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self._last: dict[int, int] = {}

    def __enter__(self) -> Interrupt:
        if not self.done:
            sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        self._last.clear()

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._opcode

    def _opcode(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "return":
            self._last.pop(id(frame), None)
        elif event == "opcode":
            before, self._last[id(frame)] = self._last.get(id(frame)), frame.f_code.co_code[frame.f_lasti]
            if before in MOMENTS and frame.f_code is not AtMoment.__exit__.__code__:
                if self.count + 1 == self.at:
                    sys.settrace(None)
                self.passed()
        return self._opcode


class AtSeam(Interrupt):
    """Raises before or after a call of the system that changes files or locks."""

    def __init__(self, at: int, *, after: bool = False) -> None:
        super().__init__(at)
        self._after, self._thread = after, threading.get_ident()
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Interrupt:
        for module, name in SEAMS:
            self._patch.setattr(module, name, self._around(getattr(module, name)))
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    def _around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            mine = threading.get_ident() == self._thread
            if mine and not self._after:
                self.passed()
            found = real(*args, **options)
            if mine and self._after:
                try:
                    self.passed()
                except KeyboardInterrupt:
                    if real in (OPEN, DUPLICATE):  # of what was opened nobody knows the number, as after a real signal
                        os.close(found)
                    raise
            return found

        return call


@dataclass
class Played:
    """Which calls returned and which were interrupted; and what was seen that should not be."""

    returned: list[int] = field(default_factory=list)
    interrupted: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def image(number: int) -> maskl.Image:
    mask = np.full((5, 7), number % 3, np.uint8)
    picture = np.full((5, 7, 3), number, np.uint8)
    return maskl.Image(
        picture, masks={"ground_truth": {"mask_data": mask, "class_labels": {0: "하늘", 1: "b", 2: "c"}}}
    )


def log(run: maskl.Run, number: int, chance: random.Random) -> None:
    """Make one call of ``log()``, of a kind that the number decides."""
    values: dict[str, Any] = {"n": number}
    kind = number % 6
    if kind in (1, 3):
        values["t"] = maskl.Table(["n", "image"], [[number, image(number)]])
    elif kind == 2:
        values["t"] = maskl.Table(["n", "image"], [[number, image(number)], [number, image(number + 50)]])
        values["other"] = maskl.Table(["n"], [[number]])
    elif kind == 4:
        values["large"] = maskl.Table(["n", "text"], [[number, chance.randbytes(3000).hex()]])
    run.log(values)
    if kind == 5:
        run.config.update({f"key {number}": number})
        run._writer.seal()


def play(root: Path, interrupt: Interrupt, seed: str, seal_bytes: int | None = None) -> Played:
    """Log, go on after an exception, and let go of the run: by its end, or as a kill does."""
    chance, played = random.Random(seed), Played()
    run = maskl.init(dir=root, id="r")
    run._writer._seal_bytes = seal_bytes or chance.choice([SMALL, 20_000, LARGE])
    for number in range(CALLS):
        try:
            with interrupt:
                log(run, number, chance)
        except KeyboardInterrupt:
            played.interrupted.append(number)
        except MasklError as error:
            played.faults.append(f"call {number}: {error}")
        else:
            played.returned.append(number)
    if chance.random() < 0.5:
        for _ in range(2):
            try:
                with interrupt:
                    run.finish()
            except KeyboardInterrupt:
                continue
            except MasklError as error:
                played.faults.append(f"finish: {error}")
            break
    else:
        run._writer.abandon()
        maskl.teardown()
    del run
    gc.collect()  # what was interrupted lets go of its files, as the end of a process does
    return played


def expected(number: int) -> Counter[str]:
    """Return of how many rows with a number each table has, once the call is in."""
    found = Counter({"history": 1})
    kind = number % 6
    if kind in (1, 3):
        found["t"] = 1
    elif kind == 2:
        found.update({"t": 2, "other": 1})
    elif kind == 4:
        found["large"] = 1
    return found


def pixels_of(image: maskl.Image) -> set[int]:
    """Return the ids of an image's mask, after a look at its frame too."""
    assert np.asarray(image.image).shape == (5, 7, 3)
    return set(np.unique(image.masks["ground_truth"].mask_data).tolist())


def check(root: Path, played: Played) -> list[str]:
    """Recover, and return what does not hold: each call that returned is there once, others wholly or not at all."""
    faults = list(played.faults)
    faults += [f"recovery: {left.problem}" for left in recover(Layout(root)) if left.problem]
    store = maskl.open(root)
    there: dict[int, Counter[str]] = {}
    for name in (table.name for table in store.tables()):
        rows = list(store.table(name))
        if len({row.row for row in rows}) != len(rows):
            faults.append(f"{name}: rows with one _row")
        for row in rows:
            there.setdefault(int(row["n"]), Counter())[name] += 1
            if name == "t" and not pixels_of(row["image"]) <= {row["n"] % 3, (row["n"] + 50) % 3}:
                faults.append(f"t: another mask in row {row['n']}")
    history = store.sql("SELECT _row, value FROM history WHERE key = 'n'").fetchall()
    if len({row for row, _ in history}) != len(history):
        faults.append("history: rows with one _row")
    for _, value in history:
        there.setdefault(int(value), Counter())["history"] += 1
    for number in played.returned:
        if there.get(number) != expected(number):
            faults.append(f"call {number} returned, and there is {dict(there.get(number, {}))}")
    for number, found in there.items():
        if number not in played.returned and found != expected(number):
            faults.append(f"call {number} was interrupted, and there is {dict(found)}")
    faults += [str(fault) for fault in verify(Layout(root)).faults]
    return faults


def interrupted_child(root: Path, seed: str, returned: Connection) -> None:
    """Log, go on after each signal, and say which calls returned; then end as a kill does, or well.

    Signals come at random moments. A call that returned is told by its number, one that was refused by one below 0.
    """
    os.environ["MASKL_SILENT"] = "true"
    chance = random.Random(seed)
    run = maskl.init(dir=root, id="r")
    run._writer._seal_bytes = chance.choice([SMALL, 20_000, LARGE])
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    number = -1
    while number < 24:
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.choice([0.005, 0.05]) * chance.random() + 0.0005)
            while number < 24:
                number += 1
                log(run, number, chance)
                os.write(returned.fileno(), struct.pack("<q", number))
        except KeyboardInterrupt:
            continue
        except MasklError:
            os.write(returned.fileno(), struct.pack("<q", -number - 1))
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for _ in range(100):  # one that is on its way comes in here
            pass
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    except KeyboardInterrupt:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    if chance.random() < 0.5:
        run.finish()
    os._exit(0)

"""Merging beside a writer, while signals come."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import pytest

from maskl_storage.merge.background import Merger
from maskl_storage.merge.rewrite import FAN_IN
from tests.durability.interrupts import AtMoment

pytestmark = pytest.mark.once


def test_whatever_interrupts_a_merger_its_end_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merged: list[bool] = []
    monkeypatch.setattr(Merger, "_merge", lambda _self, *, ends=False: merged.append(ends))
    for at in itertools.count(1):
        merger = Merger(tmp_path, "r", 0)
        with contextlib.suppress(KeyboardInterrupt), AtMoment(at) as interrupt:
            for seals in range(1, 3 * FAN_IN):
                merger.sealed(seals)
            merger.finish()
        merger.finish()
        assert merged.pop() is True
        if not interrupt.done:
            break
    assert at > FAN_IN

"""A thousand changes of single bytes, over all kinds of files of a store: verification finds each of them."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from maskl_storage import Layout
from maskl_storage.catalog.listing import live_seals
from maskl_storage.disk.local import Folder
from maskl_storage.errors import MasklError
from maskl_storage.upkeep.compact import compact
from maskl_storage.verify.verify import verify
from tests.durability.flips import damaged, flips
from tests.storage.stores import fill

pytestmark = pytest.mark.durability

SEED = int(os.environ.get("MASKL_SEED", random.SystemRandom().randrange(1 << 32)))
FLIPS, PIECES = 1000, 10


@pytest.mark.parametrize("piece", range(PIECES))
def test_every_change_of_a_byte_is_found(tmp_path: Path, piece: int) -> None:
    print(f"MASKL_SEED={SEED}")
    for more in range(100):  # until there is a file of each kind
        layout = Layout.create(tmp_path / str(more) / "maskl-store")
        fill(layout, SEED + piece + PIECES * more, runs=2, seals=3)
        compact(layout, ["run 0"])  # merged parts, and seals that are replaced, are files of a store too
        folders = {path.name for path in layout.root.iterdir() if path.is_dir()}
        if {"seals", "runs", "rows", "images", "class_pixels", "class_totals", "scores", "history"} <= folders:
            break
    else:
        raise AssertionError("the stores lack files of some kinds")
    assert verify(layout).faults == []
    missed = []
    for flip in flips(layout.root, FLIPS // PIECES, SEED + piece):
        with damaged(layout.root, flip):
            try:
                clean = verify(Layout(layout.root)).clean
            except MasklError:  # maskl.json is broken, and nothing opens the store
                clean = False
        if clean and not without_data(layout.root, flip.path):
            missed.append(flip)
    assert missed == [], f"MASKL_SEED={SEED}"


def without_data(root: Path, path: str) -> bool:
    """Whether a file carries no data: a part that no live seal names waits to be removed."""
    return path.endswith(".parquet") and path not in {
        part.path for seal in live_seals(Folder(root), {}) for part in seal.parts
    }

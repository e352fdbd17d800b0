"""Sources that are wrong: small ones to spoil, and proof that nothing of them is in a store."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import maskl
from maskl.importing.importer import Imported, import_dataset


def save(path: Path, pixels: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def bomb(path: Path, side: int = 65_000) -> Path:
    """Write a PNG whose header claims 65,000 × 65,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")
    )
    return path


def edit(path: Path, change: Any) -> None:
    """Change what a JSON file holds."""
    body = json.loads(path.read_text("utf-8"))
    change(body)
    path.write_text(json.dumps(body), "utf-8")


@contextmanager
def nothing_imported(source: Path) -> Iterator[Path]:
    """Check that a block leaves no trace of an import."""
    target = source.parent / "imported"
    before = {path for path in source.parent.rglob("*") if source not in path.parents}
    yield target
    after = {path for path in source.parent.rglob("*") if source not in path.parents}
    assert after == before, "an import that failed left something"


def refused(source: Path, kind: str, *words: str, **options: Any) -> None:
    """Check that an import fails with these words and stores nothing."""
    with nothing_imported(source) as target, pytest.raises(maskl.errors.MasklError) as caught:
        import_dataset(source, format=kind, **options, dir=target)
    for word in words:
        assert word in str(caught.value)


def skipped(source: Path, kind: str, rows: int, *words: str, **options: Any) -> Imported:
    """Check that an import without its bad rows has this many, and lists the one that was left out."""
    target = source.parent / "skipped"
    found = import_dataset(source, format=kind, **options, dir=target, skip_bad=True)
    assert (sum(found.rows.values()), found.skipped) == (rows, 1)
    for word in words:
        assert word in found.problems[0]
    (table,) = found.rows
    assert len(maskl.open(target).table(table)) == rows
    return found

"""Single-byte changes over all kinds of files of a store."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Flip:
    """One byte of a file becomes another."""

    path: str
    at: int
    by: int


def flips(root: Path, count: int, seed: int) -> list[Flip]:
    """Return random changes: every kind of file and its first, last and middle bytes alike often."""
    rng = random.Random(seed)
    kinds: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        # what lies outside these is not the store's: .gitignore, and what waits to be sealed, which has its own tests
        name = path.relative_to(root).as_posix()
        if path.is_file() and path.suffix in (".json", ".parquet") and path.stat().st_size:
            kinds.setdefault(name.split("/")[0], []).append(path)
    found = []
    for number in range(count):
        kind = list(kinds)[number % len(kinds)]
        path = rng.choice(kinds[kind])
        size = path.stat().st_size
        near = rng.choice(["anywhere", "anywhere", "footer", "beginning"])
        at = {
            "anywhere": rng.randrange(size),
            "footer": max(0, size - 1 - rng.randrange(min(size, 2000))),
            "beginning": rng.randrange(min(size, 200)),
        }[near]
        found.append(Flip(path.relative_to(root).as_posix(), at, rng.randrange(1, 256)))
    return found


@contextlib.contextmanager
def damaged(root: Path, flip: Flip) -> Iterator[None]:
    """Change a byte for a while."""
    path = root / flip.path
    before = path.read_bytes()
    after = bytearray(before)
    after[flip.at] ^= flip.by
    path.write_bytes(after)
    try:
        yield
    finally:
        path.write_bytes(before)

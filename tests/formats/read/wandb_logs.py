"""Transaction logs of W&B, made by hand: records of protocol buffers in LevelDB's log format."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def field(number: int, value: int | bytes | str) -> bytes:
    """Return a field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    made = b""
    while value >= 0x80:
        made += bytes([value & 0x7F | 0x80])
        value >>= 7
    return made + bytes([value])


def log_of(*records: bytes) -> bytes:
    """Return a transaction log of records, split over blocks as LevelDB does."""
    made = bytearray(b":W&B\xe1\xbe\x00")
    for record in records:
        rest, first = memoryview(record), True
        while first or rest:
            left = 32768 - len(made) % 32768
            if left < 7:
                made += bytes(left)
                continue
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if not rest else 2) if first else (4 if not rest else 3)
            made += struct.pack("<IHB", zlib.crc32(piece, zlib.crc32(bytes([kind]))), len(piece), kind)
            made += piece
            first = False
    return bytes(made)


def started(run: str = "r", at: int = 0, **more: Any) -> bytes:
    """Return a record of which run this is, begun at some second; ``more`` by the numbers of its fields, as ``f3``."""
    said = b"".join(field(int(key[1:]), value) for key, value in more.items())
    return field(17, field(1, run) + said + (field(17, field(1, at)) if at else b""))


def history(step: int, values: Mapping[str, Any]) -> bytes:
    items = b"".join(field(1, field(2, key) + field(16, json.dumps(value))) for key, value in values.items())
    return field(2, items + field(2, field(1, step)))


ENDED = field(18, field(1, 0))


def wandb_run(tmp_path: Path, *records: bytes, cut: int | None = None, name: str = "offline-run-1-r") -> Path:
    folder = tmp_path / name
    (folder / "files" / "media").mkdir(parents=True)
    (folder / "run-r.wandb").write_bytes(log_of(*records)[:cut])
    return folder


def files(*paths: str) -> bytes:
    """Return a record that files are to be uploaded."""
    return field(6, b"".join(field(1, field(1, path)) for path in paths))


def config(**values: Any) -> bytes:
    return field(5, b"".join(field(1, field(2, key) + field(16, json.dumps(value))) for key, value in values.items()))


def summary(**values: Any) -> bytes:
    return field(3, b"".join(field(1, field(2, key) + field(16, json.dumps(value))) for key, value in values.items()))


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def entry(path: str, data: bytes | None = None, local: str = "", reference: str = "", digest: str = "") -> bytes:
    """Return a file in an artifact: its path, its digest and size, and where it waits, or its address."""
    said = field(1, path) + field(2, digest or md5(data or b"")) + field(4, len(data or b""))
    return said + (field(6, local) if local else b"") + (field(3, reference) if reference else b"")


def artifact(
    name: str,
    entries: Iterable[bytes],
    kind: str = "model",
    *,
    client: str = "client",
    aliases: Iterable[str] = (),
    metadata: str = "",
    incremental: bool = False,
) -> bytes:
    """Return a record that an artifact was logged."""
    manifest = b"".join(field(4, some) for some in entries)
    said = field(4, kind) + field(5, name) + field(8, metadata) + b"".join(field(11, alias) for alias in aliases)
    return field(8, said + field(12, manifest) + field(15, client) + field(100, int(incremental)))


def staged(folder: Path, name: str, data: bytes) -> str:
    path = folder / "artifacts" / "staging" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


#: a run in which nothing is wrong
GOOD = [started("good", at=1), history(0, {"x": 1}), ENDED]

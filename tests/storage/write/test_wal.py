"""Write-ahead files give back every whole record, and nothing else, whatever happened to their end."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from maskl_storage.write.wal import Tail, WalFile, read_wal

RECORDS = [([number, "기록", [0.5, None, b"x" * number]], bytes(range(number))) for number in range(20)]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    file = WalFile(tmp_path / "0-0.wal")
    for value, data in RECORDS:
        file.append(value, data)
    file.close(remove=False)
    return tmp_path / "0-0.wal"


def ends(path: Path) -> list[int]:
    """Return where each record ends."""
    whole, found = path.read_bytes(), [0]
    for size in range(1, len(whole) + 1):
        path.write_bytes(whole[:size])
        if sum(1 for _ in read_wal(path)) == len(found):
            found.append(size)
    path.write_bytes(whole)
    return found[1:]


def test_every_truncation_gives_back_the_whole_records_before_it(written: Path) -> None:
    whole, places = written.read_bytes(), ends(written)
    assert (len(places), places[-1]) == (len(RECORDS), len(whole))
    for size in range(len(whole)):
        written.write_bytes(whole[:size])
        tail = Tail()
        kept = sum(place <= size for place in places)
        assert list(read_wal(written, tail)) == RECORDS[:kept]
        assert tail == Tail(size - (places[kept - 1] if kept else 0), damaged=False)


def test_a_changed_byte_ends_what_is_read_at_its_record(written: Path) -> None:
    whole, places = written.read_bytes(), ends(written)
    chance = random.Random(0)
    for _ in range(200):
        at, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        written.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        tail = Tail()
        kept = sum(place <= at for place in places)
        assert list(read_wal(written, tail)) == RECORDS[:kept]
        assert tail.bytes == len(whole) - (places[kept - 1] if kept else 0)


def test_a_repeated_record_is_none(written: Path) -> None:
    whole, places = written.read_bytes(), ends(written)
    written.write_bytes(whole + whole[: places[0]])
    tail = Tail()
    assert list(read_wal(written, tail)) == RECORDS
    assert tail == Tail(places[0], damaged=True)


def test_a_zeroed_page_is_noticed(written: Path) -> None:
    whole, places = written.read_bytes(), ends(written)
    written.write_bytes(whole[: places[9]] + bytes(len(whole) - places[9]))
    tail = Tail()
    assert list(read_wal(written, tail)) == RECORDS[:10]
    assert tail == Tail(len(whole) - places[9], damaged=True)

"""Write-ahead files give back every whole record, and nothing else, whatever happened to them and to who wrote them."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from maskl_storage.disk.local import Folder
from maskl_storage.write import wal
from maskl_storage.write.wal import HEAD, MAGIC, MISSING, Mark, Tail, WalFile, read_wal

pytestmark = pytest.mark.once

RECORDS = [([number, "기록", [0.5, None, b"x" * number]], bytes(range(number))) for number in range(20)]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    file = WalFile(Folder(tmp_path), "0-0.wal")
    mark = Mark()
    for record in RECORDS:
        mark = file.append(mark, [record])
    file.close()
    return tmp_path / "0-0.wal"


def ends(path: Path) -> list[int]:
    """Return where each record ends."""
    whole, found = path.read_bytes(), [0]
    for size in range(1, len(whole) + 1):
        path.write_bytes(whole[:size])
        if sum(1 for _ in read_wal(Folder(path.parent), path.name)) == len(found):
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
        assert list(read_wal(Folder(written.parent), written.name, tail)) == RECORDS[:kept]
        assert tail == Tail(size - (places[kept - 1] if kept else 0), damaged=False)


def test_a_changed_byte_costs_its_record_alone(written: Path) -> None:
    whole, places = written.read_bytes(), ends(written)
    chance = random.Random(0)
    for _ in range(200):
        at, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        written.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        tail = Tail()
        hit = sum(place <= at for place in places)
        size = places[hit] - (places[hit - 1] if hit else 0)
        assert list(read_wal(Folder(written.parent), written.name, tail)) == [*RECORDS[:hit], *RECORDS[hit + 1 :]]
        last = hit == len(RECORDS) - 1
        assert (tail.bytes, tail.skipped) == ((size, 0) if last else (0, size))


@pytest.mark.parametrize("kept", [0, 1, 7])
def test_records_behind_a_torn_one_are_found(written: Path, kept: int) -> None:
    """A record of which only the beginning was written, and behind it others: with its number, and with those after."""
    whole, places = written.read_bytes(), [0, *ends(written)]
    for size in range(1, places[kept + 1] - places[kept]):
        written.write_bytes(whole[: places[kept] + size] + whole[places[kept] :])
        tail = Tail()
        assert list(read_wal(Folder(written.parent), written.name, tail)) == RECORDS
        assert tail == Tail(skipped=size)


def test_as_many_records_as_the_format_says_may_be_missing(tmp_path: Path) -> None:
    file = WalFile(Folder(tmp_path), "0-0.wal")
    marks = [Mark()]
    for number in range(MISSING + 3):
        marks.append(file.append(marks[-1], [([number], b"")]))
    file.close()
    places = [mark.end for mark in marks]
    whole = (tmp_path / "0-0.wal").read_bytes()
    for gap, found in ((MISSING, True), (MISSING + 1, False)):
        (tmp_path / "0-0.wal").write_bytes(b"x" + whole[places[gap] :])
        tail = Tail()
        read = [value for value, _ in read_wal(Folder(tmp_path), "0-0.wal", tail)]
        assert read == ([[number] for number in range(gap, MISSING + 3)] if found else [])
        assert tail.skipped == (1 if found else 0)


def test_a_file_of_false_heads_ends_the_search(tmp_path: Path) -> None:
    """Each head claims all that follows, which would be hashed once for each."""
    path, size = tmp_path / "0-0.wal", 1 << 16
    heads = [HEAD.pack(MAGIC, 0, max(size - at - HEAD.size, 0), bytes(8)) for at in range(0, size, HEAD.size)]
    path.write_bytes(b"".join(heads)[:size])
    hashed = 0
    real = wal.blake3

    def counted(data: bytes) -> object:
        nonlocal hashed
        hashed += 1
        return real(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wal, "blake3", counted)
        assert list(read_wal(Folder(path.parent), path.name)) == []
    assert hashed < 20 * MISSING


class Interrupted(BaseException):
    """As KeyboardInterrupt: no error of anybody's."""


@pytest.mark.parametrize("raised", [Interrupted, OSError])
@pytest.mark.parametrize("seam", ["os.write", "os.lseek", "os.ftruncate", "sync", "_checksum"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(6))
def test_what_is_kept_outlasts_an_interruption_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException], seam: str, after: bool, at: int
) -> None:
    """The program goes on after it, as notebooks do: what was acknowledged is read, and nothing else."""
    file = WalFile(Folder(tmp_path), "0-0.wal")
    mark, kept = Mark(), list[tuple[object, bytes]]()
    place = {"sync": WalFile, "_checksum": wal}.get(seam, os)
    name = seam.removeprefix("os.")
    real, calls = getattr(place, name), [0]

    def interrupted(*arguments: object) -> object:
        calls[0] += 1
        if calls[0] == at + 4 and not after:
            raise raised
        done = real(*arguments)
        if calls[0] == at + 4:
            raise raised
        return done

    with monkeypatch.context() as patch:
        patch.setattr(place, name, interrupted)
        for number in range(12):
            group = [([number, part, "기록"], bytes(number * 7 % 5)) for part in range(number % 3 + 1)]
            try:
                mark = file.append(mark, group)
            except raised:
                continue
            kept += group
    file.append(mark, [(["last"], b"")])
    file.close()
    tail = Tail()
    assert list(read_wal(Folder(tmp_path), "0-0.wal", tail)) == [*kept, (["last"], b"")]
    assert tail == Tail()


def test_a_repeated_record_is_none(written: Path) -> None:
    whole, places = written.read_bytes(), ends(written)
    written.write_bytes(whole + whole[: places[0]])
    tail = Tail()
    assert list(read_wal(Folder(written.parent), written.name, tail)) == RECORDS
    assert tail == Tail(places[0], damaged=True)


def test_a_zeroed_page_is_noticed(written: Path) -> None:
    whole, places = written.read_bytes(), ends(written)
    written.write_bytes(whole[: places[9]] + bytes(len(whole) - places[9]))
    tail = Tail()
    assert list(read_wal(Folder(written.parent), written.name, tail)) == RECORDS[:10]
    assert tail == Tail(len(whole) - places[9], damaged=True)

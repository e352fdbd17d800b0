"""Frames of the rows that come next are decoded ahead, where that is of use, and nobody notices but by the time."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.errors import CorruptData
from maskl.images import threads
from maskl.images.decoding import decoders
from maskl.images.image import _Parsed, decode_ahead
from maskl.reading import _ahead, _torch
from maskl.reading.table import StoredTable

ROWS = 20


def frame(number: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(number).integers(0, 256, (7, 5 + number % 3, 3), np.uint8)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ahead")
    table = maskl.Table(["n", "image", "other"])
    for number in range(ROWS):
        mask = {"m": {"mask_data": np.full((7, 5 + number % 3), number, np.uint8)}}
        other = maskl.Image(frame(100 + number)) if number != 7 else maskl.Image("s3://bucket/7.png")
        table.add_data(number, maskl.Image(frame(number), masks=mask) if number != 5 else None, other)
    with maskl.init(dir=directory, settings={"silent": True}) as run:
        run.log({"t": table})
    return directory


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests of what is decoded, as it is; two threads decode ahead, whatever the machine has."""
    found: list[str] = []
    decode = _Parsed.decoded

    def noted(parsed: _Parsed) -> Any:
        found.append(str(parsed.stored and parsed.stored.digest))
        return decode(parsed)

    monkeypatch.setattr(_Parsed, "decoded", noted)
    monkeypatch.setattr(threads, "encoder_threads", lambda: 2)
    return found


def rows_of(directory: Path) -> StoredTable:
    return maskl.open(directory).table("t")


def test_frames_in_order_are_those_of_their_rows_and_decoded_once(directory: Path, decoded: list[str]) -> None:
    for row in rows_of(directory):
        if row["image"] is not None:
            assert np.array_equal(np.asarray(row["image"].image), frame(row["n"]))
            assert (row["image"].masks["m"].mask_data == row["n"]).all()
        if row["n"] % 4 == 0:  # of some rows only: others are decoded ahead and dropped
            assert np.array_equal(np.asarray(row["other"].image), frame(100 + row["n"]))
    assert len(decoded) == len(set(decoded))


@pytest.mark.parametrize(
    ("read", "frames"),
    [
        pytest.param(lambda rows: [row["image"].masks["m"].mask_data for row in rows if row["image"]], 0, id="masks"),
        pytest.param(lambda rows: [rows[n]["image"].image for n in (3, 9, 1, 12, 0)], 5, id="here and there"),
        pytest.param(lambda rows: rows[3]["image"].image, 1, id="one row"),
    ],
)
def test_nothing_is_decoded_ahead_where_it_is_of_no_use(
    directory: Path, decoded: list[str], read: Callable[[StoredTable], Any], frames: int
) -> None:
    read(rows_of(directory))
    if decoders._pool is not None:
        for _ in range(2):  # its threads have nothing left to do
            decoders._pool[1].end()
    assert len(decoded) == frames


def test_views_and_slices_are_read_ahead_by_themselves(directory: Path, decoded: list[str]) -> None:
    rows = rows_of(directory)
    for number, row in enumerate(rows):
        if number == 4:
            break
        assert np.array_equal(np.asarray(row["image"].image), frame(number))
    for view, numbers in ((rows[8:14], range(8, 14)), (rows[::-1][:5], range(19, 14, -1))):
        assert [int(row["n"]) for row in view] == list(numbers)
        assert [np.asarray(row["image"].image).tolist() for row in view] == [frame(n).tolist() for n in numbers]
    assert np.array_equal(np.asarray(rows[4]["image"].image), frame(4))


def test_what_is_wrong_with_a_row_is_said_when_it_is_asked_for(
    directory: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = StoredTable.__mro__[1]._row  # type: ignore[attr-defined]  # the storage package's

    def failing(self: Any, index: int) -> Any:
        if index == 3:
            raise CorruptData("row 3 is damaged")
        return read(self, index)

    monkeypatch.setattr(StoredTable.__mro__[1], "_row", failing)
    seen: list[int] = []
    with pytest.raises(CorruptData, match="row 3"):
        seen.extend(numbers_of(rows_of(directory)[8:]))
    assert seen == [8, 9, 10]


def numbers_of(rows: StoredTable) -> Iterator[int]:
    """Yield the number of each row whose frames could be decoded."""
    for row in rows:
        for name in ("image", "other"):
            if row[name] is not None and row[name].reference is None:
                row[name].image  # noqa: B018  # decodes
        yield int(row["n"])


def test_pixels_that_cannot_be_decoded_are_said_when_they_are_asked_for(
    directory: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = _Parsed.decoded

    def failing(parsed: _Parsed) -> Any:
        pixels = decode(parsed)
        if np.array_equal(np.asarray(pixels), frame(9)):
            raise CorruptData("image 9 is damaged")
        return pixels

    monkeypatch.setattr(_Parsed, "decoded", failing)
    seen: list[int] = []
    with pytest.raises(CorruptData, match="image 9"):
        seen.extend(numbers_of(rows_of(directory)))
    assert seen == list(range(9))


def test_what_waits_is_bounded(directory: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ahead, "BYTES", 4 * 7 * 7 * 2 * 3)  # some three rows of two images
    rows = rows_of(directory)
    most = 0
    for row in rows:
        if row["image"] is not None:
            row["image"].image  # noqa: B018  # decodes
        assert rows._ahead is not None
        most = max(most, len(rows._ahead._waiting))
    assert 1 <= most <= 6


def test_a_forked_child_and_a_pickle_decode_by_themselves(directory: Path, decoded: list[str]) -> None:
    rows = iter(rows_of(directory))
    for _ in range(3):
        row = next(rows)
        row["image"].image  # noqa: B018  # decodes
    child = os.fork()
    if child == 0:
        row = next(rows)
        os._exit(0 if np.array_equal(np.asarray(row["image"].image), frame(3)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    row = next(rows)
    assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(row["image"])).image), frame(3))
    assert len(pickle.loads(pickle.dumps(rows_of(directory)))) == ROWS


def test_nothing_is_decoded_ahead_where_there_is_one_thread(
    directory: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "encoder_threads", lambda: 1)
    rows = rows_of(directory)
    assert sum(1 for _ in numbers_of(rows)) == ROWS
    assert rows._ahead is not None
    assert not rows._ahead._waiting


def test_a_batch_of_a_dataset_is_decoded_at_once(
    directory: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_torch, "_tensor", lambda array: array)
    fields = {"image": _torch.Field("image"), "mask": _torch.Field("image", ("m",)), "n": _torch.Field("n")}
    dataset = _torch.TorchRows(rows_of(directory), fields, "own", None, None)
    batch = dataset.__getitems__([9, 2, 9, 5])
    assert [item["n"] for item in batch] == [9, 2, 9, 5]
    for item in batch[:3]:
        assert np.array_equal(np.moveaxis(item["image"], 0, -1), frame(item["n"]))
        assert (item["mask"] == item["n"]).all()
    assert batch[3]["image"] is None


def test_a_batch_decodes_no_more_ahead_than_there_is_room_for(
    directory: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[maskl.Image] = []
    ahead: list[int] = []

    def begin(image: maskl.Image) -> None:
        begun.append(image)
        decode_ahead(image)

    def note(item: dict[str, Any]) -> dict[str, Any]:
        ahead.append(len(begun) - len(ahead))
        return item

    monkeypatch.setattr(_ahead, "decode_ahead", begin)
    monkeypatch.setattr(_ahead, "BYTES", 4 * 7 * 7 * 2)  # some row of two images
    monkeypatch.setattr(_torch, "_tensor", lambda array: array)
    numbers = [9, 2, 14, 3, 11, 8]
    dataset = _torch.TorchRows(rows_of(directory), {"image": _torch.Field("image")}, "own", None, note)
    batch = dataset.__getitems__(numbers)
    assert [np.moveaxis(item["image"], 0, -1).tolist() for item in batch] == [frame(n).tolist() for n in numbers]
    assert len(begun) == len(decoded) == len(numbers)
    assert 1 < max(ahead) <= 3

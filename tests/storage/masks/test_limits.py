"""A few bytes that claim a mask of any size are refused before that is allocated."""

from __future__ import annotations

import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest
import zstandard

import maskl
from maskl.errors import InvalidValue, LargeMaskWarning, MasklError
from maskl_storage.masks import limits
from maskl_storage.masks.coco import positions
from maskl_storage.masks.codec import HEADER, decode, encode, mask_info, runs_of
from maskl_storage.masks.png import mask_png

MB = 1 << 20


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Leave the limit of the process as it was."""
    yield
    limits.set_max_mask_pixels(None)
    limits._Limit.warned = False


def claiming(height: int, width: int) -> bytes:
    """Return an encoded mask of zeros that takes next to nothing, as anybody can make one."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj(size=height * width)
    pieces = []
    block = bytes(min(height * width, MB))
    for _ in range(height * width // len(block)):
        pieces.append(compressor.compress(block))
    pieces.append(compressor.flush())
    head = HEADER.pack(b"MSKL", 1, 1, 2, 2, height, width)
    payload = b"".join(pieces)
    return head + struct.pack("<I", zlib.crc32(payload, zlib.crc32(head))) + payload


@pytest.mark.parametrize("read", [decode, runs_of, mask_png, maskl.masks.classes])
def test_a_mask_above_the_limit_is_refused_before_it_takes_memory(read: Callable[[bytes], object]) -> None:
    data = claiming(1 << 15, 1 << 15)  # a gigabyte of pixels
    assert len(data) < MB
    tracemalloc.start()
    with pytest.raises(InvalidValue, match=r"32768×32768 pixels has more than max_mask_pixels, 536,870,912.*MASKL_MAX"):
        read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MB
    assert mask_info(data).shape == (1 << 15, 1 << 15)  # what it claims can be asked


def test_run_lengths_of_coco_that_claim_any_size() -> None:
    with pytest.raises(InvalidValue, match="max_mask_pixels"):
        positions(np.array([0, 1 << 40], np.int64), 1 << 20, 1 << 20)


def test_the_environment_and_the_settings_say_another_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = encode(np.eye(20, dtype=np.uint8))
    monkeypatch.setenv("MASKL_MAX_MASK_PIXELS", "399")
    with pytest.raises(InvalidValue, match="20×20 pixels has more than max_mask_pixels, 399"):
        decode(data)
    with maskl.init(dir=tmp_path, settings={"max_mask_pixels": 400}):
        assert decode(data).shape == (20, 20)
    limits.set_max_mask_pixels(None)
    for wrong in ("0", "-1", "many", "1.5", "9" * 5000):
        monkeypatch.setenv("MASKL_MAX_MASK_PIXELS", wrong)
        with pytest.raises(InvalidValue, match="environment variable MASKL_MAX_MASK_PIXELS"):
            decode(data)
    monkeypatch.delenv("MASKL_MAX_MASK_PIXELS")
    for setting in (0, True, "x", 1.5):
        with pytest.raises(InvalidValue, match="max_mask_pixels must be a whole number"):
            maskl.Settings(max_mask_pixels=setting)  # type: ignore[arg-type]


def test_a_larger_mask_is_stored_with_one_warning_and_every_reader_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MASKL_MAX_MASK_PIXELS", "99")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with maskl.init(dir=tmp_path, id="r") as run:
            for step in range(3):
                masks = {"m": {"mask_data": np.full((10, 10), step)}}
                image = maskl.Image(np.zeros((10, 10), np.uint8), masks=masks)
                run.log({"t": maskl.Table(columns=["image"], data=[[image]])}, step=step)
    assert [warning.category for warning in caught] == [LargeMaskWarning]
    store = maskl.open(tmp_path)
    assert store.sql("SELECT count(*) FROM class_pixels").fetchall() == [(3,)]
    image = store.table("t")[0]["image"]
    with pytest.raises(MasklError, match="max_mask_pixels"):
        image.masks["m"].mask_data  # noqa: B018
    with pytest.raises(duckdb.Error, match="max_mask_pixels"):
        store.sql('SELECT mask_area("image__mask__m", 1) FROM tables.t').fetchall()
    with pytest.raises(MasklError, match="max_mask_pixels"):
        store.export("t", tmp_path / "out", "png")
    assert all("max_mask_pixels" in fault.problem for fault in store.verify().faults[:1])
    assert not store.verify().clean
    limits.set_max_mask_pixels(None)  # the run had taken what the environment said
    monkeypatch.setenv("MASKL_MAX_MASK_PIXELS", "100")
    assert store.verify().clean
    assert store.table("t")[2]["image"].masks["m"].mask_data.max() == 2

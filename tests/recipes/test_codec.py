"""A codec of one's own from one new file: it is encoded by, logged, read, queried and verified like any other."""

from __future__ import annotations

import importlib
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maskl
import maskl_storage
from maskl import Image
from maskl.errors import CorruptData, InvalidType, InvalidValue
from maskl_storage import decode, encode, mask_info
from maskl_storage.masks import codecs
from maskl_storage.masks.codec import encode_with_runs, runs_of
from maskl_storage.masks.codecs import Codec, register
from maskl_storage.masks.run_lengths import Pixels, Runs

pytestmark = pytest.mark.once

#: two codecs as a stranger writes them, one that gives runs and one that gives pixels
FILE = '''
"""Toy codecs: masks of one colour, and masks of stripes."""

import numpy as np

from maskl_storage.errors import CorruptData
from maskl_storage.masks.codecs import Codec, register
from maskl_storage.masks.run_lengths import Pixels, Runs
from maskl_storage.masks._scan import MAX_RUNS_PIXELS


@register
class Flat(Codec):
    """The only value of a mask."""

    tag = 200
    name = "flat"

    def encode(self, scan):
        if not scan.few_runs or scan.runs.values.size > 1:
            return None
        return scan.runs.values.astype(scan.stored).tobytes()

    def decode(self, payload, info):
        if len(payload) != info.stored.itemsize:
            raise CorruptData(f"a mask of one colour has {info.stored.itemsize} bytes; got {len(payload)}")
        return Runs(np.zeros(1, np.int32), np.frombuffer(payload, info.stored), info.shape)


@register
class Stripes(Codec):
    """The first row, of masks whose rows are all equal."""

    tag = 201
    name = "stripes"

    def encode(self, scan):
        rows = scan.pixels.reshape(scan.shape)
        return rows[0].tobytes() if (rows == rows[0]).all() else None

    def decode(self, payload, info):
        height, width = info.shape
        if len(payload) != width * info.stored.itemsize or info.size > MAX_RUNS_PIXELS:
            raise CorruptData(f"stripes of shape {info.shape} have one row; got {len(payload)} bytes")
        return Pixels(np.tile(np.frombuffer(payload, info.stored), height), info.shape)
'''
DTYPES = ["?", "u1", "i1", "<u2", ">i4", "u8", "i8"]
SHAPES = [(1, 1), (7, 9), (64, 65), (120, 90)]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget afterwards what a test registers."""
    for name in ("_by_tag", "_by_name"):
        monkeypatch.setattr(codecs, name, dict(getattr(codecs, name)))
    codecs.known.cache_clear()
    yield
    codecs.known.cache_clear()


@pytest.fixture
def toy(registry: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import the one new file."""
    (tmp_path / "toy_codecs.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_codecs", raising=False)
    return importlib.import_module("toy_codecs")


def masks(dtype: str, shape: tuple[int, int]) -> dict[str, Any]:
    """Return masks that each kind of codec suits."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    random = np.random.default_rng(0)
    stripes = np.tile(random.integers(0, 1 if dtype == "?" else 127, shape[1]), (shape[0], 1))
    found = {"one colour": y * 0 + 1, "stripes": stripes, "regions": (y // 5 + x // 7) % 2}
    found["noise"] = random.integers(0, 2, shape)
    return {name: mask.astype(dtype) for name, mask in found.items()}


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_chosen_where_it_is_the_smallest(dtype: str, shape: tuple[int, int]) -> None:
    for name, mask in masks(dtype, shape).items():
        data, runs = encode_with_runs(mask)
        if name == "one colour":  # of so many bytes as the value has, and of equal payloads the lowest tag has it
            assert mask_info(data).codec == ("raw" if mask.size == 1 else "flat")
        elif name == "stripes" and mask.size > 100 and dtype != "?":
            assert mask_info(data).codec == "stripes"
        back = decode(data)
        assert (back.dtype, back.shape, back.flags.writeable) == (mask.dtype, mask.shape, True)
        assert np.array_equal(back, mask)
        again = runs_of(data)
        assert np.array_equal(again.starts, runs.to_runs().starts)
        assert np.array_equal(again.values, runs.to_runs().values)


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("codec", ["raw", "zstd", "bands", "flat", "stripes"])
def test_any_codec_can_be_asked_for_by_name(codec: str, dtype: str) -> None:
    for shape in SHAPES:
        for name, mask in masks(dtype, shape).items():
            held = {"flat": len(np.unique(mask)) == 1, "stripes": bool((mask == mask[0]).all())}
            if not held.get(codec, True):
                with pytest.raises(InvalidValue, match=f"codec '{codec}' cannot hold this mask of shape"):
                    encode(mask, codec=codec)
                continue
            data = encode(mask, codec=codec)
            assert mask_info(data).codec == codec
            assert np.array_equal(decode(data), mask), name
    with pytest.raises(InvalidValue, match="must be one of 'raw', 'zstd', 'bands', 'flat', 'stripes'; got 'none'"):
        encode(mask, codec="none")


@pytest.mark.usefixtures("toy")
def test_it_is_logged_read_queried_compacted_and_verified(store_dir: Path) -> None:
    row = np.random.default_rng(0).permutation(np.repeat(np.arange(2, dtype=np.uint8), 25))
    stripes = np.tile(row, (200, 1))
    ones, labels = np.ones_like(stripes), {0: "sky", 1: "road"}
    layers = {"truth": {"mask_data": stripes, "class_labels": labels}, "guess": {"mask_data": ones}}
    for number in range(2):
        with maskl.init(name=f"run {number}", dir=store_dir) as run:
            run.log({"shot": Image(np.zeros((200, 50), np.uint8), masks=layers)})
            run.log({"shot": Image(np.zeros((200, 50), np.uint8), masks=layers)})
    store = maskl.open(store_dir)
    store.compact()
    for row in store.table("shot"):
        kept = row["image"].masks
        assert [mask_info(kept[key].data).codec for key in ("truth", "guess")] == ["stripes", "flat"]
        assert np.array_equal(kept["truth"].mask_data, stripes)
        assert np.array_equal(kept["guess"].mask_data, ones)
    query = """
        SELECT mask_shape(t), mask_classes(t), mask_area(t, 1), mask_bbox(g, 1), mask_iou(t, g, 1),
               mask_rle(g, 1).counts, mask_png(g), mask_crop(t, 0, 0, 3, 2)
        FROM (SELECT image__mask__truth AS t, image__mask__guess AS g FROM shot)
    """
    rows = store.sql(query).fetchall()
    assert len(rows) == 4
    for shape, ids, area, box, iou, counts, png, part in rows:
        assert (shape, ids, area) == ({"height": 200, "width": 50}, [0, 1], 5000)
        assert (box, iou) == ({"x": 0, "y": 0, "width": 50, "height": 200}, 0.5)
        assert (counts, png) == (maskl.masks.rle(ones, 1)["counts"], maskl.masks.png(ones))
        assert np.array_equal(decode(part), stripes[:2, :3])
    found = store.metrics("shot", "truth", "guess")
    assert [row["iou"] for row in found if row["class_name"] == "road"] == [0.5] * 4
    assert store.verify().faults == []


def test_without_its_module_a_mask_says_which_codec_is_missing(
    toy: ModuleType, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ones = np.ones((20, 20), np.uint8)
    data = encode(ones)
    with maskl.init(dir=store_dir) as run:
        run.log({"shot": Image(ones, masks={"m": {"mask_data": ones}})})
    monkeypatch.delitem(codecs._by_tag, toy.Flat.tag)
    codecs.known.cache_clear()
    words = "no codec 200 is known, .* 0 raw, 1 zstd, 2 bands, .*: import the module that registers it"
    for read in (decode, mask_info, runs_of):
        with pytest.raises(CorruptData, match=words):
            read(data)  # type: ignore[operator]
    store = maskl.open(store_dir)
    with pytest.raises(CorruptData, match=words):
        _ = store.table("shot")[0]["image"].masks["m"].mask_data
    faults = store.verify().faults
    assert faults
    assert any("no codec 200 is known" in str(fault) for fault in faults)


def test_a_file_in_the_folder_of_codecs_is_found_there(tmp_path: Path) -> None:
    copy = tmp_path / "tree"
    shutil.copytree(Path(maskl_storage.__file__).parent, copy / "maskl_storage", ignore=shutil.ignore_patterns("*.pyc"))
    (copy / "maskl_storage" / "masks" / "codecs" / "toys.py").write_text(FILE)
    code = """
import numpy as np
from maskl_storage import decode, encode, mask_info
data = encode(np.ones((20, 20), np.uint8))
print(mask_info(data).codec, decode(data).sum())
"""
    env = {**os.environ, "PYTHONPATH": str(copy)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert ran.stdout == "flat 400\n"


# --- a codec that is wrong ------------------------------------------------------------------------


def test_every_truncation_of_its_payloads_is_refused(toy: ModuleType) -> None:
    for name in ("flat", "stripes"):
        data = encode(np.ones((20, 20), np.uint16), codec=name)
        for size in range(len(data)):
            with pytest.raises(CorruptData):
                decode(data[:size])
    assert toy.Flat.checked is False


STARTS = {
    "not at 0": [1, 5],
    "not increasing": [0, 5, 5],
    "falling": [0, 7, 3],
    "beyond the end": [0, 12],
    "negative": [0, -3],
    "none": [],
}


def wrong(found: Runs | Pixels) -> type[Codec]:
    """Return a codec that gives this for every payload."""

    class Wrong(Codec):
        """A codec that does not look at what it makes."""

        tag, name = 222, "wrong"

        def encode(self, scan: Any) -> bytes:
            return b"x"

        def decode(self, payload: memoryview, info: Any) -> Runs | Pixels:
            return found

    return Wrong


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    "found",
    [
        *(Runs(np.array(starts, np.int32), np.ones(len(starts), np.uint8), (3, 4)) for starts in STARTS.values()),
        Runs(np.zeros(1, np.int32), np.ones(2, np.uint8), (3, 4)),
        Runs(np.zeros(1), np.ones(1, np.uint8), (3, 4)),
        Runs(np.zeros(1, np.int32), np.ones(1), (3, 4)),
        Runs(np.zeros(1, np.int32), np.ones(1, np.uint8), (4, 3)),
        Pixels(np.ones(11, np.uint8), (3, 4)),
        Pixels(np.ones((3, 4), np.uint8), (3, 4)),
        Pixels(np.ones(12), (3, 4)),
    ],
    ids=[*STARTS, "more values", "float starts", "float values", "shape", "few pixels", "2D pixels", "float pixels"],
)
def test_what_is_no_mask_is_refused(found: Runs | Pixels) -> None:
    register(wrong(found))
    data = encode(np.ones((3, 4), np.uint8))
    assert mask_info(data).codec == "wrong"
    for read in (decode, runs_of):
        with pytest.raises(CorruptData, match=r"codec 'wrong' made (runs|pixels) that are no mask"):
            read(data)


@pytest.mark.usefixtures("registry")
def test_runs_of_a_mask_larger_than_runs_may_be_are_refused() -> None:
    """A byte would otherwise make a reader allocate as much as a header can claim."""
    register(wrong(Runs(np.zeros(1, np.int32), np.ones(1, np.uint8), (1 << 14, 1 << 14))))
    data = bytearray(encode(np.ones((3, 4), np.uint8)))
    struct.pack_into("<II", data, 8, 1 << 14, 1 << 14)
    struct.pack_into("<I", data, 16, zlib.crc32(data[20:], zlib.crc32(data[:16])))
    with pytest.raises(CorruptData, match="are no mask of"):
        decode(data)
    large = np.zeros((1 << 13, (1 << 13) + 1), np.uint8)
    assert mask_info(encode(large)).codec == "zstd"
    with pytest.raises(InvalidValue, match="codec 'wrong' cannot hold this mask"):
        encode(large, codec="wrong")


@pytest.mark.usefixtures("registry")
@given(st.integers(-(1 << 31), (1 << 31) - 1))
def test_values_that_the_dtype_cannot_hold_are_refused(value: int) -> None:
    codecs._by_tag.pop(222, None)
    codecs._by_name.pop("wrong", None)
    register(wrong(Runs(np.zeros(1, np.int32), np.array([value], np.int32), (3, 4))))
    data = encode(np.ones((3, 4), np.int8))
    if -128 <= value <= 127:
        assert decode(data).tolist() == [[value] * 4] * 3
    else:
        with pytest.raises(CorruptData, match="holds values that int8 cannot"):
            decode(data)


# --- registering --------------------------------------------------------------------------------


def codec_of(tag: Any, name: Any, qualname: str = "Other") -> type[Codec]:
    """Return a codec with this tag and name."""
    methods = {"encode": lambda self, scan: None, "decode": lambda self, payload, info: None}
    return type(qualname, (Codec,), {"tag": tag, "name": name, "__module__": "other", **methods})


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("tag", "name", "error", "words"),
    [
        (2, "mine", InvalidValue, "codec 'mine' with tag 2: codec 'bands' has tag 2"),
        (130, "raw", InvalidValue, "codec 'raw' with tag 130: codec 'raw' has tag 0"),
        (256, "mine", InvalidValue, "a tag is from 0 to 255"),
        (-1, "mine", InvalidValue, "a tag is from 0 to 255"),
        (130, "Mine!", InvalidValue, "a name is a word in lower case"),
        (130, "", InvalidValue, "a name is a word in lower case"),
        ("a", "mine", InvalidType, "needs a tag, an int, and a name; got 'a', 'mine'"),
        (True, "mine", InvalidType, "needs a tag, an int, and a name; got True, 'mine'"),
        (130, None, InvalidType, "needs a tag, an int, and a name; got 130, None"),
    ],
)
def test_a_tag_or_name_that_is_none_or_taken_is_refused(tag: Any, name: Any, error: Any, words: str) -> None:
    before = codecs.known()
    with pytest.raises(error, match=words):
        register(codec_of(tag, name))
    assert codecs.known() == before


@pytest.mark.usefixtures("registry")
def test_a_codec_that_is_made_once_more_takes_the_place_of_the_first() -> None:
    first, second = (register(codec_of(130, "mine")) for _ in range(2))
    assert isinstance(codecs.by_tag(130), second)
    assert not isinstance(codecs.by_tag(130), first)
    with pytest.raises(InvalidValue, match="each needs a name and a tag of its own"):
        register(codec_of(130, "mine", "Another"))


def test_the_tags_of_the_format_are_those_of_its_codecs() -> None:
    assert [(codec.tag, codec.name) for codec in codecs.known()] == [(0, "raw"), (1, "zstd"), (2, "bands")]
    assert all(codec.checked for codec in codecs.known())

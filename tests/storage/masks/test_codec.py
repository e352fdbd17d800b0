"""The mask codec: exact for everything it takes, and deaf to bytes that lie."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maskl_storage import decode, encode, mask_info
from maskl_storage.errors import CorruptData, InvalidType, InvalidValue, UnsupportedVersion
from maskl_storage.masks import codec
from maskl_storage.masks.codec import countable, encode_with_runs, runs_of
from maskl_storage.masks.limits import set_max_mask_pixels
from maskl_storage.masks.run_lengths import Pixels, Runs

Mask = npt.NDArray[Any]

DTYPES = [np.dtype(f"{order}{kind}") for kind in ("u2", "i2", "u4", "i4", "u8", "i8") for order in "<>"]
DTYPES += [np.dtype(kind) for kind in ("?", "u1", "i1")]
INT32 = np.iinfo(np.int32)
#: what decoding a small or refused payload may allocate at most
FEW_MB = 4 << 20
RAW, ZSTD, BANDS = 0, 1, 2
UINT8 = 2


@pytest.fixture(autouse=True, scope="module")
def any_size() -> Iterator[None]:
    """Have claims of any size come as far as the codec: what is refused by its size alone has tests of its own."""
    set_max_mask_pixels((1 << 64) - 1)
    yield
    set_max_mask_pixels(None)


def limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the smallest and largest value of a dtype that a mask may hold."""
    if dtype == np.bool_:
        return 0, 1
    info = np.iinfo(dtype)
    return max(info.min, INT32.min), min(info.max, INT32.max)


def assert_same(data: bytes, mask: Mask) -> None:
    """Check that the bytes give back the mask, dtype and byte order included."""
    back = decode(data)
    assert back.dtype == mask.dtype
    assert back.shape == mask.shape
    assert np.array_equal(back, mask)
    assert back.flags.writeable
    assert back.flags.c_contiguous
    assert mask_info(data).shape == mask.shape
    assert mask_info(data).dtype == mask.dtype


def expand_runs(runs: Runs) -> Mask:
    return np.repeat(runs.values, np.diff(np.append(runs.starts, runs.size)))


def pixels_of_runs(data: bytes) -> Mask:
    """Return the pixels that a payload's runs say, without the decoder's expansion."""
    runs = countable(data)
    if isinstance(runs, Pixels):
        assert np.array_equal(runs.values, expand_runs(runs.to_runs()))
        return runs.values.reshape(runs.shape)
    ends = np.append(runs.starts[1:], runs.size)
    return np.repeat(runs.values, ends - runs.starts).reshape(runs.shape)


def pattern(kind: str, shape: tuple[int, int], values: list[int], seed: int) -> npt.NDArray[np.int64]:
    """Return a mask of one of the shapes that masks have, or that break run-length codecs."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    index = {
        "constant": np.zeros(shape, np.int64),
        "rows": y,
        "columns": x,
        "checkers": x + y,
        "blocks": y // 5 + x // 7,
        "noise": np.random.default_rng(seed).integers(0, len(values), shape),
        "speckle": np.random.default_rng(seed).random(shape) > 0.98,
    }[kind].astype(np.int64)
    return np.array(values, np.int64)[index % len(values)]


LAYOUTS: dict[str, Callable[[Mask], Mask]] = {
    "C": lambda m: m,
    "Fortran": np.asfortranarray,
    "transposed": lambda m: np.ascontiguousarray(m.T).T,
    "strided": lambda m: np.repeat(np.repeat(m, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda m: np.ascontiguousarray(m[::-1, ::-1])[::-1, ::-1],
    "sliced": lambda m: np.pad(m, ((1, 2), (3, 1)))[1:-2, 3:-1],
    "broadcast": lambda m: np.broadcast_to(m[:1], m.shape),
}


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    """Draw a mask of any dtype, layout, size and content."""
    dtype = draw(st.sampled_from(DTYPES))
    side = st.one_of(st.integers(1, 20), st.integers(60, 140))
    shape = (draw(side), draw(side))
    low, high = limits(dtype)
    values = draw(st.lists(st.integers(low, high), min_size=1, max_size=5))
    kind = draw(st.sampled_from(["constant", "rows", "columns", "checkers", "blocks", "noise", "speckle"]))
    mask = pattern(kind, shape, values, draw(st.integers(0, 99))).astype(dtype)
    mask = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](mask)
    if draw(st.booleans()):
        mask.flags.writeable = False
    return mask


@given(masks())
def test_any_mask_comes_back_as_it_was(mask: Mask) -> None:
    before = mask.copy()
    data = encode(mask)
    assert np.array_equal(mask, before)
    assert_same(data, mask)
    assert np.array_equal(pixels_of_runs(data), mask)


@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
            elements=st.booleans() if dtype == np.bool_ else st.integers(*limits(dtype)),
        )
    )
)
def test_any_values_come_back_as_they_were(mask: Mask) -> None:
    assert_same(encode(mask), mask)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_extremes_of_every_dtype_come_back(dtype: np.dtype[Any]) -> None:
    low, high = limits(dtype)
    assert_same(encode(np.array([[low, high], [high, low]], dtype)), np.array([[low, high], [high, low]], dtype))


@pytest.mark.parametrize("name", ["byte", "short", "intc", "int_", "longlong", "ubyte", "uintc", "ulonglong"])
def test_c_types_are_known_by_their_size(name: str) -> None:
    mask = np.arange(6).reshape(2, 3).astype(name)
    assert_same(encode(mask), mask)


@pytest.mark.parametrize("kind", ["constant", "rows", "columns", "checkers", "blocks", "noise", "speckle"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 9), (8, 8), (63, 65), (64, 64), (65, 127), (333, 517)])
def test_patterns_of_any_size_come_back(kind: str, shape: tuple[int, int]) -> None:
    mask = pattern(kind, shape, [3, 0, 255], 5).astype(np.uint8)
    data = encode(mask)
    assert_same(data, mask)
    assert np.array_equal(pixels_of_runs(data), mask)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_the_memory_layout_does_not_change_the_bytes(layout: str) -> None:
    mask = pattern("rows", (40, 56), [1, 2], 0).astype(np.uint16)
    mask = np.broadcast_to(mask[:1], mask.shape) if layout == "broadcast" else mask
    assert encode(LAYOUTS[layout](mask)) == encode(np.ascontiguousarray(mask))


@pytest.mark.parametrize("gap", [254, 255, 256, 257, 509, 510, 511, 512, 765, 766, 5000, 70000])
@pytest.mark.parametrize("height", [1, 8, 17])
def test_gaps_of_any_width_are_bridged(height: int, gap: int) -> None:
    mask = np.zeros((height, gap + 1), np.uint8)
    assert_same(encode(mask), mask)
    mask[-1, gap] = 1
    data = encode(mask)
    assert_same(data, mask)
    assert np.array_equal(pixels_of_runs(data), mask)


@pytest.mark.parametrize("place", [(0, 0), (0, 2999), (1499, 1500), (2999, 0), (2999, 2999)])
def test_one_pixel_of_a_large_mask_is_kept(place: tuple[int, int]) -> None:
    mask = np.zeros((3000, 3000), np.uint8)
    mask[place] = 9
    data = encode(mask)
    assert mask_info(data).codec == "bands"
    assert_same(data, mask)


@pytest.mark.parametrize("shape", [(1, 70001), (70001, 1), (8, 5000), (3000, 3000)])
def test_a_mask_of_one_run_takes_few_bytes(shape: tuple[int, int]) -> None:
    mask = np.full(shape, -1, np.int32)
    data = encode(mask)
    assert len(data) < 200
    assert_same(data, mask)


def test_a_mask_too_large_for_bands_is_kept_as_plain_zstd() -> None:
    mask = np.zeros((8192, 8193), np.uint8)
    mask[5000, 17:] = 4
    data = encode(mask)
    assert mask_info(data).codec == "zstd"
    assert len(data) < 1 << 16
    assert_same(data, mask)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (np.zeros((1, 1), np.uint8), "raw"),
        (pattern("noise", (128, 128), list(range(256)), 0).astype(np.uint8), "raw"),
        (pattern("noise", (128, 128), [0, 1], 0).astype(np.uint8), "zstd"),
        (pattern("blocks", (128, 128), [0, 1, 2], 0).astype(np.int64), "bands"),
    ],
    ids=["tiny", "noise", "two-valued noise", "blocks"],
)
def test_the_codec_follows_the_content(mask: Mask, expected: str) -> None:
    assert mask_info(encode(mask)).codec == expected


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, pa.py_buffer], ids=lambda f: f.__name__)
def test_any_buffer_is_decoded(wrap: Callable[[bytes], Any]) -> None:
    mask = pattern("blocks", (70, 70), [0, 1], 0).astype(np.uint8)
    assert np.array_equal(decode(wrap(encode(mask))), mask)


def test_what_is_decoded_shares_no_memory_with_the_payload() -> None:
    data = bytearray(encode(np.array([[1]], np.uint8)))
    back = decode(data)
    data[-1] ^= 0xFF
    back[0, 0] += 1
    assert back[0, 0] == 2


@pytest.mark.parametrize("value", [1 << 31, (1 << 32) - 1, -(1 << 31) - 1, (1 << 63) - 1, -(1 << 63)])
@pytest.mark.parametrize("shape", [(1, 1), (100, 100)])
def test_values_outside_32_bits_are_refused(shape: tuple[int, int], value: int) -> None:
    mask = np.zeros(shape, np.int64)
    mask[-1, -1] = value
    with pytest.raises(InvalidValue, match="within signed 32 bits"):
        encode(mask)


@pytest.mark.parametrize(("dtype", "value"), [("u4", 1 << 31), (">u4", 1 << 31), ("u8", 1 << 63), (">u8", 1 << 32)])
def test_unsigned_values_outside_32_bits_are_refused(dtype: str, value: int) -> None:
    with pytest.raises(InvalidValue, match=str(value)):
        encode(np.array([[value]], dtype))


@pytest.mark.parametrize(
    "mask", [np.zeros((2, 2)), np.zeros((2, 2), complex), np.array([["a"]]), np.array([[None]])], ids=str
)
def test_other_dtypes_are_refused(mask: Mask) -> None:
    with pytest.raises(InvalidType, match="integers or booleans"):
        encode(mask)


@pytest.mark.parametrize("shape", [(), (4,), (2, 2, 1)])
def test_other_ranks_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidType, match="mask_data must be a 2D array"):
        encode(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
def test_an_empty_mask_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(InvalidValue, match="empty"):
        encode(np.zeros(shape, np.uint8))


# --- torn and lying payloads --------------------------------------------------------------------


def forge(
    body: bytes,
    shape: tuple[int, int],
    *,
    codec: int = BANDS,
    dtype: int = UINT8,
    stored: int = UINT8,
    version: int = 1,
    magic: bytes = b"MSKL",
) -> bytes:
    """Return an encoded mask with a header and checksum of its own."""
    head = struct.pack("<4sBBBBII", magic, version, codec, dtype, stored, *shape)
    return head + struct.pack("<I", zlib.crc32(head + body)) + body


def zstd(data: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)


def bands(gaps: list[int], bits: list[int], values: bytes, counts: tuple[int, int] | None = None) -> bytes:
    """Return a bands payload; ``counts`` are what it says, by default what it holds."""
    events, runs = counts or (len(gaps), len(values))
    return struct.pack("<II", events, runs) + zstd(bytes(gaps) + bytes(bits) + values)


def frame_claiming(size: int, blocks: bytes) -> bytes:
    """Return a zstd frame whose header claims this content size, whatever the blocks hold."""
    return b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + struct.pack("<Q", size) + blocks


def assert_refused(data: bytes, error: type[Exception] = CorruptData) -> None:
    """Check that both readers refuse the bytes, and that neither allocates much first."""
    for read in (decode, runs_of):
        tracemalloc.start()
        try:
            with pytest.raises(error):
                read(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < FEW_MB


EXAMPLES = {
    "raw": np.array([[1, 2], [3, 4]], np.uint8),
    "zstd": pattern("noise", (70, 70), [0, 1], 1).astype(bool),
    "bands": pattern("blocks", (70, 70), [-1, 300], 1).astype(">i4"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_what_they_are_called(name: str) -> None:
    assert mask_info(encode(EXAMPLES[name])).codec == name


def test_forged_payloads_are_read_where_they_tell_the_truth() -> None:
    """Otherwise the tests below would refuse everything for the wrong reason."""
    assert decode(forge(bands([1, 1], [1, 1], b"\x07\x09"), (8, 2)))[0].tolist() == [7, 9]
    assert decode(forge(zstd(bytes(16)), (8, 2), codec=ZSTD)).shape == (8, 2)
    assert decode(forge(bytes(16), (8, 2), codec=RAW)).shape == (8, 2)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_truncation_is_refused(name: str) -> None:
    data = encode(EXAMPLES[name])
    for size in range(len(data)):
        with pytest.raises(CorruptData):
            decode(data[:size])


@pytest.mark.parametrize("name", EXAMPLES)
def test_trailing_bytes_are_refused(name: str) -> None:
    with pytest.raises(CorruptData):
        decode(encode(EXAMPLES[name]) + b"\0")


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_changed_byte_is_refused(name: str) -> None:
    data = encode(EXAMPLES[name])
    for place in range(len(data)):
        for change in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            altered = bytearray(data)
            altered[place] ^= change
            with pytest.raises((CorruptData, UnsupportedVersion)):
                decode(altered)


@given(st.binary(max_size=200))
@example(b"")
@example(b"MSKL")
@example(b"\x89PNG\r\n\x1a\n" + bytes(100))
def test_bytes_of_something_else_are_refused(data: bytes) -> None:
    with pytest.raises((CorruptData, UnsupportedVersion)):
        decode(data)


@given(st.binary(max_size=120), st.integers(0, 2), st.integers(1, 9), st.sampled_from([2, 3, 4, 5, 7]), st.data())
def test_any_body_behind_a_valid_checksum_is_decoded_or_refused(
    body: bytes, kind: int, dtype: int, stored: int, data: st.DataObject
) -> None:
    side = st.one_of(st.integers(1, 30), st.integers(1, (1 << 32) - 1))
    shape = (data.draw(side), data.draw(side))
    if kind and data.draw(st.booleans()):
        body = (body[:8] if kind == BANDS else b"") + zstd(body[8:] if kind == BANDS else body)
    try:
        mask = decode(forge(body, shape, codec=kind, dtype=dtype, stored=stored))
    except CorruptData:
        return
    assert mask.shape == shape


@given(
    st.tuples(st.integers(1, 20), st.integers(1, 6)),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 255)), min_size=1, max_size=8),
    st.data(),
)
def test_any_events_give_increasing_runs_or_are_refused(
    shape: tuple[int, int], events: list[tuple[int, int]], data: st.DataObject
) -> None:
    gaps, bits = [gap for gap, _ in events], [bit for _, bit in events]
    count = sum(bit.bit_count() for bit in bits) + data.draw(st.sampled_from([0, 0, 0, 1]))
    payload = forge(bands(gaps, bits, bytes(range(count))), shape)
    try:
        runs = runs_of(payload)
    except CorruptData:
        with pytest.raises(CorruptData):
            decode(payload)
        return
    assert runs.starts[0] == 0
    assert np.all(np.diff(runs.starts) > 0)
    assert runs.starts[-1] < runs.size
    assert np.array_equal(decode(payload), pixels_of_runs(payload))


HUGE = (1 << 32) - 1
LIES = {
    "raw, huge shape": forge(b"\0", (HUGE, HUGE), codec=RAW),
    "raw, shape one too large": forge(bytes(15), (8, 2), codec=RAW),
    "raw, shape one too small": forge(bytes(17), (8, 2), codec=RAW),
    "raw, wider stored type": forge(bytes(16), (8, 2), codec=RAW, stored=4),
    "zstd, huge shape": forge(zstd(b"\0"), (HUGE, HUGE), codec=ZSTD),
    "zstd, frame holds more": forge(zstd(bytes(17)), (8, 2), codec=ZSTD),
    "zstd, frame holds less": forge(zstd(bytes(15)), (8, 2), codec=ZSTD),
    "zstd, frame claims the huge shape": forge(frame_claiming(1 << 40, b"\1\0\0"), (1 << 20, 1 << 20), codec=ZSTD),
    "zstd, frame claims what its length allows": forge(
        frame_claiming(1 << 30, random.Random(0).randbytes(1 << 16)), (1 << 15, 1 << 15), codec=ZSTD
    ),
    "zstd, blocks end before the claim": forge(
        frame_claiming(1 << 24, (((1 << 17) << 3) | 2).to_bytes(3, "little") + b"\0" + b"\1\0\0" + bytes(600)),
        (1 << 12, 1 << 12),
        codec=ZSTD,
    ),
    "zstd, frame does not say its size": forge(zstd(bytes(16), write_content_size=False), (8, 2), codec=ZSTD),
    "zstd, two frames": forge(zstd(bytes(8)) + zstd(bytes(8)), (8, 2), codec=ZSTD),
    "zstd, trailing bytes": forge(zstd(bytes(16)) + b"x", (8, 2), codec=ZSTD),
    "zstd, no frame": forge(bytes(40), (8, 2), codec=ZSTD),
    "zstd, empty": forge(b"", (8, 2), codec=ZSTD),
    "bands, empty": forge(b"", (8, 2)),
    "bands, counts cut": forge(bytes(7), (8, 2)),
    "bands, huge shape": forge(bands([1], [1], b"\7"), (HUGE, HUGE)),
    "bands, huge shape and counts": forge(bands([1], [1], b"\7", (HUGE, HUGE)), (HUGE, HUGE)),
    "bands, huge width": forge(bands([1], [1], b"\7"), (1, HUGE)),
    "bands, huge events": forge(bands([1], [1], b"\7", (HUGE, 1)), (8, 2)),
    "bands, huge runs": forge(bands([1], [1], b"\7", (1, HUGE)), (8, 2)),
    "bands, no events": forge(bands([], [], b""), (8, 2)),
    "bands, no runs": forge(bands([1], [0], b""), (8, 2)),
    "bands, counts as large as the shape allows": forge(bands([1], [1], b"\7", (1 << 20, 1 << 20)), (1 << 12, 1 << 11)),
    "bands, the frame agrees with huge counts": forge(
        struct.pack("<II", 1 << 20, 1 << 20) + frame_claiming(3 << 20, b"\1\0\0"), (1 << 12, 1 << 11)
    ),
    "bands, gap of 0 first": forge(bands([0, 2], [1, 1], b"\7\x09"), (8, 2)),
    "bands, gap of 0 later": forge(bands([1, 0], [1, 2], b"\7\x09"), (8, 2)),
    "bands, more bits than runs": forge(bands([1, 1], [1, 3], b"\7\x09"), (8, 2)),
    "bands, fewer bits than runs": forge(bands([1, 1], [1, 0], b"\7\x09"), (8, 2)),
    "bands, first run not at 0 but a row below": forge(bands([1], [2], b"\7"), (8, 2)),
    "bands, first run not at 0 but a column on": forge(bands([2], [1], b"\7"), (8, 2)),
    "bands, column beyond the end": forge(bands([1, 2], [1, 1], b"\7\x09"), (8, 2)),
    "bands, row beyond the end": forge(bands([1, 1], [1, 16], b"\7\x09"), (4, 2)),
    "bands, values cut": forge(struct.pack("<II", 2, 2) + zstd(b"\1\1\1\1\7"), (8, 2)),
    "bands, bytes after the frame": forge(bands([1], [1], b"\7") + b"x", (8, 2)),
    "bands, value too large for its dtype": forge(bands([1], [1], b"\7"), (8, 2), dtype=1),
    "unknown codec": forge(bytes(16), (8, 2), codec=3),
    "unknown dtype": forge(bytes(16), (8, 2), codec=RAW, dtype=10),
    "unknown big-endian dtype": forge(bytes(16), (8, 2), codec=RAW, dtype=0x8A),
    "dtype 0": forge(bytes(16), (8, 2), codec=RAW, dtype=0),
    "unknown stored type": forge(bytes(16), (8, 2), codec=RAW, stored=11),
    "stored as bool": forge(bytes(16), (8, 2), codec=RAW, stored=1),
    "stored wider than a mask may be": forge(bytes(128), (8, 2), codec=RAW, stored=9, dtype=9),
    "no rows": forge(b"", (0, 2), codec=RAW),
    "no columns": forge(b"", (8, 0), codec=RAW),
    "wrong magic": forge(bytes(16), (8, 2), codec=RAW, magic=b"MSKM"),
    "version 0": forge(bytes(16), (8, 2), codec=RAW, version=0),
    "empty": b"",
    "header only": forge(bytes(16), (8, 2), codec=RAW)[:16],
}
#: lies about values, which only decoding to the dtype that was logged can tell
VALUE_LIES = ("bands, value too large for its dtype",)


@pytest.mark.parametrize("name", [name for name in LIES if name not in VALUE_LIES])
def test_a_payload_that_lies_is_refused_before_much_is_allocated(name: str) -> None:
    assert_refused(LIES[name])


@pytest.mark.parametrize(
    ("dtype", "stored", "value"),
    [(1, 2, 2), (1, 3, -1), (2, 4, 256), (2, 3, -1), (3, 2, 128), (4, 7, 1 << 16), (6, 7, -1), (8, 7, -1)],
)
@pytest.mark.parametrize("kind", [RAW, ZSTD, BANDS])
def test_values_that_the_dtype_cannot_hold_are_refused(kind: int, dtype: int, stored: int, value: int) -> None:
    raw = np.array([value], codec.DTYPES[stored]).tobytes()
    body = {RAW: raw, ZSTD: zstd(raw), BANDS: struct.pack("<II", 1, 1) + zstd(b"\1\1" + raw)}[kind]
    with pytest.raises(CorruptData, match="holds values"):
        decode(forge(body, (1, 1), codec=kind, dtype=dtype, stored=stored))


def test_gaps_that_add_up_past_32_bits_are_refused() -> None:
    """Sums that wrap round would come back to a column that exists."""
    events = (1 << 32) // 255 + 2
    gaps, bits = np.full(events, 255, np.uint8), np.zeros(events, np.uint8)
    gaps[0] = bits[0] = bits[-1] = 1
    last = int(gaps.sum(dtype=np.int64)) - 1
    assert 0 < last - (1 << 32) < 1 << 26
    body = struct.pack("<II", events, 2) + zstd(gaps.tobytes() + bits.tobytes() + b"\5\6")
    with pytest.raises(CorruptData):
        runs_of(forge(body, (1, 1 << 26)))


@pytest.mark.parametrize("version", [2, 255])
def test_a_newer_version_is_refused_as_such(version: int) -> None:
    data = forge(bytes(16), (8, 2), codec=RAW, version=version)
    assert_refused(data, UnsupportedVersion)
    with pytest.raises(UnsupportedVersion, match=f"version {version}.*update maskl"):
        mask_info(data)


@pytest.mark.parametrize("name", ["wrong magic", "unknown codec", "dtype 0", "no rows", "version 0", "empty"])
def test_mask_info_refuses_a_wrong_header(name: str) -> None:
    with pytest.raises(CorruptData):
        mask_info(LIES[name])


def test_mask_info_reads_nothing_but_the_header() -> None:
    info = mask_info(encode(EXAMPLES["bands"])[:20])
    assert (info.shape, info.dtype, info.codec, info.stored) == ((70, 70), np.dtype(">i4"), "bands", np.dtype("i2"))


def test_decoding_a_small_mask_allocates_little() -> None:
    mask = pattern("blocks", (360, 480), [0, 1, 2], 0).astype(np.uint8)
    data, _ = encode_with_runs(mask)
    tracemalloc.start()
    try:
        decode(data)
        assert tracemalloc.get_traced_memory()[1] < FEW_MB
    finally:
        tracemalloc.stop()

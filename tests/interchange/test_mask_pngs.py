"""Columns of masks become columns of PNGs, and what is kept of them stays within its bytes."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from maskl.interchange import mask_pngs
from maskl.interchange.mask_pngs import GROUP_BYTES, MaskPngs
from maskl_storage import encode
from maskl_storage.masks.png import Filtered, filtered, mask_png


def test_a_column_keeps_its_order_and_what_no_png_holds() -> None:
    rng = np.random.default_rng(0)
    side = 1 << 9
    small = [rng.integers(0, 3, (side, side)).astype(np.uint8) for _ in range(4 * GROUP_BYTES // side**2)]
    encoded = [encode(mask) for mask in small]
    large = encode([[-1, 70_000]])
    cells = [None, large, *encoded, None, large]
    with MaskPngs.started() as made:
        pngs, exact = made.columns(pa.chunked_array([cells[:5], cells[5:]], pa.binary()))
        assert made.columns(pa.chunked_array([], pa.binary())) == (pa.array([], pa.binary()), pa.array([], pa.binary()))
    assert exact.to_pylist() == [cell if cell is large else None for cell in cells]
    found = [None if png is None else np.asarray(Image.open(io.BytesIO(png))) for png in pngs.to_pylist()]
    assert [mask is None for mask in found] == [cell is None or cell is large for cell in cells]
    assert all(np.array_equal(a, b) for a, b in zip((m for m in found if m is not None), small, strict=True))


def test_what_was_made_before_is_not_made_again() -> None:
    masks = [encode(np.full((4, 4), number, np.int64)) for number in range(3)]
    with MaskPngs.started() as made:
        first, _ = made.columns(pa.chunked_array([masks], pa.binary()))
        again, _ = made.columns(pa.chunked_array([masks[1:]], pa.binary()))
    assert again.to_pylist() == first.to_pylist()[1:] == [mask_png(mask) for mask in masks[1:]]


def test_what_is_kept_stays_within_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    masks = [encode(rng.integers(0, 256, (64, 64)).astype(np.uint8)) for _ in range(8)]
    monkeypatch.setattr(mask_pngs, "KEPT", 3 * (len(masks[0]) + len(mask_png(masks[0]))))
    asked: list[bytes] = []

    def counted(mask: bytes) -> Filtered:
        asked.append(mask)
        return filtered(mask)

    monkeypatch.setattr(mask_pngs, "filtered", counted)
    with MaskPngs.started() as made:
        made.columns(pa.chunked_array([masks], pa.binary()))
        made.columns(pa.chunked_array([masks[-2:]], pa.binary()))
        assert asked == masks
        made.columns(pa.chunked_array([masks[:1]], pa.binary()))
    assert asked == [*masks, masks[0]]

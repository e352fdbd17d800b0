"""The codec ``raw``: the values as they are."""

from __future__ import annotations

import numpy as np

from maskl_storage.errors import CorruptData
from maskl_storage.masks._scan import Scan
from maskl_storage.masks.codecs import Codec, MaskInfo, register
from maskl_storage.masks.run_lengths import Pixels

__all__ = ["Raw"]


@register
class Raw(Codec):
    """The values in raster order, for what does not compress."""

    tag = 0
    name = "raw"
    checked = True

    def suits(self, scan: Scan) -> bool:
        """Whether the mask is noise, or so small that a frame's header outweighs what it saves."""
        return scan.small or not scan.few_runs

    def encode(self, scan: Scan) -> bytes:
        """Return the values."""
        return scan.pixels.tobytes()

    def decode(self, payload: memoryview, info: MaskInfo) -> Pixels:
        """Return the pixels."""
        size = info.size * info.stored.itemsize
        if len(payload) != size:
            raise CorruptData(f"an encoded mask of shape {info.shape} needs {size} bytes; got {len(payload)}")
        return Pixels(np.frombuffer(payload, info.stored), info.shape)

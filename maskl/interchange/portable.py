"""Image files that other tools open: JPEG XL, which few of them do, becomes lossless WebP or PNG."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from maskl.adapters.pictures import open_picture
from maskl.images.sources import PilSource
from maskl_storage.disk.cache import Cache
from maskl_storage.images.jxl import BOX, CODESTREAM, is_jxl
from maskl_storage.images.lossless import line_format

__all__ = ["Portable"]

#: bytes of converted files that are kept, since the rows of several steps have the same frames
KEPT_BYTES: Final = 64 << 20


class Portable:
    """Converts images of a selection as they are exported, and counts them."""

    def __init__(self) -> None:
        #: how many images stand in the export in another format, by what became of them
        self.converted: Counter[str] = Counter()
        self._known: Cache[tuple[bytes, str]] = Cache(KEPT_BYTES, lambda made: len(made[0]))

    def file(self, digest: str, data: bytes) -> tuple[bytes, str] | None:
        """Return an image's file that other tools open, and its format; None where what is stored is one.

        Raises
        ------
        MissingExtra
            It is JPEG XL, and the package that reads that is not installed.
        CorruptData
            It does not decode.
        """
        if not is_jxl(data):
            return None
        made = self._known.get(digest)
        if made is None:
            made = _converted(data, f"image {digest}")
            self._known.put(digest, made)
        self.converted[f"JPEG XL as {NAMES[made[1]]}"] += 1
        return made

    def columns(self, images: pa.ChunkedArray, files: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
        """Return columns of images and of their files with such that other tools open."""
        files = pa.chunked_array([files.combine_chunks()] if files.num_chunks != 1 else files.chunks, files.type)
        begins = pc.equal(pc.binary_slice(files, 0, 2), CODESTREAM), pc.equal(pc.binary_slice(files, 4, 7), BOX)
        at = pc.indices_nonzero(pc.fill_null(pc.or_(*begins), fill_value=False)).to_pylist()
        if not at:
            return images, files
        stored = images.combine_chunks()
        data, cells = files.to_pylist(), stored.to_pylist()
        for row in at:
            made = self.file(str(cells[row]["digest"]), data[row])
            if made is not None:
                data[row], cells[row]["format"] = made
        return pa.chunked_array([pa.array(cells, stored.type)]), pa.chunked_array([pa.array(data, files.type)])


#: what formats are called
NAMES: Final = {"webp": "WebP", "png": "PNG"}


def _converted(data: bytes, what: str) -> tuple[bytes, str]:
    image = open_picture(data, what)
    source = PilSource.of(image, line_format(image.mode, *image.size))
    return source.encode(), source.format

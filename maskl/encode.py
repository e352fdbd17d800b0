"""Values to plain cells: masks on the caller's thread, images on a small pool."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from maskl.image import Image
from maskl.mask import resolve_class_set
from maskl.pixels import FileSource
from maskl_storage.cells import ImageCell, MaskCell, count_mask, joint_cells
from maskl_storage.errors import StatisticsWarning
from maskl_storage.images import ImageBytes
from maskl_storage.runs import Runs
from maskl_storage.stats import MAX_CLASSES

__all__ = ["ImageEncoder", "PendingImage", "encode_image", "encoder"]

#: image encoders release the interpreter's lock; masks do not, and stay on one thread
THREADS: Final = 2
#: images that may wait for a thread; the next one makes its caller wait
QUEUE: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class PendingImage:
    """An image that a row refers to, and where its encoded bytes will be."""

    digest: str
    format: str
    mode: str
    width: int
    height: int
    load: Callable[[], bytes]

    def result(self) -> ImageBytes:
        """Return the encoded image, waiting for it if need be."""
        return ImageBytes(self.digest, self.format, self.mode, self.width, self.height, self.load())


class ImageEncoder:
    """Encodes images on a pool, in the order of the calls, a bounded number at a time."""

    def __init__(self, threads: int = THREADS, queue: int = QUEUE) -> None:
        self._threads = threads
        self._free = threading.Semaphore(queue)
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        #: how to get the bytes of an image that is stored already, by digest
        self.stored: Callable[[str], Callable[[], bytes] | None] = lambda digest: None

    def submit(self, encode: Callable[[], bytes]) -> Future[bytes]:
        """Start encoding; waits while too many images are under way."""
        with self._lock:
            if self._pool is None:
                _keep_scratch_memory()
                self._pool = ThreadPoolExecutor(self._threads, "maskl-encode")
        self._free.acquire()
        try:
            future = self._pool.submit(encode)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(lambda _: self._free.release())
        return future


#: the process's encoder
encoder: Final = ImageEncoder()


def encode_image(image: Image) -> tuple[ImageCell, PendingImage | None]:
    """Return the cell of an image, with its masks encoded and counted, and the image itself.

    The cell keeps nothing of the caller's arrays; the image keeps its pixels until they are encoded.
    """
    masks, joints = _encode_masks(image)
    if image.stored is not None:
        stored, load = image.stored
        cell = ImageCell(
            stored.digest, stored.format, stored.mode, stored.width, stored.height, image.caption, stored.path,
            masks, joints,
        )  # fmt: skip
        if stored.digest is None:
            return cell, None
        pending = PendingImage(
            stored.digest, str(stored.format), str(stored.mode), int(stored.width or 0), int(stored.height or 0), load
        )
        return cell, pending
    source = image.source
    if source is None:
        raise RuntimeError("an image has either a source or stored bytes")
    digest = image.digest()
    path = source.path if isinstance(source, FileSource) else None
    cell = ImageCell(digest, source.format, image.mode, image.width, image.height, image.caption, path, masks, joints)
    known = encoder.stored(digest)
    if known is not None:
        load = known
    elif isinstance(source, FileSource):
        load = source.encode
    else:
        load = encoder.submit(source.encode).result
    return cell, PendingImage(digest, source.format, image.mode, image.width, image.height, load)


def _encode_masks(image: Image) -> tuple[dict[str, MaskCell], Any]:
    classes = image.classes.items if image.classes is not None else ()
    masks = image.masks
    cells: dict[str, MaskCell] = {}
    runs: dict[str, Runs] = {}
    for key, mask in masks.items():
        data, mask_runs, present = mask.encoded
        class_set = resolve_class_set(mask, classes, masks)
        cell = count_mask(data, mask_runs, present, class_set, statistics=mask.statistics)
        if cell.counts is not None:
            runs[key] = mask_runs
        elif mask.statistics is None:
            warnings.warn(
                f"mask {key!r} has {present.ids.size} distinct ids, more than {MAX_CLASSES}: it keeps no class "
                f"statistics; pass 'statistics': True to count them all the same",
                StatisticsWarning,
                stacklevel=4,
            )
        cells[key] = cell
    return cells, joint_cells(runs)


def _keep_scratch_memory() -> None:
    """Make glibc keep what WebP frees: a freed block of this size raises its threshold for returning memory."""
    np.empty(30 << 20, np.uint8)[:: 1 << 12] = 0

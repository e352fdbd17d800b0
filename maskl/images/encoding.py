"""Values to plain cells: masks on the caller's thread, images on a small pool."""

from __future__ import annotations

import contextlib
import weakref
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from maskl.annotations.boxes import resolve_boxes_class_set
from maskl.annotations.doubts import warn_of_ids
from maskl.annotations.mask import resolve_class_set
from maskl.annotations.sink import sink
from maskl.images.image import Image
from maskl.images.sources import FileSource, Source, settled
from maskl.images.threads import Threads
from maskl_storage.cells.cells import (
    MAX_PAIRED,
    BoxesCell,
    ImageCell,
    MaskCell,
    count_mask,
    joint_cells,
    pairs_with,
)
from maskl_storage.disk.forks import renewed
from maskl_storage.disk.futures import Job
from maskl_storage.errors import StateError, StatisticsWarning, StorageError, warn
from maskl_storage.format.segments import classes_by_id
from maskl_storage.images.lossless import format_of
from maskl_storage.images.writer import ImageBytes
from maskl_storage.masks.codec import countable
from maskl_storage.masks.histograms import MAX_CLASSES
from maskl_storage.masks.run_lengths import Pixels, Runs
from maskl_storage.masks.segments import with_classes
from maskl_storage.read.table import StoredImage

if TYPE_CHECKING:
    from maskl_storage.write.null import NullWriter
    from maskl_storage.write.writer import Writer

__all__ = ["ImageEncoder", "PendingImage", "encode_image", "encoder", "image_of", "repaired"]

#: bytes of pixels that may wait for a thread or be at work, and that many more for each thread; the next image makes
#: its caller wait
IN_FLIGHT: Final = 32 << 20
EACH_IN_FLIGHT: Final = 16 << 20
#: what an image takes in memory beside its pixels
OVERHEAD: Final = 4096
#: what a stored image and a cell both say of an image
FIELDS: Final = ("format", "mode", "width", "height", "path")


#: the cell of an image in a table that is filled while the active run is disabled
UNKEPT: Final = ImageCell(digest="", format=None, mode=None, width=None, height=None, caption=None, path=None)


class PendingImage:
    """An image that a row refers to, on its way to where it is stored.

    Parameters
    ----------
    cell : ImageCell
        What the row says of the image.
    load : callable
        Returns the encoded bytes, waiting for them if need be.
    released : bool
        Whether the bytes are in a file already.
    is_file : bool, optional
        Whether the image came as this file; None where that is not known.
    """

    __slots__ = ("_cell", "_is_file", "load", "released")

    def __init__(
        self, cell: ImageCell, load: Callable[[], bytes], *, released: bool = False, is_file: bool | None = None
    ) -> None:
        self._is_file = is_file
        self._cell = replace(cell, caption=None, masks={}, joints=(), boxes={}, pairs=None)  # these are the row's
        self.load = load
        #: whether the bytes are in a file, and not in memory or on their way there
        self.released = released

    @property
    def digest(self) -> str:
        """The image's digest."""
        return str(self._cell.digest)

    @property
    def pixels(self) -> int:
        """How many pixels the image has: at least about as many bytes as it takes encoded."""
        return int(self._cell.width or 0) * int(self._cell.height or 0)

    def result(self) -> ImageBytes:
        """Return the encoded image."""
        return self.of(self.load())

    def of(self, data: bytes) -> ImageBytes:
        """Return the image, encoded so."""
        cell = self._cell
        size = int(cell.width or 0), int(cell.height or 0)
        # a row may have been written before another process stored the same pixels in its format
        form = format_of(data) or str(cell.format)
        return ImageBytes(self.digest, form, str(cell.mode), *size, data, is_file=self._is_file)

    def release(self, load: Callable[[], bytes]) -> None:
        """Forget the bytes; from now on ``load`` reads them from where they are stored."""
        self.load, self.released = load, True

    def store(self, encoded: ImageBytes, writer: Writer | NullWriter) -> None:
        """Hand the encoded image to a writer, and read it from there from now on."""
        writer.add_image(encoded)
        self.release(partial(writer.read_image, encoded.digest))


class ImageEncoder:
    """Encodes images on a pool, in the order of the calls, of a bounded number of bytes at a time.

    Image encoders release the interpreter's lock, and have a thread for each core. What makes masks does not, and stays
    on the thread that logs.

    Parameters
    ----------
    threads : int, optional
        How many threads; by default as :func:`~maskl.images.threads.encoder_threads` has it whenever an image comes.
    in_flight, each : int
        Bytes of pixels that may be under way, and how many more for each thread.
    """

    def __init__(self, threads: int | None = None, in_flight: int = IN_FLIGHT, each: int = EACH_IN_FLIGHT) -> None:
        self._threads, self._in_flight, self._each = Threads(threads), in_flight, each
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin anew, in a forked child: what is under way is its parent's."""
        #: whose results are others' to keep, and the bytes of their pixels
        self._under_way: deque[tuple[weakref.ref[Job[bytes]], int]] = deque()

    def submit(self, job: Job[bytes], size: int) -> None:
        """Start encoding pixels of so many bytes; waits while too many are under way."""
        size += OVERHEAD
        most = self._in_flight + self._threads.count * self._each
        with contextlib.suppress(IndexError):  # there is none any more
            while (first := self._under_way[0][0]()) is None or first.done or self._bytes() + size > most:
                if first is not None:
                    first.wait()
                self._under_way.popleft()
        self._threads.submit(job)
        self._under_way.append((weakref.ref(job), size))

    def _bytes(self) -> int:
        return sum(size for _, size in self._under_way.copy())  # by one call: other threads submit too


#: the process's encoder
encoder: Final = ImageEncoder()


def encode_image(image: Image) -> tuple[ImageCell, PendingImage | None]:
    """Return the cell of an image, with its masks encoded and counted, and the image itself.

    The cell keeps nothing of the caller's arrays; the image keeps its pixels until they are encoded.
    """
    if sink.discards:
        return UNKEPT, PendingImage(UNKEPT, _refuse)
    layers = {"caption": image.caption, "boxes": _boxes_cells(image), **_encode_masks(image)}
    if image.stored is not None:
        stored, load = image.stored
        known = {name: getattr(stored, name) for name in ("digest", *FIELDS)}
        cell = ImageCell(**known, **layers)
        return cell, PendingImage(cell, load, released=True)
    if image.source is None:
        return ImageCell(None, None, None, None, None, path=image.reference, **layers), None
    source = settled(image.source)
    path = source.path if isinstance(source, FileSource) else None
    digest, writer = image.digest(), sink.writer
    there = None if writer is None else writer.format_of(digest)
    cell = ImageCell(digest, there or source.format, source.mode, *source.size, path=path, **layers)
    if writer is not None and there is not None:
        return cell, PendingImage(cell, partial(writer.read_image, digest), released=True)
    return cell, _pending(cell, source)


def _refuse() -> bytes:
    raise StateError("the run was disabled when this table was filled: its images were not kept")


def image_of(cell: ImageCell, images: Mapping[str, PendingImage]) -> Image:
    """Return the image of a cell; ``images`` holds its bytes, unless it is a reference."""
    stored = StoredImage(
        **{name: getattr(cell, name) for name in ("digest", *FIELDS, "caption")},
        masks={key: (mask.data, mask.class_set) for key, mask in cell.masks.items()},
        boxes={key: (boxes.boxes, boxes.class_set) for key, boxes in cell.boxes.items()},
        segments={key: mask.segments for key, mask in cell.masks.items() if mask.segments is not None},
    )
    load = _no_bytes if cell.digest is None else images[cell.digest].load
    return Image.from_stored(stored, load)


def _no_bytes() -> bytes:
    raise RuntimeError("a reference has no bytes")


def _pending(cell: ImageCell, source: Source) -> PendingImage:
    writer = sink.writer
    if isinstance(source, FileSource):
        pending = PendingImage(cell, source.encode, is_file=True)
        if writer is not None:
            # a run that ended meanwhile, or found no room, leaves the image to the next log()
            with contextlib.suppress(StateError, StorageError):
                pending.store(pending.result(), writer)
        return pending

    def encode() -> bytes:
        data = source.encode()
        if writer is not None:
            with contextlib.suppress(Exception):  # the log() of its row tries again, and raises what is wrong
                pending.store(pending.of(data), writer)
        return data

    job = Job(encode)
    pending = PendingImage(cell, job.result, is_file=False)
    encoder.submit(job, len(source.content()))
    return pending


def repaired(cell: ImageCell, truth_keys: Sequence[str]) -> ImageCell:
    """Return the cell with the pairs of its masks counted that are with one of these."""
    pairs = pairs_with(cell.masks, truth_keys)
    if pairs == cell.pairs:
        return cell
    wanted = set(cell.masks) if pairs is None else {key for pair in pairs for key in pair}
    runs = {key: _countable(m) for key, m in cell.masks.items() if m.counts is not None and key in wanted}
    return replace(cell, pairs=pairs, joints=joint_cells(runs, pairs))


def _countable(mask: MaskCell) -> Runs | Pixels:
    return with_classes(countable(mask.data), classes_by_id(mask.segments or ()))


def _encode_masks(image: Image) -> dict[str, Any]:
    """Return the masks of an image's cell, and the pairs of them that are counted."""
    masks = image.masks
    cells: dict[str, MaskCell] = {}
    runs: dict[str, Runs | Pixels] = {}
    for key, mask in masks.items():
        mask_runs, present = mask.classed
        class_set = resolve_class_set(mask, image.classes, masks)
        cell = count_mask(mask.data, mask_runs, present, class_set, statistics=mask.statistics)
        if mask.segments is not None:
            cell = replace(cell, segments=mask.segments)
        warn_of_ids(key, cell, mask_runs, present)
        if cell.counts is not None:
            runs[key] = mask_runs
        elif mask.statistics is None:
            what = "ids" if mask.segments is None else "classes"
            warn(
                f"mask {key!r} has {present.ids.size} distinct {what}, more than {MAX_CLASSES}: it keeps no class "
                f"statistics; pass 'statistics': True to count them all the same",
                StatisticsWarning,
            )
        cells[key] = cell
    pairs = pairs_with(cells, sink.truth_keys)
    if pairs is not None:
        _warn_of_pairs(cells)
    joints = joint_cells(runs, pairs)
    for mask in masks.values():
        mask.forget_runs()  # they would stay as long as the caller keeps the image
    return {"masks": cells, "joints": joints, "pairs": pairs}


def _warn_of_pairs(masks: Collection[str]) -> None:
    """Warn, once a run, which pairs of masks are not compared."""
    if not sink.not_told(["pairs"]):
        return
    names = [*map(repr, masks)]
    some = f"{', '.join(names[:MAX_PAIRED])}{', …' if len(names) > MAX_PAIRED else ''}"
    truths = ", ".join(map(repr, sink.truth_keys))
    warn(
        f"an image has {len(names)} masks ({some}); of more than {MAX_PAIRED}, only the pairs with {truths} are "
        f"compared, and metrics of other pairs say so: name the masks that others are compared with as "
        f"Settings(truth_keys=...) of init(), or in MASKL_TRUTH_KEYS",
        StatisticsWarning,
    )


def _boxes_cells(image: Image) -> dict[str, BoxesCell]:
    cells = {}
    if image.boxes:
        for key, boxes in image.boxes.items():
            class_set = resolve_boxes_class_set(boxes, image.classes, image.boxes.values())
            cells[key] = BoxesCell(boxes.boxes, class_set, boxes.ids - {item.id for item in class_set})
    return cells

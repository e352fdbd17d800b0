"""What of a mask's ids may not be what was meant: ids without a name, and ids that a lossy file made."""

from __future__ import annotations

from typing import Final

import numpy as np

from maskl.annotations.sink import sink
from maskl_storage.cells.cells import MaskCell
from maskl_storage.errors import LossyMaskWarning, UnnamedClassWarning, warn
from maskl_storage.masks.histograms import ClassPixels
from maskl_storage.masks.run_lengths import Pixels, Runs

__all__ = ["looks_lossy", "warn_of_ids"]

#: ids that are named in a message
NAMED: Final = 8
#: a rare id has less than one of so many pixels
RARE: Final = 100
#: so many rare ids there are, at least, where a file was compressed with loss; they are half of all ids or more
FEW: Final = 5
#: they have a part of the pixels
MOST: Final = 0.2
#: and stand one or two beside each other in a line
LENGTH: Final = 2.6
#: they are close to the ids beside them: within this part of the range of all ids
CLOSE: Final = 0.08
#: so many of them, at least; of ids that were predicted, or of small objects, it is some tenth
SHARE: Final = 0.35
#: pixels that are looked at
LOOKED_AT: Final = 1 << 17


def warn_of_ids(key: str, cell: MaskCell, runs: Runs | Pixels, present: ClassPixels) -> None:
    """Warn of what is odd about the ids of a mask that is about to be stored.

    Parameters
    ----------
    key : str
        What the mask is.
    cell : MaskCell
        The mask with its class set.
    runs : Runs or Pixels
        Its pixels.
    present : ClassPixels
        The ids that occur.

    Warns
    -----
    UnnamedClassWarning
        Classes have names, and ids that occur have none; of each id once a run.
    LossyMaskWarning
        Around the edges of regions lie ids as JPEG leaves them; of each mask key once a run.
    """
    if looks_lossy(runs, present) and sink.not_told([("lossy", key)]):
        warn(
            f"mask {key!r} looks as if it went through JPEG, or was resized with interpolation: most of its ids occur "
            f"in a few pixels beside ids close to theirs; keep masks in PNG files, and resize them with the nearest "
            f"neighbour",
            LossyMaskWarning,
        )
    named = cell.class_set.labels is not None
    if named and (new := [number for _, number in sink.not_told((key, number) for number in sorted(cell.unnamed))]):
        some = ", ".join(map(str, new[:NAMED])) + (", …" if len(new) > NAMED else "")
        ids, have, names = ("id", "has", "it is") if len(new) == 1 else ("ids", "have", "they are")
        warn(
            f"mask {key!r} has class labels, and {ids} {some} of its pixels {have} no name in them; {names} counted as "
            f"class_{new[0]}{' and so on' if len(new) > 1 else ''}: add what is missing to class_labels, or leave the "
            f"{ids} out of scores with 'ignore_index'",
            UnnamedClassWarning,
        )


def looks_lossy(runs: Runs | Pixels, present: ClassPixels) -> bool:
    """Whether a mask looks as if it had been compressed with loss: a halo of ids close to those of the regions.

    Examples
    --------
    >>> from maskl_storage.masks.codec import encode, runs_of
    >>> from maskl_storage.masks.histograms import class_pixels
    >>> runs = runs_of(encode(np.eye(64, dtype=np.uint8)))
    >>> looks_lossy(runs, class_pixels(runs))
    False
    """
    rare = present.pixels * RARE < runs.size
    count = int(np.count_nonzero(rare))
    if count < FEW or 2 * count < rare.size or present.ids[0] < 0 or present.ids[-1] > 0xFF:
        return False
    if not 0 < int(present.pixels[rare].sum()) <= MOST * runs.size:
        return False
    middle = max(0, (runs.size - LOOKED_AT) // 2)
    seen = runs.between(middle, min(runs.size, middle + LOOKED_AT)).to_runs()
    table = np.zeros(256, np.bool_)
    table[present.ids[rare]] = True
    values = seen.values.astype(np.int16)
    here = table[values]
    lengths = np.diff(seen.starts, append=seen.size)
    pairs = here[1:] | here[:-1]
    if not here.any() or not pairs.any() or lengths[here].mean() > LENGTH:
        return False
    span = int(present.ids[-1]) - int(present.ids[0])
    close = np.abs(np.diff(values)[pairs]) <= max(1.0, CLOSE * span)
    return bool(close.mean() >= SHARE)

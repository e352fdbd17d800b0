"""Stored rows as a dataset of torch's, which is imported where one is made."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from maskl.drawing.notebook import Rows
from maskl.reading._ahead import in_turn
from maskl_storage.errors import InvalidValue
from maskl_storage.extras import optional

__all__ = ["INT64", "OWN", "Field", "TorchRows", "check_dtype", "check_mode", "torch_dataset"]

#: what masks are: int64, which losses take, or what was logged
INT64: Final = "int64"
OWN: Final = "own"


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a dataset: the name of it or of its image in rows, and the keys that runs have a mask under."""

    column: str
    keys: tuple[str, ...] = ()


class TorchRows:
    """Rows as dicts of tensors, read when they are asked for; see :meth:`maskl.StoredTable.to_torch`.

    Parameters
    ----------
    rows : Rows
        Stored rows, with images as :class:`maskl.Image`.
    fields : mapping of str to Field
        What an item holds, by its name there.
    mask_dtype : {'int64', 'own'}
        What masks become.
    mode : str, optional
        Pillow's name of the pixel format that images are converted to.
    transform : callable, optional
        What is done with each item.
    """

    def __init__(
        self,
        rows: Rows,
        fields: Mapping[str, Field],
        mask_dtype: str,
        mode: str | None,
        transform: Callable[[dict[str, Any]], Any] | None,
    ) -> None:
        self._rows, self._fields = rows, dict(fields)
        self._mask_dtype, self._mode, self._transform = mask_dtype, mode, transform

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        return self._item(self._rows[index])

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return a batch, as a DataLoader asks for it: its frames are decoded by all threads at once."""
        columns = {field.column for field in self._fields.values() if not field.keys}
        return [self._item(row) for row in in_turn(deque(self._rows[index] for index in indices), columns)]

    def _item(self, row: Mapping[str, Any]) -> Any:
        item = {name: self._value(row.get(field.column), field.keys) for name, field in self._fields.items()}
        return item if self._transform is None else self._transform(item)

    def __reduce__(self) -> tuple[Any, ...]:
        # its class is made where torch is, and has no name to be found by
        return torch_dataset, (self._rows, self._fields, self._mask_dtype, self._mode, self._transform)

    def __repr__(self) -> str:
        return f"<dataset of {len(self)} rows: {', '.join(self._fields)}>"

    def _value(self, value: Any, keys: tuple[str, ...]) -> Any:
        if keys:
            mask = None if value is None else next((value.masks[key] for key in keys if key in value.masks), None)
            if mask is None:
                return None
            ids = mask.mask_data
            return _tensor(ids.astype(np.int64, copy=False) if self._mask_dtype == INT64 else ids)
        if hasattr(value, "masks"):
            return None if value.reference is not None else _tensor(_channels(value.image, self._mode))
        return _tensor(value) if isinstance(value, np.ndarray) else value


def torch_dataset(*arguments: Any) -> Any:
    """Return a :class:`TorchRows` that is a ``torch.utils.data.Dataset`` too.

    Raises
    ------
    MissingExtra
        torch is not installed.
    """
    return _dataset_class()(*arguments)


def check_dtype(name: str) -> str:
    """Return the name of what masks become, or raise InvalidValue."""
    if name not in (INT64, OWN):
        raise InvalidValue(f"mask_dtype must be {INT64!r} or {OWN!r}, what was logged; got {name!r:.40}")
    return name


def check_mode(mode: str | None) -> str | None:
    """Return the name of a pixel format, or raise InvalidValue."""
    if mode is not None and mode not in PILImage.MODES:
        raise InvalidValue(f"mode must be one of {list(PILImage.MODES)}; got {mode!r:.40}")
    return mode


@cache
def _dataset_class() -> Any:
    return type("TorchDataset", (TorchRows, optional("torch.utils.data", "to_torch()").Dataset), {})


def _channels(pixels: PILImage.Image, mode: str | None) -> npt.NDArray[Any]:
    """Return pixels as (C, H, W): 8-bit colours, also of what has a palette or is black and white."""
    if mode is not None and pixels.mode != mode:
        pixels = pixels.convert(mode)
    elif pixels.mode in ("P", "PA"):
        pixels = pixels.convert("RGBA" if pixels.has_transparency_data else "RGB")
    elif pixels.mode == "1":
        pixels = pixels.convert("L")
    array = np.asarray(pixels)
    return array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)


def _tensor(array: npt.NDArray[Any]) -> Any:
    import torch

    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind not in "biuf":
        return array  # strings, which no tensor holds
    # torch shares memory, and warns where it may not write
    return torch.from_numpy(np.array(array, order="C", copy=not (array.flags.writeable and array.flags.c_contiguous)))

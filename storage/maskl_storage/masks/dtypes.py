"""The integer types of masks: as logged, and as their values are stored; their codes are section 3 of SPEC.md."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.errors import CorruptData, InvalidValue

__all__ = ["BIG_ENDIAN", "CODE_OF", "DTYPES", "STORED", "check_values", "fit"]

#: code of a dtype in the header; the high bit says big-endian
DTYPES: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype(np.bool_),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.uint32),
    7: np.dtype(np.int32),
    8: np.dtype(np.uint64),
    9: np.dtype(np.int64),
}
CODE_OF: Final = {dtype: code for code, dtype in DTYPES.items()}
BIG_ENDIAN: Final = 0x80
#: the types that values are stored in, narrowest first
STORED: Final = (2, 3, 4, 5, 7)


def check_values(values: npt.NDArray[Any]) -> np.dtype[Any]:
    """Return the narrowest type that holds the values, or raise InvalidValue where none does."""
    if values.dtype.itemsize == 1:
        return values.dtype
    low, high = int(values.min()), int(values.max())
    for code in STORED:
        info = np.iinfo(DTYPES[code])
        if info.min <= low and high <= info.max:
            return DTYPES[code]
    raise InvalidValue(
        f"mask_data holds values from {low} to {high}; class ids must be within signed 32 bits "
        f"(−2147483648 to 2147483647): map them to smaller ids first"
    )


def fit(values: npt.NDArray[Any], logged: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the values in the dtype that was logged (bool as uint8), refusing what it cannot hold."""
    target = np.dtype(np.uint8) if logged == np.bool_ else logged
    if logged == np.bool_ or not np.can_cast(values.dtype, target):
        info = np.iinfo(target)
        top = 1 if logged == np.bool_ else info.max
        if int(values.min()) < info.min or int(values.max()) > top:
            raise CorruptData(f"an encoded mask holds values that {logged} cannot")
    return values.astype(target)

"""Arrays as files: sounds as WAV, frames as GIF; and the JSON of other libraries' objects."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from maskl.adapters.objects import as_array, as_number, is_array
from maskl.adapters.values import as_json
from maskl.images.scaling import to_bytes
from maskl_storage.errors import ConversionWarning, InvalidType, InvalidValue, warn

__all__ = ["gif", "json_text", "wav"]

#: the greatest of 16 bits
PEAK: Final = (1 << 15) - 1
#: the highest rate that a WAV can say, and frames a second
MOST_RATE: Final = (1 << 31) - 1
MOST_FPS: Final = 100
MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}


def wav(data: Any, sample_rate: Any) -> bytes:
    """Return a WAV of 16 bits of samples, or of rows with one for each channel."""
    rate = int(as_number(sample_rate, "sample_rate"))
    if not 1 <= rate <= MOST_RATE:
        raise InvalidValue(f"sample_rate must be from 1 to {MOST_RATE}; got {sample_rate!r:.60}")
    samples = as_array(data)
    if samples.dtype.kind not in "iuf" or samples.ndim not in (1, 2):
        raise InvalidType(
            f"a sound is an array of numbers, (samples) or (samples, channels); got {samples.dtype} of shape "
            f"{samples.shape}"
        )
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    if not 1 <= channels <= 0xFFFF or samples.size * 2 > 0xFFFFFFFF - 64:
        raise InvalidValue(f"a WAV has 1 to 65535 channels, and 4 GB at the most; got shape {samples.shape}")
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setnchannels(channels)
        target.setsampwidth(2)
        target.setframerate(rate)
        target.writeframes(_samples(samples).tobytes())
    return file.getvalue()


def _samples(samples: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Return samples as 16 bits: floats reach from -1 to 1, integers as far as their type does."""
    if samples.dtype.kind == "f":
        whole = np.nan_to_num(samples.astype(np.float64), nan=0.0, posinf=1.0, neginf=-1.0)
        if whole.size and np.abs(whole).max() > 1:
            warn("a sound has samples below -1 or above 1, which are cut off there", ConversionWarning)
        return np.rint(np.clip(whole, -1, 1) * PEAK).astype("<i2")
    bits = samples.dtype.itemsize * 8
    wide = samples.astype(np.int64)
    if samples.dtype.kind == "u" and bits < 64:
        wide -= 1 << (bits - 1)
    if bits == 64:  # as Python's own integers are: there is no telling how far they reach
        if wide.size and not -PEAK - 1 <= wide.min() <= wide.max() <= PEAK:
            raise InvalidValue(
                f"a sound of 64-bit integers holds 16 bits at the most; got {wide.min()} to {wide.max()}"
            )
        return wide.astype("<i2")
    return (wide << 8 if bits == 8 else wide >> (bits - 16)).astype("<i2")


def gif(frames: Any, fps: Any) -> bytes:
    """Return a GIF of frames (time, channel, height, width); of several such they stand beside each other."""
    rate = as_number(fps, "fps")
    if not 0 < rate <= MOST_FPS:
        raise InvalidValue(f"fps must be above 0 and at most {MOST_FPS}; got {fps!r:.60}")
    array = as_array(frames)
    if array.dtype.kind not in "biuf" or array.ndim not in (4, 5) or array.shape[-3] not in MODES or not array.size:
        raise InvalidType(
            f"a video is an array of numbers, (time, channel, height, width) with 1, 3 or 4 channels, perhaps with a "
            f"dimension of several videos before it; got {array.dtype} of shape {array.shape}"
        )
    if max(array.shape[-2:]) > 0xFFFF:
        raise InvalidValue(f"a GIF has 65535 pixels a side at the most; got {array.shape[-2:]}")
    array = _beside(_pixels(array)) if array.ndim == 5 else _pixels(array)
    mode = MODES[array.shape[1]]
    pictures = [PILImage.fromarray(_frame(frame, mode)) for frame in array]
    if mode == "RGBA":
        pictures = [picture.convert("RGB") for picture in pictures]
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / rate), loop=0)
    return file.getvalue()


def _frame(frame: npt.NDArray[np.uint8], mode: str) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(frame[0] if mode == "L" else np.moveaxis(frame, 0, -1))


def _pixels(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "b":
        return to_bytes(array)
    warn(f"a video of {array.dtype} is kept as whole numbers from 0 to 255", ConversionWarning)
    return to_bytes(array)


def _beside(videos: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return several videos as one, in a grid whose sides are powers of two."""
    count, time, channels, height, width = videos.shape
    rows = 1 << ((count.bit_length() - 1) // 2)
    columns = (1 << (count - 1).bit_length()) // rows
    grid = np.zeros((rows * columns, time, channels, height, width), np.uint8)
    grid[:count] = videos
    grid = grid.reshape(rows, columns, time, channels, height, width).transpose(2, 3, 0, 4, 1, 5)
    return grid.reshape(time, channels, rows * height, columns * width)


def json_text(value: Any, what: str) -> bytes:
    """Return values as JSON: NaN and infinity, which JSON has not, are null, and other objects their text."""
    plain = as_json(_listed(value), what, lambda other, _what: str(other))
    try:
        return json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return json.dumps(_finite(plain), ensure_ascii=False).encode()


def _listed(value: Any) -> Any:
    """Return arrays as lists, also those of one element, which would be that element else."""
    if is_array(value):
        return as_array(value).tolist()
    if isinstance(value, Mapping):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))) else value

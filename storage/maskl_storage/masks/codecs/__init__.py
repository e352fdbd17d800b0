"""The codecs of masks: how pixels are written behind a mask's header, one file each, found by lying in this folder.

A codec is a class derived from :class:`Codec`, with :func:`register` above it. One of another folder is there once
its module is imported, also where its masks are read.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, Final, TypeVar

import numpy as np

from maskl_storage.errors import InvalidType, InvalidValue
from maskl_storage.masks._scan import MAX_RUNS_PIXELS, Scan
from maskl_storage.masks.run_lengths import Pixels, Runs

__all__ = ["Codec", "MaskInfo", "Packed", "by_name", "by_tag", "known", "register"]

NAME: Final = re.compile("[a-z][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class MaskInfo:
    """What the header of an encoded mask says."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    codec: str
    stored: np.dtype[Any]

    @property
    def size(self) -> int:
        """How many pixels the mask has."""
        return self.shape[0] * self.shape[1]


class Packed(ABC):
    """A mask that is decompressed and not decoded yet, so that many can be decoded at once."""

    __slots__ = ()

    @property
    @abstractmethod
    def weight(self) -> int:
        """About how many numbers it takes to count the mask."""

    @abstractmethod
    def to_runs(self) -> Runs:
        """Return the runs; CorruptData where they are none of a mask of this shape."""


class Codec(ABC):
    """One way to write the pixels of a mask.

    Attributes
    ----------
    tag : int
        The byte that says so in the header, 0 to 255; from 128 on for codecs that SPEC.md does not describe.
    name : str
        What it is called: lower-case letters, digits, ``-`` and ``_``.
    checked : bool
        Whether :meth:`decode` makes sure by itself that its runs begin at 0, increase and end inside of the
        mask, and that what it returns fits the mask's shape. Otherwise that is checked for it.
    """

    tag: ClassVar[int]
    name: ClassVar[str]
    checked: ClassVar[bool] = False

    def suits(self, scan: Scan) -> bool:
        """Whether the codec may have the smallest payload, so that it is worth trying."""
        return scan.size <= MAX_RUNS_PIXELS

    @abstractmethod
    def encode(self, scan: Scan) -> bytes | None:
        """Return the payload of a mask; None where the codec cannot hold it."""

    @abstractmethod
    def decode(self, payload: memoryview, info: MaskInfo) -> Runs | Pixels:
        """Return the mask of a payload: its runs, or its pixels in raster order, whichever is there sooner.

        Values are integers of the type ``info.stored``. The checksum has been compared.

        Raises
        ------
        CorruptData
            The payload is none of this codec's, or disagrees with its header; to be found out before
            more is allocated than the payload can hold.
        """

    def unpack(self, payload: memoryview, info: MaskInfo) -> Runs | Pixels | Packed:
        """Return the mask of a payload as far as it takes no more than to decompress it; else what decode does."""
        return self.decode(payload, info)


Made = TypeVar("Made", bound=type[Codec])

_by_tag: dict[int, Codec] = {}
_by_name: dict[str, Codec] = {}


def register(kind: Made) -> Made:
    """Make a codec known: from now on masks are written with it where its payload is the smallest, and read.

    Raises
    ------
    InvalidType, InvalidValue
        A tag or a name that is none, or that another codec has.
    """
    codec = kind()
    if not isinstance(codec.tag, int) or isinstance(codec.tag, bool) or not isinstance(codec.name, str):
        raise InvalidType(f"codec {kind.__name__} needs a tag, an int, and a name; got {codec.tag!r}, {codec.name!r}")
    if not 0 <= codec.tag <= 255 or not NAME.fullmatch(codec.name):
        raise InvalidValue(f"codec {kind.__name__}: a tag is from 0 to 255, and a name is a word in lower case")
    for other in (_by_tag.get(codec.tag), _by_name.get(codec.name)):
        if other is not None and (type(other).__module__, type(other).__qualname__) != (
            kind.__module__,
            kind.__qualname__,  # made once more, as in a notebook
        ):
            raise InvalidValue(
                f"codec {codec.name!r} with tag {codec.tag}: codec {other.name!r} has tag {other.tag}; each needs a "
                f"name and a tag of its own"
            )
    _by_tag[codec.tag] = _by_name[codec.name] = codec
    known.cache_clear()
    return kind


def by_tag(tag: int) -> Codec | None:
    """Return the codec with this tag; None where it is not known here."""
    return _by_tag.get(tag)


def by_name(name: str) -> Codec:
    """Return the codec of this name.

    Raises
    ------
    InvalidValue
        There is none.
    """
    if name not in _by_name:
        raise InvalidValue(f"codec must be one of {', '.join(repr(codec.name) for codec in known())}; got {name!r:.60}")
    return _by_name[name]


@cache
def known() -> tuple[Codec, ...]:
    """Return every codec, by tag, which is the order in which they are tried."""
    return tuple(_by_tag[tag] for tag in sorted(_by_tag))


for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

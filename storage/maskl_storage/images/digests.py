"""Digests of images, packed and exact: sorted, to find where each stands, and as a set that grows."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

__all__ = ["Digests", "Sorted", "Words", "words_of"]

#: digests that wait to be sorted
WAITING: Final = 1 << 18
#: a digest as four numbers
WORDS: Final = struct.Struct(">4Q")
REGULAR: Final = re.compile("^[0-9a-f]{64}$")

#: digests, each as a row of four numbers
Words = npt.NDArray[np.uint64]


def words_of(digests: pa.Array | pa.ChunkedArray) -> Words:
    """Return the digests of a column as numbers; what is no digest, or null, as those of its own BLAKE3.

    Examples
    --------
    >>> words_of(pa.array(["0" * 63 + "1", None])).shape
    (2, 4)
    """
    found = pc.match_substring_regex(digests, REGULAR.pattern).fill_null(False).to_numpy(zero_copy_only=False)
    regular = np.asarray(found, np.bool_)
    texts = digests.to_pylist()
    words = np.empty((len(texts), 4), np.uint64)
    data = bytes.fromhex("".join(compress(texts, regular)))
    words[regular] = np.frombuffer(data, ">u8").reshape(-1, 4)
    for place in np.flatnonzero(~regular).tolist():
        words[place] = _numbers(texts[place])
    return words


def _numbers(digest: str | None) -> tuple[int, int, int, int]:
    if digest is not None and REGULAR.fullmatch(digest):
        data = bytes.fromhex(digest)
    else:  # of null, those of bytes that are no text
        data = blake3(b"\xff" if digest is None else digest.encode("utf-8", "surrogatepass")).digest()
    a, b, c, d = WORDS.unpack(data)
    return a, b, c, d


@dataclass(frozen=True, slots=True, eq=False)
class Sorted:
    """Digests in order, 32 bytes each: the first numbers, by which they are found, and the others."""

    first: Words
    rest: Words

    @classmethod
    def of(cls, words: Words) -> tuple[Sorted, npt.NDArray[np.int64]]:
        """Return digests in order, and where each of them stood."""
        order = words[:, 0].argsort()
        return cls(words[order, 0], words[order, 1:]), order

    @property
    def words(self) -> Words:
        """The digests as they are handed on."""
        return np.column_stack([self.first, self.rest])

    def find(self, digest: str) -> int:
        """Return where a digest stands, −1 where it does not."""
        first, *rest = _numbers(digest)
        at = int(self.first.searchsorted(np.uint64(first)))
        while at < self.first.size and self.first.item(at) == first:
            if self.rest[at].tolist() == rest:
                return at
            at += 1
        return -1

    def places(self, words: Words) -> npt.NDArray[np.int64]:
        """Return where each of some digests stands, −1 where it does not."""
        places = np.full(words.shape[0], -1, np.int64)
        at = self.first.searchsorted(words[:, 0])
        left = np.arange(words.shape[0])
        while left.size:  # once, but for digests that begin alike
            left = left[at[left] < self.first.size]
            left = left[self.first[at[left]] == words[left, 0]]
            found = (self.rest[at[left]] == words[left, 1:]).all(axis=1)
            places[left[found]] = at[left[found]]
            left = left[~found]
            at[left] += 1
        return places


class Digests:
    """A set of digests: 32 bytes each, however many there are.

    Examples
    --------
    >>> digests = Digests()
    >>> digests.add(words_of(pa.array(["0" * 64, "f" * 64])))
    >>> digests.update(["7" * 64])
    >>> digests.has(words_of(pa.array(["f" * 64, "1" * 64]))).tolist(), "7" * 64 in digests, len(digests)
    ([True, False], True, 3)
    """

    def __init__(self) -> None:
        self._sorted = Sorted(np.zeros(0, np.uint64), np.zeros((0, 3), np.uint64))
        self._waiting: list[Words] = []
        self._count = 0
        #: those that came one by one since: whoever asks after each of them does not have all sorted again
        self._recent: set[str] = set()

    def add(self, words: Words) -> None:
        """Add digests."""
        self._waiting.append(words)
        self._count += words.shape[0]
        if self._count > WAITING:
            self._sort()

    def update(self, digests: Iterable[str]) -> None:
        """Add digests as text, a few at a time."""
        self._recent.update(digests)
        if len(self._recent) > WAITING:
            self._sort()

    def has(self, words: Words) -> npt.NDArray[np.bool_]:
        """Tell of each digest whether it was added."""
        self._sort()
        return self._sorted.places(words) >= 0

    def __contains__(self, digest: str) -> bool:
        if self._waiting:
            self._sort()
        return digest in self._recent or self._sorted.find(digest) >= 0

    def __len__(self) -> int:
        self._sort()
        return int(self._sorted.first.size)

    def _sort(self) -> None:
        if self._recent:
            self._waiting.append(words_of(pa.array(list(self._recent), pa.string())))
        if self._waiting:
            new = _distinct(np.concatenate(self._waiting))
            new = new[self._sorted.places(new) < 0]
            if new.size:
                self._sorted, _ = Sorted.of(np.concatenate([self._sorted.words, new]))
            self._waiting, self._count, self._recent = [], 0, set()


def _distinct(words: Words) -> Words:
    """Return digests in order, each once."""
    words = np.asarray(words[words[:, 0].argsort()])
    begins = words[1:, 0] == words[:-1, 0]
    same = begins & (words[1:, 1:] == words[:-1, 1:]).all(axis=1)
    if not np.array_equal(begins, same):  # some begin alike and are others: the whole of them is put in order
        words = words[np.lexsort(words.T[::-1])]
        same = (words[1:] == words[:-1]).all(axis=1)
    return np.asarray(words[np.concatenate([np.ones(min(words.shape[0], 1), np.bool_), ~same])])

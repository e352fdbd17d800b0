"""The names of the columns of parts that differ, by SQL's rule: from what seals list of them, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from maskl_storage.format.names import MARKS
from maskl_storage.format.seals import Part

__all__ = ["NUMBERS", "OWN", "Kinds", "UnionNames", "masks_of", "type_suffix"]

#: the columns that every rows part has
OWN: Final = ("_row", "_step", "_timestamp")
#: the Arrow type of the columns that say which class set a row uses: no user's column has it
NUMBERS: Final = "uint16"
_SUFFIX: Final = {"int64": "int", "double": "float", "binary": "bytes"}

#: stored name and Arrow type of a part's columns, as its seal lists them
Kinds = tuple[tuple[str, str], ...]


def type_suffix(kind: str) -> str:
    """Return what is put behind a column's name where another part has it in another type.

    Examples
    --------
    >>> type_suffix("int64"), type_suffix("list<item: double>")
    ('int', 'list')
    """
    return _SUFFIX.get(kind, kind.split("<")[0].split("[")[0])


def masks_of(columns: Kinds) -> list[tuple[str, str]]:
    """Return the image column and the key of each mask: no user's column has the mark in its name.

    Examples
    --------
    >>> masks_of((("image", "struct<digest: string>"), ("image__mask__truth", "binary"), ("loss", "double")))
    [('image', 'truth')]
    """
    found = [name.partition(MARKS[0]) for name, kind in columns if kind in ("binary", "large_binary")]
    return [(image, key) for image, mark, key in found if mark]


@dataclass(frozen=True, eq=False)
class UnionNames:
    """The columns of some parts together, by the names that SQL shows.

    Columns whose stored names differ only in case are one, spelled as in the first part. Where one has several types,
    the type of most rows keeps the name, and of types with as many rows the one that comes first; another's name ends
    in its type. int64 and double alone are double, and a column of double takes integers in too.

    Attributes
    ----------
    columns : dict of str to (str, str)
        For each name the stored name in lower case, and the Arrow type; ``null`` where no part holds a value.
    conflicts : tuple of str
        Columns of several types, described.
    disputed : frozenset of str
        Their stored names in lower case.
    """

    columns: Mapping[str, tuple[str, str]]
    conflicts: tuple[str, ...]
    disputed: frozenset[str]

    @classmethod
    def of(cls, parts: Iterable[tuple[str, Part]]) -> UnionNames:
        """Return the names of the columns of parts, each with its run, in the order of the store's listing."""
        alike: dict[Kinds, tuple[list[str], list[int]]] = {}  # a table has few sets of columns, and many parts
        for run_id, part in parts:
            runs, counts = alike.setdefault(part.columns, ([], []))
            runs.append(run_id)
            counts.append(part.rows)
        rows: dict[str, Counter[str]] = {}
        spelled: dict[str, str] = {}
        where: dict[tuple[str, str], set[str]] = {}
        for kinds, (runs, counts) in alike.items():
            for stored, kind in kinds:
                if kind == NUMBERS:  # of a part's class sets: another part's are others
                    continue
                key = stored.casefold()
                spelled.setdefault(key, stored)
                found = rows.setdefault(key, Counter())
                if kind != "null":
                    found[kind] += sum(counts)
                    where.setdefault((key, kind), set()).update(runs)
        columns: dict[str, tuple[str, str]] = {}
        conflicts, disputed = [], set()
        for key, found in rows.items():
            stored = spelled[key]
            if stored in OWN:
                continue
            if set(found) == {"int64", "double"}:
                columns[stored] = (key, "double")
                continue
            first, *others = [kind for kind, _ in found.most_common()] or ["null"]
            columns[stored] = (key, first)
            for kind in others:
                name = f"{stored}__{type_suffix(kind)}"
                while name.casefold() in rows or name in columns:
                    name += "_1"
                columns[name] = (key, kind)
                disputed.add(key)
                conflicts.append(
                    f"column {stored!r} is {first} in most rows and {kind} in "
                    f"{', '.join(sorted(where[key, kind]))}: those values are in column {name!r}"
                )
        return cls(columns, tuple(conflicts), frozenset(disputed))

    def of_part(self, stored: str, kind: str) -> tuple[str, ...]:
        """Return the names of the columns that hold the values of a part's, by its stored name and type.

        Integers stand in the column of their own type, and beside it in that of floats, where there are both.
        What holds no value has the name of most rows.
        """
        return self._found.get((stored.casefold(), kind), ())

    @cached_property
    def _found(self) -> dict[tuple[str, str], tuple[str, ...]]:
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for name, (key, kind) in self.columns.items():
            found.setdefault((key, "null"), (name,))
            if kind != "null":
                found[key, kind] = (name, *found.get((key, kind), ()))
            if kind == "double":
                found[key, "int64"] = (*found.get((key, "int64"), ()), name)
        return found

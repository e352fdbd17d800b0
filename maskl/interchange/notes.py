"""What an export in JSON tells an import of a table: its name, the order of its columns, and what they hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from maskl.interchange.records import GROUND_TRUTH, IMAGE
from maskl.interchange.selection import Selection
from maskl_storage.errors import CorruptData
from maskl_storage.format.metadata import Column, dump_metadata, parse_metadata

__all__ = ["TABLE", "Notes", "mask_note", "noted_mask"]

TABLE: Final = "table"
NAMES: Final = "columns"
METADATA: Final = "metadata"
#: which image column and which mask of it a format holds that has room for one
ONE_IMAGE: Final = "image"
ONE_MASK: Final = "mask"


@dataclass(frozen=True, slots=True)
class Notes:
    """What is said of a table.

    Parameters
    ----------
    table : str
        Its name; empty where rows are of several.
    names : sequence of str
        The user's names of its columns, in order.
    columns : mapping of str to Column
        What the columns hold, by what they are called in the export.
    """

    table: str
    names: Sequence[str]
    columns: Mapping[str, Column]

    @classmethod
    def of(cls, selection: Selection, columns: Mapping[str, Column]) -> Notes:
        """Return what is said of what is exported."""
        return cls(selection.table, list(dict.fromkeys(column.name for column in selection.columns)), columns)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {TABLE: self.table, NAMES: list(self.names), METADATA: json.loads(dump_metadata(self.columns))}

    @classmethod
    def parse(cls, body: Mapping[str, Any], where: str, names: Sequence[str] | None = None) -> Notes:
        """Return what an export says.

        Parameters
        ----------
        body : mapping
            The JSON object that :meth:`to_json` returned, or one with more keys.
        where : str
            What messages begin with.
        names : sequence of str, optional
            The columns of a source that says nothing of its columns; by default such a one is an error.

        Raises
        ------
        CorruptData, UnsupportedVersion
            Something is not as it must be.
        """
        table, order = body.get(TABLE, ""), body.get(NAMES, names)
        metadata = body.get(METADATA) if names is None else body.get(METADATA, json.loads(dump_metadata({})))
        if not isinstance(table, str) or not isinstance(order, list) or not all(isinstance(n, str) for n in order):
            raise CorruptData(f"{where}{TABLE} and {NAMES} must be names")
        return cls(table, order, parse_metadata(json.dumps(metadata), f"{where}{METADATA}"))


def mask_note(image: str, key: str) -> dict[str, str]:
    """Return what a format that holds one mask of one image column says of which they are."""
    return {ONE_IMAGE: image, ONE_MASK: key}


def noted_mask(body: Mapping[str, Any], where: str) -> tuple[str, str]:
    """Return the names of the image column and of the mask; those of a source that says nothing by default.

    Raises
    ------
    CorruptData
        They are no names; the message begins with ``where``.
    """
    image, key = body.get(ONE_IMAGE, IMAGE), body.get(ONE_MASK, GROUND_TRUTH)
    if not isinstance(image, str) or not isinstance(key, str):
        raise CorruptData(f"{where}{ONE_IMAGE} and {ONE_MASK} must be names")
    return image, key

"""Parts read against the hashes of their seals before anything is computed from them, once a process and file.

A bit that flips on a disk makes another number of a number, and Parquet does not notice. What was checked is known by
what the system says of the file: whoever writes it gives it another time, size or inode.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from blake3 import blake3

from maskl_storage.disk.blobs import hash_of
from maskl_storage.disk.local import Folder, OpenFolder, folder_of
from maskl_storage.disk.stamps import Stamp, stamp_of
from maskl_storage.errors import CorruptData
from maskl_storage.format.seals import Part
from maskl_storage.format.switches import parse_switch

__all__ = ["VARIABLE", "check_hashes", "check_parts", "checks_hashes", "forget", "set_check_hashes"]

#: the environment variable that says whether hashes are checked
VARIABLE: Final = "MASKL_CHECK_HASHES"
#: bytes from which on a file is mapped, and hashed by several threads
LARGE: Final = 1 << 20

#: what the system says of a file, and the hash that it was found to have
_Known = tuple[Stamp, str]
#: by the path on the disk
_known: Final[dict[str, _Known]] = {}


class _Choice:
    """What was chosen in this process."""

    checks: bool | None = None


def checks_hashes() -> bool:
    """Return whether parts are checked: as it was set in this process, else by the environment, else yes.

    Raises
    ------
    InvalidValue
        The environment variable is no switch.
    """
    if _Choice.checks is not None:
        return _Choice.checks
    text = os.environ.get(VARIABLE)
    return parse_switch(f"the environment variable {VARIABLE}", text) is not False if text else True


def set_check_hashes(checks: bool | None) -> None:  # as the limit of masks is set
    """Set whether this process checks parts; None leaves it to the environment."""
    _Choice.checks = checks


def forget() -> None:
    """Have every part be read anew, whatever was read before."""
    _known.clear()


def check_hashes(files: Folder, parts: Iterable[Part], stats: Mapping[str, os.stat_result]) -> None:
    """Read parts that this process has not read as they are, and compare their hashes with those of their seals.

    Parameters
    ----------
    files : Folder
        The store.
    parts : iterable of Part
        The parts; what is not there is passed over, since who opens it learns that.
    stats : mapping of str to os.stat_result
        What the system says of their files, by path.

    Raises
    ------
    CorruptData
        A part is not what was sealed.
    """
    by_above: dict[str, list[tuple[Part, _Known, int]]] = {}
    for part in parts:
        stat = stats.get(part.path)
        if stat is None:
            continue
        known = (stamp_of(stat), part.blake3)
        if _known.get(f"{files.root}/{part.path}") != known:
            by_above.setdefault(folder_of(folder_of(part.path)), []).append((part, known, stat.st_size))
    for above, members in by_above.items():  # a store has thousands of small parts: one folder is open for many
        with files.opened(above) as folder:
            for part, known, size in members:
                place = f"{files.root}/{part.path}"
                if size != part.bytes:
                    raise _corrupt(place, f"it has {size} bytes, and its seal says {part.bytes}")
                if _hash(folder, part.path.removeprefix(f"{above}/"), size) != part.blake3:
                    raise _corrupt(place, "its BLAKE3 is not the one in its seal: its bytes were altered")
                _known[place] = known


def check_parts(files: Folder, parts: Sequence[Part]) -> None:
    """Read parts whose content is to be sealed anew, as :func:`check_hashes` does, unless that is turned off.

    What was altered would be true from then on: whoever looked later would compare it with its own hash.
    """
    if checks_hashes():
        stats: dict[str, os.stat_result] = {}
        files.refused([part.path for part in parts], stats)
        check_hashes(files, parts, stats)


def _hash(folder: OpenFolder, name: str, size: int) -> str:
    """Return the hash of a file, whose folder was found to be one just before."""
    if size < LARGE:
        with open(folder.open(name), "rb", buffering=0) as file:
            return hash_of(file)[0]
    descriptor = folder.open(name)
    try:
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as mapped:
            return blake3(mapped, max_threads=blake3.AUTO).hexdigest()
    finally:
        os.close(descriptor)


def _corrupt(place: str, what: str) -> CorruptData:
    return CorruptData(
        f"{place}: {what}. What would be computed from it may be wrong: run `maskl verify` to see all that is damaged, "
        f"and take the file from a copy; {VARIABLE}=0 computes all the same"
    )

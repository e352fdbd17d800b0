"""Which files of a source were not read: counted by their endings, with an example of each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from maskl.interchange.source_files import MAX_DEPTH, Opened, walk
from maskl_storage.errors import MasklError
from maskl_storage.format.document import STORE_DIR

__all__ = ["unused_files"]

#: files that are looked at
MAX_FILES: Final = 1_000_000
#: names that are not hidden
SHOWN: Final = "[!.]*"
#: files that say what a source is, and are none of its data
ABOUT: Final = ("readme", "license", "licence", "citation", "changelog", "notice")
#: endings that are told apart
ENDINGS: Final = 10


def unused_files(source: Path, opened: Opened, images: str | None, *, links: bool) -> list[str]:
    """Return what is to be said of the files that were not opened.

    Parameters
    ----------
    source : Path
        The source. All of a folder is looked at; beside a file, those folders that others were read from.
    opened : Opened
        What was opened of it.
    images : str, optional
        The folder of its images, if the user named one elsewhere.
    links : bool
        Whether links are followed.

    Returns
    -------
    list of str
        A line for each ending, the most frequent first; nothing of hidden files, of stores and of what says what a
        source is, and nothing where whoever read the source opened none of its files in a way that is noted.
    """
    if not opened.paths:
        return []
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for path, shown in islice(_files(source, opened, images, links), MAX_FILES):
        if hash(os.path.abspath(path)) not in opened.paths and path.stem.lower() not in ABOUT:
            ending = path.suffix.lower()
            counts[ending] += 1
            examples.setdefault(ending, shown)
    order = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    lines = [
        _line(count, f" *{ending}" if ending else " without an ending", examples[ending])
        for ending, count in order[:ENDINGS]
    ]
    rest = order[ENDINGS:]
    if rest:
        lines.append(_line(sum(count for _, count in rest), " of other endings", examples[rest[0][0]]))
    return lines


def _line(count: int, which: str, example: str) -> str:
    return f"files{which}: {count:,}, such as {example}"


def _files(source: Path, opened: Opened, images: str | None, links: bool) -> Iterator[tuple[Path, str]]:
    """Yield the files to look at, and what each is shown as."""
    inner = os.path.abspath(source)
    if source.is_dir():
        for file in _walk(source, links, deep=True):
            yield file, str(file.relative_to(source))
    near = [inner if source.is_dir() else os.path.dirname(inner)]
    if images is not None and os.path.isdir(images):
        near.append(os.path.abspath(images))
    for folder in sorted(opened.folders):
        inside_source = source.is_dir() and _within(folder, inner)
        if not inside_source and any(_within(folder, one) for one in near):
            for file in _walk(Path(folder), links, deep=False):
                if os.path.abspath(file) != inner:
                    yield file, str(file)


def _within(folder: str, other: str) -> bool:
    return folder == other or folder.startswith(os.path.join(other, ""))


def _walk(folder: Path, links: bool, *, deep: bool) -> Iterator[Path]:
    """Yield the files of a folder as far as they can be listed."""
    try:
        for file in walk(folder, links=links, strict=False, wanted=[SHOWN] * (MAX_DEPTH if deep else 1)):
            if STORE_DIR not in file.parts:
                yield file.path
    except (MasklError, OSError):  # a folder that nobody may list was not needed either
        return

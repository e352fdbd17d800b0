"""Files of a source: found and opened below its folder, where no link is followed and nothing but files is opened.

The folder is what the user named, and may be a link itself. Below it each component of a path is opened by itself,
from the folder that it lies in, so that what is checked is what is read.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

from maskl_storage.disk.local import OpenFolder, leads_on, open_folder
from maskl_storage.errors import InvalidValue, MasklError, NotFound
from maskl_storage.format.names import is_file_name

__all__ = [
    "Opened",
    "SourceFile",
    "begins_with",
    "beside",
    "found",
    "has_file",
    "has_folder",
    "inside",
    "is_link",
    "matching",
    "named",
    "noting",
    "open_file",
    "walk",
]

#: takes the path of a link that is not followed, and the error that says so
Linked = Callable[[str, InvalidValue], object]

#: characters that are in no name that is meant well, or that no file system can be asked for
CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
#: how a path of Windows begins
DRIVE: Final = re.compile("[A-Za-z]:")
#: characters of a path, as Linux takes them
MAX_NAME: Final = 4096
#: folders in folders that are looked into
MAX_DEPTH: Final = 64
#: what is no file, and blocks whoever opens it, or has effects
SPECIAL: Final = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a source, which is opened by :func:`open_file` alone.

    Parameters
    ----------
    folder : Path
        What the file may not lie outside of: the source, or a folder that the user named. Without ``parts``
        the file itself, which the user named.
    parts : tuple of str
        Where it lies in the folder.
    links : bool
        Whether links are followed on the way there.
    """

    folder: Path
    parts: tuple[str, ...] = ()
    links: bool = False

    @property
    def path(self) -> Path:
        """The path, to be shown, and for its suffix."""
        return self.folder.joinpath(*self.parts)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @property
    def relative(self) -> str:
        """The path from the folder, with ``/``."""
        return "/".join(self.parts)

    def __str__(self) -> str:
        return str(self.path)

    def neighbour(self, name: object, under: str = "") -> SourceFile:
        """Return the file of a name that counts from the folder that this one lies in, or one below; see `inside`."""
        if not self.parts:
            return inside(self.folder.parent, name, links=self.links, under=under)
        return inside(self.folder, name, links=self.links, under="/".join((*self.parts[:-1], under)))

    def above(self, levels: int) -> list[Path]:
        """Return the folder that the file lies in and some above it, beyond links in what the user named."""
        folder = self.folder.resolve().joinpath(*self.parts).parent
        return [folder, *folder.parents][:levels]


# --- names --------------------------------------------------------------------------------------


def inside(folder: Path, name: object, *, links: bool, under: str = "") -> SourceFile:
    """Return a file that a source names.

    Parameters
    ----------
    folder : Path
        What the name must not lead out of: the source's folder, or one that the user named.
    name : object
        The name, or whatever else stands in its place. A backslash parts folders, as a slash does; where there is no
        such file, it may be a letter of a folder's name, as an archive of Windows is unpacked elsewhere.
    links : bool
        Whether links are followed wherever they lead, as ``ImportOptions.follow_links`` says; else a link is refused.
    under : str, optional
        The folder in ``folder`` that the name counts from.

    Raises
    ------
    InvalidValue
        No name, or one with control characters; one that leads out of the folder: an absolute one, one
        with ``..``, or through a link; or that of a pipe, a socket or a device.
    NotFound
        There is no such file.
    """
    if not isinstance(name, str) or not name or CONTROL.search(name):
        raise InvalidValue(f"a file's name is needed, without control characters; got {name!r:.80}")
    if len(name) > MAX_NAME:
        raise InvalidValue(f"{name[:80]!r}… cannot be followed: a name has up to {MAX_NAME:,} characters")
    plain = PurePosixPath(name.replace("\\", "/"))
    if plain.is_absolute() or ".." in plain.parts or DRIVE.match(name):
        raise InvalidValue(f"{name!r:.80} leads out of {folder}: names of files are relative to it")
    if os.name == "nt" and not all(map(is_file_name, plain.parts)):
        raise InvalidValue(f"{name!r:.80} is no name of a file in Windows")
    above = PurePosixPath(under).parts
    try:
        return _checked(SourceFile(folder, (*above, *plain.parts), links))
    except NotFound:
        if os.name != "nt" and "\\" in name:
            with suppress(NotFound):
                return _checked(SourceFile(folder, (*above, *PurePosixPath(name).parts), links))
        raise


def found(folder: Path, path: Path, *, links: bool) -> SourceFile:
    """Return a file that was found in a folder, if it is one that :func:`inside` takes."""
    return _checked(SourceFile(folder, path.relative_to(folder).parts, links))


def beside(source: Path, name: str, *, links: bool = False) -> SourceFile | None:
    """Return a file that a source may have beside its others."""
    try:
        return inside(source, name, links=links)
    except NotFound:
        return None


def named(path: Path) -> SourceFile:
    """Return the file that the user named, which may be a link."""
    return _checked(SourceFile(path))


def _checked(file: SourceFile) -> SourceFile:
    """Return a file that is there and is one."""
    with _holding(file) as (folder, name):
        _check_mode(file, folder, name)
    return file


def _check_mode(file: SourceFile, folder: OpenFolder, name: str) -> None:
    """Raise what is wrong with what is no file."""
    kind = stat.S_IFMT(_mode(folder, name, links=file.links or not file.parts) or 0)
    if kind == stat.S_IFLNK:
        raise _is_link(file, folder, name, file.relative)
    if kind in SPECIAL:
        raise InvalidValue(f"{_shown(file)} in {_where(file)} is {SPECIAL[kind]}: a file is needed")
    if kind != stat.S_IFREG:
        raise NotFound(f"there is no file {_shown(file)} in {_where(file)}")


def _is_link(file: SourceFile, folder: OpenFolder, name: str, part: str) -> InvalidValue:
    """Return what is wrong with a link, and what to do."""
    target = ""
    with suppress(OSError):  # gone meanwhile
        target = folder.target(name)
    return InvalidValue(
        f"{_shown(file)} leads out of {file.folder} through a link, {part!r:.80} -> {target!r:.120}: "
        f"links in a source are not followed; name what it leads to, or say --follow-links (follow_links=True) where "
        f"you trust the source"
    )


def _shown(file: SourceFile) -> str:
    return f"{(file.relative or file.folder.name)!r:.80}"


def _where(file: SourceFile) -> Path:
    return file.folder if file.parts else file.folder.parent


# --- opening ------------------------------------------------------------------------------------


def _mode(folder: OpenFolder, name: str, *, links: bool) -> int | None:
    """Return the mode of what has a name, or of what it leads to; None where there is nothing."""
    try:
        found = folder.beyond(name) if links else folder.lstat(name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.S_IFLNK if leads_on(found) else found.st_mode


@contextmanager
def _holding(file: SourceFile) -> Iterator[tuple[OpenFolder, str]]:
    """Open the folder that a file lies in, one component after the other, and yield it with the file's name there."""
    folder: OpenFolder | None = None
    try:
        if not file.parts:
            # by its path: who may open a file need not be allowed to list its folder
            folder = OpenFolder(str(file.folder.parent), "", None, links=True)
            yield folder, file.folder.name
            return
        folder = open_folder(file.folder, links=file.links)
        for number, part in enumerate(file.parts[:-1], 1):
            above, mode = folder, _mode(folder, part, links=file.links)
            if mode is not None and stat.S_ISLNK(mode):
                raise _is_link(file, folder, part, "/".join(file.parts[:number]))
            if mode is None or not stat.S_ISDIR(mode):
                raise NotFound(f"there is no file {_shown(file)} in {file.folder}")
            folder = above.below(part)
            above.close()
        yield folder, file.parts[-1]
    except MasklError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"there is no file {_shown(file)} in {_where(file)}") from error
    except (OSError, ValueError) as error:  # too long a name, or links that lead in a circle
        raise InvalidValue(f"{_shown(file)} cannot be followed: {error}") from error
    finally:
        if folder is not None:
            folder.close()


@dataclass(slots=True)
class Opened:
    """Which files of a source were opened: the hash of each path, and the folders of those that nobody named."""

    paths: set[int] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def add(self, file: SourceFile) -> None:
        """Note a file."""
        path = os.path.abspath(file.path)
        self.paths.add(hash(path))
        if file.parts:
            self.folders.add(os.path.dirname(path))


#: where files are noted that are opened, while a source is read
_opened: Final[ContextVar[Opened | None]] = ContextVar("opened", default=None)


@contextmanager
def noting() -> Iterator[Opened]:
    """Note the files of sources that are opened within."""
    opened = Opened()
    token = _opened.set(opened)
    try:
        yield opened
    finally:
        _opened.reset(token)


def open_file(file: SourceFile | Path, *, glance: bool = False) -> io.FileIO:
    """Open a file of a source to read it; a path is one that the user named, and may be a pipe.

    Parameters
    ----------
    file : SourceFile or Path
        The file.
    glance : bool, optional
        Whether it is only looked at to see what it is, and does not count as used.

    Raises
    ------
    InvalidValue
        It is a pipe, a socket or a device, or a link leads there that is not followed.
    NotFound
        There is no such file.
    """
    if isinstance(file, Path):
        return file.open("rb", buffering=0)
    opened = None if glance else _opened.get()
    if opened is not None:
        opened.add(file)
    with _holding(file) as (folder, name):
        _check_mode(file, folder, name)
        return open(folder.open(name), "rb", buffering=0)


def is_link(file: SourceFile) -> bool:
    """Whether a file is a link, which is not followed."""
    try:
        with _holding(file) as (folder, name):
            return not file.links and stat.S_ISLNK(_mode(folder, name, links=False) or 0)
    except MasklError:
        return False


def begins_with(file: SourceFile, *marks: bytes) -> bool:
    """Whether a file begins with one of some bytes; what cannot be opened does not."""
    try:
        with open_file(file, glance=True) as opened:
            return opened.read(max(map(len, marks))).startswith(marks)
    except (MasklError, OSError):
        return False


# --- finding ------------------------------------------------------------------------------------


def has_file(source: Path, name: str) -> bool:
    """Whether a source has a file of a name, or a link that may be one, which is not followed."""
    return _is_there(source, name, stat.S_IFREG)


def has_folder(source: Path, name: str) -> bool:
    """Whether a source has a folder of a name, or a link that may be one, which is not followed."""
    return _is_there(source, name, stat.S_IFDIR)


def _is_there(source: Path, name: str, kind: int) -> bool:
    try:
        with _holding(SourceFile(source, PurePosixPath(name).parts)) as (folder, last):
            mode = _mode(folder, last, links=False)
    except MasklError:
        return False
    return mode is not None and stat.S_IFMT(mode) in (kind, stat.S_IFLNK)


def matching(
    source: Path, *patterns: str, links: bool, strict: bool = True, linked: Linked | None = None
) -> list[SourceFile]:
    """Return the files whose paths from the source are like a pattern, in order; those of the first that has any.

    Parameters
    ----------
    source : Path
        A folder.
    *patterns : str
        Paths with ``*`` for any part of a name.
    links : bool
        Whether links are followed.
    strict : bool, optional
        Whether a link in the place of a folder is an error; who only asks what a source looks like goes on.
    linked : callable, optional
        Is told of that error with the link's path, instead of its being raised.
    """
    for pattern in patterns:
        wanted = pattern.split("/")
        files = [
            file
            for file in walk(source, links=links, strict=strict, wanted=wanted, linked=linked)
            if len(file.parts) == len(wanted) and fnmatchcase(file.name, wanted[-1])
        ]
        if files:
            return files
    return []


def walk(
    source: Path,
    under: str = "",
    *,
    links: bool,
    strict: bool = True,
    wanted: list[str] | None = None,
    linked: Linked | None = None,
) -> Iterator[SourceFile]:
    """Yield the files of a source, or of a folder in it, and what else stands there and is no folder.

    Parameters
    ----------
    source : Path
        The source.
    under : str, optional
        The folder in it.
    links, strict : bool
        As of :func:`matching`.
    wanted : list of str, optional
        Patterns of the names on each level; by default all are entered.
    linked : callable, optional
        As of :func:`matching`.
    """
    try:
        with _holding(SourceFile(source, (*PurePosixPath(under).parts, "."), links)) as (folder, _):
            yield from _walk(SourceFile(source, PurePosixPath(under).parts, links), folder, strict, wanted, linked)
    except NotFound:
        return


def _walk(
    at: SourceFile,
    folder: OpenFolder,
    strict: bool,
    wanted: list[str] | None,
    linked: Linked | None = None,
    above: tuple[tuple[int, int], ...] = (),
) -> Iterator[SourceFile]:
    level = len(at.parts)
    around = (*above, folder.identity())
    for name in [entry.name for entry in folder.entries()]:
        if wanted is not None and not fnmatchcase(name, wanted[level]):
            continue
        file = replace(at, parts=(*at.parts, name))
        mode = _beyond(folder, name) if at.links else _mode(folder, name, links=False)
        if mode is not None and stat.S_ISLNK(mode) and stat.S_ISDIR(_beyond(folder, name) or 0):
            if strict and linked is not None:
                linked(str(file), _is_link(file, folder, name, file.relative))
            elif strict:
                raise _is_link(file, folder, name, file.relative)
        elif mode is None or not stat.S_ISDIR(mode):
            yield file
        elif level < (MAX_DEPTH if wanted is None else len(wanted) - 1):
            inner = folder.below(name)
            try:
                if inner.identity() not in around:  # else links lead in a circle
                    yield from _walk(file, inner, strict, wanted, linked, around)
            finally:
                inner.close()


def _beyond(folder: OpenFolder, name: str) -> int | None:
    """Return the mode of what a link leads to, of which nothing is opened; None where it leads nowhere."""
    try:
        return _mode(folder, name, links=True)
    except OSError:  # in a circle
        return None

"""Every error and warning that maskl raises.

One base class, and one class for each way of going wrong; each is also the builtin that a caller
would expect, so that ``except ValueError`` keeps working. As in W&B, a ``UsageError`` says that the call is
wrong; what may go wrong with a call that is right, such as a damaged file or a full disk, is none::

    MasklError
    ├── UsageError                             a call that is wrong, which its caller mends; always one of these:
    │   ├── InvalidType (TypeError)            a value of the wrong type or shape
    │   ├── InvalidValue (ValueError)          a value that is out of range or contradicts another
    │   ├── StoreNotFound (FileNotFoundError)  no store at that place
    │   ├── NotFound (KeyError)                no such run, table or row, or no pixels behind a reference
    │   ├── MissingExtra (ImportError)         a package is needed that only an extra brings
    │   ├── QueryError (ValueError)            SQL that is wrong, or that the lock refuses
    │   │   └── QueryTimeout (TimeoutError)    a query that took longer than its caller allowed
    │   ├── StateError (RuntimeError)          a call at the wrong time, such as log() before init()
    │   └── NotSupported (NotImplementedError) what only W&B's server could do, and what to use instead
    │       └── MissingName (AttributeError)   a name of W&B's that is not there, and what to use instead
    ├── CorruptData (ValueError)               stored bytes that are torn, truncated or altered
    ├── UnsupportedVersion (ValueError)        written by a newer major version of the format
    ├── EncodingError (ValueError)             images of some rows that could not be encoded; the other rows are stored
    └── StorageError (OSError)                 what could not be written: no room, no permission, no such folder

    MasklWarning (UserWarning)
    ├── AbsentSegmentsWarning     segments without a pixel in their mask, which were dropped
    ├── SizeMismatchWarning       a mask whose size is not its image's
    ├── ClassMapWarning           a class map that names a class that is not there
    ├── ConversionWarning         a value that had to be stored in another form
    ├── DamagedWarning            a file of a store that cannot be read, and that was set aside
    ├── DroppedWarning            an export left out what its format cannot hold
    ├── DuplicateKeyWarning       rows of a table that share a primary key
    ├── DuplicateNameWarning      class ids that share a name, which were given names of their own
    ├── LargeMaskWarning          a mask of more pixels than readers take by default
    ├── LossyMaskWarning          a mask that went through JPEG or the like, which changes ids
    ├── LeftOutWarning            an import left out of its source what somebody would miss, such as masks
    ├── LogModeWarning            a table that was not stored, since its log mode forbids it
    ├── NameCaseWarning           names of tables that differ in case only
    ├── NotStoredWarning          what was not stored, in a run that goes on all the same
    ├── OrientationWarning        masks or boxes of a photo whose EXIF orientation turns it
    ├── RowsLeftOutWarning        rows that are in no mean or sum of an answer
    ├── RecoveryWarning           rows of a process that was killed, brought in by another one
    ├── StatisticsWarning         a mask that keeps no class statistics
    ├── UnnamedClassWarning       a mask whose classes have names, with ids that have none
    ├── UnboundedWarning          limits of a query that are kept in this process, where they bound less of it
    ├── ServerOnlyWarning         an argument or call that only W&B's server would heed
    └── ActiveRunWarning          init() returned the active run, and its arguments had no effect
"""

from __future__ import annotations

import sys
import warnings
from typing import Any, Final, TypeVar

__all__ = [
    "AbsentSegmentsWarning",
    "ActiveRunWarning",
    "ClassMapWarning",
    "ConversionWarning",
    "CorruptData",
    "DamagedWarning",
    "DroppedWarning",
    "DuplicateKeyWarning",
    "DuplicateNameWarning",
    "EncodingError",
    "InvalidType",
    "InvalidValue",
    "LargeMaskWarning",
    "LeftOutWarning",
    "LogModeWarning",
    "LossyMaskWarning",
    "MasklError",
    "MasklWarning",
    "MissingExtra",
    "MissingName",
    "NameCaseWarning",
    "NotFound",
    "NotStoredWarning",
    "NotSupported",
    "OrientationWarning",
    "QueryError",
    "QueryTimeout",
    "RecoveryWarning",
    "RowsLeftOutWarning",
    "ServerOnlyWarning",
    "SizeMismatchWarning",
    "StateError",
    "StatisticsWarning",
    "StorageError",
    "StoreNotFound",
    "UnboundedWarning",
    "UnnamedClassWarning",
    "UnsupportedVersion",
    "UsageError",
]


class MasklError(Exception):
    """The base of all errors of maskl."""


class UsageError(MasklError):
    """A call that is wrong: what it was given, what it asks for, or when it comes. The base of the errors below."""


class InvalidType(UsageError, TypeError):
    """A value of the wrong type or shape."""


class InvalidValue(UsageError, ValueError):
    """A value that is out of range or contradicts another."""


class StoreNotFound(UsageError, FileNotFoundError):
    """There is no store at that place."""


class NotFound(UsageError, KeyError):
    """No such run, table or row, or no pixels behind a reference."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class MissingExtra(UsageError, ImportError):
    """A package is needed that only an extra of maskl brings; the message names it."""


class QueryError(UsageError, ValueError):
    """SQL that is wrong, or that the locked connection refuses."""


class QueryTimeout(QueryError, TimeoutError):
    """A query that took longer than its caller allowed."""


class StateError(UsageError, RuntimeError):
    """A call at the wrong time, such as ``log()`` before ``init()``."""


class NotSupported(UsageError, NotImplementedError):
    """What only W&B's server could do; the message says what to use instead.

    In a run with ``strict=True``, also what else would be a :class:`ServerOnlyWarning`.
    """


class MissingName(NotSupported, AttributeError):
    """A name of W&B's that is not there; the message says what to use instead. ``hasattr`` is False.

    Parameters
    ----------
    message : str
    name : str, optional
        The name that was asked for.
    """

    def __init__(self, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class CorruptData(MasklError, ValueError):
    """Stored bytes that are torn, truncated or altered."""


class UnsupportedVersion(MasklError, ValueError):
    """Data written by a newer major version of the format."""


class EncodingError(MasklError, ValueError):
    """Images of some rows could not be encoded; everything else of the call was stored.

    Parameters
    ----------
    message : str
    rows : int
        How many rows were left out.
    """

    def __init__(self, message: str, rows: int = 0) -> None:
        super().__init__(message)
        self.rows = rows


class StorageError(MasklError, OSError):
    """What could not be written to the disk; what was logged before is kept."""


class MasklWarning(UserWarning):
    """The base of all warnings of maskl."""


class AbsentSegmentsWarning(MasklWarning):
    """Segments that have no pixel in their mask were dropped."""


class SizeMismatchWarning(MasklWarning):
    """A mask's height and width are not its image's."""


class ClassMapWarning(MasklWarning):
    """A class map names a class that no mask has."""


class ConversionWarning(MasklWarning):
    """A value had to be stored in another form."""


class DamagedWarning(MasklWarning):
    """A file of a store cannot be read and was set aside; the message names it, and says what is missing."""


class DroppedWarning(MasklWarning):
    """An export left out what its format cannot hold; the message says what and how often."""


class DuplicateKeyWarning(MasklWarning):
    """Rows of a table share a primary key."""


class DuplicateNameWarning(MasklWarning):
    """Several ids of one set of classes have one name; each but the lowest was given a name of its own."""


class LargeMaskWarning(MasklWarning):
    """A mask has more pixels than readers take by default."""


class LeftOutWarning(MasklWarning):
    """An import left out of its source what somebody would miss: masks that are not there, annotations without one."""


class LogModeWarning(MasklWarning):
    """A table was not stored, since its log mode forbids it."""


class LossyMaskWarning(MasklWarning):
    """A mask went through JPEG or the like, which makes ids that nobody set."""


class NameCaseWarning(MasklWarning):
    """Names of tables differ in case only, which SQL and some file systems do not tell apart."""


class NotStoredWarning(MasklWarning):
    """Something was not stored, in a run that was started with ``on_error="warn"``."""


class OrientationWarning(MasklWarning):
    """A photo's EXIF orientation turns it where it is shown, and its masks or boxes may count in turned pixels."""


class RecoveryWarning(MasklWarning):
    """A process was killed while it logged, and its rows were brought in now."""


class RowsLeftOutWarning(MasklWarning):
    """A mean or sum is not over all rows, since two masks of some differ in size or one is missing."""


class StatisticsWarning(MasklWarning):
    """A mask keeps no class statistics."""


class UnnamedClassWarning(MasklWarning):
    """A mask whose classes have names has pixels of an id that has none."""


class UnboundedWarning(MasklWarning):
    """A query's limits are kept in this process, since no other could be begun: they bound less of it."""


class ServerOnlyWarning(MasklWarning):
    """An argument or call was accepted that only W&B's server would heed."""


class ActiveRunWarning(MasklWarning):
    """``init()`` returned the active run, and its arguments had no effect."""


Raised = TypeVar("Raised", bound="MasklError | OSError")


def prefixed(error: Raised, where: str) -> Raised:
    """Return an error like this one whose message begins with where it happened; raise it ``from`` this one.

    It has the same type, notes and attributes, such as ``errno`` and ``filename``.

    Examples
    --------
    >>> prefixed(InvalidValue("it is empty"), "row 3, column 'x'")
    InvalidValue("row 3, column 'x': it is empty")
    >>> print(prefixed(FileNotFoundError(2, "No such file", "a.png"), "row 3"))
    [Errno 2] row 3: No such file: 'a.png'
    """
    parts: tuple[Any, ...] = (f"{where}: {error}",)
    if isinstance(error, OSError) and error.strerror is not None:
        parts = (error.errno, f"{where}: {error.strerror}", error.filename, None, error.filename2)
    made = type(error)(*parts)
    if isinstance(error, OSError) and isinstance(made, OSError):
        made.errno = error.errno  # it may have a number without words for it
    vars(made).update(vars(error))
    return made


#: the packages whose lines a warning never points at
OWN: Final = ("maskl", "maskl_storage")


def warn(message: str, category: type[MasklWarning]) -> None:
    """Warn, pointing at the line outside these packages that led here, however deep the call."""
    level = 1
    frame = sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in OWN:
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)


def warn_unless_strict(message: str, *, strict: bool) -> None:
    """Warn of what only a server would heed, or raise :class:`NotSupported` where that is to be an error."""
    if strict:
        raise NotSupported(f"{message} (it is an error since strict is true)")
    warn(message, ServerOnlyWarning)

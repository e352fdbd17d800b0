"""The methods of a run that only W&B's server could heed: each warns once by its name, and the program goes on."""

from __future__ import annotations

import html
import time
from abc import ABC, abstractmethod
from datetime import timedelta
from enum import Enum
from numbers import Real
from typing import Any, Final, NamedTuple

from maskl.runs._terminal import say
from maskl.runs._unsupported import Nothing
from maskl.runs.settings import Settings, is_strict
from maskl_storage.errors import InvalidType, InvalidValue, warn_unless_strict

__all__ = ["AlertLevel", "RunStatus", "ServerCalls", "forget_told", "tell_once"]

#: the calls that this process was told of
_told: Final[set[str]] = set()


def tell_once(name: str, instead: str, strict: bool | None) -> None:
    """Warn once in this process that a call asks a server that is not there, or raise that; ``strict`` is the setting.

    Parameters
    ----------
    name : str
        The call, without parentheses.
    instead : str
        What happens instead, or what to do.
    """
    error = is_strict(strict)
    if error or name not in _told:
        warn_unless_strict(f"{name}() needs W&B's server, and maskl has none: {instead}", strict=error)
        _told.add(name)  # not where a filter made an error of the warning


def forget_told() -> None:
    """Tell of every call again."""
    _told.clear()


class AlertLevel(Enum):
    """How much an alert matters; see :meth:`Run.alert`.

    Examples
    --------
    >>> AlertLevel.WARN.value
    'WARN'
    """

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class RunStatus(NamedTuple):
    """What waits to be sent to a server: nothing, ever."""

    sync_items_total: int = 0
    sync_items_pending: int = 0
    sync_time: None = None


class ServerCalls(ABC):
    """What of a run only W&B's server could heed.

    A disabled run, and one that has ended, takes these calls too; a disabled one says nothing of them.
    """

    def __init__(self) -> None:
        #: when alerts were printed, by their titles
        self._alerted: dict[str, float] = {}

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """What the run was started with."""

    @property
    @abstractmethod
    def disabled(self) -> bool:
        """Whether nothing that is logged is stored."""

    @property
    def url(self) -> None:
        """None: the run has no page on a server."""
        return

    @property
    def project_url(self) -> None:
        """None: the project has no page on a server."""
        return

    @property
    def sweep_url(self) -> None:
        """None: there are no sweeps."""
        return

    @property
    def sweep_id(self) -> None:
        """None: there are no sweeps."""
        return

    def get_url(self) -> None:
        """Return None, as :attr:`url` is."""
        return

    def get_project_url(self) -> None:
        """Return None, as :attr:`project_url` is."""
        return

    def get_sweep_url(self) -> None:
        """Return None, as :attr:`sweep_url` is."""
        return

    def alert(
        self,
        title: str,
        text: str,
        level: str | AlertLevel | None = None,
        wait_duration: float | timedelta | None = None,
    ) -> None:
        """Print an alert to stderr, and warn that it is sent to nobody.

        Parameters
        ----------
        title, text : str
            What to say.
        level : {'INFO', 'WARN', 'ERROR'} or AlertLevel, optional
            How much it matters; ``INFO`` by default.
        wait_duration : float or timedelta, optional
            For how many seconds after an alert others of its title are not printed; by default all are.

        Raises
        ------
        InvalidType, InvalidValue
            Another level, or another duration.
        """
        chosen, seconds = _level(level), _seconds(wait_duration)
        if self.disabled:
            return
        self._tell("alert", "it is printed, and sent to nobody")
        now, before = time.monotonic(), self._alerted.get(str(title))
        if self.settings.silent or (before is not None and now - before < seconds):
            return
        self._alerted[str(title)] = now
        say(*f"{chosen.value}: {title}: {text}".split("\n"))

    def display(self, height: int = 420, hidden: bool = False) -> bool:
        """Return False after a warning: there is no page to show, whatever its ``height`` and ``hidden``."""
        self._tell("display", "read the store with maskl.open() or maskl.sql()")
        return False

    def to_html(self, height: int = 420, hidden: bool = False) -> str:
        """Return what the run is as a line of HTML, after a warning: there is no page of a ``height`` to embed."""
        self._tell("to_html", "read the store with maskl.open() or maskl.sql()")
        return f"<pre>{html.escape(repr(self))}</pre>"

    def status(self) -> RunStatus:
        """Return that nothing waits to be sent, after a warning."""
        self._tell("status", "everything that was logged is in the store; nothing waits to be sent")
        return RunStatus()

    def link_artifact(self, artifact: Any, target_path: str, aliases: Any = None) -> Any:
        """Return the artifact as it is, after a warning: there is no registry to link it in."""
        self._tell("link_artifact", "there is no registry, and nothing is linked")
        return artifact

    def link_model(self, path: Any, registered_model_name: str, name: str | None = None, aliases: Any = None) -> Any:
        """Return nothing that is of use, after a warning: there is no registry to link a model in."""
        self._tell("link_model", "there is no registry, and nothing is linked; the file stays where it is")
        return Nothing("there is no registry")

    def log_code(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing but warn: the program is not recorded."""
        self._tell("log_code", "keep the code in version control and write its commit into config")

    def mark_preempting(self) -> None:
        """Do nothing but warn: no server starts the run again."""
        self._tell("mark_preempting", "init(resume='auto') continues a run that did not end well")

    def pin_config_keys(self, keys: Any = ()) -> None:
        """Do nothing but warn: there is no page to show keys on."""
        self._tell("pin_config_keys", "choose the columns in SQL: SELECT config.lr FROM runs")

    def write_logs(self, text: str) -> None:
        """Do nothing but warn: what a program prints is not recorded."""
        self._tell("write_logs", "write the text to a file of your own, or log() it")

    def watch(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing but warn: gradients and weights of models are not recorded."""
        self._tell("watch", "gradients and weights are not recorded; log() what you want of them")

    def unwatch(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing but warn, as nothing is watched."""
        self._tell("unwatch", "nothing is watched")

    def _tell(self, name: str, instead: str) -> None:
        if not self.disabled:
            tell_once(name, instead, self.settings.strict)


def _level(level: Any) -> AlertLevel:
    if level is None:
        return AlertLevel.INFO
    found = level.value if isinstance(level, Enum) else level
    if not isinstance(found, str) or found not in AlertLevel.__members__:
        raise InvalidValue(f"level must be one of {', '.join(map(repr, AlertLevel.__members__))}; got {level!r:.60}")
    return AlertLevel[found]


def _seconds(duration: Any) -> float:
    if duration is None:
        return 0.0
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if not isinstance(duration, Real):
        raise InvalidType(f"wait_duration must be a number of seconds or a timedelta; got {duration!r:.60}")
    return float(duration)

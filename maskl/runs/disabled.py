"""The run of ``mode="disabled"``: it takes every call, and does nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from maskl.images.encoding import PendingImage
from maskl.runs.config import Config
from maskl.runs.run import Run
from maskl.runs.settings import Settings
from maskl.runs.summary import Metric, Metrics, Summary
from maskl.runs.unsupported import CALLS, URLS
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.errors import StateError

__all__ = ["DisabledRun", "Nothing"]

PLAIN: Final = (int, float, str, bool)


class Nothing:
    """What calls of a disabled run return where W&B returns an object: whatever is asked of it is itself."""

    def __getattr__(self, name: str) -> Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Nothing:
        """Return itself."""
        return self

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "<nothing: the run is disabled>"


class DisabledRun(Run):
    """A run that stores nothing; its config and summary are kept in memory."""

    def __init__(
        self, info: RunInfo, settings: Settings, config: Config, ended: Callable[[Run, int | None, bool], None]
    ) -> None:
        summary = Summary()
        super().__init__(None, settings, config, summary, Metrics(summary), ended=ended)  # type: ignore[arg-type]
        self._own_info = info

    @property
    def dir(self) -> str:
        """Empty, as there is no store."""
        return ""

    @property
    def disabled(self) -> bool:
        """True."""
        return True

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Do nothing but move the step on, and put numbers and strings into the summary."""
        if isinstance(data, dict):
            for key, value in data.items():
                if type(value) in PLAIN:
                    self._summary.put((key,), value)
        if step is None or type(step) is int:
            self._move(self._step if step is None else step, step is None if commit is None else bool(commit))

    def define_metric(self, name: str, *args: Any, **kwargs: Any) -> Metric:
        """Return a metric that summarises nothing."""
        return Metric(str(name))

    def watch(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def unwatch(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """End the run."""
        if self._own_info.state == "running":
            self._own_info = replace(self._own_info, state="failed" if exit_code else "finished")
            self._ended(self, exit_code, bool(quiet))

    def stored_image(self, digest: str) -> Callable[[], bytes] | None:
        """Return None: nothing is stored."""
        return None

    def store_image(self, image: PendingImage) -> None:
        """Refuse, as there is no store."""
        raise StateError("a disabled run stores no images")

    @property
    def spool_folder(self) -> None:
        """None: there is no store."""
        return

    @property
    def _info(self) -> RunInfo:
        return self._own_info

    def _describe(self, **changes: Any) -> None:
        self._own_info = replace(self._own_info, **changes)

    def _check_open(self) -> None:
        """Take every call."""


def _nothing(self: DisabledRun, *args: Any, **kwargs: Any) -> Nothing:
    """Return an object that takes every call."""
    return Nothing()


for _name in CALLS:
    setattr(DisabledRun, _name, _nothing)
for _name in URLS:
    setattr(DisabledRun, _name, None)

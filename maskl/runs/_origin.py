"""Which run a pickle stands for, and which process it comes from."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass

from maskl.runs.settings import Settings
from maskl.runs.summary import Metric
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.disk.forks import in_forked_child

__all__ = ["Origin", "this_process"]

_process: str | None = None


def this_process() -> str:
    """Return what tells this process from any other, forked ones and later ones of the same number too."""
    global _process
    if _process is None:
        _process = f"{os.getpid()}-{secrets.token_hex(8)}"
    return _process


@in_forked_child
def _forget_process() -> None:
    global _process
    _process = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Which run a pickle stands for, and what was known of it when it was made.

    Parameters
    ----------
    key : tuple of str or None and str
        The store, None where the run is disabled, and the id.
    process : str
        The process that the run, or the handle of it, was in.
    info : RunInfo
        The run with its config and summary.
    settings : Settings
        What it was started with.
    allow_val_change : bool
        Whether its config items may change.
    entity : str
        The entity that was named in ``init()``.
    step : int
        The step that the next call of ``log()`` without one went to.
    metrics : tuple of Metric
        How values were to be summarised.
    """

    key: tuple[str | None, str]
    process: str
    info: RunInfo
    settings: Settings
    allow_val_change: bool
    entity: str
    step: int
    metrics: tuple[Metric, ...] = ()

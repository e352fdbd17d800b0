"""The module's verbs for files and artifacts, each that of the active run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from maskl.runs.active import active_run
from maskl_storage.lazy import LazyModule

if TYPE_CHECKING:
    import maskl.artifacts.artifact as artifacts
else:
    artifacts = LazyModule("maskl.artifacts.artifact")

__all__ = ["log_artifact", "log_model", "restore", "save", "use_artifact", "use_model"]

PathLike = str | os.PathLike[str]


def save(glob_str: PathLike, base_path: PathLike | None = None, policy: str = "live", glob: bool = True) -> list[str]:
    """Keep files as they are now; see :meth:`Run.save`."""
    return active_run("save()").save(glob_str, base_path, policy, glob)


def restore(name: str, run_path: str | None = None, replace: bool = False, root: PathLike | None = None) -> TextIO:
    """Write a file that a run keeps to a folder, and return it open; see :meth:`Run.restore`."""
    return active_run("restore()").restore(name, run_path, replace, root)


def log_artifact(
    artifact_or_path: artifacts.Artifact | PathLike,
    name: str | None = None,
    type: str | None = None,  # noqa: A002  # as W&B's users know it
    aliases: str | Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
) -> artifacts.Artifact:
    """Make a version of an artifact; see :meth:`Run.log_artifact`."""
    return active_run("log_artifact()").log_artifact(artifact_or_path, name, type, aliases, tags)


def use_artifact(
    artifact_or_name: str | artifacts.Artifact,
    type: str | None = None,  # noqa: A002  # as above
    aliases: str | Sequence[str] | None = None,
    use_as: str | None = None,
) -> artifacts.Artifact:
    """Return a version of an artifact; see :meth:`Run.use_artifact`."""
    return active_run("use_artifact()").use_artifact(artifact_or_name, type, aliases, use_as)


def log_model(path: PathLike, name: str | None = None, aliases: str | Sequence[str] | None = None) -> None:
    """Log a file or folder as an artifact of type ``model``; see :meth:`Run.log_model`."""
    active_run("log_model()").log_model(path, name, aliases)


def use_model(name: str) -> str:
    """Write the files of a model to a folder; see :meth:`Run.use_model`."""
    return active_run("use_model()").use_model(name)

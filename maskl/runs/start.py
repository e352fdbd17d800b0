"""How a run begins: new or taken up again, and what is said of it at both ends."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from maskl.runs._handles import last_of
from maskl.runs._messages import say_start
from maskl.runs._origin import Origin
from maskl.runs.config import parse_config, read_defaults
from maskl.runs.run import Run
from maskl.runs.settings import Settings, take_effect, warn_server_only
from maskl_storage.catalog.layout import Layout, is_store, locate
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.catalog.signed import read_document
from maskl_storage.disk.local import Folder
from maskl_storage.errors import (
    ConversionWarning,
    CorruptData,
    InvalidValue,
    NotFound,
    RecoveryWarning,
    StateError,
    warn,
)
from maskl_storage.format.document import read_object
from maskl_storage.format.names import check_name
from maskl_storage.format.paths import resume_path
from maskl_storage.upkeep.recovery import recover
from maskl_storage.write.null import NullWriter
from maskl_storage.write.writer import Writer

__all__ = ["Plan", "in_notebook", "start", "take_over", "warn_of_online", "warn_of_unused"]

ID_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"

#: arguments that only W&B's server heeds, and what happens instead
UNUSED: Final = {
    "entity": "",
    "force": "",
    "anonymous": "",
    "save_code": ": keep the code in version control",
    "tensorboard": ": log() what is written to TensorBoard",
    "sync_tensorboard": ": log() what is written to TensorBoard",
    "monitor_gym": ": log the frames as images",
    "resume_from": ": nothing is rewound; id= and resume= go on with a run after its last step",
    "fork_from": ": nothing is forked; a new run begins at step 0",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to be started with."""

    settings: Settings
    config: Any
    exclude: Sequence[str] | None
    include: Sequence[str] | None
    entity: str
    ended: Callable[[Run, int | None, bool], None]
    found_again: Callable[[Origin], Run]


def warn_of_unused(given: Mapping[str, Any], strict: bool | None) -> None:
    """Warn once of each argument that has no effect; what is switched off would have had none either."""
    for name, instead in UNUSED.items():
        if given.get(name):
            warn_server_only(f"{name}={given[name]!r:.60}", instead, strict=strict)


def warn_of_online(settings: Settings) -> None:
    """Warn that a run which is to be online is kept here."""
    if settings.mode in ("online", "run"):
        kept = f": nothing is uploaded, the run is kept in {locate(settings.root_dir)}"
        warn_server_only(f"mode={settings.mode!r}", kept, strict=settings.strict)


def in_notebook() -> bool:
    """Whether this is a notebook, where cells are run again and again."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def start(plan: Plan) -> Run:
    """Start the run."""
    settings = plan.settings
    take_effect(settings)
    config = {
        **read_defaults(settings.config_paths or ()),
        **parse_config({} if plan.config is None else plan.config, plan.exclude, plan.include),
    }
    allow = in_notebook() if settings.allow_val_change is None else settings.allow_val_change
    if settings.mode == "disabled":
        info = replace(_describe(settings, settings.run_id), config=config)
        return Run(
            info,
            lambda summary: NullWriter(info),
            settings,
            allow_val_change=allow,
            entity=plan.entity,
            ended=plan.ended,
            found_again=plan.found_again,
        )
    root = locate(settings.root_dir)
    marker = _Marker(root, settings.project) if settings.resume == "auto" else None
    known = take_over(root) if is_store(root) else {}
    run_id = _chosen_id(settings, known, marker, root)
    info = replace(_describe(settings, run_id), config=config)
    run = _open(Layout.create(root), info, known.get(info.run_id), plan, allow)
    if marker is not None:
        marker.write(run.id)
    say_start(run)
    return run


def take_over(root: Path) -> dict[str, RunInfo]:
    """Bring in what killed processes left in the store, and return its runs."""
    layout = Layout(root)
    for left in recover(layout):
        rows = ", ".join(f"{count} of {name!r}" for name, count in left.rows.items()) or "no rows"
        problem = f"; {left.problem}" if left.problem else ""
        if left.rows or left.scalars or left.problem:
            warn(
                f"a process that logged to run {left.run_id!r} was killed; brought in: {rows}, "
                f"{left.scalars} scalars{problem}",
                RecoveryWarning,
            )
    return {run.run_id: run for run in layout.runs()}


def _open(layout: Layout, info: RunInfo, old: RunInfo | None, plan: Plan, allow: bool) -> Run:
    step, past = 0, None
    if old is not None:
        info = _continued(info, old)
        step, past = last_of(layout, info.run_id)
    sync = plan.settings.durability == "fsync"
    return Run(
        info,
        lambda summary: Writer(layout, info, summary=summary, sync=sync),
        plan.settings,
        allow_val_change=allow,
        past=past,
        starting_step=step,
        resumed=old is not None,
        entity=plan.entity,
        ended=plan.ended,
        found_again=plan.found_again,
    )


def _describe(settings: Settings, run_id: str | None) -> RunInfo:
    """Return what the settings say of a run; its id where there is none is its name and four characters."""
    name = settings.run_name or run_id or f"run-{datetime.now():%Y%m%d-%H%M%S}"
    if run_id is None:
        run_id = f"{name}-{''.join(secrets.choice(ID_LETTERS) for _ in range(4))}"
    if check_name(run_id, "run id").isspace():
        raise InvalidValue(f"a run id must not be blank; got {run_id!r}")
    return RunInfo(
        run_id,
        name,
        settings.project,
        settings.run_group,
        settings.run_job_type,
        tags=settings.run_tags or (),
        notes=settings.run_notes,
    )


def _continued(info: RunInfo, old: RunInfo) -> RunInfo:
    """Return the run with what was not given taken from its earlier writers."""
    return replace(
        info,
        name=old.name if info.name == info.run_id else info.name,
        project=info.project or old.project,
        group=info.group or old.group,
        job_type=info.job_type or old.job_type,
        config={**old.config, **info.config},
        tags=info.tags or old.tags,
        notes=info.notes or old.notes,
        summary=old.summary,
    )


def _chosen_id(settings: Settings, known: Mapping[str, RunInfo], marker: _Marker | None, root: Path) -> str | None:
    """Return the id that the settings give or remember, or raise where ``resume`` rules it out."""
    run_id = settings.run_id
    if marker is not None:
        remembered = marker.read(known)
        if remembered is not None and run_id is not None and remembered != run_id:
            warn(f"id={run_id!r} goes before run {remembered!r}, which resume='auto' remembers", ConversionWarning)
        run_id = remembered if run_id is None else run_id
    if settings.resume == "must" and run_id is None:
        raise InvalidValue("resume='must' needs the run's id: init(id=..., resume='must')")
    if settings.resume == "must" and run_id not in known:
        latest = ", ".join(list(known)[-5:]) or "none"
        raise NotFound(f"resume='must', but there is no run {run_id!r} in {root}; the latest are: {latest}")
    if settings.resume == "never" and run_id in known:
        raise StateError(
            f"resume='never', but there is a run {run_id!r} in {root}: choose another id, or resume='allow'"
        )
    return run_id


class _Marker:
    """A file that remembers the run of a project which was started with ``resume="auto"``, until it ends well.

    Its name begins with a dot: it is not part of the store.
    """

    def __init__(self, root: Path, project: str | None) -> None:
        self._files = Folder(root)
        self._path = resume_path(blake3((project or "").encode()).hexdigest()[:16])

    def read(self, known: Mapping[str, RunInfo]) -> str | None:
        """Return the run to go on with: one that the store has, did not end well, and no process writes to."""
        try:
            body = read_object(read_document(self._files, self._path), self._path)
        except (OSError, CorruptData):
            return None
        run_id = body.get("run_id")
        old = known.get(run_id) if isinstance(run_id, str) else None
        return old.run_id if old is not None and old.state in ("failed", "killed") else None

    def write(self, run_id: str) -> None:
        """Remember a run of this process."""
        self._files.write(self._path, json.dumps({"run_id": run_id}).encode())

"""What the writers of a run say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maskl_storage.format.document import WRITTEN

__all__ = ["RunInfo", "run_of_writers"]


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as its writers describe it; :meth:`maskl.Store.runs` returns one for each.

    Parameters
    ----------
    run_id : str
        The run's id.
    name : str
        The run's name.
    project, group, job_type : str, optional
        What the run belongs to.
    state : str
        ``running``, ``finished``, ``failed`` or ``killed``.
    config, summary : mapping of str to Any
        What the run was configured with, and what its values came to.
    tags : tuple of str
        The run's tags.
    notes : str, optional
        The run's notes.
    started, updated, finished : str, optional
        When the first writer started, when the run was described last, and when the last writer ended: ISO
        8601 in UTC.
    """

    run_id: str
    name: str
    project: str | None = None
    group: str | None = None
    job_type: str | None = None
    state: str = "running"
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    notes: str | None = None
    started: str | None = None
    updated: str | None = None
    finished: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the body of a writer's file."""
        return {
            "version": WRITTEN,
            "run_id": self.run_id,
            "name": self.name,
            "project": self.project,
            "group": self.group,
            "job_type": self.job_type,
            "state": self.state,
            "config": dict(self.config),
            "summary": dict(self.summary),
            "tags": list(self.tags),
            "notes": self.notes,
            "started": self.started,
            "updated": self.updated,
            "finished": self.finished,
        }


def run_of_writers(bodies: list[dict[str, Any]]) -> RunInfo:
    """Return the run that the files of its writers describe."""
    bodies.sort(key=lambda body: body.get("updated") or "")
    last = bodies[-1]
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    for body in bodies:
        config.update(body.get("config") or {})
        summary.update(body.get("summary") or {})
    return RunInfo(
        run_id=last["run_id"],
        name=last.get("name") or last["run_id"],
        project=last.get("project"),
        group=last.get("group"),
        job_type=last.get("job_type"),
        state="running" if any(body["state"] == "running" for body in bodies) else last["state"],
        config=config,
        summary=summary,
        tags=tuple(last.get("tags") or ()),
        notes=last.get("notes"),
        started=min((body["started"] for body in bodies if body.get("started")), default=None),
        updated=last.get("updated"),
        finished=last.get("finished"),
    )

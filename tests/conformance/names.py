"""The tables of ``docs/migrating-from-wandb.md``, and where in maskl each of their names is."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import maskl
from maskl.runs.settings import ENVIRONMENT

__all__ = ["KEPT", "MEDIA", "VERDICTS", "Name", "found", "names"]

PAGE = Path(__file__).parents[2] / "docs" / "migrating-from-wandb.md"
VERDICTS = ("same", "better", "different", "not there")
MEDIA = ("Image", "ImageMask", "Classes", "BoundingBoxes2D", "Table", "JoinedTable")
#: the kinds of kept media
KEPT = ("Audio", "Html", "Molecule", "Object3D", "Plotly", "Video")
#: how W&B's users reach what belongs to a run
OWNERS = {"Run.config": maskl.Config, "Run.summary": maskl.Summary}


@dataclass(frozen=True)
class Name:
    """A name of the table, its verdict, and what is said about it."""

    name: str
    verdict: str
    said: str


def names() -> dict[str, Name]:
    """Return every name of every table of the page, each once."""
    listed: dict[str, Name] = {}
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 3 or cells[0] == "name" or set(cells[0]) <= set("-"):
            continue
        inside = re.findall(r"`([^`]*)`", cells[0]) or [cells[0]]
        for name in inside:
            assert name not in listed, f"{name} is in the table twice"
            listed[name] = Name(name, cells[1], cells[2])
    return listed


def found(name: str) -> bool | None:
    """Return whether maskl has a name; None for one that is no name of Python's, such as ``column: dict``."""
    if name.startswith(("WANDB_", "MASKL_")):
        return f"MASKL_{name[6:]}" in ENVIRONMENT.values()
    if re.fullmatch(r"Media\.\w+", name):
        return any(_has(getattr(maskl, owner), name[6:]) for owner in MEDIA)
    called = re.fullmatch(r"([\w.]+)\((\w+)\)", name)
    if called and not _is_kind(*called.groups()):
        return called[2] in inspect.signature(_resolve(called[1])).parameters
    if re.fullmatch(r"[A-Za-z_][\w.]*", name):
        if name.isupper():
            return None
        owner, _, member = name.rpartition(".")
        return _has(_resolve(owner), member) if owner else _has(maskl, member)
    return None


def _is_kind(owner: str, inside: str) -> bool:
    """Whether ``Image(path)`` or ``log(Table)`` names what is passed, and no argument."""
    return owner in ("log", "Image") and inside in (
        "path",
        "URL",
        "matplotlib",
        *MEDIA,
        "DataFrame",
        "EvalTable",
        "Histogram",
        *KEPT,
    )


def _resolve(path: str) -> Any:
    for prefix, owner in OWNERS.items():
        if path == prefix:
            return owner
        if path.startswith(f"{prefix}."):
            return getattr(owner, path[len(prefix) + 1 :])
    value: Any = maskl
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _has(owner: Any, member: str) -> bool:
    """Whether a class or module has a member, set on its instances or not."""
    return hasattr(owner, member) or member in getattr(owner, "__all__", ())

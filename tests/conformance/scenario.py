"""What a scenario is: code written once, run against W&B and against maskl, and what was kept compared.

A scenario takes a :class:`Side`, which stands for one of the two packages, and returns an observation
that JSON can hold. It imports nothing of either package, so that both environments can run it.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

__all__ = ["SCENARIOS", "Kept", "Scenario", "Side", "differs", "error_of", "picture", "plain", "same"]

Observe = Callable[["Side"], object]


@dataclass(frozen=True)
class Scenario:
    """One piece of code, the rows of the table of names that it is evidence for, and what is expected."""

    name: str
    rows: tuple[str, ...]
    observe: Observe
    wandb: object = None
    maskl: object = None
    differs: bool = False


SCENARIOS: dict[str, Scenario] = {}


def _register(function: Observe, rows: tuple[str, ...], **expected: Any) -> Observe:
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    assert name not in SCENARIOS, f"two scenarios are called {name}"
    assert rows, f"{name} is evidence for nothing"
    SCENARIOS[name] = Scenario(name, rows, function, **expected)
    return function


def same(*rows: str) -> Callable[[Observe], Observe]:
    """Mark a scenario that both packages must observe alike."""
    return lambda function: _register(function, rows)


def differs(*rows: str, wandb: object, maskl: object) -> Callable[[Observe], Observe]:
    """Mark a scenario that differs on purpose, with what each package does."""
    return lambda function: _register(function, rows, wandb=plain(wandb), maskl=plain(maskl), differs=True)


@dataclass
class Kept:
    """What a finished run left, read back.

    Parameters
    ----------
    history : list of (step, {key: value})
        Scalars, images (as :func:`picture` gives them) and tables, in order of step.
    summary, config : dict
        Without what the package itself puts there.
    """

    history: list[tuple[int, dict[str, Any]]]
    summary: dict[str, Any]
    config: dict[str, Any]

    def at(self, step: int) -> dict[str, Any]:
        """Return what was logged at a step."""
        return next((values for number, values in self.history if number == step), {})

    def last(self, key: str) -> Any:
        """Return what was logged last under a key."""
        return [values[key] for _, values in self.history if key in values][-1]


class Side(ABC):
    """One of the two packages."""

    #: ``wandb`` or ``maskl``: only for what one of them has no word for
    name: ClassVar[str]
    #: the prefix of the environment variables
    prefix: ClassVar[str]
    #: the module that users import
    module: ModuleType
    #: a directory of the scenario's own
    directory: Path

    @abstractmethod
    def class_of(self, name: str) -> Any:
        """Return one of the classes that are compared; W&B keeps some of them in submodules."""

    @abstractmethod
    def init(self, **arguments: Any) -> Any:
        """Start a run that needs no server, in the scenario's directory."""

    @abstractmethod
    def kept(self, run: Any) -> Kept:
        """Return what a finished run left."""

    @abstractmethod
    def kept_table(self, table: Any) -> dict[str, Any]:
        """Store a table; return ``columns``, ``types`` and ``rows`` as they stand in the store."""

    @abstractmethod
    def names_of(self, image: Any, key: str) -> dict[Any, str]:
        """Return the names of the classes of an image's mask: its own labels, or what it falls back on."""

    @abstractmethod
    def run(self, code: str, arguments: Sequence[str], variables: Mapping[str, str]) -> str:
        """Run a program with environment variables; return what it prints, or raise RuntimeError."""

    @abstractmethod
    def loaded(self, image: Any) -> Any:
        """Save an image, load it, and return the image that was loaded."""

    def __getattr__(self, name: str) -> Any:
        return self.class_of(name) if name in CLASSES else getattr(self.module, name)

    def log(self, *calls: Mapping[str, Any], **arguments: Any) -> Kept:
        """Log each dict in a run of its own; return what it left."""
        with self.init(**arguments) as run:
            for data in calls:
                run.log(dict(data))
        return self.kept(run)

    def keep(self, value: Any) -> Any:
        """Store one value in a table's column; return it as it was kept."""
        return self.kept_table(self.Table(columns=["value"], data=[[value]]))["rows"][0][0]

    def error(self, call: Callable[[], object]) -> str | None:
        """Return the builtin type of the error that a call raises; None where it raises none."""
        try:
            call()
        except Exception as error:
            return error_of(error)
        return None

    def refuses(self, call: Callable[[], object]) -> bool:
        """Whether a call raises: where W&B asserts, maskl has errors that can be caught by type."""
        return self.error(call) is not None


CLASSES = ("BoundingBoxes2D", "Classes", "Image", "ImageMask", "JoinedTable", "Table")


def error_of(error: BaseException) -> str:
    """Return the name of the builtin class that an error is, such as ``TypeError``."""
    builtin = [base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins"]
    return next(name for name in builtin if name not in ("ExceptionGroup", "BaseException", "object"))


def picture(image: Any | None, caption: Any, masks: Mapping[str, Any], boxes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image as an observation: mode, pixels, caption, masks and boxes; no pixels of a reference."""
    found: dict[str, Any] = {} if image is None else {"mode": image.mode, "pixels": np.asarray(image)}
    if caption is not None:
        found["caption"] = caption
    if masks:
        found["masks"] = dict(masks)
    if boxes:
        found["boxes"] = dict(boxes)
    return plain(found)


def plain(value: Any) -> Any:
    """Return an observation as JSON would give it back, so that both sides are compared in one form."""
    return json.loads(json.dumps(_plain(value), ensure_ascii=False, sort_keys=True))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "inf", -math.inf: "-inf"}.get(value, "nan")
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    return value

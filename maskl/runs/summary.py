"""What a run comes to: ``run.summary``, and how ``define_metric`` fills it."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any, Final

from maskl.adapters.values import as_json
from maskl.runs.config import plain, stored_as_text
from maskl_storage.errors import InvalidType, InvalidValue
from maskl_storage.format.json_values import JsonText, revived

__all__ = ["Metric", "Metrics", "Summary", "parse_metric"]

OPERATIONS: Final = ("min", "max", "mean", "last", "first", "best", "copy", "none")
#: what stands for a dot after a backslash while a name is taken apart
DOT: Final = "\0"
GOALS: Final = ("minimize", "maximize")

Path = tuple[str, ...]
Past = Callable[[], Iterable[tuple[str, float | None, str | None, int]]]


class Summary(MutableMapping[str, Any]):
    """What a run comes to: by default the last value of everything that was logged.

    Parameters
    ----------
    items : dict, optional
        Plain values to begin with.
    changed : callable, optional
        Called after a change by the user.
    check : callable, optional
        Raises where nothing may be changed any more.
    inside : tuple, optional
        The summary that this one is a part of, and the keys that lead here.
    run : Run, optional
        The run that it is the summary of; pickled and copied, it is the summary of that run again.
    as_given : bool, optional
        Whether values are kept as they are and not looked at, as in a run that is disabled.

    Notes
    -----
    Items are read and set as attributes or by key; what is set stays until something is logged under
    the same name. A nested dict is a summary of its own, a histogram a :class:`maskl.Histogram`. The
    whole is written to the store with every seal and when the run ends.

    Examples
    --------
    >>> summary = Summary()
    >>> summary.best = {"iou": 0.5}
    >>> summary["best"]["iou"] = 0.75
    >>> summary.best.iou, summary.as_dict()
    (0.75, {'best': {'iou': 0.75}})
    """

    def __init__(
        self,
        items: Mapping[str, Any] | None = None,
        changed: Callable[[], None] | None = None,
        check: Callable[[], None] | None = None,
        inside: tuple[Summary, Path] | None = None,
        run: Any = None,
        as_given: bool = False,
    ) -> None:
        root, path = inside or (self, ())
        vars(self).update(_root=root, _path=path, _items=dict(items or {}), _changed=changed, _check=check, _run=run)
        vars(self)["_as_given"] = as_given

    def __getitem__(self, key: str) -> Any:
        value = self._own()[key] if self._root._as_given else revived(self._own()[key])
        return Summary(inside=(self._root, (*self._path, key))) if isinstance(value, dict) else value

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        _ = self._own()[key]
        with self._root.changing():
            self._root.put((*self._path, key), remove=True)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._path:
            return _part, (self._root, self._path)
        if self._run is not None:
            return getattr, (self._run, "summary")
        return type(self), (self._items,)

    def __getattr__(self, name: str) -> Any:
        if "_root" not in vars(self):  # a copy under way
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(f"the summary has no {name!r}", name=name, obj=self) from error

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._own()))

    def __len__(self) -> int:
        return len(self._own())

    def update(self, d: Any = (), /, **more: Any) -> None:
        """Set several items; nothing is set where one of them is not what JSON can hold.

        Of an image, a table or the like the text is kept, with a warning: those are logged.
        """
        new = {}
        for key, value in dict(d, **more).items():
            if not isinstance(key, str):
                raise InvalidType(f"a summary's keys must be strings; got {key!r:.60}")
            new[key] = value if self._root._as_given else as_json(value, f"summary item {key!r}", stored_as_text)
        with self._root.changing():
            for key, value in new.items():
                self._root.put((*self._path, key), value)

    def as_dict(self) -> dict[str, Any]:
        """Return the items as plain dicts and values."""
        if self._root._as_given:
            return dict(self._own())
        # a copy first: another thread may log meanwhile; dicts further inside are never changed
        found: dict[str, Any] = plain(dict(self._own()), "summary")
        return found

    def part(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return those of the items that there are, as plain dicts and values."""
        own = self._own()
        return {key: plain(own[key], "summary") for key in keys if key in own}

    def put(self, path: Path, value: Any = None, *, remove: bool = False) -> None:
        """Set or remove an item below several keys, without telling anyone.

        Dicts on the way are replaced by copies that are complete when they get there: a thread that
        writes the summary out meanwhile holds some that do not change.
        """
        first, *more = path
        items: dict[str, Any] = self._items
        if more:
            top = items = _copied(self._items.get(first))
            for key in more[:-1]:
                items[key] = items = _copied(items.get(key))
        if remove:
            items.pop(path[-1], None)
        else:
            items[path[-1]] = value
        if more:
            self._items[first] = top

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Check that the summary may be changed, and say afterwards that it was."""
        if self._check is not None:
            self._check()
        yield
        if self._changed is not None:
            self._changed()

    def __repr__(self) -> str:
        return repr(self._own())

    def _own(self) -> dict[str, Any]:
        own: Any = self._root._items
        for key in self._path:
            own = own.get(key) if isinstance(own, dict) else None
        return own if isinstance(own, dict) else {}


def _part(root: Summary, path: Path) -> Summary:
    return Summary(inside=(root, path))


def _copied(items: Any) -> dict[str, Any]:
    return dict(items) if isinstance(items, dict) else {}


def _shown(value: Any) -> Any:
    """Return what the summary says of a value of the history: of JSON text what it holds."""
    return json.loads(value) if isinstance(value, JsonText) else value


@dataclass(frozen=True, slots=True)
class Metric:
    """How a logged value is summarised: what :func:`maskl.define_metric` returns.

    ``summary`` holds the operations, None for the last value by itself.
    """

    name: str
    step_metric: str | None = None
    step_sync: bool | None = None
    hidden: bool | None = None
    summary: tuple[str, ...] | None = None
    goal: str | None = None

    def matches(self, name: str) -> bool:
        """Whether a logged name is this metric's; ``*`` at the end stands for any rest.

        A dot leads into a dict that was logged, as ``/`` does, or is one; after a backslash it is one.
        """
        nested = "/".join(part.replace(DOT, ".") for part in self.name.replace("\\.", DOT).split("."))
        if self.name.endswith("*"):
            return name.startswith((self.name[:-1], nested[:-1]))
        return name in (self.name, nested) or name.replace("/", ".") == self.name


@dataclass(slots=True)
class _Seen:
    """What was logged under one name so far."""

    path: Path
    first: Any = None
    last: Any = None
    step: int | None = None
    count: int = 0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, value: Any, step: int) -> None:
        if self.step is None:
            self.first = value
        if self.step is None or step >= self.step:  # a value for an earlier step is not the last one
            self.last, self.step = value, step
        if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value):
            self.low = value if value <= self.low else self.low
            self.high = value if value >= self.high else self.high
            self.count += 1
            self.total += value

    def join(self, later: _Seen) -> None:
        """Take what was logged after this."""
        if self.step is None or (later.step is not None and later.step >= self.step):
            self.last, self.step = later.last, later.step
        self.low, self.high = min(self.low, later.low), max(self.high, later.high)
        self.count += later.count
        self.total += later.total

    def result(self, operation: str, goal: str | None) -> Any:
        if operation == "best":
            operation = "max" if goal == "maximize" else "min"
        if operation in ("last", "first"):
            return getattr(self, operation)
        if not self.count:
            return None
        return {"min": self.low, "max": self.high, "mean": self.total / self.count}[operation]


class Metrics:
    """Fills a summary with what is logged.

    Parameters
    ----------
    summary : Summary
        What to fill.
    past : callable, optional
        Returns key, value, text and step of what the run logged before it was opened again.
    since : int, optional
        The first step after all of that.
    """

    def __init__(self, summary: Summary, past: Past | None = None, since: int = 0) -> None:
        self._summary = summary
        self._past, self._since = past, since
        #: the definitions, by their names
        self.defined: dict[str, Metric] = {}
        self._seen: dict[str, _Seen] = {}
        self._found: dict[str, Metric | None] = {}

    def define(self, metric: Metric, overwrite: bool = False) -> Metric:
        """Take a definition, joined with an earlier one of that name unless it is overwritten."""
        earlier = self.defined.get(metric.name)
        if earlier is not None and not overwrite:
            given = {name: getattr(metric, name) for name in Metric.__slots__ if getattr(metric, name) is not None}
            metric = replace(earlier, **given)
        self.defined[metric.name] = metric
        self._found.clear()
        self._look_back()
        for name, seen in self._seen.items():
            if self._metric(name) is metric:
                self._summary.put(seen.path, remove=True)
                self._fill(metric, seen)
        return metric

    def observe(self, path: Path, value: Any, step: int) -> None:
        """Take a value that was logged."""
        if self._past is not None and step < self._since:
            self._look_back()  # what came later may be in there
        name = path[0] if len(path) == 1 else "/".join(path)
        seen = self._seen.get(name)
        if seen is None:
            seen = self._seen[name] = _Seen(path)
        seen.add(value, step)
        self._fill(self._metric(name) if self.defined else None, seen)

    def synced(self, scalars: Mapping[str, Any], step: int) -> dict[str, Any]:
        """Return the last values of the step metrics that these scalars go by and the step does not have yet."""
        added: dict[str, Any] = {}
        if not self.defined:
            return added
        for name in scalars:
            metric = self._metric(name)
            if metric is not None and metric.step_sync and metric.step_metric and metric.step_metric not in scalars:
                seen = self._seen.get(metric.step_metric)
                if seen is not None and seen.step != step:
                    added[metric.step_metric] = seen.last
        return added

    def _fill(self, metric: Metric | None, seen: _Seen) -> None:
        if metric is None or metric.summary is None or metric.summary == ("copy",):
            self._summary.put(seen.path, _shown(seen.last))
        elif "none" not in metric.summary:
            operations = [operation for operation in metric.summary if operation != "copy"]
            self._summary.put(seen.path, {name: _shown(seen.result(name, metric.goal)) for name in operations})

    def _metric(self, name: str) -> Metric | None:
        """Return a name's own definition, else the one with the longest matching beginning."""
        if name not in self._found:
            matches = [metric for metric in self.defined.values() if metric.matches(name)]
            order = sorted(matches, key=lambda metric: (not metric.name.endswith("*"), len(metric.name)))
            self._found[name] = order[-1] if order else None
        return self._found[name]

    def _look_back(self) -> None:
        """Take what the run logged before it was opened again, once a definition asks for it."""
        if self._past is None:
            return
        past, self._past = self._past(), None
        since, self._seen = self._seen, {}
        for key, value, text, step in past:
            found: Any = text if value is None else value
            seen = self._seen.setdefault(key, _Seen(since[key].path if key in since else self._place(key)))
            seen.add(found, step)
        for seen in self._seen.values():
            seen.last = self._parsed(seen)
        for key, seen in since.items():
            if key in self._seen:
                self._seen[key].join(seen)
            else:
                self._seen[key] = seen

    def _parsed(self, seen: _Seen) -> Any:
        """Return the last value that was logged; of a list, whose text the history has, what the summary has."""
        kept: Any = self._summary.as_dict()
        for part in seen.path:
            kept = kept.get(part) if isinstance(kept, dict) else None
        is_text = isinstance(seen.last, str) and isinstance(kept, list | dict) and json.dumps(kept) == seen.last
        return kept if is_text else seen.last

    def _place(self, key: str) -> Path:
        """Return where the summary has what was logged under a joined key: by itself, or nested."""
        parts, inner = tuple(key.split("/")), self._summary.as_dict()
        for part in parts if key not in inner else ():
            inner = inner.get(part) if isinstance(inner, dict) else None  # type: ignore[assignment]
        return (key,) if key in self._summary or inner is None else parts


def parse_metric(
    name: Any, step_metric: Any, step_sync: Any, hidden: Any, summary: Any, goal: Any, overwrite: Any
) -> Metric:
    """Check the arguments of ``define_metric``."""
    step_metric = step_metric.name if isinstance(step_metric, Metric) else step_metric
    if not name:
        raise InvalidValue("define_metric() needs a name that is not empty")
    texts = {"name": name, "step_metric": step_metric, "summary": summary, "goal": goal}
    flags = {"step_sync": step_sync, "hidden": hidden, "overwrite": overwrite}
    for kind, arguments in ((str, texts), (bool, flags)):
        for argument, value in arguments.items():
            if value is not None and not isinstance(value, kind):
                raise InvalidType(f"define_metric(): {argument} must be a {kind.__name__}; got {value!r:.60}")
    if "*" in name[:-1]:
        raise InvalidValue(f"define_metric(): a name may have one * and that at its end; got {name!r}")
    operations = tuple(dict.fromkeys(item.strip().lower() for item in summary.split(","))) if summary else None
    for operation in operations or ():
        if operation not in OPERATIONS:
            raise InvalidValue(f"define_metric(): summary may be {', '.join(OPERATIONS)}; got {operation!r}")
    if goal is not None and goal not in GOALS:
        raise InvalidValue(f"define_metric(): goal must be one of {', '.join(GOALS)}; got {goal!r}")
    if operations and "best" in operations and goal is None:
        raise InvalidValue("define_metric(): summary='best' needs goal='minimize' or goal='maximize'")
    if step_sync is None:
        step_sync = True if step_metric else None
    return Metric(name, step_metric, step_sync, hidden, operations, goal)

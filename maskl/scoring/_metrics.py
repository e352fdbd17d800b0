"""What is computed of a row's two masks: the metrics that are known, and metrics of one's own."""

from __future__ import annotations

import importlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from maskl import metrics
from maskl.annotations.mask import ImageMask
from maskl_storage.errors import InvalidType, InvalidValue, MasklError

__all__ = ["PARAMETERS", "PixelMetric", "Value", "known_metrics", "metric_of", "metrics_of", "stored_metric"]

#: the class, or None for the whole image; the value's name; and the value
Value = tuple[str | None, str, float | None]
Function = Callable[[ImageMask, ImageMask, Mapping[str, Any]], Mapping[str, Any]]

#: the parameters of each metric, with what they are unless something else is asked for
PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "panoptic": {},
    "boundary": {"dilation_ratio": 0.02},
    "surface": {"tolerance": 1.0, "percentile": 95.0, "spacing": [1.0, 1.0]},
    "instances": {"threshold": 0.5},
}
#: is counted up where the same masks get other values than before
VERSIONS: Final[Mapping[str, str]] = dict.fromkeys(PARAMETERS, "1")
PLACE: Final = re.compile(r"[\w.]+:\w+")


@dataclass(frozen=True, slots=True)
class PixelMetric:
    """A metric with its parameters; it can be pickled.

    Parameters
    ----------
    name : str
        What it is called: ``panoptic``, ``boundary``, ``surface``, ``instances``, or the name of one's own.
    version : str
        Which way it is computed; of one's own empty.
    params : str
        Its parameters, as JSON text whose keys are in order.
    function : callable or str, optional
        One's own: a function, or where it is, ``module:function``.
    """

    name: str
    version: str = ""
    params: str = "{}"
    function: Function | str | None = None

    def values(self, truth: ImageMask, prediction: ImageMask, row: Mapping[str, Any]) -> list[Value]:
        """Return what there is to say of a row.

        Parameters
        ----------
        truth, prediction : ImageMask
            Of one size.
        row : mapping
            ``run_id``, ``_row``, ``_step`` and the row's values by the names of their columns.

        Raises
        ------
        InvalidType
            A function of one's own returned something else than a dict of numbers by name.
        InvalidValue
            The masks have no class in common.
        """
        if self.function is not None:
            return list(_own_values(self.name, _function(self.function)(truth, prediction, row)))
        return list(_VALUES[self.name](truth, prediction, json.loads(self.params)))


def known_metrics() -> list[str]:
    """Return the names of the metrics that need no function."""
    return list(PARAMETERS)


def metric_of(metric: str | Function, params: Mapping[str, Any] | None = None) -> PixelMetric:
    """Return a metric with its parameters.

    Parameters
    ----------
    metric : str or callable
        The name of one that is known; ``module:function``; or a function of ``truth``, ``prediction`` and ``row``,
        which returns a dict of numbers by name.
    params : mapping, optional
        Other parameters than the usual ones; those that another metric has are not for this one.

    Raises
    ------
    InvalidType
        What is named is no function.
    InvalidValue
        There is no such metric, module or function.

    Examples
    --------
    >>> metric_of("boundary", {"dilation_ratio": 0.005}).params
    '{"dilation_ratio":0.005}'
    """
    if isinstance(metric, str) and metric in PARAMETERS:
        chosen = dict(PARAMETERS[metric])
        chosen |= {name: value for name, value in (params or {}).items() if name in chosen and value is not None}
        if isinstance(chosen.get("spacing"), int | float):
            chosen["spacing"] = [chosen["spacing"]] * 2
        text = json.dumps(_floats(chosen), sort_keys=True, separators=(",", ":"))
        made = PixelMetric(metric, VERSIONS[metric], text)
        made.values(*_TRIED)  # says what is wrong with a parameter before anything is read
        return made
    if not isinstance(metric, str):
        if not callable(metric) or not str(getattr(metric, "__name__", "")).isidentifier():
            raise InvalidType(f"a metric is a name or a function that has one; got {metric!r:.60}")
        return PixelMetric(_free_name(metric.__name__), function=metric)
    if not PLACE.fullmatch(metric):
        raise InvalidValue(
            f"there is no metric {metric!r:.60}; there are {', '.join(PARAMETERS)}, and your own as module:function"
        )
    return PixelMetric(_free_name(_function(metric).__name__), function=metric)


def metrics_of(metrics: Sequence[str | Function], params: Mapping[str, Any]) -> list[PixelMetric]:
    """Return several metrics, each once, with those of the parameters that it has.

    Raises
    ------
    InvalidType, InvalidValue
        As :func:`metric_of`; or a parameter is none of these metrics'.
    """
    made = list(dict.fromkeys(metric_of(metric, params) for metric in metrics))
    for name, value in params.items():
        known = [metric.name for metric in made if name in PARAMETERS.get(metric.name, {})]
        if value is not None and not known:
            there = "; ".join(f"{of}: {', '.join(some)}" for of, some in PARAMETERS.items() if some)
            raise InvalidValue(f"{name!r:.40} is no parameter of {', '.join(m.name for m in made)}; there are {there}")
    return made


def stored_metric(name: Any, version: Any, params: Any) -> PixelMetric | None:
    """Return a metric that a store names, if it is one that is known here; None of what is no parameter of it."""
    try:
        found = json.loads(params)
        made = metric_of(name, found) if found.keys() == PARAMETERS[name].keys() else None
    except (TypeError, ValueError, AttributeError, LookupError, RecursionError, MasklError):
        return None
    return made if made is not None and (made.version, made.params) == (version, params) else None


def _floats(value: Any) -> Any:
    """Return numbers as floats, so that 1 and 1.0 are one parameter."""
    if isinstance(value, Mapping):
        return {str(name): _floats(one) for name, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_floats(one) for one in value]
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InvalidType(f"a parameter of a metric must be a number; got {value!r:.60}")
    return float(value)


def _free_name(name: str) -> str:
    if name in PARAMETERS:
        raise InvalidValue(f"{name} is a metric that is known: give your function another name")
    return name


def _function(place: Function | str) -> Function:
    """Return a function, from its module where only its place is known: the caller's, never a store's."""
    if not isinstance(place, str):
        return place
    module, _, name = place.partition(":")
    try:
        found = getattr(sys.modules.get(module) or importlib.import_module(module), name)
    except ImportError as error:
        raise InvalidValue(f"{place}: there is no module {module!r} to import: {error}") from error
    except AttributeError as error:
        raise InvalidValue(f"{place}: module {module!r} has no {name!r}") from error
    if not callable(found):
        raise InvalidType(f"{place} is no function: it is {type(found).__name__}")
    function: Function = found
    return function


def _own_values(name: str, found: Any) -> Iterator[Value]:
    if not isinstance(found, Mapping):
        raise InvalidType(f"metric {name!r} must return a dict of numbers by name; got {found!r:.60}")
    for key, value in found.items():
        number = value.item() if isinstance(value, np.generic) else value
        if not isinstance(key, str) or (number is not None and not isinstance(number, int | float)):
            raise InvalidType(f"metric {name!r} must return a dict of numbers by name; got {key!r:.40}: {value!r:.40}")
        yield None, key, None if number is None or math.isnan(number) else float(number)


# --- the metrics that are known -----------------------------------------------------------------


def _panoptic(truth: ImageMask, prediction: ImageMask, _: Mapping[str, Any]) -> Iterator[Value]:
    found = metrics.panoptic_quality(truth, prediction)
    yield from _columns(found.classes, tp=found.tp, fp=found.fp, fn=found.fn, iou_sum=found.iou_sum)
    things = {item.name: item.isthing for item in truth.class_set or () if item.isthing is not None}
    for name in found.classes:
        if name in things:
            yield name, "isthing", float(things[name])


def _boundary(truth: ImageMask, prediction: ImageMask, params: Mapping[str, Any]) -> Iterator[Value]:
    found = metrics.boundary_counts(truth, prediction, **params)
    yield from _columns(found.classes, intersection=found.intersection, union=found.union)


def _surface(truth: ImageMask, prediction: ImageMask, params: Mapping[str, Any]) -> Iterator[Value]:
    found = metrics.surface_scores(truth, prediction, **params)
    yield from _columns(
        found.classes,
        overlap=found.overlap,
        length=found.length,
        distance_sum=found.distance_sum,
        distance_length=found.distance_length,
        hausdorff=np.where(found.n_both > 0, found.hausdorff_sum, np.nan),
    )


def _instances(truth: ImageMask, prediction: ImageMask, params: Mapping[str, Any]) -> Iterator[Value]:
    found = metrics.instance_matches(truth, prediction, **params)
    yield from _columns(found.classes, tp=found.tp, fp=found.fp, fn=found.fn)


def _columns(classes: tuple[str, ...], **values: Any) -> Iterator[Value]:
    """Yield the values of each class; NaN is none."""
    listed = {name: column.tolist() for name, column in values.items()}
    for place, name in enumerate(classes):
        for what, column in listed.items():
            value = float(column[place])
            yield name, what, None if math.isnan(value) else value


_VALUES: Final[Mapping[str, Callable[[ImageMask, ImageMask, Mapping[str, Any]], Iterator[Value]]]] = {
    "panoptic": _panoptic,
    "boundary": _boundary,
    "surface": _surface,
    "instances": _instances,
}
#: two masks and a row, to find out whether parameters are right
_TRIED: Final = (
    ImageMask({"mask_data": np.array([[0, 1]])}, "truth"),
    ImageMask({"mask_data": np.array([[0, 1]])}, "prediction"),
    dict[str, Any](),
)

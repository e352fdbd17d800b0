"""Values as JSON text that gives them back: what JSON has no form for is an object with one ``$`` key.

Section 4 of SPEC.md lists the forms. Standard library and NumPy only. What has a class of its own only in a package
above this one is registered by it; where it is not, its object is left as it is.
"""

from __future__ import annotations

import contextlib
import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, Final

import numpy as np

from maskl_storage.format.document import MAX_DEPTH, is_shallow, parse_json

__all__ = ["Form", "JsonText", "dump_text", "load_text", "register_form", "revived"]

#: types that JSON holds as they are
PLAIN: Final = frozenset((type(None), bool, int, str))


class JsonText(str):
    """JSON text that stands for a value: a string in the history is none."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Form:
    """How values of a class stand in JSON: an object whose first key tells it from others.

    Parameters
    ----------
    key : str
        The key, which begins with ``$``.
    kind : type
        The class.
    dump : callable
        Returns plain values that stand for one of the class.
    load : callable
        Returns one of the class, or raises ValueError or TypeError where the plain values stand for none.
    whole : bool, optional
        Whether these plain values are the whole object, which has other keys too; else what stands under the key.
    placed : callable, optional
        Takes a loaded value and the store that it was read from, and returns one that finds its bytes there.
    """

    key: str
    kind: type
    dump: Callable[[Any], Any]
    load: Callable[[Any], Any]
    whole: bool = False
    placed: Callable[[Any, Any], Any] | None = None

    def loaded(self, found: Mapping[str, Any], store: Any = None) -> Any:
        """Return what an object stands for."""
        value = self.load(found if self.whole else found[self.key])
        return value if self.placed is None or store is None else self.placed(value, store)


_FORMS: Final[dict[str, Form]] = {}


def register_form(form: Form) -> Form:
    """Have values of a class dumped and loaded from now on; the last that is registered for a key counts."""
    _FORMS[form.key] = form
    return form


def dump_text(value: Any, adapt: Callable[[Any], Any] = lambda value: value) -> str:
    """Return a value as JSON text.

    Parameters
    ----------
    value
        What the text gives back.
    adapt : callable, optional
        Returns what an object inside stands for, before it is looked at; an object that it does not know
        as it is. JSON's own types are not asked for.

    Raises
    ------
    TypeError
        Something inside that has no form.

    Examples
    --------
    >>> dump_text({"a": [1, 0.5, None], "b": b"x"})
    '{"a": [1, 0.5, null], "b": {"$bytes": "eA=="}}'
    """
    try:
        tagged = _tagged(value, adapt)
        if not is_shallow(tagged):
            raise RecursionError
        return json.dumps(tagged, ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise TypeError(f"it holds itself, or is nested more than {MAX_DEPTH} deep") from error


def load_text(text: str, where: str = "JSON text", store: Any = None) -> Any:
    """Return the value that a JSON text holds.

    Parameters
    ----------
    text : str
        The text.
    where : str, optional
        What it is called in messages.
    store : Folder, optional
        The store that it was read from, for values whose bytes are there.

    Raises
    ------
    CorruptData
        It is none, or a value with ``$`` that is none of SPEC.md's.

    Examples
    --------
    >>> load_text('{"a": {"$float": "inf"}, "b": {"$dict": [[1, "road"]]}}')
    {'a': inf, 'b': {1: 'road'}}
    """
    return parse_json(text, where, _untagged if store is None else partial(_untagged, store=store))


def revived(value: Any, store: Any = None) -> Any:
    """Return plain values of JSON, with the objects that a registered form knows turned into what they stand for.

    An object that stands for nothing is left as it is: others may have written it. ``store`` is as for
    :func:`load_text`.
    """
    if isinstance(value, list):
        return [revived(item, store) for item in value]
    if not isinstance(value, dict):
        return value
    form = _FORMS.get(next(iter(value), ""))
    if form is not None and (form.whole or len(value) == 1):
        with contextlib.suppress(ValueError, TypeError, LookupError):
            return form.loaded(value, store)
    return {key: revived(item, store) for key, item in value.items()}


def _tagged(value: Any, adapt: Callable[[Any], Any]) -> Any:
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list or isinstance(value, list | tuple):
        return [_tagged(item, adapt) for item in value]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {str(key): _tagged(item, adapt) for key, item in value.items()}
        return {"$dict": [[_tagged(key, adapt), _tagged(item, adapt)] for key, item in value.items()]}
    found = adapt(value)
    return _tagged_rarer(value, adapt) if found is value else _tagged(found, adapt)


def _tagged_rarer(value: Any, adapt: Callable[[Any], Any]) -> Any:
    if isinstance(value, np.datetime64):
        return _tagged(value.astype("datetime64[us]").item(), adapt)
    if isinstance(value, np.generic) and not isinstance(value, np.timedelta64):
        plain = value.item()
        if not isinstance(plain, np.generic):  # long doubles have no plain form
            return _tagged(plain, adapt)
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    if isinstance(value, date):
        return {"$time": datetime(value.year, value.month, value.day).isoformat()}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": b64encode(value).decode("ascii")}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        return {"$array": _tagged(value.tolist(), adapt), "dtype": value.dtype.name, "shape": list(value.shape)}
    for form in _FORMS.values():
        if isinstance(value, form.kind):
            return form.dump(value) if form.whole else {form.key: _tagged(form.dump(value), adapt)}
    for plain_type in (bool, int, float, str):  # their subclasses, such as an IntEnum
        if isinstance(value, plain_type):
            return _tagged(plain_type(value), adapt)
    raise TypeError(f"a {type(value).__name__} inside cannot be stored")


def _untagged(found: dict[str, Any], store: Any = None) -> Any:
    tag = next(iter(found), "")
    if not tag.startswith("$"):
        return found
    value = found[tag]
    if tag == "$float":
        return float(value)
    if tag == "$bytes":
        return b64decode(value)
    if tag == "$time":
        return datetime.fromisoformat(value)
    if tag == "$dict":
        return dict(value)
    if tag == "$array":
        dtype = np.dtype(found["dtype"])
        if dtype.kind not in "biuf" or dtype.itemsize > 8:  # an item of text may claim any size
            raise ValueError(f"an array of numbers is needed; got {dtype}")
        return np.array(value, dtype=dtype).reshape(found["shape"])
    if tag in _FORMS:
        return _FORMS[tag].loaded(found, store)
    return found  # of a newer minor version

"""What a run is configured with: ``run.config``."""

from __future__ import annotations

import json
import math
import os
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from maskl.adapters.objects import is_figure, is_frame, logged_alone
from maskl.adapters.values import as_json
from maskl.images.image import Image
from maskl.tables.histogram import Histogram
from maskl.tables.table import Table
from maskl_storage.errors import ConversionWarning, InvalidType, InvalidValue, warn
from maskl_storage.extras import optional
from maskl_storage.format.json_values import dump_text
from maskl_storage.format.names import check_text

__all__ = ["Config", "parse_config", "plain", "read_defaults", "stored_as_text"]

DEFAULTS: Final = "config-defaults.yaml"


class Config(Mapping[str, Any]):
    """What a run is configured with; every change is written to the store at once.

    Items are read and set as attributes or by key. A value that is there already changes only where
    that is allowed: ``config.update(..., allow_val_change=True)``, or the same argument of :func:`maskl.init`.

    Parameters
    ----------
    items : dict, optional
        Plain values to begin with.
    allow_val_change : bool, optional
        Whether values may be changed without saying so each time.
    changed : callable, optional
        Called with the whole after a change.
    run : Run, optional
        The run that it configures; pickled and copied, it is the config of that run again.

    Examples
    --------
    >>> config = Config({"lr": 0.1})
    >>> config.epochs = 3
    >>> config.lr, config["epochs"], dict(config)
    (0.1, 3, {'lr': 0.1, 'epochs': 3})
    """

    def __init__(
        self,
        items: Mapping[str, Any] | None = None,
        allow_val_change: bool = False,
        changed: Callable[[dict[str, Any]], None] | None = None,
        run: Any = None,
    ) -> None:
        vars(self).update(_items=dict(items or {}), _allow=allow_val_change, _changed=changed, _run=run)

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __reduce__(self) -> tuple[Any, ...]:
        if self._run is not None:
            return getattr, (self._run, "config")
        return type(self), (self._items, self._allow)

    @property
    def may_change(self) -> bool:
        """Whether items that are there may change without saying so each time."""
        return bool(self._allow)

    def __getattr__(self, name: str) -> Any:
        try:
            return vars(self)["_items"][name]
        except KeyError as error:
            raise AttributeError(f"the config has no {name!r}", name=name, obj=self) from error

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> NoReturn:
        raise InvalidType(f"config item {name!r} cannot be deleted: what a run was configured with stays")

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def update(self, d: Any, allow_val_change: bool | None = None) -> None:
        """Set several items.

        Parameters
        ----------
        d : dict, argparse.Namespace, path or any object with attributes
            The items; a path names a YAML or JSON file.
        allow_val_change : bool, optional
            Whether items that are there already may change.

        Raises
        ------
        InvalidValue
            An item is there with another value, and may not change; nothing is set then.
        """
        new = parse_config(d)
        if not (self._allow if allow_val_change is None else allow_val_change):
            for key, value in new.items():
                if key in self._items and not _same(self._items[key], value):
                    raise InvalidValue(
                        f"config item {key!r} is {self._items[key]!r:.60} and may not become {value!r:.60}: pass "
                        f"allow_val_change=True to config.update() or init() if that is meant"
                    )
        self._tell({**self._items, **new})
        self._items.update(new)

    def setdefaults(self, d: Any) -> None:
        """Set those of several items that are not there yet."""
        self.update({key: value for key, value in parse_config(d).items() if key not in self._items})

    def as_dict(self) -> dict[str, Any]:
        """Return the items as a dict of their own."""
        return dict(self._items)

    def persist(self) -> None:
        """Write the config to the store, with what was changed inside of its values."""
        self._tell(self._items)

    def __repr__(self) -> str:
        return repr(self._items)

    def _tell(self, items: Mapping[str, Any]) -> None:
        if self._changed is not None:
            self._changed(plain(items, "config"))


def parse_config(
    source: Any, exclude: Sequence[str] | None = None, include: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return the plain items of a dict, a namespace, a module's flags or a file.

    Raises
    ------
    InvalidType, InvalidValue
        Something that is no config, or a value that JSON cannot hold.
    FileNotFoundError
        There is no such file.
    """
    if exclude and include:
        raise InvalidValue("give config_exclude_keys or config_include_keys, not both")
    items = _items_of(source)
    for key in items:
        if not isinstance(key, str):
            raise InvalidType(f"a config's keys must be strings; got {key!r:.60}")
    wanted = {
        key.strip("-"): value
        for key, value in items.items()
        if (not include or key in include) and (not exclude or key not in exclude)
    }
    return {
        key: plain(value, f"config item {key!r}") for key, value in wanted.items() if check_text(key, "a config key")
    }


def read_defaults(paths: Sequence[str]) -> dict[str, Any]:
    """Return what the config files say, later ones over earlier ones; ``config-defaults.yaml`` comes first."""
    found = [DEFAULTS] if Path(DEFAULTS).is_file() else []
    merged: dict[str, Any] = {}
    for path in [*found, *paths]:
        merged.update(parse_config(path))
    return merged


def plain(value: Any, what: str) -> Any:
    """Return a value as JSON holds it, and nothing of the caller's: dicts, lists, strings, numbers, None.

    NaN and infinity stay what they are: in the store NaN is null, and infinity a number that overflows.
    """
    return as_json(value, what, _other)


def stored_as_text(value: Any, what: str) -> Any:
    """Return what JSON has for a histogram, and the text of any other value that JSON has no form for, and say so."""
    if isinstance(value, Histogram):
        return json.loads(dump_text(value))
    instead = f": {logged_alone(value)}" if _is_logged(value) else ""
    warn(f"{what} is a {type(value).__name__}, stored as its text {str(value)!r:.60}{instead}", ConversionWarning)
    return check_text(str(value), what)


def _other(value: Any, what: str) -> Any:
    if _is_logged(value):
        raise InvalidType(f"{what} must be what JSON can hold; {logged_alone(value)}")
    return stored_as_text(value, what)


def _is_logged(value: Any) -> bool:
    return isinstance(value, Image | Table) or is_figure(value) or is_frame(value)


def _items_of(source: Any) -> Mapping[Any, Any]:
    if isinstance(source, Mapping):
        return source
    if isinstance(source, str | os.PathLike):
        return _read(Path(source))
    if hasattr(source, "flag_values_dict"):  # flags of absl
        flags: Mapping[Any, Any] = source.flag_values_dict()
        return flags
    if not hasattr(source, "__dict__") or isinstance(source, type | types.FunctionType):
        raise InvalidType(
            f"config must be a dict, an argparse.Namespace, or the path of a YAML or JSON file; got "
            f"{type(source).__name__}"
        )
    return dict(vars(source))


def _read(path: Path) -> Mapping[Any, Any]:
    """Read a file of ``key: value``, or of ``key: {value: ..., desc: ...}`` as W&B has them."""
    text = path.read_text("utf-8")
    try:
        body = json.loads(text)
    except ValueError:
        body = _yaml(path, text)
    if not isinstance(body, Mapping):
        raise InvalidType(f"{path} must hold names and values; it holds a {type(body).__name__}")
    body = {key: value for key, value in body.items() if key != "wandb_version"}
    if body and all(isinstance(value, Mapping) and "value" in value for value in body.values()):
        return {key: value["value"] for key, value in body.items()}
    return body


def _yaml(path: Path, text: str) -> Any:
    yaml = optional("yaml", f"{path} is not JSON, and reading YAML", instead="pass config as a dict")
    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise InvalidValue(f"{path} is not YAML: {error}") from error


def _same(a: Any, b: Any) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))

"""The modules that stand for W&B's: public names are maskl's, and a few are there for frameworks that look inside."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Mapping
from importlib import import_module
from operator import attrgetter
from types import ModuleType
from typing import Any, Final

from maskl.integrations._face import face
from maskl.integrations._keras import metrics_logger

__all__ = ["NAME", "VERSION", "StandIn", "is_known"]

#: the module that frameworks import
NAME: Final = "wandb"
#: the version of W&B whose names these are: frameworks ask for a lowest one
VERSION: Final = "0.31.0"


class RunDisabled:
    """What an older W&B returned for a disabled run; here no run is one."""


def generate_id(length: int = 8) -> str:
    """Return random letters and digits, for the id of a run."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length))


def attach(attach_id: str) -> Any:
    """Go on with a run of another process, by its ``_attach_id``."""
    store, run_id = json.loads(attach_id)
    return face().init(dir=store, id=run_id)


#: the modules of W&B's inside that frameworks import, and what maskl's package has for their names
MODULES: Final[Mapping[str, Mapping[str, str]]] = {
    "wandb": {},
    "wandb.errors": {
        "CommError": "CommError",
        "Error": "Error",
        "UnsupportedError": "errors.NotSupported",
        "UsageError": "UsageError",
    },
    "wandb.integration": {},
    "wandb.integration.keras": {},
    "wandb.keras": {},
    "wandb.sdk": {},
    "wandb.sdk.lib": {},
    "wandb.sdk.lib.config_util": {"ConfigError": "errors.InvalidValue"},
    "wandb.sdk.lib.disabled": {},
    "wandb.sdk.lib.runid": {},
    "wandb.sdk.wandb_run": {"Run": "Run"},
    "wandb.util": {},
    "wandb.wandb_run": {"Run": "Run"},
}

#: names of these modules that maskl's package has not
OWN: Final[Mapping[str, Mapping[str, Any]]] = {
    "wandb": {"_attach": attach},
    "wandb.sdk.lib": {"RunDisabled": RunDisabled},
    "wandb.sdk.lib.disabled": {"RunDisabled": RunDisabled},
    "wandb.sdk.lib.runid": {"generate_id": generate_id},
    "wandb.util": {"generate_id": generate_id},
}

#: names that are made when they are asked for, since they need the framework
MADE: Final[Mapping[str, Mapping[str, Callable[[], Any]]]] = {
    "wandb.integration.keras": {"WandbMetricsLogger": metrics_logger},
    "wandb.keras": {"WandbMetricsLogger": metrics_logger},
}


class StandIn(ModuleType):
    """A module of W&B's whose names are looked up in maskl's each time, as the active run is one of them.

    Parameters
    ----------
    name : str
        The whole name, which :func:`is_known`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, f"maskl, where programs import {name}.")
        self.__path__: list[str] = []  # a package: more modules may stand below it
        vars(self).update(OWN.get(name, {}))
        if name == NAME:
            self.__version__ = VERSION
            self.__all__ = list(face().__all__)

    def __getattr__(self, name: str) -> Any:
        whole = f"{self.__name__}.{name}"
        if name.startswith("__"):  # asked by tools that look at any module
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        place = MODULES.get(self.__name__, {}).get(name)
        if place is not None:
            return attrgetter(place)(face())
        made = MADE.get(self.__name__, {}).get(name)
        if made is not None:
            return made()
        if whole in MODULES:
            return import_module(whole)
        behind = behind_of(self.__name__)
        if behind is None:
            what = f"module {self.__name__!r} has no attribute {name!r}: {NAME} is maskl in this process"
            raise AttributeError(what, name=name, obj=self)
        return getattr(behind, name)

    def __dir__(self) -> list[str]:
        behind = behind_of(self.__name__)
        names = {name for name in vars(self) if not name.startswith("__")}
        names |= MODULES.get(self.__name__, {}).keys() | MADE.get(self.__name__, {}).keys()
        return sorted(names | set([] if behind is None else dir(behind)))

    def __repr__(self) -> str:
        return f"<module {self.__name__!r} that is maskl>"


def is_known(name: str) -> bool:
    """Whether there is a module of this name: one of those above, or a public module of maskl's."""
    return name in MODULES or public_module(name) is not None


def behind_of(name: str) -> ModuleType | None:
    """Return the module of maskl's whose names a module has."""
    return face() if name == NAME else public_module(name)


def public_module(name: str) -> ModuleType | None:
    """Return maskl's module of the name that stands behind ``wandb.``, if that is a public one."""
    public = name.removeprefix(f"{NAME}.")
    found = getattr(face(), public) if public in face().__all__ else None
    return found if isinstance(found, ModuleType) else None

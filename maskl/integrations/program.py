"""Runs a script or module as Python itself would, with maskl under the name of W&B."""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import sys
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any, Final

from maskl.integrations.as_wandb import install_as_wandb

__all__ = ["main"]

USAGE: Final = """\
usage: python -m maskl.as_wandb SCRIPT [ARGUMENT ...]
       python -m maskl.as_wandb -m MODULE [ARGUMENT ...]

Runs a program in which "import wandb" brings maskl.
"""


def main() -> None:
    """Run the program that ``sys.argv`` names, and let it end as it will."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return
    module, program = (arguments[0] == "-m", arguments[int(arguments[0] == "-m") :]) if arguments else (False, [])
    if not program or (not module and program[0].startswith("-")):
        sys.stderr.write(USAGE)
        raise SystemExit(2)
    install_as_wandb()  # before a package above the module is imported
    code, names = _module(program[0]) if module else _script(program[0])
    sys.argv = [names["__file__"] if module else program[0], *program[1:]]
    sys.modules["__main__"] = here = ModuleType("__main__")
    vars(here).update(__builtins__=builtins, **names)
    exec(code, vars(here))  # noqa: S102  # running the program is what was asked for


def _script(path: str) -> tuple[CodeType, dict[str, Any]]:
    """Return the code of a file, and what its module is called by; imports look beside it first."""
    try:
        with io.open_code(os.path.abspath(path)) as file:
            source = file.read()
    except OSError as error:
        raise SystemExit(f"maskl.as_wandb: cannot open {path!r}: {error.strerror}") from None
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    return compile(source, path, "exec", dont_inherit=True), {"__file__": path, "__cached__": None}


def _module(name: str) -> tuple[CodeType, dict[str, Any]]:
    """Return the code of a module, or of a package's ``__main__``, and what it is called by."""
    spec = _found(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = _found(f"{name}.__main__")
    code = spec.loader.get_code(spec.name) if spec is not None and isinstance(spec.loader, InspectLoader) else None
    if spec is None or code is None:
        raise SystemExit(f"maskl.as_wandb: no module named {name!r} that can be run")
    names = {"__file__": spec.origin, "__spec__": spec, "__package__": spec.parent, "__loader__": spec.loader}
    return code, {**names, "__cached__": spec.cached}


def _found(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            return None
        raise  # a package above it is there, and lacks something

"""What users import: exactly what ``__all__`` says, and every bit of it documented."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

import maskl
import maskl_storage

PACKAGES = [maskl, maskl_storage]
MODULES = [maskl.masks, maskl.metrics]
#: what maskl.__getattr__ takes from the active run
OF_THE_RUN = {"run", "config", "summary"}


def objects() -> list[tuple[str, object]]:
    """Return every public object, and every public member of the public classes."""
    found: dict[str, object] = {}
    for package in (*PACKAGES, *MODULES):
        for name in sorted(set(package.__all__) - OF_THE_RUN):
            thing = getattr(package, name)
            found[f"{package.__name__}.{name}"] = thing
            if inspect.isclass(thing):
                for member, value in inspect.getmembers_static(thing):
                    # fields of dataclasses are in their class's docstring; what builtins define is theirs
                    ours = [base for base in thing.__mro__ if base.__module__.startswith("maskl")]
                    inherited = not any(member in vars(base) for base in ours)
                    if member.startswith("_") or inherited or inspect.ismemberdescriptor(value):
                        continue
                    if callable(value) or isinstance(value, property | classmethod | staticmethod):
                        found[f"{package.__name__}.{name}.{member}"] = getattr(thing, member)
    return sorted(found.items())


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_all_is_the_public_namespace(package: ModuleType) -> None:
    modules = {name: value for name, value in vars(package).items() if isinstance(value, ModuleType)}
    submodules = {name for name, value in modules.items() if value.__name__ == f"{package.__name__}.{name}"}
    public = {name for name in vars(package) if not name.startswith("_")}
    lazy = OF_THE_RUN & set(package.__all__)
    assert public - (submodules - set(package.__all__)) == set(package.__all__) - lazy


def test_what_the_active_run_brings_is_there_without_one() -> None:
    assert set(maskl.__all__) >= OF_THE_RUN
    assert not OF_THE_RUN & set(vars(maskl)), "a submodule of that name would hide it"
    assert maskl.run is None
    assert {"run", "config", "summary", "Image"} <= set(dir(maskl))


@pytest.mark.parametrize("package", [*PACKAGES, *MODULES], ids=lambda package: package.__name__)
def test_all_is_sorted_and_without_doubles(package: ModuleType) -> None:
    assert list(package.__all__) == sorted(set(package.__all__))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_what_a_module_defines_is_in_its_all(module: ModuleType) -> None:
    own = {
        name
        for name, value in vars(module).items()
        if str(getattr(value, "__module__", "")).startswith(module.__name__)
    }
    functions = {name for name in own if inspect.isfunction(getattr(module, name)) and not name.startswith("_")}
    assert functions
    assert functions <= set(module.__all__)


def test_the_names_that_users_type_are_there() -> None:
    assert {"Image", "ImageMask", "Classes", "Table", "Run", "init", "log", "finish", "open", "sql"} <= set(
        maskl.__all__
    )
    assert {"encode", "decode", "mask_info", "Store"} <= set(maskl_storage.__all__)
    assert maskl.__version__


@pytest.mark.parametrize(("name", "thing"), objects(), ids=[name for name, _ in objects()])
def test_every_public_object_is_documented(name: str, thing: object) -> None:
    text = inspect.getdoc(thing)
    assert text
    assert not text.startswith(f"{name.rpartition('.')[2]}("), "a dataclass without a docstring of its own"


def test_maskl_shows_every_error_of_the_storage() -> None:
    assert maskl.errors.__all__ == maskl_storage.errors.__all__
    assert all(getattr(maskl.errors, name) is getattr(maskl_storage.errors, name) for name in maskl.errors.__all__)


@pytest.mark.parametrize("name", [name for name in maskl_storage.errors.__all__ if not name.endswith("Warning")])
def test_every_error_is_a_maskl_error_and_a_builtin_one(name: str) -> None:
    error = getattr(maskl_storage.errors, name)
    assert issubclass(error, maskl_storage.MasklError)
    builtins = (TypeError, ValueError, KeyError, FileNotFoundError, ImportError, OSError, RuntimeError)
    assert name == "MasklError" or issubclass(error, builtins)


@pytest.mark.parametrize("name", [name for name in maskl_storage.errors.__all__ if name.endswith("Warning")])
def test_every_warning_is_a_maskl_warning(name: str) -> None:
    assert issubclass(getattr(maskl_storage.errors, name), maskl_storage.errors.MasklWarning)

"""What users import: exactly what ``__all__`` says, every bit of it documented, and loaded where it is used."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import os
import pickle
import pkgutil
import re
import subprocess
import sys
import typing
import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import maskl
import maskl_storage
from maskl.formats import BUILT_IN, READ_ONLY, WRITE_ONLY
from maskl.interchange import choices
from maskl_storage.lazy import Absent

pytestmark = pytest.mark.once

PACKAGES = [maskl, maskl_storage]
MODULES = [maskl.masks, maskl.metrics, maskl.plot]
#: what maskl.__getattr__ takes from the active run
OF_THE_RUN = {"run", "config", "summary"}
#: what an except clause names is not imported late: when it is asked for, nothing may be left to import it with
THERE_AT_ONCE = {"errors", "CommError", "Error", "UsageError", "MasklError"}
#: what the calls of a store return, as users hold it
RESULTS = ["Compacted", "Deleted", "Exported", "Imported", "Recovered", "RunInfo", "StoredRun", "TableInfo", "Verified"]


@cache
def objects() -> list[tuple[str, object]]:
    """Return every public object, and every public member of the public classes."""
    found: dict[str, object] = {}
    for package in (*PACKAGES, *MODULES):
        for name in sorted(set(package.__all__) - OF_THE_RUN):
            thing = getattr(package, name)
            if inspect.ismodule(thing):
                continue
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


def loaded(*code: str, cwd: Path, **environment: str) -> set[str]:
    """Return the modules that a new process has loaded after some lines."""
    lines = ["import sys, json", *code, "print(json.dumps(sorted(sys.modules)))"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=cwd,
        env=os.environ | {"MASKL_SILENT": "1"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def seen_by_a_type_checker(package: ModuleType) -> dict[str, str]:
    """Return where a package imports each name from ``if TYPE_CHECKING``, written as the package's table has it."""
    tree = ast.parse(Path(str(package.__file__)).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    found = {}
    for node in block.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = node.module == package.__name__  # a submodule, which is public itself
                place = f"{node.module}.{alias.name}" if whole else str(node.module)
                found[alias.asname or alias.name] = f"{place}:{alias.name}" if alias.asname else place
    return found


# --- the namespaces -----------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_all_is_the_public_namespace(package: ModuleType) -> None:
    for name in package.__all__:
        getattr(package, name)
    modules = {name: value for name, value in vars(package).items() if isinstance(value, ModuleType)}
    submodules = {name for name, value in modules.items() if value.__name__ == f"{package.__name__}.{name}"}
    public = {name for name in vars(package) if not name.startswith("_")}
    lazy = OF_THE_RUN & set(package.__all__)
    assert public - (submodules - set(package.__all__)) == set(package.__all__) - lazy


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_dir_shows_the_public_names_only(package: ModuleType) -> None:
    assert dir(package) == sorted(package.__all__)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_a_type_checker_sees_what_a_program_gets(package: ModuleType) -> None:
    assert seen_by_a_type_checker(package) == package._PLACES
    assert package._PLACES.keys() == set(package.__all__) - OF_THE_RUN - THERE_AT_ONCE


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_no_submodule_hides_a_public_name(package: ModuleType) -> None:
    submodules = {found.name for found in pkgutil.iter_modules(package.__path__)}
    assert {name for name in submodules & set(package.__all__) if not inspect.ismodule(getattr(package, name))} == set()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_a_name_is_asked_for_once(package: ModuleType) -> None:
    for name in sorted(set(package.__all__) - OF_THE_RUN):
        found = getattr(package, name)
        assert vars(package)[name] is found, "else each use would pay for __getattr__"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_what_is_not_there_is_an_attribute_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=rf"module '{package.__name__}' has no attribute 'nothing'") as caught:
        package.nothing  # noqa: B018  # asking is the test
    assert caught.value.name == "nothing"
    assert not hasattr(package, "__wrapped__")


def test_everything_comes_with_a_star() -> None:
    names: dict[str, Any] = {}
    exec("from maskl import *", names)
    assert names.keys() - {"__builtins__"} == set(maskl.__all__)
    assert names["Image"] is maskl.Image
    assert names["run"] is None


def test_it_goes_by_the_name_of_wandb(tmp_path: Path) -> None:
    names: dict[str, Any] = {"folder": tmp_path, "np": np}
    code = """
import maskl as wandb
from maskl import Image, errors, masks, metrics

with wandb.init(dir=folder) as run:
    wandb.log({"a": wandb.Image(np.zeros((2, 2), np.uint8)), "b": 1})
    wandb.config.lr = 0.1
    found = [wandb.run is run, dict(wandb.config), wandb.summary["b"]]
same = Image is wandb.Image and errors is wandb.errors and masks is wandb.masks and metrics is wandb.metrics
"""
    exec(code, names)
    assert names["found"] == [True, {"lr": 0.1}, 1]
    assert names["same"]
    assert maskl.run is None


@pytest.mark.parametrize("name", ["Image", "Table", "Settings", "Store", "Verified", "init", "open", "import_dataset"])
def test_a_public_name_can_be_pickled(name: str) -> None:
    thing = getattr(maskl, name)
    assert pickle.loads(pickle.dumps(thing)) is thing


def test_the_version_is_that_of_the_package() -> None:
    assert maskl.__version__ == version("maskl")


def test_what_the_active_run_brings_is_there_without_one() -> None:
    assert set(maskl.__all__) >= OF_THE_RUN
    assert not OF_THE_RUN & set(vars(maskl)), "a submodule of that name would hide it"
    assert maskl.run is None
    assert {"run", "config", "summary", "Image"} <= set(dir(maskl))


# --- types --------------------------------------------------------------------------------------------


@cache
def hinted() -> dict[str, Any]:
    """Return every public function, class, method and getter."""
    found = {}
    for name, thing in objects():
        found[name] = thing.fget if isinstance(thing, property) else thing
    return {name: thing for name, thing in found.items() if callable(thing)}


def test_the_types_of_what_is_public_can_be_asked_for() -> None:
    found = hinted()
    assert len(found) > 500
    for name, thing in found.items():
        assert isinstance(typing.get_type_hints(thing), dict), name


@pytest.mark.parametrize(
    ("method", "package", "kind"),
    [
        (maskl.StoredTable.to_pandas, "pandas", "DataFrame"),
        (maskl.Answer.to_pandas, "pandas", "DataFrame"),
        (maskl.StoredTable.to_polars, "polars", "DataFrame"),
        (maskl.Answer.to_polars, "polars", "DataFrame"),
        (maskl.StoredTable.to_torch, "torch.utils.data", "Dataset"),
        (maskl.StoredTable.to_hf, "datasets", "Dataset"),
    ],
    ids=lambda value: getattr(value, "__qualname__", None),
)
def test_what_is_another_librarys_says_so(method: Callable[..., Any], package: str, kind: str) -> None:
    kind_of = typing.get_type_hints(method)["return"]
    try:
        module = __import__(package, fromlist=[kind])
    except ImportError:
        assert kind_of is Absent
    else:
        assert (typing.get_origin(kind_of) or kind_of) is getattr(module, kind)


def literals(hint: Any) -> set[Any]:
    """Return the values that a hint names, at any depth."""
    if typing.get_origin(hint) is typing.Literal:
        return set(typing.get_args(hint))
    return set().union(*map(literals, typing.get_args(hint))) if typing.get_args(hint) else set()


@pytest.mark.parametrize(
    ("call", "argument", "values"),
    [
        (maskl.Store.table, "step", ["last"]),
        (maskl.Store.export, "step", ["last"]),
        (maskl.Store.export, "masks", ["maskl", "png"]),
        (maskl.Store.metrics, "by", ["class", "row", "run", "step"]),
        (maskl.Store.metrics, "step", ["all", "each", "last"]),
        (maskl.StoredTable.to_torch, "mask_dtype", ["int64", "own"]),
        (maskl.Table.get_column, "convert_to", ["numpy"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", None),
)
def test_choices_are_named(call: Callable[..., Any], argument: str, values: list[str]) -> None:
    assert sorted(literals(typing.get_type_hints(call)[argument])) == values


@pytest.mark.parametrize(
    ("call", "without"), [(maskl.Store.export, READ_ONLY), (maskl.import_dataset, WRITE_ONLY)], ids=["export", "import"]
)
def test_formats_are_named(call: Callable[..., Any], without: tuple[str, ...]) -> None:
    hint = typing.get_type_hints(call)["format"]
    named = literals(hint)
    assert named == set(BUILT_IN) - set(without)
    assert str in typing.get_args(hint), "others are registered"
    listed = str(inspect.getdoc(call)).split("format :")[1].split("progress :")[0]
    assert named <= set(re.findall(r"``([a-z-]+)``", listed)), "the docstring names each"


@pytest.mark.parametrize("name", choices.__all__)
def test_a_choice_is_used_by_a_public_call(name: str) -> None:
    hints = [typing.get_type_hints(call) for call in (maskl.Store.export, maskl.import_dataset)]
    used = [literals(hint) for found in hints for hint in found.values()]
    assert literals(getattr(choices, name)) in used


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_frozen_and_every_field_is_explained(name: str) -> None:
    result = getattr(maskl, name)
    assert name in maskl.__all__
    assert dataclasses.is_dataclass(result)
    assert result.__dataclass_params__.frozen  # type: ignore[attr-defined]  # what dataclasses keep
    fields = [field.name for field in dataclasses.fields(result)]
    heads = re.findall(r"^(\w+(?:, \w+)*) : ", str(inspect.getdoc(result)), re.MULTILINE)
    assert [field for head in heads for field in head.split(", ")] == fields


# --- what is loaded when ------------------------------------------------------------------------------

#: what only SQL, the command line or another library's frames need
HEAVY = ("duckdb", "pyarrow.dataset", "pyarrow.acero", "typer", "rich", "polars", "torch", "datasets", "matplotlib")
IMAGE = """
import numpy as np
labels = {0: "road", 1: "car"}
mask = {"mask_data": np.eye(4, dtype=np.uint8), "class_labels": labels}
box = {"position": {"minX": 0.1, "minY": 0.1, "maxX": 0.5, "maxY": 0.5}, "class_id": 1}
boxes = {"boxes": {"box_data": [box], "class_labels": labels}}
image = maskl.Image(np.zeros((4, 4, 3), np.uint8), masks={"a": mask, "b": mask}, boxes=boxes)
"""


def test_importing_it_loads_nothing_of_others(tmp_path: Path) -> None:
    found = {name.partition(".")[0] for name in loaded("import maskl", cwd=tmp_path)}
    assert not found & {*HEAVY, "numpy", "PIL", "pyarrow", "pandas", "blake3", "msgpack", "zstandard"}
    names = loaded("import maskl", cwd=tmp_path)
    assert {name for name in names if name.startswith("maskl")} == {
        *("maskl", "maskl.errors", "maskl_storage", "maskl_storage.errors", "maskl_storage.lazy"),
    }


def test_an_image_needs_no_arrow(tmp_path: Path) -> None:
    found = loaded(
        "import maskl", IMAGE, "image.masks['a'].class_labels, maskl.masks.area(mask['mask_data'], 1)", cwd=tmp_path
    )
    assert {"numpy", "PIL", "zstandard"} <= found
    assert not found & {*HEAVY, "pyarrow", "pandas", "msgpack"}
    assert not [
        name for name in found if name.startswith(("maskl.runs", "maskl.reading", "maskl.drawing", "maskl.cli"))
    ]


def test_logging_loads_neither_the_reading_nor_the_query_side(tmp_path: Path) -> None:
    log = "with maskl.init(dir='.') as run: run.log({'image': image, 'table': maskl.Table(['a'], [[1]]), 'loss': 0.5})"
    found = loaded("import maskl", IMAGE, log, cwd=tmp_path)
    assert "pyarrow.parquet" in found
    assert not found & set(HEAVY)
    assert not [name for name in found if name.startswith(("maskl_storage.query", "maskl.reading", "maskl.cli"))]


def test_the_first_log_call_imports_nothing_of_maskl(tmp_path: Path) -> None:
    """What training needs is there when ``init()`` returns; Pillow alone loads what reads and writes a format."""
    code = """
before = set()
with maskl.init(dir=".") as run:
    before = set(sys.modules)
    run.log({"image": image, "loss": 0.5})
late = set(sys.modules) - before
late = {name for name in late if name.split(".")[0] in ("maskl", "maskl_storage", "pyarrow", "pandas", "numpy")}
assert not late, late
"""
    loaded("import maskl", IMAGE, code, cwd=tmp_path)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logged")
    mask = {"mask_data": np.eye(2, dtype=np.uint8)}
    with maskl.init(dir=folder, name="one", settings=maskl.Settings(silent=True)) as run:
        run.log({"image": maskl.Image(np.zeros((2, 2), np.uint8), masks={"ground_truth": mask, "predictions": mask})})
    return folder


def command(*arguments: str) -> tuple[str, ...]:
    """Return the lines that call the command line."""
    lines = f"try: main({list(arguments)!r})\nexcept SystemExit as ended: assert not ended.code, ended.code"
    return "from maskl.cli.app import main", lines


def test_help_needs_none_of_what_the_commands_need(tmp_path: Path) -> None:
    found = loaded(*command("--help"), cwd=tmp_path)
    assert "typer" in found
    others = {*HEAVY, "numpy", "PIL", "pyarrow", "pandas", "blake3", "msgpack", "zstandard"} - {"typer", "rich"}
    assert not found & others
    assert not [name for name in found if name.startswith(("maskl.runs", "maskl.reading", "maskl.images"))]


@pytest.mark.parametrize("name", ["runs", "tables"])
def test_listing_needs_no_query(name: str, logged: Path) -> None:
    found = loaded(*command(name), cwd=logged)
    assert "rich.table" in found
    others = {*HEAVY, "PIL", "pandas", "msgpack", "zstandard"} - {"typer", "rich"}
    assert not found & others
    assert not [name for name in found if name.startswith(("maskl.runs", "maskl.images", "maskl.tables"))]


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_rich_lays_out_tables_alone(form: str, logged: Path) -> None:
    assert not loaded(*command("runs", form), cwd=logged) & {"rich.table", "rich.console"}


def test_a_query_loads_duckdb(logged: Path) -> None:
    found = loaded(*command("sql", "FROM runs", "--json"), cwd=logged)
    assert "duckdb" in found
    assert not found & {*HEAVY} - {"duckdb", "typer", "rich"}


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


def test_every_public_object_is_documented() -> None:
    said = {name: inspect.getdoc(thing) or "" for name, thing in objects()}
    assert len(said) > 500
    assert not [name for name, text in said.items() if not text]
    made = [name for name, text in said.items() if text.startswith(f"{name.rpartition('.')[2]}(")]
    assert not made, "a dataclass without a docstring of its own"


def test_maskl_shows_every_error_of_the_storage() -> None:
    assert maskl.errors.__all__ == maskl_storage.errors.__all__
    assert all(getattr(maskl.errors, name) is getattr(maskl_storage.errors, name) for name in maskl.errors.__all__)


ERRORS = [name for name in maskl_storage.errors.__all__ if not name.endswith("Warning")]
#: what is never raised itself
BASES = ("MasklError", "UsageError")


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_a_maskl_error_and_a_builtin_one(name: str) -> None:
    error = getattr(maskl_storage.errors, name)
    assert issubclass(error, maskl_storage.MasklError)
    builtins = (TypeError, ValueError, KeyError, FileNotFoundError, ImportError, OSError, RuntimeError)
    assert name in BASES or issubclass(error, builtins)


@pytest.mark.parametrize("name", ERRORS)
def test_a_usage_error_is_a_call_that_is_wrong(name: str) -> None:
    """Not what may go wrong with a call that is right."""
    others = {"MasklError", "CorruptData", "UnsupportedVersion", "EncodingError", "StorageError"}
    assert issubclass(getattr(maskl.errors, name), maskl.UsageError) == (name not in others)


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn: list[tuple[int, str, str | None]] = [
        (len(indent), name, builtin)
        for indent, name, builtin in re.findall(
            r"^ {4}([│├└─ ]*)(\w+)(?: \((\w+)\))?", str(maskl_storage.errors.__doc__), re.MULTILINE
        )
    ]
    assert {name for _, name, _ in drawn} == set(maskl.errors.__all__)
    parents: dict[int, type] = {}
    for depth, name, builtin in drawn:
        error = getattr(maskl.errors, name)
        parents[depth] = error
        bases = [base.__name__ for base in error.__bases__]
        assert not depth or bases[0] == parents[depth - 4].__name__
        assert not builtin or builtin in bases


def test_corrupt_data_passes_who_catches_usage_errors(tmp_path: Path) -> None:
    encoded = bytearray(maskl_storage.encode(np.eye(8, dtype=np.uint8)))
    encoded[-1] ^= 1
    with pytest.raises(maskl.errors.CorruptData) as caught:
        maskl_storage.decode(bytes(encoded))
    assert not isinstance(caught.value, maskl.UsageError)
    assert isinstance(caught.value, maskl.Error)


def test_runs_is_the_deprecated_name_of_run_lengths() -> None:
    mask = np.eye(2, dtype=np.uint8)
    with pytest.warns(DeprecationWarning, match=r"maskl\.masks\.runs\(\) is deprecated.* run_lengths\(\)") as caught:
        found = maskl.masks.runs(mask)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wanted = maskl.masks.run_lengths(mask)
    assert np.array_equal(found.starts, wanted.starts)


@pytest.mark.parametrize("name", [name for name in maskl_storage.errors.__all__ if name.endswith("Warning")])
def test_every_warning_is_a_maskl_warning(name: str) -> None:
    assert issubclass(getattr(maskl_storage.errors, name), maskl_storage.errors.MasklWarning)

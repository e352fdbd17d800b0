"""Imports run one way, from the values a user types down to the file format, and modules stay small."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

from maskl import formats

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
FOLDERS = {"maskl": ROOT / "maskl", "maskl_storage": ROOT / "storage" / "maskl_storage"}

#: the rooms of each package from the bottom: a folder, or a module beside the folders, imports only from those before
#: it; maskl also from any of maskl_storage
ORDER = {
    "maskl_storage": [
        *("errors", "extras", "lazy", "format", "masks", "disk", "cells", "catalog", "images", "read", "query"),
        *("merge", "write", "scores", "upkeep", "verify", "store"),
    ],
    "maskl": [
        *("errors", "adapters", "annotations", "masks", "metrics", "drawing", "images", "media", "tables", "artifacts"),
        *(
            "plot",
            "data_types",
            "runs",
            "interchange",
            "formats",
            "importing",
            "scoring",
            "reading",
            "integrations",
            "viewer",
            "cli",
            "as_wandb",
            "__main__",
        ),
    ],
}
#: what reads, and so knows nothing of what writes
READING = ("images", "read", "query")
WRITING = ("merge", "write")


def module_of(package: str, path: Path) -> str:
    """Return the dotted name of a file; a package inside a package bears its folder's name."""
    parts = list(path.relative_to(FOLDERS[package]).with_suffix("").parts)
    if len(parts) > 1 and parts[-1] == "__init__":
        del parts[-1]
    return ".".join([package, *parts])


MODULES = [module_of(package, path) for package, folder in FOLDERS.items() for path in sorted(folder.rglob("*.py"))]
NAMED = [module for module in MODULES if not module.endswith(".__init__")]
#: what takes long to import, and the modules that may do so at their top; all others do it inside functions
HEAVY = {
    "duckdb": ("maskl_storage.query.database", "maskl_storage.query._statements"),
    "typer": ("maskl.cli",),
    "rich": ("maskl.cli._charts", "maskl.cli._layout"),
    "pyarrow.dataset": (),
    "pyarrow.acero": (),
    "pandas": (),
    "polars": (),
    "torch": (),
    "datasets": (),
    "matplotlib": (),
    "starlette": ("maskl.viewer._app",),
    "uvicorn": (),
}
#: what of these is none of it
LIGHT = {"rich.filesize", "rich.filesize.decimal"}
#: how long a module may be; one that is longer wants a reason, which stands here
MAX_LINES = 600
#: the room of programs over the public face, which does not import them
ON_TOP = "cli"


def path_of(module: str) -> Path:
    package, *names = module.split(".")
    path = FOLDERS[package].joinpath(*names)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text("utf-8"))


@cache
def imported(module: str) -> frozenset[str]:
    """Return the modules that a module imports, wherever in its text."""
    found: set[str] = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            base = str(node.module)
            for alias in node.names:
                name = f"{base}.{alias.name}"
                found.add(name if name in MODULES else base)
    return frozenset(found)


def room(module: str) -> str:
    """Return the folder of a module below its package, or its own name where it stands beside the folders."""
    return module.split(".")[1]


def own(module: str) -> set[str]:
    """Return what a module imports of this project; a package by itself is its ``__init__``."""
    found = {name for name in imported(module) if name.split(".")[0] in FOLDERS}
    return {f"{name}.__init__" if name in FOLDERS else name for name in found}


@cache
def reached(module: str) -> set[str]:
    """Return everything of this project that comes with a module."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = own(waiting.pop()) - found
        found |= new
        waiting += new & set(MODULES)
    return found


def outside_annotations(tree: ast.Module, name: str) -> list[int]:
    """Return the lines where a name is used other than in an annotation."""
    annotations = set()
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            annotation = getattr(node, field, None)
            if annotation is not None:
                annotations.update(id(inner) for inner in ast.walk(annotation))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    uses = [node for node in names if node.id == name]
    return [node.lineno for node in uses if id(node) not in annotations]


def test_there_are_modules_to_check() -> None:
    assert {
        "maskl_storage.masks.codec",
        "maskl_storage.query.database",
        "maskl.runs.active",
        "maskl.reading.store",
    } <= set(MODULES)


@pytest.mark.parametrize("package", FOLDERS)
def test_every_room_has_its_place_in_the_order(package: str) -> None:
    assert {room(module) for module in NAMED if module.startswith(f"{package}.")} == set(ORDER[package])


def is_below(module: str, other: str) -> bool:
    """Whether a module may import another: from its own room, or one below."""
    package = module.split(".")[0]
    other_package, order = other.split(".")[0], ORDER[package]
    if other == f"{package}.__init__":
        return room(module) == ON_TOP
    if other_package == package:
        return order.index(room(other)) <= order.index(room(module))
    return other_package == "maskl_storage"


def test_a_module_imports_only_from_its_own_room_and_those_below() -> None:
    assert not [(module, other) for module in NAMED for other in own(module) if not is_below(module, other)]


#: modules that are found otherwise than by an import: the command line's entry, and whatever lies in these folders
DOORS = ("maskl.cli.app", "maskl.integrations.children.", "maskl.metrics.formulas.", "maskl_storage.masks.codecs.")
DOORS += ("maskl_storage.query.worker",)


def whereabouts(module: str) -> tuple[str, str]:
    return module.split(".")[0], room(module)


def test_what_begins_with_an_underscore_is_for_its_own_room() -> None:
    assert not [
        (module, other)
        for module in NAMED
        for other in own(module)
        if any(part.startswith("_") and not part.startswith("__") for part in other.split("."))
        and whereabouts(other) != whereabouts(module)
    ]


def test_what_only_its_own_room_imports_begins_with_an_underscore() -> None:
    """A format stands in its registry's table, which is how other rooms reach it."""
    wanted = {name for module in MODULES for name in own(module) if whereabouts(name) != whereabouts(module)}
    wanted |= set(formats.BUILT_IN.values())
    open_to_all = [
        module
        for module in NAMED
        if module.count(".") > 1
        and not module.rpartition(".")[2].startswith("_")
        and path_of(module).name != "__init__.py"
    ]
    assert not [module for module in open_to_all if module not in wanted and not module.startswith(DOORS)]


def test_no_module_imports_itself_through_others() -> None:
    assert not [module for module in MODULES if module in reached(module)]


def test_the_public_face_comes_without_the_programs_over_it() -> None:
    assert not [module for module in reached("maskl.__init__") if module.startswith(f"maskl.{ON_TOP}.")]


def test_the_storage_has_one_import_name() -> None:
    assert not [(module, name) for module in MODULES for name in imported(module) if name.split(".")[0] == "storage"]


def test_only_query_touches_duckdb() -> None:
    touching = {module for module in NAMED if "duckdb" in {name.split(".")[0] for name in imported(module)}}
    touching = {module for module in touching if module.startswith("maskl_storage.")}
    assert touching - {"maskl_storage.store"} == set(HEAVY["duckdb"])
    assert outside_annotations(tree_of("maskl_storage.store"), "duckdb") == []


def loaded_by(module: str) -> set[str]:
    """Return what a module imports when it is imported itself: not inside functions, nor for type checkers."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree_of(module)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update({str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)})
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


def test_what_is_heavy_is_imported_where_it_is_used() -> None:
    """Else every program pays for it when it imports maskl, or calls ``maskl --help``."""
    found = [
        (module, name)
        for module in MODULES
        for name in loaded_by(module) - LIGHT
        for package, places in HEAVY.items()
        if (name == package or name.startswith(f"{package}.")) and not module.startswith(places)
    ]
    assert not found, "import it inside the function that needs it"


@pytest.mark.parametrize("package", HEAVY)
def test_the_rule_on_what_is_heavy_names_only_places_that_need_it(package: str) -> None:
    for place in HEAVY[package]:
        members = [module for module in MODULES if module.startswith(place)]
        assert any(name.startswith(package) for module in members for name in loaded_by(module)), place


def test_the_active_run_comes_only_where_runs_are_made() -> None:
    others = [
        module
        for module in MODULES
        if module.startswith("maskl.")
        and module != "maskl.__init__"
        and room(module) not in ("runs", "importing", ON_TOP, "__main__")
    ]
    assert not [module for module in others if {"maskl.runs.run", "maskl.runs.active"} & reached(module)]


def test_the_read_path_comes_without_the_write_path() -> None:
    reading = [module for module in NAMED if module.startswith("maskl_storage.") and room(module) in READING]
    assert not [
        (module, other)
        for module in reading
        for other in reached(module)
        if other.count(".") > 1 and room(other) in WRITING
    ]


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("errors", set()),
        ("format.names", {"maskl_storage"}),
        ("format.document", {"maskl_storage"}),
        ("format.paths", {"maskl_storage"}),
        ("format.metadata", {"maskl_storage"}),
        ("masks.histograms", {"maskl_storage", "numpy"}),
        ("masks.dtypes", {"maskl_storage", "numpy"}),
        ("masks._scan", {"maskl_storage", "numpy"}),
        ("masks.codec", {"maskl_storage", "numpy", "pyarrow"}),
        ("masks.codecs", {"maskl_storage", "numpy"}),
        ("masks.codecs.zstd", {"maskl_storage", "numpy", "zstandard"}),
    ],
)
def test_the_lowest_modules_need_little(module: str, allowed: set[str]) -> None:
    found = {name.split(".")[0] for name in imported(f"maskl_storage.{module}")}
    assert found - set(sys.stdlib_module_names) <= allowed


def test_modules_stay_small() -> None:
    sizes = {module: len(path_of(module).read_text("utf-8").splitlines()) for module in MODULES}
    assert not {module: size for module, size in sizes.items() if size > MAX_LINES}


def test_nothing_imports_the_storage_by_its_folder() -> None:
    found = []
    for path in [*sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "examples").glob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [(path, name) for name in names if name.split(".")[0] == "storage"]
    assert not found

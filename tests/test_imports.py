"""Imports run one way, from the values a user types down to the file format, and modules stay small."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
FOLDERS = {"maskl": ROOT / "maskl", "maskl_storage": ROOT / "storage" / "maskl_storage"}

#: a module imports only from those before it; maskl also from any of maskl_storage
ORDER = {
    "maskl_storage": [
        *(
            "errors",
            "filelock",
            "files",
            "warn",
            "runs",
            "spec",
            "jsontext",
            "seals",
            "codec",
            "stats",
            "schema",
            "boxes",
            "cells",
            "packing",
            "wal",
            "tallies",
            "scores",
            "batches",
            "pending",
            "parts",
            "shared",
            "mapped",
            "images",
            "layout",
            "past",
            "commit",
            "journal",
            "recovery",
            *("lease", "sweep", "streams", "unify", "merge", "tidy", "digests", "compact", "delete"),
            *("faults", "documents", "recount", "checks", "remains", "verify", "upkeep", "merger"),
        ),
        *(
            "writer",
            "rows",
            "rowparts",
            "places",
            "joining",
            "scans",
            "reader",
            "tables",
            "views",
            "regions",
            "segments",
            "functions",
            "lock",
            "query",
            "store",
        ),
    ],
    "maskl": [
        *(
            "errors",
            "deferred",
            "classes",
            "foreign",
            "boxes",
            "mask",
            "masks",
            "confusion",
            "metrics",
            "pixels",
            "overlay",
            "markup",
            "panels",
            "notebook",
            "shown",
            "image",
            "infer",
            "dtypes",
            "encode",
        ),
        *("dataframes", "arrays", "spool", "content", "keys", "logmodes", "table", "joined"),
        *("settings", "runconfig", "runsummary", "media", "server", "notstored", "runs"),
        *("announce", "disabled", "begin"),
        *("process", "answers", "torchrows", "hfrows", "stored"),
        *("export", "export.options", "export.images", "export.merging", "export.selection", "export.core"),
        *("export.pngs", "export.statistics", "export.columnar", "export.parquet", "export.arrow"),
        *("export.card", "export.huggingface"),
        *(
            "export.pictures",
            "export.coco",
            "export.coco_rle",
            "export.coco_panoptic",
            "export.png",
            "export.cityscapes",
        ),
        "store",
        *("importers", "importers.blocks", "importers.options", "importers.problems", "importers.destination"),
        *("importers.tables", "importers.core", "importers.encoded"),
        *("importers.own_rows", "importers.plain_rows", "importers.arrow_tables", "importers.parquet"),
        *("importers.arrow", "importers.huggingface"),
        *("importers.transactions", "importers.wandb_media", "importers.wandb_tables", "importers.wandb"),
        *("importers.files", "importers.blocking", "importers.coco", "importers.coco_rle", "importers.coco_panoptic"),
        *("importers.png", "importers.cityscapes", "importers.folders"),
        *(
            "pages",
            "show",
            "charts",
            "reports",
            "options",
            "evaluate",
            "exporting",
            "importing",
            "upkeep",
            "demo",
            "cli",
        ),
    ],
}


def module_of(package: str, path: Path) -> str:
    """Return the dotted name of a file; a package inside a package bears its folder's name."""
    parts = list(path.relative_to(FOLDERS[package]).with_suffix("").parts)
    if len(parts) > 1 and parts[-1] == "__init__":
        del parts[-1]
    return ".".join([package, *parts])


MODULES = [module_of(package, path) for package, folder in FOLDERS.items() for path in sorted(folder.rglob("*.py"))]
NAMED = [module for module in MODULES if not module.endswith(".__init__")]
#: programs over the public face, which it does not import
ON_TOP = ("maskl.demo", "maskl.evaluate", "maskl.exporting", "maskl.upkeep", "maskl.cli")
MAX_LINES = 420


def path_of(module: str) -> Path:
    package, *names = module.split(".")
    path = FOLDERS[package].joinpath(*names)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def tree_of(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text("utf-8"))


def imported(module: str) -> set[str]:
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
    return found


def own(module: str) -> set[str]:
    """Return what a module imports of this project; a package by itself is its ``__init__``."""
    found = {name for name in imported(module) if name.split(".")[0] in FOLDERS}
    return {f"{name}.__init__" if name in FOLDERS else name for name in found}


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
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
    return [node.lineno for node in uses if id(node) not in annotations]


def test_there_are_modules_to_check() -> None:
    assert {"maskl_storage.codec", "maskl_storage.query", "maskl.process", "maskl.store"} <= set(MODULES)


@pytest.mark.parametrize("package", FOLDERS)
def test_every_module_has_its_place_in_the_order(package: str) -> None:
    found = {module.partition(".")[2] for module in NAMED if module.startswith(f"{package}.")}
    assert found == set(ORDER[package])


@pytest.mark.parametrize("module", NAMED)
def test_a_module_imports_only_from_those_before_it(module: str) -> None:
    package, name = module.split(".", 1)
    order = ORDER[package]
    for other in own(module):
        other_package, other_name = other.split(".", 1)
        if other == f"{package}.__init__":
            assert module in ON_TOP, f"{module} imports the package {package} itself"
        elif other_package == package:
            assert order.index(other_name) < order.index(name), f"{module} imports {other}"
        else:
            assert other_package == "maskl_storage", f"{module} imports {other}"


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_itself_through_others(module: str) -> None:
    assert module not in reached(module)


def test_the_public_face_comes_without_the_programs_over_it() -> None:
    assert not set(ON_TOP) & reached("maskl.__init__")


@pytest.mark.parametrize("module", MODULES)
def test_the_storage_has_one_import_name(module: str) -> None:
    assert not [name for name in imported(module) if name == "storage" or name.startswith("storage.")]


@pytest.mark.parametrize("module", [module for module in NAMED if module.startswith("maskl_storage.")])
def test_only_query_touches_duckdb(module: str) -> None:
    if module == "maskl_storage.query":
        assert "duckdb" in imported(module)
    elif module == "maskl_storage.store":
        assert outside_annotations(tree_of(module), "duckdb") == []
    else:
        assert not [name for name in imported(module) if name.split(".")[0] == "duckdb"]


@pytest.mark.parametrize("module", ["store", "image", "mask", "classes", "table", "infer", "encode"])
def test_nothing_that_reads_comes_with_the_active_run(module: str) -> None:
    assert not {"maskl.runs", "maskl.process"} & reached(f"maskl.{module}")


@pytest.mark.parametrize("module", ["reader", "query", "tables"])
def test_the_read_path_comes_without_the_write_path(module: str) -> None:
    assert not {"maskl_storage.writer", "maskl_storage.batches", "maskl_storage.cells"} & reached(
        f"maskl_storage.{module}"
    )


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("errors", set()),
        ("spec", {"maskl_storage"}),
        ("stats", {"maskl_storage", "numpy"}),
        ("codec", {"maskl_storage", "numpy", "pyarrow", "zstandard"}),
    ],
)
def test_the_lowest_modules_need_little(module: str, allowed: set[str]) -> None:
    found = {name.split(".")[0] for name in imported(f"maskl_storage.{module}")}
    assert found - set(sys.stdlib_module_names) <= allowed


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_small(module: str) -> None:
    assert len(path_of(module).read_text("utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "examples").glob("*.py")),
    ids=lambda path: path.name,
)
def test_nothing_imports_the_storage_by_its_folder(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not [name for name in names if name.split(".")[0] == "storage"]

"""Observe W&B: run every scenario in its environment, and print what was seen as JSON.

Run as ``.venv-wandb/bin/python -m tests.conformance.observe``; with ``--record`` the observations
become ``tests/conformance/wandb-0.31.json``, which maskl is compared with where there is no W&B.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import logging
import os
import pkgutil
import platform
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("wandb-0.31.json")


def main() -> None:
    """Run every scenario, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="scenarios; all of them by default")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = _observe(Path(scratch), asked.names)
    if asked.record:
        RECORD.write_text(_text(found), "utf-8")
    else:
        print(_text(found))


def _observe(scratch: Path, names: list[str]) -> dict[str, Any]:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        del os.environ[name]
    for name, folder in (("WANDB_DIR", "runs"), ("WANDB_DATA_DIR", "data"), ("WANDB_CACHE_DIR", "cache")):
        (scratch / folder).mkdir()
        os.environ[name] = str(scratch / folder)
    os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_CONFIG_DIR=str(scratch), MPLBACKEND="agg")
    os.chdir(scratch)
    logging.disable()
    warnings.simplefilter("ignore")
    import wandb

    from tests.conformance.theirs import Theirs

    names_before = surface()  # a scenario may load modules that are no names of the package at its import
    observed = {}
    for scenario in load().values():
        if names and scenario.name not in names:
            continue
        try:
            observed[scenario.name] = _plain(scenario.observe(Theirs(scratch / "runs" / scenario.name)))
        except Exception:
            observed[scenario.name] = {"failed": traceback.format_exc().strip().splitlines()[-1]}
            traceback.print_exc(file=sys.stderr)
        finally:
            wandb.finish()
    return {
        "made by": "python -m tests.conformance.observe --record",
        "wandb": wandb.__version__,
        "python": platform.python_version(),
        "names": names_before,
        "observed": observed,
    }


def _text(found: dict[str, Any]) -> str:
    """Return the observations as JSON, one a line."""
    lines = []
    for key, value in found.items():
        if isinstance(value, dict):
            inner = [f"  {json.dumps(name)}: {json.dumps(value[name], ensure_ascii=False)}" for name in sorted(value)]
            lines.append(f" {json.dumps(key)}: {{\n" + ",\n".join(inner) + "\n }")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _plain(value: object) -> Any:
    from tests.conformance.scenario import plain

    return plain(value)


def load() -> dict[str, Any]:
    """Import every module of scenarios; return the scenarios by name."""
    from tests.conformance import scenario, scenarios

    for module in sorted(pkgutil.iter_modules(scenarios.__path__), key=lambda module: module.name):
        importlib.import_module(f"{scenarios.__name__}.{module.name}")
    return scenario.SCENARIOS


def surface() -> dict[str, Any]:
    """Return W&B's public names: of its module, of the classes that are compared, and their arguments."""
    import wandb
    from wandb import data_types, env

    classes = {name: getattr(data_types, name) for name in ("BoundingBoxes2D", "Classes", "Image", "ImageMask")}
    classes |= {"Table": wandb.Table, "JoinedTable": data_types.JoinedTable, "Media": data_types.Media}
    classes["Histogram"] = wandb.Histogram
    found: dict[str, Any] = {"wandb": sorted({*(name for name in dir(wandb) if name[0] != "_"), "Api"})}
    for name, thing in {**classes, "Run": wandb.Run}.items():
        of_base = set() if name in ("Media", "Run") else set(dir(data_types.Media))
        found[name] = [member for member in dir(thing) if not member.startswith("_") and member not in of_base]
        if name not in ("Media", "Run"):
            found[f"{name}()"] = arguments(thing.__init__)
    found["Artifact"] = [member for member in dir(wandb.Artifact) if not member.startswith("_")]
    found["Artifact()"] = arguments(wandb.Artifact.__init__)
    found["EvalTable()"] = arguments(wandb.EvalTable.__init__)
    found["plot"] = sorted(wandb.plot.__all__)
    for name in sorted({*wandb.plot.__all__} - {"visualize"}):
        found[f"plot.{name}()"] = arguments(getattr(wandb.plot, name))
    found["env"] = sorted({value for name, value in vars(env).items() if str(value).startswith("WANDB_")})
    found["init()"] = arguments(wandb.init)
    for name in ("define_metric", "finish", "log"):
        found[f"Run.{name}()"] = arguments(getattr(wandb.Run, name))
    for name in ("add_column", "add_computed_columns", "cast", "get_column", "set_fk", "set_pk"):
        found[f"Table.{name}()"] = arguments(getattr(wandb.Table, name))
    return found


def arguments(function: Any) -> list[str]:
    """Return the names of a function's arguments, in order."""
    return [name for name in inspect.signature(function).parameters if name != "self"]


if __name__ == "__main__":
    main()

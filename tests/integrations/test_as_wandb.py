"""``import wandb`` brings maskl: its names, what frameworks ask of a package, and how all of it is undone."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.metadata import PackageNotFoundError, distribution, distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.errors import MasklWarning, StateError
from maskl.integrations._keras import metrics_logger
from tests.integrations.conftest import state

pytestmark = pytest.mark.once


# --- names ----------------------------------------------------------------------------------------


def test_public_names_are_those_of_maskl(installed: Any) -> None:
    for name in set(maskl.__all__) - {"config", "errors", "run", "summary"}:
        assert getattr(installed, name) is getattr(maskl, name), name
    assert installed.errors.StateError is maskl.errors.StateError
    assert set(maskl.__all__) <= set(dir(installed))
    names: dict[str, Any] = {}
    exec("from wandb import *", names)
    assert set(maskl.__all__) <= names.keys()


def test_what_the_active_run_brings_is_looked_up_each_time(installed: Any, store_dir: Path) -> None:
    assert installed.run is None
    with installed.init(dir=store_dir, config={"lr": 0.1}) as run:
        assert installed.run is run
        installed.config.epochs = 3
        installed.log({"loss": 0.5})
        assert (dict(installed.config), installed.summary["loss"]) == ({"lr": 0.1, "epochs": 3}, 0.5)
    assert installed.run is None


def test_modules_of_the_inside_are_there_by_import_and_by_attribute(installed: Any) -> None:
    from wandb.data_types import Table
    from wandb.errors import CommError, Error, UnsupportedError, UsageError
    from wandb.sdk.lib import RunDisabled
    from wandb.sdk.lib.config_util import ConfigError
    from wandb.sdk.lib.disabled import RunDisabled as AlsoDisabled
    from wandb.sdk.lib.runid import generate_id
    from wandb.sdk.wandb_run import Run
    from wandb.wandb_run import Run as OldRun

    assert [Run, OldRun, Table] == [maskl.Run, maskl.Run, maskl.Table]
    assert [Error, CommError, UsageError] == [maskl.Error, maskl.CommError, maskl.UsageError]
    assert UnsupportedError is maskl.errors.NotSupported
    assert RunDisabled is AlsoDisabled
    assert installed.sdk.lib.config_util.ConfigError is ConfigError
    assert installed.util.generate_id is generate_id
    assert installed.wandb_run.Run is maskl.Run
    assert {"Image", "Table"} <= set(dir(installed.data_types))
    assert dir(installed.wandb_run) == ["Run"]


@pytest.mark.parametrize("name", ["wandb.masks", "wandb.metrics"])
def test_a_public_module_can_be_imported(name: str, installed: Any) -> None:
    module, real = importlib.import_module(name), importlib.import_module(name.replace("wandb", "maskl"))
    assert {getattr(module, public) is getattr(real, public) for public in real.__all__} == {True}
    assert real.__spec__ is not None
    assert real.__spec__.name == real.__name__, "the real module stays what it is"


def test_a_config_that_may_not_change_raises_what_frameworks_catch(installed: Any, store_dir: Path) -> None:
    from wandb.sdk.lib.config_util import ConfigError

    with installed.init(dir=store_dir, config={"lr": 0.1}), pytest.raises(ConfigError, match="'lr'"):
        installed.config["lr"] = 0.2


def test_made_up_ids_differ_and_can_be_ids_of_runs(installed: Any, store_dir: Path) -> None:
    made = {installed.util.generate_id() for _ in range(50)}
    assert len(made) == 50
    assert {len(run_id) for run_id in made} == {8}
    assert len(installed.util.generate_id(30)) == 30
    with installed.init(dir=store_dir, id=min(made)) as run:
        assert run.id == min(made)


def test_a_module_that_is_not_there_says_what_to_use(installed: Any) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"'wandb\.sklearn'.*maskl\.plot has"):
        importlib.import_module("wandb.sklearn")
    with pytest.raises(ImportError, match=r"maskl has no sklearn; instead: maskl\.plot has"):
        exec("from wandb import sklearn", {})
    metrics_logger.cache_clear()  # another test may have had a Keras
    with pytest.raises(ModuleNotFoundError, match="keras"):
        exec("from wandb.keras import WandbMetricsLogger", {})
    with pytest.raises(ModuleNotFoundError, match=r"'wandb\.nothing': wandb is maskl in this process") as caught:
        importlib.import_module("wandb.nothing")
    assert caught.value.name == "wandb.nothing"
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from wandb import nothing", {})


@pytest.mark.parametrize("name", ["wandb", "wandb.util", "wandb.sdk"])
def test_a_name_that_is_not_there_is_an_attribute_error(name: str, installed: Any) -> None:
    module = importlib.import_module(name)
    assert getattr(module, "nothing", None) is None
    assert not hasattr(module, "__wrapped__")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018  # asking is the test


# --- what is asked of a package ---------------------------------------------------------------------


def test_a_package_is_found_that_is_not_installed(installed: Any) -> None:
    spec = importlib.util.find_spec("wandb")
    assert spec is installed.__spec__
    assert importlib.util.find_spec("wandb.sdk.lib") is not None
    assert installed.__version__ == version("wandb") == version("WandB")
    assert tuple(map(int, version("wandb").split("."))) > (0, 12, 10)
    found = distribution("wandb")
    assert (found.metadata["Name"], found.files, found.requires) == ("wandb", None, None)


def test_no_other_package_is_made_up(installed: Any) -> None:
    assert not [found for found in distributions() if found.metadata["Name"] == "wandb"]
    for name in ("wandb-core", "maskl-nothing"):
        with pytest.raises(PackageNotFoundError):
            version(name)
    assert importlib.util.find_spec("wandb_core") is None


def test_an_installed_one_keeps_its_version_and_is_not_imported(other: Path) -> None:
    maskl.install_as_wandb()
    import wandb

    assert version("wandb") == "0.20.1"
    assert wandb.Image is maskl.Image
    importlib.reload(wandb)
    assert wandb.Image is maskl.Image
    maskl.uninstall_as_wandb()
    with pytest.raises(AssertionError, match="the other wandb was imported"):
        importlib.import_module("wandb")


# --- and back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [None, "/a", "/a::/b", ":"])
def test_it_is_undone_wholly(path: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if path is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", path)
    before = state()
    maskl.install_as_wandb()
    importlib.import_module("wandb.sdk.lib")
    assert state() != before
    maskl.uninstall_as_wandb()
    assert state() == before
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("wandb")
    with pytest.raises(PackageNotFoundError):
        version("wandb")
    maskl.uninstall_as_wandb()
    assert state() == before


def test_to_install_it_twice_is_to_install_it(installed: Any) -> None:
    once = state()
    maskl.install_as_wandb()
    assert state() == once
    assert sys.modules["wandb"] is installed


@pytest.mark.parametrize("name", ["wandb", "wandb.sdk"])
def test_another_that_is_imported_already_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(name)
    module.__file__ = "/site/wandb/__init__.py"
    monkeypatch.setitem(sys.modules, name, module)
    before = state()
    with pytest.raises(StateError, match=rf"another {name} \(/site/wandb/__init__.py\).*before anything imports it"):
        maskl.install_as_wandb()
    assert state() == before
    maskl.uninstall_as_wandb()
    assert sys.modules[name] is module


def test_an_import_that_was_forbidden_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # type: ignore[arg-type]  # what forbids it
    maskl.install_as_wandb()
    assert importlib.import_module("wandb").Image is maskl.Image
    maskl.uninstall_as_wandb()
    with pytest.raises(ModuleNotFoundError, match=r"None in sys\.modules"):
        importlib.import_module("wandb")


def test_variables_that_are_not_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("WANDB_NAME", "first")
    monkeypatch.setenv("MASKL_NAME", "first")
    with pytest.warns(MasklWarning, match="WANDB_MODE in the environment: maskl does not read it, and has MASKL_MODE"):
        maskl.install_as_wandb()


def test_the_variable_names_the_process(installed: Any) -> None:
    assert os.environ["MASKL_AS_WANDB"] == str(os.getpid())


def test_a_picture_goes_through(installed: Any, store_dir: Path) -> None:
    mask = {"mask_data": np.eye(4, dtype=np.uint8), "class_labels": {1: "길"}}
    with installed.init(dir=store_dir) as run:
        run.log({"검증": installed.Image(np.zeros((4, 4, 3), np.uint8), masks={"predictions": mask})})
    [row] = list(maskl.open(store_dir).table("검증"))
    assert row["image"].masks["predictions"].class_labels == {1: "길"}

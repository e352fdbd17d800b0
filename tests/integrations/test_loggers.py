"""Loggers that do as frameworks' own do log to maskl, and their runs end well."""

from __future__ import annotations

import re
import sys
import warnings
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import maskl
from maskl.errors import InvalidValue, ServerOnlyWarning, StateError
from maskl.integrations._keras import metrics_logger
from tests.integrations import loggers
from tests.integrations.conftest import ROOT

pytestmark = pytest.mark.once

#: what each of them logged: its tables, some scalars of the last step, and some items of the config
LOGGED: dict[str, tuple[list[str], dict[str, Any], dict[str, Any]]] = {
    "lightning": (["val"], {"loss": 1 / 3, "trainer/global_step": 2}, {"lr": 0.1, "layers": [3, 2]}),
    "accelerate": (["images", "table"], {"loss": 0.5}, {"lr": 0.1}),
    "transformers": ([], {"train/loss": 0.5, "train_runtime": 0.25}, {"model/num_parameters": 17}),
    "mmengine": (["image"], {"loss": {"min": 0.25}, "acc": 0.8}, {"model": {"type": "UNet"}}),
    "ultralytics": (["val"], {"train/seg_loss": 0.5, "epoch": 2}, {"epochs": 2, "imgsz": 64}),
    "keras": (
        [],
        {"epoch/val_loss": 0.5, "epoch/learning_rate": 0.125, "batch/batch_step": 6, "batch/loss": 1 / 3},
        {},
    ),
    "monai": (["table"], {"dice": 0.9, "best": 0.9}, {"seed": 0, "pixdim": [1.5, 1.5, 2.0]}),
}


@pytest.fixture(autouse=True)
def _keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put what stands for Keras in its place."""
    module = ModuleType("keras.callbacks")
    vars(module)["Callback"] = type("Callback", (), {})
    monkeypatch.setitem(sys.modules, "keras", ModuleType("keras"))
    monkeypatch.setitem(sys.modules, "keras.callbacks", module)
    metrics_logger.cache_clear()


def logged(store: Path) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """Return what the one run of a store has, which ended well."""
    opened = maskl.open(store)
    [run] = opened.runs()
    assert run.state == "finished"
    return sorted(table.name for table in opened.tables()), dict(run.summary), dict(run.config)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", loggers.LOGGERS)
def test_a_logger_goes_through(name: str, store_dir: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ServerOnlyWarning)  # watch(), log_code(): tests/runs has what they say
        loggers.LOGGERS[name](store_dir)
    tables, summary, config = LOGGED[name]
    found = logged(store_dir)
    assert found[0] == tables
    assert {key: found[1].get(key) for key in summary} == summary
    assert {key: found[2].get(key) for key in config} == config


@pytest.mark.usefixtures("installed")
def test_a_run_goes_on_in_a_spawned_process(store_dir: Path) -> None:
    with pytest.warns(ServerOnlyWarning, match="require"):
        loggers.lightning_spawned(store_dir)
    [run] = maskl.open(store_dir).runs()
    assert (run.summary["loss"], run.summary["child"]) == (1 / 3, 1)
    assert run.config == {"lr": 0.1, "layers": [3, 2], "ranks": 2}, "also what the child alone was told"


@pytest.mark.usefixtures("installed")
def test_what_the_page_names_is_there() -> None:
    text = (ROOT / "docs" / "integrations.md").read_text("utf-8")
    named = set(re.findall(r"`wandb\.([\w.]+)`", text))
    assert {"util.generate_id", "integration.keras.WandbMetricsLogger"} <= named
    for name in named:
        assert attrgetter(name)(sys.modules["wandb"]) is not None


@pytest.mark.usefixtures("installed")
def test_a_disabled_run_is_not_attached_to() -> None:
    with maskl.init(mode="disabled") as run:
        assert run._attach_id is None


@pytest.mark.usefixtures("installed")
def test_the_callback_for_keras_refuses_what_it_cannot_do(store_dir: Path) -> None:
    from wandb.keras import WandbMetricsLogger

    with pytest.raises(StateError, match=r"before WandbMetricsLogger\(\)"):
        WandbMetricsLogger()
    with maskl.init(dir=store_dir):
        for wrong in ("step", 0, True, 0.5):
            with pytest.raises(InvalidValue, match="'epoch', 'batch' or a number of batches"):
                WandbMetricsLogger(log_freq=wrong)

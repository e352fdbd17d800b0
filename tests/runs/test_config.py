"""``run.config``: where it comes from, what it takes, and that every change is stored at once."""

from __future__ import annotations

import argparse
import enum
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import maskl
from maskl import Config
from maskl.errors import ConversionWarning, InvalidType, InvalidValue, MissingExtra, StateError

Start = Callable[..., maskl.Run]


class Color(enum.Enum):
    RED = 1


@dataclass
class Options:
    lr: float
    layers: tuple[int, ...]


@pytest.fixture
def stored(store_dir: Path) -> Callable[[], dict[str, Any]]:
    """Return the config as the store has it at this moment, sealed or not."""

    def stored() -> dict[str, Any]:
        (path,) = store_dir.glob("runs/*/writer-0.json")
        body: dict[str, Any] = json.loads(path.read_text("utf-8"))["config"]
        return body

    return stored


def test_items_are_read_and_set_as_attributes_and_by_key(start: Start, stored: Callable[[], Any]) -> None:
    run = start(config={"lr": 0.1})
    run.config.epochs = 3
    run.config["이름"] = "가"
    assert (run.config.lr, run.config["epochs"], run.config.get("none"), "lr" in run.config) == (0.1, 3, None, True)
    assert dict(run.config) == {"lr": 0.1, "epochs": 3, "이름": "가"} == run.config == stored()
    assert (list(run.config.keys()), len(run.config), str(run.config)[0]) == (["lr", "epochs", "이름"], 3, "{")
    with pytest.raises(AttributeError, match="the config has no 'nothing'"):
        _ = run.config.nothing
    with pytest.raises(KeyError):
        _ = run.config["nothing"]
    assert maskl.config is run.config


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update({"new": 1, "lr": 0.2}),
        lambda config: setattr(config, "lr", 0.2),
        lambda config: config.__setitem__("lr", 0.2),
        lambda config: config.update(argparse.Namespace(lr=0.2)),
    ],
    ids=["update", "attribute", "item", "namespace"],
)
def test_a_value_changes_only_where_that_is_allowed(
    start: Start, stored: Callable[[], Any], change: Callable[[Config], None]
) -> None:
    run = start(config={"lr": 0.1})
    with pytest.raises(InvalidValue, match=r"config item 'lr' is 0\.1 and may not become 0\.2: pass allow_val_change"):
        change(run.config)
    assert stored() == dict(run.config) == {"lr": 0.1}
    run.config.update({"lr": 0.2}, allow_val_change=True)
    run.config.lr = 0.2  # the same value is no change
    assert stored() == {"lr": 0.2}


def test_init_may_allow_changes_for_good(start: Start, stored: Callable[[], Any]) -> None:
    run = start(config={"lr": 0.1}, allow_val_change=True)
    run.config.lr = 0.2
    assert stored() == {"lr": 0.2}


def test_setdefaults_keeps_what_is_there(start: Start, stored: Callable[[], Any]) -> None:
    run = start(config={"lr": 0.1})
    run.config.setdefaults({"lr": 5, "epochs": 2})
    assert stored() == {"lr": 0.1, "epochs": 2}


def test_a_change_inside_of_a_value_is_written_by_persist(start: Start, stored: Callable[[], Any]) -> None:
    run = start(config={"model": {"depth": 1}})
    run.config["model"]["depth"] = 2
    run.config.persist()
    assert stored() == {"model": {"depth": 2}}


def test_the_callers_dict_is_neither_kept_nor_changed(start: Start) -> None:
    given = {"layers": [1, (2, 3)], "--lr": 1}
    run = start(config=given)
    run.config["layers"].append(4)
    given["layers"].append(5)  # type: ignore[attr-defined]
    assert given == {"layers": [1, (2, 3), 5], "--lr": 1}
    assert run.config.as_dict() == {"layers": [1, [2, 3], 4], "lr": 1}


VALUES: dict[str, tuple[Any, Any]] = {
    "numpy": (np.float32(0.5), 0.5),
    "array": (np.arange(3), [0, 1, 2]),
    "path": (PurePosixPath("a/b"), "a/b"),
    "set": ({1}, [1]),
    "date": (date(2024, 2, 29), "2024-02-29"),
    "dataclass": (Options(0.5, (1, 2)), {"lr": 0.5, "layers": [1, 2]}),
    "namespace": (SimpleNamespace(a={"b": (None, True)}), {"a": {"b": [None, True]}}),
    "slice": (slice(1, None, 2), {"slice_start": 1, "slice_step": 2, "slice_stop": None}),
    "keys": ({1: "a", 2.5: "b", None: "c", np.int64(3): "d"}, {"1": "a", "2.5": "b", "null": "c", "3": "d"}),
    "datetime64": (np.array(["2024-01-01"] * 2, "datetime64[D]"), ["2024-01-01"] * 2),
    "enum": (Color.RED, "RED"),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_become_what_json_holds(start: Start, stored: Callable[[], Any], name: str) -> None:
    given, kept = VALUES[name]
    run = start(config={"value": given})
    assert stored() == {"value": kept} == dict(run.config)


def test_anything_else_is_stored_as_its_text_and_says_so(start: Start, stored: Callable[[], Any]) -> None:
    with pytest.warns(ConversionWarning, match="config item .x. is a Float64DType, stored as its text .float64."):
        start(config={"x": np.dtype("float64")})
    assert stored() == {"x": "float64"}


def test_nan_is_null_in_the_store_and_infinity_infinity(start: Start, store_dir: Path) -> None:
    config = {"nan": math.nan, "up": math.inf, "down": [-math.inf], "text": 'NaN, "Infinity"'}
    run = start(config=config)
    assert math.isnan(run.config.nan)
    run.finish()
    (path,) = store_dir.glob("runs/*/writer-0.json")
    assert "NaN" not in path.read_text("utf-8").replace("NaN, ", "")
    assert json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)["config"]["up"] == math.inf
    store = maskl.open(store_dir)
    assert store.run(run.id).config == {**config, "nan": None}
    query = "SELECT CAST(config.up AS DOUBLE), CAST(config.down[0] AS DOUBLE), config->>'nan' FROM runs"
    assert store.sql(query).fetchall() == [(math.inf, -math.inf, None)]


@pytest.mark.parametrize("kind", ["json", "text of json"])
def test_a_config_may_come_from_a_file(start: Start, tmp_path: Path, stored: Callable[[], Any], kind: str) -> None:
    path = tmp_path / ("c.json" if kind == "json" else "c.yaml")
    path.write_text('{"lr": 0.1, "model": {"depth": 2}}')
    start(config=path if kind == "json" else str(path))
    assert stored() == {"lr": 0.1, "model": {"depth": 2}}


@pytest.mark.parametrize(
    "text", ["lr: 0.1\nname: 가\n", "wandb_version: 1\nlr: {desc: x, value: 0.1}\nname: {value: 가}\n"]
)
def test_yaml_is_read_plain_and_as_wandb_writes_it(
    start: Start, tmp_path: Path, stored: Callable[[], Any], text: str
) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "c.yaml").write_text(text, "utf-8")
    start(config=str(tmp_path / "c.yaml"))
    assert stored() == {"lr": 0.1, "name": "가"}


def test_config_files_lie_under_what_the_call_says(
    start: Start, tmp_path: Path, stored: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config-defaults.yaml").write_text('{"a": {"value": 1}, "b": {"value": 1}, "c": {"value": 1}}')
    (tmp_path / "more.json").write_text('{"b": 2, "c": 2}')
    monkeypatch.setenv("MASKL_CONFIG_PATHS", str(tmp_path / "more.json"))
    start(config={"c": 3})
    assert stored() == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ({"config_exclude_keys": ["b"]}, {"a": 1, "c": 3}),
        ({"config_include_keys": ["b", "x"]}, {"b": 2}),
    ],
    ids=str,
)
def test_keys_are_left_out_or_taken_alone(
    start: Start, stored: Callable[[], Any], keys: dict[str, Any], kept: dict[str, int]
) -> None:
    start(config={"a": 1, "b": 2, "c": 3}, **keys)
    assert stored() == kept


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"config": 3}, InvalidType, "config must be a dict, an argparse.Namespace, or the path"),
        ({"config": "missing.yaml"}, FileNotFoundError, "missing.yaml"),
        ({"config": "list.json"}, InvalidType, "list.json must hold names and values; it holds a list"),
        ({"config": {}, "config_exclude_keys": ["a"], "config_include_keys": ["b"]}, InvalidValue, "not both"),
        ({"config": {"a": maskl.Table()}}, InvalidType, "a Table is logged with run.log()"),
    ],
    ids=ascii,
)
def test_what_is_no_config_starts_no_run(
    start: Start, tmp_path: Path, store_dir: Path, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(error, match=words):
        start(**arguments)
    assert not store_dir.exists()
    assert maskl.run is None


def test_yaml_without_its_package_names_the_extra(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    (tmp_path / "c.yaml").write_text("lr: 0.1")
    with pytest.raises(MissingExtra, match=r"pip install 'maskl\[yaml\]'"):
        start(config=str(tmp_path / "c.yaml"))


def test_nothing_changes_after_the_end(start: Start, stored: Callable[[], Any]) -> None:
    run = start(config={"a": 1})
    run.finish()
    with pytest.raises(StateError, match="is finished"):
        run.config.b = 2
    assert dict(run.config) == stored() == {"a": 1}
    with pytest.raises(InvalidType, match="cannot be deleted"):
        del run.config.a


def test_config_before_init_says_what_to_call() -> None:
    for use in (lambda: maskl.config.lr, lambda: maskl.config["lr"], lambda: maskl.config.update({})):
        with pytest.raises(StateError, match=r"You must call maskl\.init\(\) before maskl\.config"):
            use()
    assert repr(maskl.config) == "<maskl.config before maskl.init()>"

"""Pickles and copies of a run, its config and its summary: handles that find the run again."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.errors import InvalidValue, StateError, StoreNotFound

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]

#: the ways to another object
WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "inside": lambda value: copy.deepcopy({"a": [value]})["a"][0],
}

#: what a child does with what it gets: it reads, logs if it is asked to, and ends as multiprocessing has it
PROGRAM = """
import multiprocessing, pickle, sys, maskl

def work(pickled):
    run, config, summary = pickle.loads(pickled)
    assert maskl.run is None and run.id == "r" and run.step == 2, run.step
    assert (config.lr, config["names"], run.config is config, run.summary is summary) == (0.1, ["도로"], True, True)
    assert summary["loss"].as_dict() == {"max": 1.0}
    run.log({"child": 1, "loss": 2.0, "image": maskl.Image([[1, 2]])})
    assert summary["loss"]["max"] == 2.0
    run.summary["best"] = 2
    run.config["more"] = 3
    with maskl.init(dir=sys.argv[1], id="other") as other:
        assert other is not run

if __name__ == "__main__":
    with maskl.init(dir=sys.argv[1], id="r", name="one", config={"lr": 0.1, "names": ["도로"]}) as run:
        run.define_metric("loss", summary="max")
        run.log({"loss": 1.0})
        run.log({"loss": 0.5})
        pickled = pickle.dumps((run, run.config, run.summary))
        process = multiprocessing.get_context(sys.argv[2]).Process(target=work, args=(pickled,))
        process.start()
        process.join()
        assert process.exitcode == 0, process.exitcode
        run.log({"loss": 0.25})
"""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_in_the_same_process_it_is_the_same_run(start: Start, way: str, mode: str) -> None:
    run = start(mode=mode, config={"a": {"b": 1}})
    run.summary["nested"] = {"x": {"y": 1}}
    assert WAYS[way](run) is run
    assert WAYS[way](run.config) is run.config
    assert WAYS[way](run.summary) is run.summary
    WAYS[way](run.summary["nested"]["x"])["y"] = 2
    assert run.summary.as_dict() == {"nested": {"x": {"y": 2}}}


def test_a_run_that_ended_stays_ended(start: Start) -> None:
    run = start(config={"a": 1})
    saved = pickle.dumps(run)
    run.finish()
    assert pickle.loads(saved) is run
    del run
    again = pickle.loads(saved)
    assert again.config.a == 1
    with pytest.raises(StateError, match="is finished"):
        again.log({"loss": 1})
    again.finish()


def test_a_config_and_a_summary_of_no_run_are_copied() -> None:
    config, summary = maskl.Config({"a": [1]}, allow_val_change=True), maskl.Summary({"b": {"c": 1}})
    for way in WAYS.values():
        other, others = way(config), way(summary)
        assert (dict(other), others.as_dict()) == ({"a": [1]}, {"b": {"c": 1}})
        assert other is not config
        assert others is not summary
    changed = copy.deepcopy(config)
    changed["a"] = 2
    assert config["a"] == [1]
    fixed = WAYS["pickle"](maskl.Config({"a": 1}))
    with pytest.raises(InvalidValue, match="allow_val_change"):
        fixed["a"] = 2


@pytest.mark.parametrize("method", ["spawn", "fork"] if hasattr(os, "fork") else ["spawn"])
def test_a_child_opens_the_run_as_another_writer_once_it_logs(tmp_path: Path, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, program, tmp_path, method],
        env={**os.environ, "MASKL_SILENT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    store = maskl.open(tmp_path)
    info = next(run for run in store.runs() if run.run_id == "r")
    assert (info.run_id, info.name, info.state) == ("r", "one", "finished")
    entries = store.sql("SELECT key, value FROM history ORDER BY key, value").fetchall()
    assert entries == [("child", 1), ("loss", 0.25), ("loss", 0.5), ("loss", 1), ("loss", 2)]
    assert len(store.table("image")) == 1
    assert store.recover() == []


def elsewhere(code: str, saved: bytes) -> str:
    """Run a program that was given a pickle, and return what it prints."""
    head = "import pickle, sys, maskl; run = pickle.loads(sys.stdin.buffer.read());"
    command = [sys.executable, "-c", head + code]
    quiet = os.environ | {"MASKL_SILENT": "1"}
    done = subprocess.run(command, input=saved, capture_output=True, env=quiet, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_what_is_read_opens_nothing_and_what_is_set_opens_the_run(start: Start, store_dir: Path) -> None:
    run = start(id="r", project="p", tags=["a"], notes="n", config={"lr": 0.1})
    run.log({"loss": 1.5}, step=7)
    saved = pickle.dumps(run)
    run.finish()

    def files() -> list[Path]:
        return sorted(path for path in store_dir.rglob("*") if path.is_file())

    before = files()
    asked = "run.id, run.project, run.tags, run.notes, run.config.lr, run.summary['loss'], run.step, run.disabled"
    code = f"print({asked}); run.finish()"
    assert elsewhere(code, saved) == "r p ('a',) n 0.1 1.5 7 False"
    assert files() == before
    changes = "run.log({'loss': 0.5}); assert run.step == 9; run.name = 'other'; run.define_metric('l*', summary='max')"
    elsewhere(changes, saved)
    info = maskl.open(store_dir).run("r")
    assert (info.name, info.state, info.summary) == ("other", "finished", {"loss": {"max": 1.5}})
    assert maskl.open(store_dir).sql("SELECT _step, value FROM history ORDER BY 1").fetchall() == [(7, 1.5), (8, 0.5)]


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    run = maskl.init(dir=tmp_path / "a")
    saved = pickle.dumps(run)
    run.finish()
    (tmp_path / "a").rename(tmp_path / "b")
    code = f"""
try:
    run.log({{"a": 1}})
except {StoreNotFound.__module__}.{StoreNotFound.__name__} as error:
    print(error)
"""
    assert "is not a maskl store" in elsewhere(f"import {StoreNotFound.__module__}\n" + code, saved)


def test_a_disabled_run_is_disabled_elsewhere(start: Start, tmp_path: Path) -> None:
    run = start(mode="disabled", config={"a": 1})
    run.log({"image": maskl.Image(np.zeros((2, 2), np.uint8)), "loss": 1})
    code = "run.log({'a': 1}); print(run.disabled, run.config.a, run.summary['a'])"
    assert elsewhere(code, pickle.dumps(run)) == "True 1 1"
    assert list(tmp_path.rglob("*")) == []

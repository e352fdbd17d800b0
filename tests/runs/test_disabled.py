"""``mode="disabled"``: every call is taken, nothing is stored, and values are not even parsed."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import maskl
from maskl import Image, ImageMask, Run, Table
from maskl.annotations.sink import sink
from maskl.errors import InvalidType, StateError

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]

#: calls that return what W&B's server or store would have
FOUND = ["link_model", "log_artifact", "restore", "upsert_artifact", "use_artifact"]
METHODS = [name for name in dir(Run) if callable(getattr(Run, name)) and not name.startswith("_")]
PROPERTIES = [name for name in dir(Run) if isinstance(getattr(Run, name), property)]
ARGUMENTS = {"alert": ("title", "text"), "link_artifact": ("a", "b"), "link_model": ("a", "b"), "mark_preempting": ()}
ARGUMENTS |= dict.fromkeys(("display", "status", "to_html", "get_url", "get_project_url", "get_sweep_url"), ())


@pytest.fixture
def disabled(start: Start) -> Run:
    return start(mode="disabled", project="p", config={"lr": 0.1}, tags=["a"], id="r")


def image(shade: int = 0) -> Image:
    return Image(np.full((4, 6, 3), shade, np.uint8), masks={"truth": {"mask_data": np.eye(4, 6, dtype=int)}})


def test_nothing_is_written(disabled: Run, tmp_path: Path) -> None:
    with disabled as run:
        run.log({"loss": 1, "image": image(), "images": [image()] * 3, "t": Table(["a"], [[image()]])}, step=3)
        run.define_metric("loss", summary="max")
        run.config.new = 1
        run.summary.best = 2
        run.name = "other"
        run.tags += ("b",)
        maskl.log({"loss": 2})
    assert list(tmp_path.rglob("*")) == []
    assert maskl.run is None


def test_it_is_a_run_with_everything_that_was_given(disabled: Run) -> None:
    assert isinstance(disabled, Run)
    assert maskl.run is disabled
    described = (disabled.id, disabled.project, disabled.tags, disabled.config.lr, disabled.disabled)
    assert described == ("r", "p", ("a",), 0.1, True)
    assert disabled.store_dir == ""
    disabled.log({"loss": 1.5, "image": image()})
    assert disabled.summary.as_dict() == {"loss": 1.5}
    assert disabled.step == 1
    assert disabled.start_time > 0


@pytest.mark.parametrize("name", FOUND)
def test_calls_that_return_something_return_nothing(disabled: Run, name: str) -> None:
    result = getattr(disabled, name)(*ARGUMENTS.get(name, ("anything",)))
    assert not result
    assert not result.download("x").whatever()


def test_it_has_a_folder_of_its_own(disabled: Run) -> None:
    folder = Path(disabled.dir)
    assert folder.is_dir()
    assert disabled.dir == str(folder)
    (folder / "best.pt").write_text("weights")
    assert disabled.save(folder / "*") == [str(folder / "best.pt")]
    disabled.finish()
    assert folder.is_dir()


def test_the_folder_goes_with_the_process(tmp_path: Path) -> None:
    code = "import maskl; run = maskl.init(mode='disabled'); print(run.dir); open(run.dir + '/a', 'w').close()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not Path(done.stdout.strip()).exists()


def test_an_artifact_comes_back_as_it_is(disabled: Run, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    path.write_text("weights")
    artifact = maskl.Artifact("model", "model")
    assert artifact.add_file(path).size == 7
    assert disabled.log_artifact(artifact) is artifact
    assert artifact.wait() is artifact
    assert list(tmp_path.rglob("*")) == [path]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_a_run_is_taken(disabled: Run, tmp_path: Path, name: str) -> None:
    """A method that is new to Run must not reach for a store that is not there, nor look at what it is given."""
    assert {"log", "define_metric", "finish", "upsert_artifact", "watch", "save"} <= set(METHODS)
    arguments = ARGUMENTS.get(name, ("anything",))
    getattr(disabled, name)(*arguments)
    disabled.finish()
    getattr(disabled, name)(*arguments)
    assert list(tmp_path.rglob("*")) == []


def test_every_property_of_a_run_is_there(disabled: Run) -> None:
    assert {"config", "dir", "path", "step", "sync_dir", "tags"} <= set(PROPERTIES)
    for name in PROPERTIES:
        getattr(disabled, name)
    assert (disabled.sync_dir, disabled.path, disabled.group) == ("", "p/r", "")


FORKED = """
import os, maskl
from maskl.annotations.sink import sink
run = maskl.init(mode="disabled")
assert maskl.run is run and sink.discards
pid = os.fork()
if pid == 0:
    os._exit(0 if maskl.run is None and sink.writer is None and not sink.discards else 1)
assert os.waitpid(pid, 0)[1] == 0
assert maskl.run is run and sink.discards
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_begins_with_no_run() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True)


def test_images_and_masks_are_parsed_when_somebody_looks(disabled: Run) -> None:
    assert sink.discards
    wrong = Image("no file", masks={"a": 3})  # type: ignore[dict-item]
    with pytest.raises((InvalidType, FileNotFoundError)):
        _ = wrong.masks
    with pytest.raises((InvalidType, FileNotFoundError)):
        _ = wrong.width  # and again
    made = image(7)
    assert (made.width, made.height, list(made.masks)) == (6, 4, ["truth"])
    mask = ImageMask({"mask_data": np.eye(3, dtype=np.uint8)}, "k")
    assert mask == ImageMask({"mask_data": np.eye(3, dtype=np.uint8)}, "k")
    with pytest.raises(AttributeError, match="'Image' object has no attribute 'nothing'"):
        _ = made.nothing  # type: ignore[attr-defined]


def test_arrays_are_not_kept(disabled: Run) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    gone = weakref.ref(pixels)
    table = Table(["id", "image"])
    table.add_data(1, Image(pixels))
    disabled.log({"image": Image(pixels), "t": table})
    del pixels
    assert gone() is None
    assert len(table) == 1


def test_the_summary_has_what_was_logged_as_it_is(disabled: Run) -> None:
    given = {"a": 1, "l": [1, [2]], "n": np.float32(0.5), "none": None, "p": Path("a"), "array": np.arange(3)}
    disabled.log({**given, "d": {"x": 1}, "image": image(), "images": [image()], "t": Table(["a"], [[1]])})
    assert all(disabled.summary[key] is value for key, value in given.items())
    assert disabled.summary.d.x == 1
    assert disabled.summary.as_dict().keys() == {*given, "d"}
    disabled.summary["image"] = shown = image()
    assert disabled.summary["image"] is shown


def test_an_image_made_while_disabled_may_be_logged_later(disabled: Run, start: Start, store_dir: Path) -> None:
    made = image(7)
    disabled.finish()
    assert not sink.discards
    with start() as run:
        run.log({"image": made})
    assert maskl.open(store_dir).table("image")[0]["image"] == image(7)


def test_a_table_filled_while_disabled_is_refused_later(disabled: Run, start: Start, store_dir: Path) -> None:
    table = Table(["image"], [[image()]])
    disabled.finish()
    run = start()
    with pytest.raises(StateError, match="the run was disabled when this table was filled"):
        run.log({"t": table, "loss": 1})
    run.finish()
    store = maskl.open(store_dir)
    assert (store.tables(), store.sql("SELECT count(*) FROM history").fetchall()) == ([], [(0,)])


def test_a_run_that_stores_beside_it_keeps_values_whole(disabled: Run, start: Start, store_dir: Path) -> None:
    run = start(reinit="create_new")
    assert not sink.discards
    table = Table(["image"], [[image(3)]])
    run.log({"t": table})
    run.finish()
    assert sink.discards
    assert maskl.open(store_dir).table("t")[0]["image"] == image(3)


def test_a_disabled_run_begins_whatever_is_active_and_does_not_stand_in_the_way(start: Start, store_dir: Path) -> None:
    storing = start(name="stores")
    idle = start(mode="disabled", name="idle")
    assert maskl.run is idle is not storing
    maskl.log({"lost": 1})
    assert not sink.discards  # the other one is there to be logged to
    storing.log({"kept": Table(["image"], [[image(3)]])})
    storing.finish()
    assert sink.discards
    again = start(name="again")
    assert maskl.run is again
    assert not again.disabled
    again.finish()
    assert not sink.discards
    store = maskl.open(store_dir)
    assert [run.name for run in store.runs()] == ["stores", "again"]
    assert [table.name for table in store.tables()] == ["kept"]


def test_it_ends_once(disabled: Run) -> None:
    disabled.finish(1)
    disabled.finish()
    assert repr(disabled) == "<Run 'r' failed>"
    assert not sink.discards

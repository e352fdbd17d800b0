"""The registry of formats: a table that is whole, in which every module is imported when it is asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import maskl
from maskl import formats
from maskl.errors import InvalidType, InvalidValue
from maskl.formats import BUILT_IN, READ_ONLY, WRITE_ONLY, Format, format_of, load, name_for, names, parquet, register
from maskl.interchange.options import HEEDED, HEEDED_READING, Dropped
from maskl.interchange.records import Block
from tests.test_imports import MODULES, reached

pytestmark = pytest.mark.once


def read(*_: Any) -> Iterator[Block]:
    yield Block("t", ["a"], [[1]])


def write(selection: Any, folder: Path, options: Any, tick: Any) -> Dropped:
    (folder / (options.file or "data.toy")).write_text(str(len(selection)))
    return Dropped()


@pytest.fixture(autouse=True)
def _as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_registered", {})


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_table_says_what_each_file_says(name: str) -> None:
    own = importlib.import_module(BUILT_IN[name]).FORMAT
    assert own.name == name
    assert (own.read is None) == (name in WRITE_ONLY)
    assert (own.write is None) == (name in READ_ONLY)
    if name not in WRITE_ONLY:
        assert load(name, "read") is own
    if name not in READ_ONLY:
        assert load(name, "write") is own


def test_every_file_of_a_format_stands_in_the_table() -> None:
    """None is left in the dark: what has a FORMAT is known by its name."""
    found = {}
    for module in (module for module in MODULES if module.startswith("maskl.formats.")):
        own = getattr(importlib.import_module(module), "FORMAT", None)
        if isinstance(own, Format):
            found[own.name] = module
    assert found == BUILT_IN


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_format_imports_the_registry_that_imports_it(name: str) -> None:
    assert "maskl.formats" not in reached(BUILT_IN[name])


@pytest.mark.once
def test_a_format_is_imported_when_it_is_asked_for() -> None:
    code = """
import sys
from maskl.formats import load, name_for, names
names("read"), names("write"), name_for("folder")
asked = lambda: sorted(name for name in sys.modules if name.startswith("maskl.formats."))
assert asked() == [], asked()
load("folders", "read")
assert asked() == ["maskl.formats.paired_folders"], asked()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_are_those_that_can_do_it() -> None:
    assert set(names("read")) == set(BUILT_IN) - set(WRITE_ONLY)
    assert set(names("write")) == set(BUILT_IN) - set(READ_ONLY)
    assert names("write")[0] == name_for("a/folder") == name_for("with.dot") == "parquet"
    register(Format("in", read=read))
    register(Format("out", write=write))
    assert (names("read")[-1], names("write")[-1]) == ("in", "out")
    with pytest.raises(InvalidValue, match=r"format must be one of parquet, .*, out; got 'in'"):
        load("in", "write")
    with pytest.raises(InvalidValue, match=r"format must be one of wandb, .*, in; got 'out'"):
        load("out", "read")


@pytest.mark.parametrize("name", ["xls", "", None, 5, [], "maskl.formats.parquet"])
def test_a_name_that_is_none(name: Any) -> None:
    with pytest.raises(InvalidValue, match="format must be one of"):
        load(name, "read")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "", "read": read}, "a format's name is of letters"),
        ({"name": "a b", "read": read}, "a format's name is of letters"),
        ({"name": "a/b", "read": read}, "a format's name is of letters"),
        ({"name": 5, "read": read}, "a format's name is of letters"),
        ({"name": "toy"}, "needs read, write or both"),
        ({"name": "toy", "write": write, "sniff": bool}, "has sniff, which says what read can read, and no read"),
        ({"name": "toy", "read": read, "suffix": ".toy"}, "and no write"),
        ({"name": "toy", "read": read, "takes": ("mask",)}, "and no write"),
        ({"name": "toy", "write": write, "heeds": ("classes",)}, "has heeds, which says how read reads, and no read"),
        ({"name": "toy", "read": read, "heeds": ("masks", "mask")}, "heeds 'mask', which is none of images, masks"),
        ({"name": "toy", "write": write, "suffix": "toy"}, "a suffix is like '.parquet'"),
        ({"name": "toy", "write": write, "suffix": ".tar.gz"}, "a suffix is like '.parquet'"),
        ({"name": "toy", "write": write, "takes": ("masks", "colour")}, "takes 'colour', which is none of masks"),
    ],
)
def test_a_format_that_contradicts_itself(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        Format(**arguments)


def test_what_cannot_be_registered() -> None:
    with pytest.raises(InvalidType, match="needs a Format; got str"):
        register("toy")  # type: ignore[arg-type]  # what the test is about
    with pytest.raises(InvalidValue, match="a format 'parquet' of its own"):
        register(Format("parquet", write=write))
    assert load("parquet", "write") is parquet.FORMAT


def test_a_cell_that_runs_again_registers_again() -> None:
    first, second = Format("toy", read=read), Format("toy", read=read, write=write)
    register(first)
    assert register(second) is second
    assert load("toy", "read") is load("toy", "write") is second
    assert names("read").count("toy") == 1


def test_a_format_from_outside_is_asked_first_what_a_source_is(tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text("{}")
    assert format_of(tmp_path).name == "png"
    register(Format("silent", read=read))
    register(Format("mine", read=read, sniff=lambda source: (source / "metadata.jsonl").exists()))
    assert format_of(tmp_path).name == "mine"
    (tmp_path / "metadata.jsonl").unlink()
    with pytest.raises(InvalidValue, match=r"does not look like any format: name one of .*silent, mine"):
        format_of(tmp_path)


def test_a_suffix_makes_one_file_of_a_destination(start: Any, store_dir: Path, tmp_path: Path) -> None:
    with start() as run:
        run.log({"t": maskl.Table(["a"], [[1]])})
    register(Format("toy", write=write, suffix=".toy"))
    register(replace(load("toy", "write"), name="other", suffix=".parquet"))
    store = maskl.open(store_dir)
    done = store.export("t", tmp_path / "a.toy")
    assert (done.format, done.path.read_text()) == ("toy", "1")
    done = store.export("t", tmp_path / "folder", "toy")
    assert (done.path / "data.toy").read_text() == "1"
    assert store.export("t", tmp_path / "a.parquet").format == "parquet"  # what comes with maskl keeps its suffixes
    assert store.export("t", tmp_path / "b.parquet", "other").path.read_text() == "1"


def test_options_that_formats_heed_are_options() -> None:
    for name in names("write"):
        assert set(load(name, "write").takes) <= set(HEEDED)
    for name in names("read"):
        assert set(load(name, "read").heeds) <= set(HEEDED_READING)

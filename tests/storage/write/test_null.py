"""The writer that writes nothing has what the writer has, and takes every call."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from maskl_storage import RunInfo, Writer
from maskl_storage.cells.cells import Rows
from maskl_storage.errors import NotFound
from maskl_storage.format.metadata import Column
from maskl_storage.images.writer import ImageBytes
from maskl_storage.write.null import NullWriter

pytestmark = pytest.mark.once

MEMBERS = [name for name in vars(NullWriter) if not name.startswith("_")]


@pytest.fixture
def writer() -> NullWriter:
    return NullWriter(RunInfo("r", "r", project="p"))


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_is_one_of_the_writers(name: str) -> None:
    ours, theirs = inspect.getattr_static(NullWriter, name), inspect.getattr_static(Writer, name, None)
    if inspect.isfunction(ours):
        assert inspect.signature(ours) == inspect.signature(theirs)
    else:
        assert theirs is not None or name == "layout", "an attribute of each writer"


def test_it_takes_every_call_and_keeps_how_the_run_is_described(
    writer: NullWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (writer.discards, Writer.discards) == (True, False)
    for _ in range(2):  # also after the end
        writer.check_open()
        writer.add_image(ImageBytes("d" * 64, "png", "L", 1, 1, b"png"))
        writer.write({"t": Rows((Column("value", "a", "int"),), [(1,)])}, 0, {"loss": 1.0})
        writer.describe(name="other", tags=("a",))
        writer.note_summary({"loss": 1.0})
        writer.summary_changed()
        writer.seal()
        writer.close("failed")
        writer.abandon()
    assert writer.format_of("d" * 64) is None
    with pytest.raises(NotFound, match="the run is disabled"):
        writer.read_image("d" * 64)
    assert (writer.run.name, writer.run.tags, writer.run.state, writer.closed) == ("other", ("a",), "failed", True)
    assert (writer.layout, writer.spool) == (None, None)
    assert list(tmp_path.rglob("*")) == []

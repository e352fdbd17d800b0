"""A clock that is set back does not bring an older description of a run back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from maskl_storage import Layout, RunInfo, Writer
from maskl_storage.catalog.signed import write_json
from maskl_storage.write import writer as writing

pytestmark = pytest.mark.once

EPOCH = datetime(2030, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize("back", [timedelta(days=400), timedelta(microseconds=1), timedelta(0)])
def test_a_run_resumed_with_the_clock_set_back_shows_its_latest_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, back: timedelta
) -> None:
    layout = Layout.create(tmp_path / "maskl-store")
    clock = EPOCH
    monkeypatch.setattr(writing, "now", lambda: clock.isoformat(timespec="microseconds"))
    first = Writer(layout, RunInfo("r", "r", config={"lr": 1}))
    first.close()
    clock = EPOCH - back
    second = Writer(layout, RunInfo("r", "r", config={"lr": 2}))
    assert layout.run("r").config == {"lr": 2}
    other = Writer(layout, RunInfo("r", "r", config={"lr": 3}))
    assert layout.run("r").config == {"lr": 3}
    second.describe(config={"lr": 4})
    assert layout.run("r").config == {"lr": 4}
    other.close()
    second.close()
    assert datetime.fromisoformat(str(layout.run("r").updated)) > EPOCH


@pytest.mark.parametrize("updated", ["9999-12-31T23:59:59.999999+00:00", "soon", 5, None, "2031-01-01T00:00:00"])
def test_what_another_writer_says_of_the_time_never_stops_one(tmp_path: Path, updated: object) -> None:
    layout = Layout.create(tmp_path / "maskl-store")
    Writer(layout, RunInfo("r", "r")).close()
    path = "runs/run_id=r/writer-0.json"
    body = json.loads((layout.root / path).read_text())
    body.pop("blake3")
    write_json(layout.files, path, json.dumps(body | {"updated": updated}))
    writer = Writer(layout, RunInfo("r", "r", config={"lr": 2}))
    writer.write({}, 0, {"loss": 1.0})
    writer.close()
    written = json.loads((layout.root / "runs/run_id=r/writer-1.json").read_text())["updated"]
    assert datetime.fromisoformat(written).tzinfo is not None

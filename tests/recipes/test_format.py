"""The recipe for a format: one file, which nothing else knows of, and all that formats can do is there."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl import formats
from maskl.cli.app import main
from maskl.errors import DroppedWarning, InvalidValue
from maskl.importing.importer import import_dataset

pytestmark = pytest.mark.once

RECIPE = Path(__file__).with_name("toy_format.py")
NAMES = {0: "길", 1: "car"}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The format, from a file of a stranger's, in a process that does not know it before or after."""
    monkeypatch.setattr(formats, "_registered", {})
    with pytest.raises(InvalidValue, match="format must be one of"):
        formats.load("toy", "read")
    shutil.copy(RECIPE, tmp_path / "mine.py")
    spec = importlib.util.spec_from_file_location("mine", tmp_path / "mine.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def mask(number: int) -> np.ndarray[Any, Any]:
    return np.full((2, 3), number, np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> maskl.Store:
    """Two images with masks, one of them with a caption, and a value that the format does not hold."""
    with maskl.init(dir=tmp_path / "store") as run:
        table = maskl.Table(["image", "loss"])
        for number in range(2):
            masks = {"truth": {"mask_data": mask(number), "class_labels": NAMES}}
            pixels = np.full((2, 3, 3), 50 * number, np.uint8)
            table.add_data(maskl.Image(pixels, caption="둘째" if number else None, masks=masks), 0.5)
        run.log({"t": table})
    return maskl.open(tmp_path / "store")


def check(directory: Path, table: str) -> None:
    """Check that the images are there as they were logged."""
    rows = list(maskl.open(directory).table(table))
    assert [row["image"].caption for row in rows] == [None, "둘째"]
    for number, row in enumerate(rows):
        assert np.array_equal(np.asarray(row["image"].image), np.full((2, 3, 3), 50 * number))
        assert np.array_equal(row["image"].masks["mask"].mask_data, mask(number))
        assert row["image"].masks["mask"].class_labels == NAMES


def exported(store: maskl.Store, dest: Path, **options: Any) -> Any:
    with pytest.warns(DroppedWarning, match=r"toy cannot hold all that was exported; left out: column 'loss' \(2\)"):
        return store.export("t", dest, "toy", **options)


@pytest.mark.usefixtures("toy")
def test_a_store_goes_out_and_comes_in(store: maskl.Store, tmp_path: Path) -> None:
    done = exported(store, tmp_path / "out", mask="truth")
    assert (done.format, done.rows, done.dropped) == ("toy", 2, {"column 'loss'": 2})
    assert import_dataset(tmp_path / "out", "toy", dir=tmp_path / "named").rows == {"out": 2}
    check(tmp_path / "named", "out")
    found = import_dataset(tmp_path / "out", table="t", dir=tmp_path / "sniffed")  # it looks like one
    assert (found.rows, len(found.runs)) == ({"t": 2}, 1)
    check(tmp_path / "sniffed", "t")


@pytest.mark.usefixtures("toy")
def test_an_option_that_it_does_not_heed_is_refused(store: maskl.Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="toy takes no option 'instances'; it is for coco-panoptic, coco-rle"):
        store.export("t", tmp_path / "out", "toy", instances=True)
    with pytest.raises(InvalidValue, match=r"parquet takes no option 'mask'; it is for coco.*, cityscapes, toy"):
        store.export("t", tmp_path / "out", "parquet", mask="truth")


@pytest.mark.usefixtures("toy")
@pytest.mark.filterwarnings("always")
def test_the_command_line_knows_it(store: maskl.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: object) -> str:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert not ended.value.code, err
        return out

    out = run("export", "t", "out", "--format", "toy", "--dir", tmp_path / "store")
    assert out.startswith("2 rows as toy in out (")
    out = run("import", "toy", "out", "--dir", tmp_path / "named", "--run", "mine")
    assert out == "imported out (2 rows) as run mine\n"
    check(tmp_path / "named", "out")
    assert "out (2 rows)" in run("import", "out", "--format", "toy", "--dir", tmp_path / "sniffed")


@pytest.mark.usefixtures("toy")
def test_a_bad_row_is_named_or_skipped(store: maskl.Store, tmp_path: Path) -> None:
    exported(store, tmp_path / "out")
    lines = tmp_path / "out" / "toy.jsonl"
    first, second = lines.read_text("utf-8").splitlines()
    lines.write_text(f"{first}\n{json.dumps(json.loads(second) | {'mask': '../secret.png'})}\n", "utf-8")
    with pytest.raises(InvalidValue, match=r"toy\.jsonl, row 1: '\.\./secret\.png' leads out of"):
        import_dataset(tmp_path / "out", dir=tmp_path / "other")
    assert not (tmp_path / "other").exists()
    found = import_dataset(tmp_path / "out", dir=tmp_path / "other", skip_bad=True)
    assert (found.rows, found.skipped) == ({"out": 1}, 1)

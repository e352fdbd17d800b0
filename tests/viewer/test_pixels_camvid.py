"""CamVid's frames in a real browser: every pixel of truth, predictions and errors is what NumPy makes of the files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import maskl
from benchmarks.browser import viewing
from maskl.drawing.overlay import parse_color
from tests.viewer.browsing import Tab, asked, require_browser
from tests.viewer.oracle import Pixels, errors, named, painted, weight_of

require_browser()

ROOT = Path(__file__).parents[2]
CAMVID = Path(os.environ.get("MASKL_CAMVID") or ROOT.parent / "shared" / "data" / "camvid")
RUNS = ("epoch03", "final")
#: every so many of the 101 frames are looked at
EVERY = 17

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        not (CAMVID / "expected.json").is_file(), reason="CamVid is not here: set MASKL_CAMVID to its folder"
    ),
]


def frames() -> list[str]:
    return [path.name for path in sorted((CAMVID / "images").glob("*.png"))[::EVERY]]


def ids_of(path: str) -> Pixels:
    return np.asarray(PILImage.open(CAMVID / path))


class Street:
    """CamVid's classes and files, and where the rows of each run are."""

    def __init__(self, address: str, places: dict[tuple[str, str], tuple[str, str, str]]) -> None:
        self.address, self.places = address, places
        classes = json.loads((CAMVID / "classes.json").read_text())
        self.names = {item["id"]: item["name"] for item in classes}
        self.colors = {item["id"]: parse_color(item["color"]) for item in classes}
        self.told: Any = asked(address, "api/state")["errors"]

    def check(self, tab: Tab, name: str, off: set[str], opacity: int) -> None:
        """Compare the panels of a frame, of both runs, with NumPy's."""
        photo, truth = (ids_of(f"{folder}/{name}") for folder in ("images", "masks"))
        weight = weight_of(opacity)
        assert np.array_equal(tab.pixels("image")[..., :3], photo)

        def wanted(mask: Pixels) -> Pixels:
            return painted(photo, mask, self.colors, lambda number: self.names[number] not in off, weight)

        assert np.array_equal(tab.pixels("truth")[..., :3], wanted(truth))
        for run in RUNS:
            guess = ids_of(f"predictions/{run}/{name}")
            run_id = self.places[run, name][0]
            assert np.array_equal(tab.pixels("prediction", run_id)[..., :3], wanted(guess))
            left, right = named(truth, self.names), named(guess, self.names)
            layer = errors(photo, left, right, self.names[11], off, weight, self.told)
            assert np.array_equal(tab.pixels("errors", run_id)[..., :3], layer)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    folder = tmp_path_factory.mktemp("street") / "store"
    classes = maskl.Classes(json.loads((CAMVID / "classes.json").read_text()))
    for run_name in RUNS:
        table = maskl.Table(columns=["name", "image"])
        for name in frames():
            masks = {
                "ground_truth": {"path": CAMVID / "masks" / name, "ignore_index": 11},
                "predictions": {"mask_data": ids_of(f"predictions/{run_name}/{name}")},
            }
            table.add_data(name, maskl.Image(CAMVID / "images" / name, classes=classes, masks=masks))
        with maskl.init(dir=folder, project="camvid", name=run_name, settings=maskl.Settings(silent=True)) as run:
            run.log({"evaluation": table})
    found = maskl.open(folder).sql("SELECT run_name, name, run_id, _row FROM tables.evaluation").fetchall()
    places = {(run_name, name): (run_id, "evaluation", str(row)) for run_name, name, run_id, row in found}
    with viewing(folder) as address:
        yield Street(address, places)


LOOKS: list[tuple[float, list[str], set[str], int]] = [
    (1, frames(), set(), 50),
    (1.25, frames()[:1], {"road", "sky"}, 35),
    (2, frames()[1:2], {"building"}, 100),
    (3, frames()[2:3], {"car", "tree", "pavement"}, 8),
]


@pytest.mark.parametrize(("ratio", "names", "off", "opacity"), LOOKS)
def test_every_pixel_is_numpys(
    street: Street, browser: Any, ratio: float, names: list[str], off: set[str], opacity: int
) -> None:
    assert off <= set(street.names.values())
    tab = Tab(browser, street.address, device_scale_factor=ratio)
    tab.open()
    runs = [street.places[run, names[0]][0] for run in RUNS]
    for name in names:
        view = {"run": runs, "open": street.places["final", name], "off": sorted(off), "opacity": opacity}
        tab.turn(**view)
        street.check(tab, name, off, opacity)
    tab.close()

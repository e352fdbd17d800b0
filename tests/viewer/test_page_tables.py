"""Tables and runs of every kind, shown as what they are in a real browser: grown, replaced, without images or masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from tests.viewer.browsing import Tab, asked, require_browser

require_browser()
pytestmark = pytest.mark.once

NAMES = {0: "road", 1: "tree"}
KEYS = {"whole": ("ground_truth", "predictions"), "truth alone": ("ground_truth",), "guess alone": ("predictions",)}
GROWN = 3


def photo(number: int) -> Any:
    return np.random.default_rng(1000 + number).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def image(number: int, keys: tuple[str, ...]) -> maskl.Image:
    """Return a frame with these masks."""
    rng = np.random.default_rng(number)
    masks = {key: {"mask_data": rng.integers(0, 2, (6, 8)), "class_labels": NAMES} for key in keys}
    return maskl.Image(photo(number), caption=f"frame {number}", masks=masks or None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds") / "store"
    for name, keys in KEYS.items():
        with maskl.init(dir=folder, project="p", name=name, settings=maskl.Settings(silent=True)) as run:
            table = maskl.Table(columns=["image"])
            for number in range(2):
                table.add_data(image(number, keys))
            run.log({"compared": table}, step=0)
    with maskl.init(dir=folder, project="p", name="kinds", settings=maskl.Settings(silent=True)) as run:
        plain = maskl.Table(columns=["image"], data=[[image(0, ())]])
        truth = maskl.Table(columns=["image"], data=[[image(0, KEYS["truth alone"])]])
        words = maskl.Table(columns=["word", "n", "list"], data=[["a", 1, [1, 2]], ["나", 2, None]])
        two = maskl.Table(columns=["left", "right"], data=[[image(1, KEYS["whole"]), image(2, KEYS["truth alone"])]])
        run.log({"plain": plain, "truth": truth, "words": words, "two": two}, step=0)
        growing = maskl.Table(columns=["image"], log_mode="INCREMENTAL")
        replaced = maskl.Table(columns=["image"], log_mode="MUTABLE")
        for step in range(GROWN):
            growing.add_data(image(step, KEYS["whole"]))
            replaced.add_data(image(step, KEYS["whole"]))
            run.log({"growing": growing}, step=step)
            run.log({"replaced": replaced}, step=step)
            maskl.open(folder).refresh()  # sealed, so that what is logged next replaces a part
    return folder


@pytest.fixture(scope="module")
def tab(browser: Any, address: str) -> Iterator[Tab]:
    tab = Tab(browser, address)
    tab.open(table="plain")
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def runs(address: str) -> dict[str, str]:
    return {run["name"]: run["run_id"] for run in asked(address, "api/state")["runs"]}


def bar(tab: Tab) -> str:
    return tab.page.locator(".browse .bar").inner_text()


def rail(tab: Tab) -> str:
    return tab.page.locator(".rail").inner_text()


def test_an_incremental_table_is_shown_by_its_steps_or_whole(tab: Tab) -> None:
    page = tab.page
    tab.turn(table="growing")
    assert "last step only" in bar(tab)
    assert page.locator(".card").count() == 1
    page.get_by_label("All steps together").check()
    tab.until(f"document.querySelectorAll('.card[data-row]').length === {GROWN}")
    tab.browsed()
    assert "all steps" in bar(tab)
    assert f"{GROWN} rows" in bar(tab)
    assert [f"step {step}" in text for step, text in enumerate(page.locator(".card").all_inner_texts())] == [True] * 3
    assert page.get_by_label("Step", exact=True).is_disabled()
    # the classes are counted over what is shown, exactly
    pixels = np.concatenate([np.random.default_rng(step).integers(0, 2, (6, 8)).ravel() for step in range(GROWN)])
    wanted = f"{100 * (pixels == 1).mean():.0f}%"
    tab.until(f"document.querySelector('[data-class=tree] .number').textContent === '{wanted}'")
    page.get_by_label("Sort", exact=True).select_option("mean_iou")
    tab.browsed()
    assert page.locator(".card").count() == GROWN
    page.locator(".card").first.click()
    page.wait_for_selector("[data-panel=errors][data-painted]")
    page.keyboard.press("j")
    tab.until("document.querySelector('.detail .bar').innerText.includes('2 of 3')")
    page.keyboard.press("Escape")
    page.keyboard.press(",")
    tab.until("document.querySelectorAll('.card').length === 1")
    assert f"step {GROWN - 1} only" in bar(tab)
    presets = page.get_by_label("A query to begin with")
    tab.turn(table="growing", step="all")
    for title in [option.inner_text() for option in presets.locator("option").all()][1:]:
        presets.select_option(title)
        page.get_by_role("button", name="Run", exact=True).click()
        tab.browsed()
        assert page.locator("#sql ~ [role=alert]").is_hidden(), title
    assert "rows of the query" in bar(tab)


def test_a_mutable_table_is_shown_in_its_newest_version(tab: Tab) -> None:
    tab.turn(table="replaced")
    assert "mutable" in bar(tab)
    assert tab.page.locator(".card").count() == GROWN


def test_a_table_without_images_is_rows_of_text(tab: Tab) -> None:
    page = tab.page
    tab.turn(table="words")
    assert "This table has no images: its rows are shown as text." in rail(tab)
    assert page.locator(".card canvas:visible").count() == 0
    assert page.locator(".card").first.locator(".value").all_inner_texts() == ["word\na", "n\n1", "list\n[1, 2]"]
    page.locator(".card").nth(1).click()
    page.get_by_text("This row has no image.").wait_for()
    assert "나" in page.locator(".side dl").inner_text()
    assert page.locator("[data-panel]").count() == 0
    page.keyboard.press("Escape")


def test_one_of_several_image_columns_is_chosen(tab: Tab) -> None:
    page = tab.page
    tab.turn(table="two")
    choice = page.get_by_label("Image column")
    assert choice.locator("option").all_inner_texts() == ["left", "right"]
    assert page.locator(".card .name").all_inner_texts() == ["frame 1"]
    choice.select_option("right")
    tab.browsed()
    tab.until("document.querySelector('.card .name').textContent === 'frame 2'")
    assert "image=right" in page.url
    assert "This table has no prediction" in rail(tab)
    page.locator(".card").first.click()
    page.wait_for_selector("[data-panel=truth][data-painted]")
    assert np.array_equal(tab.pixels("image")[..., :3], photo(2))
    page.keyboard.press("Escape")
    tab.turn(table="plain")
    assert choice.is_hidden()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("plain", "These images have no masks: they are shown alone."),
        ("truth", "This table has no prediction: there are no errors and no scores."),
    ],
)
def test_a_table_without_masks_or_prediction_says_so(tab: Tab, table: str, said: str) -> None:
    tab.turn(table=table)
    assert said in rail(tab)
    assert tab.page.get_by_role("radio", name="Errors").is_disabled()
    tab.page.locator(".card").first.click()
    tab.page.wait_for_selector("[data-panel=image][data-painted]")
    notes = [note for note in tab.page.locator(".panel .note:visible").all_inner_texts() if note]
    assert "No prediction is chosen." in notes
    tab.page.keyboard.press("Escape")


@pytest.mark.parametrize(("name", "missing"), [("truth alone", "predictions"), ("guess alone", "ground_truth")])
def test_a_run_without_truth_or_prediction_says_so(tab: Tab, runs: dict[str, str], name: str, missing: str) -> None:
    page = tab.page
    tab.turn(table="compared", run=[runs["whole"], runs[name]], layer="errors")
    page.get_by_text(f"Run {name} has no mask “{missing}” here: nothing of it is compared").wait_for()
    badge = "no truth" if missing == "ground_truth" else "no prediction"
    badges = page.locator(".badge:visible")
    tab.until("document.querySelectorAll('.badge:not([hidden])').length === 2")
    assert badges.all_inner_texts() == [badge] * 2
    page.locator(f".card[data-run='{runs[name]}']").first.click()
    page.get_by_text(f"This row has no mask “{missing}”.").first.wait_for()
    page.wait_for_selector(f"[data-panel=prediction][data-run='{runs['whole']}'][data-painted]")
    page.keyboard.press("Escape")

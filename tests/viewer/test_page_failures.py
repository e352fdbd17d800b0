"""The page where the server fails, is gone or refuses: each failure is said once, and the page goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import viewing
from tests.viewer.browsing import Tab, require_browser
from tests.viewer.conftest import ROWS

require_browser()
pytestmark = pytest.mark.once

TABLE = "val/평가"
GONE = "The server does not answer"
FAILED = "The server answered 500"
#: how a request fails, and what the page is to say
FAILURES: dict[str, tuple[Callable[[Any], None], str]] = {
    "gone": (lambda route: route.abort(), GONE),
    "500": (lambda route: route.fulfill(status=500, body="oops"), FAILED),
    "refused": (lambda route: route.fulfill(status=422, json={"error": "not <b>today</b>"}), "not <b>today</b>"),
}


@pytest.fixture(scope="module")
def address(filled: Path) -> Iterator[str]:
    with viewing(filled) as address:
        yield address


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Tab]:
    tab = Tab(browser, address)
    tab.open(project="거리", table=TABLE)
    yield tab
    tab.problems = [text for text in tab.problems if "Failed to load resource" not in text]  # the browser's own
    tab.close()


def said(tab: Tab, text: str) -> int:
    """Return in how many places the page says something that can be seen."""
    return tab.page.evaluate(
        "text => [...document.querySelectorAll('body *')].filter(element => element.checkVisibility()"
        " && [...element.childNodes].some(node => node.nodeType === 3 && node.data.includes(text))).length",
        text,
    )


def failing(tab: Tab, path: str, how: str) -> str:
    """Let requests of this path fail until :func:`mended`; return what the page is to say."""
    answer, text = FAILURES[how]
    tab.page.route(f"**/{path}", answer)
    return text


def mended(tab: Tab, path: str) -> None:
    tab.page.unroute(f"**/{path}")


def fresh(tab: Tab) -> None:
    """Let the grid forget the rows that it has: another column is shown, which needs them anew."""
    tab.page.evaluate("location.hash += '&column=loss'")


@pytest.mark.parametrize("how", FAILURES)
def test_rows_that_cannot_be_fetched_are_said_and_come_later(tab: Tab, how: str) -> None:
    page = tab.page
    text = failing(tab, "api/set/*", how)
    fresh(tab)
    page.get_by_role("alert").get_by_text(text).wait_for()
    assert said(tab, text) == 1
    # what needs a row that is not there says the same, once, and throws nothing
    page.locator(".grid").focus()
    for key in ("Enter", " ", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert page.locator(".detail").is_hidden()
    assert said(tab, text) == 1
    mended(tab, "api/set/*")
    page.get_by_role("button", name="Try again").click()
    tab.browsed()
    assert said(tab, text) == 0
    assert page.get_by_role("button", name="Try again").is_hidden()
    page.locator(".grid").focus()
    page.keyboard.press(" ")
    tab.until("document.querySelector('.card[aria-selected=true]')")


@pytest.mark.parametrize("how", FAILURES)
@pytest.mark.parametrize("path", ["api/set", "api/classes*"])
def test_sets_and_classes(tab: Tab, path: str, how: str) -> None:
    page = tab.page
    text = failing(tab, path, how)
    page.get_by_label("Sort", exact=True).select_option("mean_dice")
    page.get_by_text(text).first.wait_for()
    assert said(tab, text) == 1
    mended(tab, path)
    if path == "api/set":
        page.get_by_role("button", name="Try again").click()
        tab.browsed()
        assert said(tab, text) == 0
    page.get_by_label("Sort", exact=True).select_option("mean_iou")
    tab.browsed()
    tab.until("/\\d/.test(document.querySelector('[data-class=road] .number').textContent)")
    assert said(tab, text) == 0
    assert page.locator(".card").count() == ROWS


@pytest.mark.parametrize("how", FAILURES)
def test_a_row(tab: Tab, how: str) -> None:
    page = tab.page
    text = failing(tab, "api/row/**", how)
    page.locator(".card").first.click()
    page.get_by_role("alert").get_by_text(text).wait_for()
    assert said(tab, text) == 1
    mended(tab, "api/row/**")
    page.keyboard.press("j")
    page.wait_for_selector("[data-panel=errors][data-painted]")
    assert said(tab, text) == 0


@pytest.mark.parametrize("how", FAILURES)
def test_masks_and_photos_of_panels(tab: Tab, how: str) -> None:
    page = tab.page
    text = failing(tab, "api/mask/**", how)
    page.locator(".card").first.click()
    page.locator(".panel .note").get_by_text(text).first.wait_for()
    page.wait_for_selector("[data-panel=image][data-painted]")
    notes = page.locator(".panel .note:visible")
    assert [panel for panel in notes.all_inner_texts() if text not in panel] == []
    assert notes.count() == 3  # each panel says its own
    page.locator("[data-panel=image]").hover()
    page.locator(".strip").get_by_text(text).wait_for()
    mended(tab, "api/mask/**")
    page.keyboard.press("o")
    page.locator("[data-panel=image]").hover(position={"x": 5, "y": 5})
    page.wait_for_selector("[data-panel=errors][data-painted]")
    tab.until("document.querySelector('.strip b')")
    tab.until("document.querySelectorAll('[data-panel][data-painted]').length === 4")
    assert said(tab, text) == 0


def test_thumbnails(tab: Tab) -> None:
    text = failing(tab, "api/thumb/**", "500")
    tab.turn(project="거리", table=TABLE, layer="truth")
    badges = tab.page.locator(".badge:visible")
    tab.until("document.querySelectorAll('.badge:not([hidden])').length > 1")
    assert set(badges.all_inner_texts()) == {"cannot be shown"}
    assert text in str(badges.first.get_attribute("title"))
    mended(tab, "api/thumb/**")
    tab.turn(project="거리", table=TABLE, layer="errors")
    tab.until("!document.querySelector('.badge:not([hidden])')")


@pytest.mark.parametrize("way", [1, -1])
def test_the_next_row_where_rows_are_gone(tab: Tab, way: int) -> None:
    page = tab.page
    page.locator(".card").nth(2).click()
    page.wait_for_selector("[data-panel=errors][data-painted]")
    text = failing(tab, "api/set/*", "gone")
    fresh(tab)
    page.keyboard.press("j" if way > 0 else "k")
    page.get_by_role("alert").get_by_text(text).wait_for()
    assert said(tab, text) == 1
    mended(tab, "api/set/*")
    before = page.locator("[data-panel=image]").get_attribute("data-row")
    page.keyboard.press("j" if way > 0 else "k")
    tab.until(f"document.querySelector('[data-panel=image]').dataset.row !== '{before}'")


def test_what_paints_cannot_be_loaded(browser: Any, address: str) -> None:
    tab = Tab(browser, address)
    tab.context.route("**/static/photo.js", lambda route: route.abort())
    tab.page.goto(f"{address}#project=others&table=mutable")
    tab.page.locator(".badge").get_by_text("cannot be shown").first.wait_for()
    tab.page.locator(".card").first.click()
    tab.page.locator(".panel .note").get_by_text("load this page again").first.wait_for()
    tab.problems = [text for text in tab.problems if "Failed to load resource" not in text]
    tab.close()


def test_a_server_that_ends_while_it_is_looked_at(filled: Path, browser: Any) -> None:
    with viewing(filled) as address:
        tab = Tab(browser, address)
        tab.open(project="거리", table=TABLE)
    tab.page.get_by_label("Sort", exact=True).select_option("mean_iou")
    tab.page.get_by_text(GONE).first.wait_for()
    assert said(tab, GONE) == 1
    tab.problems = [text for text in tab.problems if "Failed to load resource" not in text]
    tab.close()

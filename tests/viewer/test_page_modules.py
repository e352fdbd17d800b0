"""The page's modules by themselves, in a real browser: the rule of colours, the address, and a million rows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import maskl
from benchmarks.browser import chromium
from maskl.drawing.overlay import class_color
from maskl_storage.format.names import encode_name
from tests.viewer.browsing import require_browser

require_browser()
pytestmark = pytest.mark.once

STATIC = Path(maskl.__file__).parent / "viewer" / "static"
IDS = [*range(-40, 400), 65_535, 65_536, 2**31 - 1, -(2**31)]
NAMES = ["val/평가", "a b", ".hidden.", "100%", "a=b:c*?", "tab\there", "[x]{y}|<z>", "~_-!'()", " edge "]
#: all packaged files together
WEIGHT = 200_000


class Handler(SimpleHTTPRequestHandler):
    """Files without a log."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A blank page that can import the modules."""
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(STATIC))) as server,
        chromium() as browser,
    ):
        Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page(viewport={"width": 1000, "height": 600})
        page.route(
            "**/blank",
            lambda route: route.fulfill(content_type="text/html", body="<!doctype html><title>blank</title>"),
        )
        page.goto(f"http://127.0.0.1:{server.server_port}/blank")
        yield page
        server.shutdown()


def test_ids_without_a_class_have_pythons_colours(page: Any) -> None:
    found = page.evaluate(
        "async ids => { const {classColor} = await import('/paint.js'); return ids.map(classColor) }", IDS
    )
    assert found == [(red << 16) | (green << 8) | blue for red, green, blue in map(class_color, IDS)]


def test_names_stand_in_addresses_as_the_format_spells_them(page: Any) -> None:
    spelled = (
        "async names => { const {inPath} = await import('/api.js');"
        " return names.map(name => decodeURIComponent(inPath(name))) }"
    )
    assert page.evaluate(spelled, NAMES) == [encode_name(name) for name in NAMES]


def test_every_part_of_the_view_comes_back_from_the_address(page: Any) -> None:
    view = {
        "project": "프로젝트 & co", "table": "val/평가", "runs": ["a", "b,c"], "image": "image", "truth": "",
        "prediction": "p=q", "step": -3,
        "sql": "FROM x\nWHERE 'a&b' <> '%'", "sort": "iou:차", "descending": True, "range": [0.25, 1e-9],
        "chosen": {"mode": "only", "names": ["차", "a~b"]}, "opacity": 33, "contours": True, "layer": "errors",
        "size": 200,
        "columns": ["loss"], "open": {"run": "r", "table": "t", "row": "9007199254740993"}, "at": 7,
        "hidden": ["image"],
        "boxes": ["predictions"], "zoom": {"scale": 2.5, "x": 0.25, "y": 0.75}, "selected": ['["r","t","5"]'],
        "theme": "dark", "rail": False, "keys": False,
    }  # fmt: skip
    again = (
        "async view => { const {parse, format, INITIAL} = await import('/state.js');"
        " return [parse(format(view)), Object.keys(INITIAL), format(INITIAL)] }"
    )
    found, keys, nothing = page.evaluate(again, view)
    assert found == view
    assert sorted(keys) == sorted(view)
    assert nothing == ""
    assert page.evaluate(again, view | {"step": "all"})[0] == view | {"step": "all"}


@pytest.mark.parametrize(
    "text",
    [
        "#open=1",
        "#open=[1,2,3]",
        '#open=["r","t","x"]',
        "#opacity=no&size=1e99&zoom=~~&step=1.5&range=a~b&layer=x&theme=x&select=1",
    ],
)
def test_an_address_that_makes_no_sense_is_the_beginning(page: Any, text: str) -> None:
    found, initial = page.evaluate(
        "async text => { const {parse, INITIAL} = await import('/state.js'); return [parse(text), INITIAL] }", text
    )
    assert found | {"size": 0} == initial | {"size": 0}


GRID = """async total => {
  const {VirtualGrid} = await import('/virtual.js');
  const scroller = document.createElement('div'), body = document.createElement('div');
  Object.assign(scroller.style, {height: '500px', width: '600px', overflow: 'auto'});
  body.style.position = 'relative';
  scroller.append(body); document.body.replaceChildren(scroller);
  const make = index => { const item = document.createElement('div'); item.dataset.index = index;
    item.style.position = 'absolute'; item.style.top = item.style.left = 0; return item };
  window.grid = new VirtualGrid(scroller, body, {make, drop: () => {}, window: () => {}}, 8);
  window.seen = () => { const box = scroller.getBoundingClientRect();
    return [...body.children].filter(item => { const at = item.getBoundingClientRect();
      return at.bottom > box.top && at.top < box.bottom }).map(item => Number(item.dataset.index)) };
  window.frame = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  grid.reset(total, 100, () => 80);
  await frame();
}"""


@pytest.mark.parametrize("total", [3, 100, 1_000_000])
def test_the_first_and_the_last_row_can_be_scrolled_to(page: Any, total: int) -> None:
    page.evaluate(GRID, total)
    assert page.evaluate("seen()")[0] == 0
    page.evaluate("async () => { grid.scroller.scrollTop = 1e9; await frame() }")
    assert page.evaluate("seen()")[-1] == total - 1
    assert page.evaluate("grid.body.children.length") < 100
    page.evaluate("async () => { grid.scroller.scrollTop = 0; await frame() }")
    assert page.evaluate("seen()")[0] == 0


def test_a_short_way_is_as_long_in_a_million_rows_as_in_a_hundred(page: Any) -> None:
    page.evaluate(GRID, 1_000_000)
    page.evaluate("async () => { grid.show(500_000, 'start'); await frame() }")
    assert page.evaluate("seen()")[0] == 500_000
    page.evaluate("async () => { grid.scroller.scrollTop += 2 * 88; await frame() }")
    assert page.evaluate("seen()")[0] == 500_000 + 2 * page.evaluate("grid.columns")
    # where the scroll bar comes to rest, the same rows are seen
    page.evaluate("async () => { grid.scroller.dispatchEvent(new Event('scrollend')); await frame() }")
    assert page.evaluate("seen()")[0] == 500_000 + 2 * page.evaluate("grid.columns")


def test_the_page_is_light() -> None:
    assert sum(path.stat().st_size for path in STATIC.iterdir()) <= WEIGHT

"""A real Chromium on a real ``maskl view``: what the tests of the page share."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.browser import CHROMIUM
from tests.conftest import HANGS

#: milliseconds after which something on the page hangs
PATIENCE = HANGS * 1000


def require_browser() -> None:
    """Skip a module of the page's tests, in one line, where it cannot run."""
    if CHROMIUM is None or find_spec("playwright") is None or find_spec("starlette") is None:
        pytest.skip("the page's tests need Chromium, playwright and maskl[view]", allow_module_level=True)


class Tab:
    """A tab of the browser, and what its console said.

    Parameters
    ----------
    browser : playwright's Browser
        Where the tab is.
    address : str
        Of ``maskl view``.
    options
        Of the tab's context, such as ``device_scale_factor``.
    """

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.address = address
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.problems: list[str] = []
        self.page.on("console", lambda message: self._heard(message.type, message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.problems.append(text)

    def open(self, **fields: Any) -> None:
        """Load the page with this view, and wait until it is there."""
        self.page.goto("about:blank")
        self.page.goto(self.address + hash_of(fields))
        self.page.wait_for_selector("body[data-ready]")
        self.settle(fields)

    def turn(self, **fields: Any) -> None:
        """Change the address as the back button or a link does, and wait until its picture is there."""
        self.page.evaluate(
            "hash => location.hash === hash || new Promise(done => {"
            " addEventListener('hashchange', () => done(true), {once: true}); location.hash = hash })",
            hash_of(fields),
        )
        self.settle(fields)

    def settle(self, fields: Mapping[str, Any]) -> None:
        """Wait until the panels of the row are painted, or the first rows of the grid."""
        if "open" in fields:
            self.painted(fields["open"][2])
        else:
            self.browsed()

    def until(self, expression: str) -> None:
        """Wait until an expression of JavaScript is true."""
        # a function: what is only an expression is evaluated as text, which the page's policy forbids
        self.page.wait_for_function(f"() => {expression}")

    def browsed(self) -> None:
        """Wait until the grid has its rows, and every thumbnail is painted."""
        self.page.wait_for_function(
            "() => { const cards = [...document.querySelectorAll('.card')];"
            " return document.querySelector('.grid-wrap[aria-busy=false]')"
            "  && (cards.length || document.querySelector('.empty:not([hidden])'))"
            "  && cards.every(card => card.dataset.row"
            "   && (card.closest('.bare') || card.querySelector('canvas[data-done]'))) }"
        )

    def painted(self, row: str) -> None:
        """Wait until every panel of this row is painted, or says why it is not."""
        self.page.wait_for_function(
            "row => { const panels = [...document.querySelectorAll('.panel')];"
            " return document.querySelector('.panels')?.dataset.of === row && panels.every(panel => {"
            "  const canvas = panel.querySelector('canvas');"
            "  return canvas ? 'painted' in canvas.dataset : !panel.querySelector('.note').hidden }) }",
            arg=row,
        )

    def pixels(self, panel: str, run: str | None = None) -> npt.NDArray[np.uint8]:
        """Return what the canvas of a panel holds, of shape (H, W, 4)."""
        which = f'canvas[data-panel="{panel}"][data-painted]' + (f'[data-run="{run}"]' if run else "")
        width, height, data = self.page.evaluate(
            "async which => { const canvas = document.querySelector(which);"
            " const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
            " const url = await new Promise(done => { const reader = new FileReader();"
            "  reader.onload = () => done(reader.result); reader.readAsDataURL(new Blob([data])) });"
            " return [canvas.width, canvas.height, url] }",
            which,
        )
        return np.frombuffer(base64.b64decode(data.split(",", 1)[1]), np.uint8).reshape(height, width, 4)

    def check(self) -> None:
        """Fail where the console complained, or a name or caption of the store has run as a script."""
        found, self.problems = self.problems, []
        assert found == []
        assert self.page.evaluate("window.broken") is None

    def close(self) -> None:
        """Close the tab, if nothing was wrong in it."""
        self.check()
        self.context.close()


def hash_of(fields: Mapping[str, Any]) -> str:
    """Return a view as the page's address has it."""
    flat: list[tuple[str, str]] = []
    for name, value in fields.items():
        if name == "open":
            flat.append((name, json.dumps(value, ensure_ascii=False)))
        elif isinstance(value, Sequence) and not isinstance(value, str):
            flat += [(name, str(item)) for item in value]
        else:
            flat.append((name, str(value)))
    return f"#{urlencode(flat)}" if flat else ""


def asked(address: str, path: str) -> Any:
    """Return the JSON of a route."""
    with urllib.request.urlopen(address + path) as answer:
        return json.loads(answer.read())

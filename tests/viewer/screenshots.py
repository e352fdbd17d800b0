"""Make the pictures of docs/viewing.md and README.md from the demo's store: ``python -m tests.viewer.screenshots``.

It needs Chromium, playwright and ``maskl[view]``, as the page's tests do.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from PIL import Image

from benchmarks.browser import chromium, viewing

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "docs" / "assets"
SIZE = {"width": 1280, "height": 800}
#: the grid has its rows, and each thumbnail that is seen is painted
BROWSED = """() => { const cards = [...document.querySelectorAll('.card')];
  return cards.length && document.querySelector('.grid-wrap[aria-busy=false]')
    && cards.every(card => card.querySelector('canvas[data-done]')) }"""
PAINTED = """() => { const panels = [...document.querySelectorAll('canvas[data-panel]')];
  return panels.length > 3 && panels.every(canvas => 'painted' in canvas.dataset) }"""


def keep(page: Any, name: str) -> None:
    """Write what the page shows, small enough for a repository."""
    path = ASSETS / f"{name}.webp"
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, quality=86, method=6)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Make the demo, look at it, and write the pictures."""
    with tempfile.TemporaryDirectory(prefix="maskl-demo-") as temporary:
        demo = [sys.executable, "-m", "maskl", "demo", "--dir", temporary]
        subprocess.run(demo, check=True, capture_output=True)
        with viewing(Path(temporary)) as address, chromium() as browser:
            page = browser.new_page(viewport=SIZE, reduced_motion="reduce")  # nothing is caught half-way
            show = [("sort", "mean_iou"), ("layer", "errors")]
            page.goto(f"{address}#{urlencode(show)}")
            page.wait_for_function(BROWSED)
            for box in page.locator(".runs input").all():
                box.check()
            page.wait_for_function(BROWSED)
            keep(page, "view-grid")
            page.locator(".card").nth(1).click()
            page.wait_for_function(PAINTED)
            page.locator(".panels").hover(position={"x": 300, "y": 190})
            page.wait_for_selector(".strip b")
            keep(page, "view-row")
            page.locator('[data-class="pedestrian"] label').click(modifiers=["Alt"])
            page.wait_for_function(PAINTED)
            page.emulate_media(color_scheme="dark")
            page.locator(".panels").hover(position={"x": 300, "y": 190})
            page.wait_for_selector(".strip b")
            keep(page, "view-errors")


if __name__ == "__main__":
    main()

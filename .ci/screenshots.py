"""Make the pictures of docs/viewing.md and README.md from the demo's store: ``python .ci/screenshots.py``.

It needs Chromium, playwright and ``maskl[view]``, as the page's tests do.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "docs" / "assets"
CHROMIUM = os.environ.get("MASKL_CHROMIUM") or shutil.which("chromium")
SIZE = {"width": 1280, "height": 800}
#: the grid has its rows, and each thumbnail that is seen is painted
BROWSED = """() => { const cards = [...document.querySelectorAll('.card')];
  return cards.length && document.querySelector('.grid-wrap[aria-busy=false]')
    && cards.every(card => card.querySelector('canvas[data-done]')) }"""
PAINTED = """() => { const panels = [...document.querySelectorAll('canvas[data-panel]')];
  return panels.length > 3 && panels.every(canvas => 'painted' in canvas.dataset) }"""


@contextmanager
def viewing(store: Path) -> Iterator[str]:
    """Run ``maskl view``, and give its address."""
    command = [sys.executable, "-m", "maskl", "view", "--dir", str(store), "--no-open", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield next(iter(server.stdout or ())).strip()
        finally:
            server.terminate()


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
        with viewing(Path(temporary)) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport=SIZE)
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
            browser.close()


if __name__ == "__main__":
    main()

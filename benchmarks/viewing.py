"""What ``maskl view`` takes in a real browser: first grid, a toggle, the next row, memory, and sorting on the server.

Chromium is that of ``MASKL_CHROMIUM``, else the one on the path. The page is served and looked at on one machine, which
is what people do; seconds are the page's own.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import maskl
from benchmarks.browser import CHROMIUM, chromium, viewing
from benchmarks.data import distinct
from benchmarks.random_access import log_scenes
from benchmarks.report import Result, at_most, info

__all__ = ["run"]

ROWS: Final = 100_000
SORTED: Final = 1_000_000
SCENES: Final = 101
SCROLLED: Final = 5_000
ROUNDS: Final = 9
STATIC: Final = Path(maskl.__file__).parent / "viewer" / "static"
PATIENCE: Final = 600_000.0
#: waits until what a function finds is true, looking when the document changes; returns milliseconds since `start`
UNTIL: Final = """window.until = (start, found) => new Promise(done => {
  const look = () => { if (!found()) return false; done(performance.now() - start); return true };
  if (look()) return;
  const observer = new MutationObserver(() => look() && observer.disconnect());
  observer.observe(document, {subtree: true, childList: true, attributes: true});
});
window.panels = () => [...document.querySelectorAll('canvas[data-panel]')];"""
GRID: Final = """() => until(0, () => { const cards = [...document.querySelectorAll('.card')];
  const seen = cards.filter(card => card.getBoundingClientRect().top < innerHeight);
  return seen.length && seen.every(card => card.querySelector('canvas[data-done]')) })"""
PAINTED: Final = "() => panels().length === 4 && panels().every(canvas => 'painted' in canvas.dataset)"
TOGGLE: Final = f"""() => {{ const start = performance.now(); document.querySelector('[data-class] input').click();
  return until(start, {PAINTED}) }}"""
#: whoever goes on has looked at a row for a moment
NEXT: Final = f"""async () => {{ await new Promise(done => setTimeout(done, 400));
  const start = performance.now(), row = panels()[0].dataset.row;
  document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: 'j', bubbles: true}}));
  return until(start, () => panels()[0]?.dataset.row !== row && ({PAINTED})()) }}"""
SCROLL: Final = """async rows => { const grid = document.querySelector('.grid');
  const line = document.querySelectorAll('.card');
  const height = line[0].offsetHeight + 8, columns = [...line].filter(card => card.offsetTop === line[0].offsetTop
    && card.getBoundingClientRect().top === line[0].getBoundingClientRect().top).length;
  for (let at = 0; at < rows / columns; at += 3) { grid.scrollBy(0, 3 * height);
    await new Promise(done => requestAnimationFrame(() => setTimeout(done, 30))) }
  const seen = () => [...document.querySelectorAll('.card')].every(card => card.querySelector('canvas[data-done]'));
  return until(0, seen) }"""


def run(scale: float) -> list[Result]:
    """Look at a store in a browser, and sort a large one."""
    weight = sum(path.stat().st_size for path in STATIC.iterdir())
    results = [at_most("page weight: kB, uncompressed", f"{weight / 1000:.0f}", "", weight / 1000, 200)]
    if CHROMIUM is None:
        return [*results, info("the page in a browser", "not measured", "there is no Chromium: set MASKL_CHROMIUM")]
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        rows, large = max(SCROLLED, round(ROWS * scale)), max(10_000, round(SORTED * scale))
        log_scenes(Path(temporary) / "browsed", distinct(SCENES), rows, block=rows)
        with viewing(Path(temporary) / "browsed") as address, _page() as page:
            results += _browse(page, address, rows)
        command = [
            sys.executable,
            "-m",
            "benchmarks.evaluation_writer",
            str(large),
            str(Path(temporary) / "large"),
            "1",
        ]
        subprocess.run(command, check=True, capture_output=True)
        with viewing(Path(temporary) / "large") as address:
            results += _sort(address, large)
    return results


@contextmanager
def _page() -> Iterator[Any]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.add_init_script(UNTIL)
        yield page


def _browse(page: Any, address: str, rows: int) -> list[Result]:
    grids = []
    for _ in range(ROUNDS):
        page.goto("about:blank")
        page.goto(address)
        grids.append(page.evaluate(GRID))
    page.evaluate(SCROLL, SCROLLED)
    megabytes = _private_bytes() / 1e6
    page.goto("about:blank")
    page.goto(address)
    page.locator(".card[data-row]").first.click()
    page.wait_for_function(PAINTED)
    toggles = [page.evaluate(TOGGLE) for _ in range(2 * ROUNDS)]
    nexts = [page.evaluate(NEXT) for _ in range(2 * ROUNDS)]
    return [
        _millis(f"first grid of {rows:,} rows after navigation: ms", grids, 1500),
        at_most(
            f"the tab after {SCROLLED:,} rows were scrolled: MB of its own", f"{megabytes:.0f}", "", megabytes, 400
        ),
        _millis("a class toggled in four panels of 480 × 360: ms", toggles, 50),
        _millis("next row: ms", nexts, 150),
    ]


def _sort(address: str, rows: int) -> list[Result]:
    with urllib.request.urlopen(f"{address}api/state") as answer:
        state = json.loads(answer.read())
    request = {
        "table": "evaluation", "runs": [state["runs"][0]["run_id"]], "image": "image", "truth": "ground_truth",
        "prediction": "predictions", "step": "last", "range": None, "bins": 40,
    }  # fmt: skip
    results = []
    for by in ("mean_iou", "column:loss"):
        seconds = []
        for number in range(ROUNDS):
            # an answer that was given is kept: each asks for a range of its own
            body = request | {"sort": {"by": by, "descending": False}, "range": [0, 1 + number / 100]}
            start = time.perf_counter()
            _post(f"{address}api/set", body)
            seconds.append(1000 * (time.perf_counter() - start))
        results.append(_millis(f"sort and histogram of {rows:,} rows by {by}: ms", seconds, 400))
    return results


def _post(url: str, body: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        json.loads(answer.read())


def _millis(what: str, times: list[float], limit: float) -> Result:
    middle = statistics.median(times)
    return at_most(what, f"{middle:.0f} ({min(times):.0f}–{max(times):.0f})", "", middle, limit)


def _private_bytes() -> int:
    """Return the memory of the largest renderer that this process's browser has, without what is shared."""
    parents, renderers = {}, []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if b"--type=renderer" in (folder / "cmdline").read_bytes():
                    renderers.append(int(folder.name))
            except OSError:
                continue

    def ours(process: int) -> bool:
        while process > 1 and process != os.getpid():
            process = parents.get(process, 0)
        return process == os.getpid()

    sizes = [0]
    for process in filter(ours, renderers):
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        sizes.append(sum(int(size) for size in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE)) * 1024)
    return max(sizes)

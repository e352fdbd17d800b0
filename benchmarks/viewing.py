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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import maskl
from benchmarks.browser import CHROMIUM, chromium, server, viewing
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
        with server(Path(temporary) / "large") as (address, process):
            results += _sort(address, large)
            _look_around(address)
            peak = _peak_bytes(process) / 1e6
        results.append(
            at_most(f"the server of {large:,} rows, beside its SQL child: MB at its peak", f"{peak:.0f}", "", peak, 300)
        )
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


def _request(address: str) -> dict[str, Any]:
    """Return what asks for all rows of all runs."""
    runs = [run["run_id"] for run in _get(f"{address}api/state")["runs"]]
    return {
        "table": "evaluation", "runs": runs, "image": "image", "truth": "ground_truth",
        "prediction": "predictions", "step": "last", "range": None, "bins": 40,
    }  # fmt: skip


def _sort(address: str, rows: int) -> list[Result]:
    request, results = _request(address), []
    for by in ("mean_iou", "column:loss"):
        seconds = []
        for number in range(ROUNDS):
            # an answer that was given is kept: each asks for bars of its own
            body = request | {"sort": {"by": by, "descending": False}, "bins": 30 + number}
            start = time.perf_counter()
            _post(f"{address}api/set", body)
            seconds.append(1000 * (time.perf_counter() - start))
        results.append(_millis(f"sort and histogram of {rows:,} rows by {by}: ms", seconds, 400))
    body = request | {"sort": {"by": "mean_iou", "descending": False}}
    whole = _post(f"{address}api/set", body)
    edges = whole["histogram"]["edges"]
    seconds, counted = [], {"all": [], "brushed": []}
    for number in range(ROUNDS):
        start = time.perf_counter()
        brushed = _post(f"{address}api/set", body | {"range": [edges[5] + number / 1e6, edges[-5]]})
        seconds.append(1000 * (time.perf_counter() - start))
        for which, found in (("all", whole), ("brushed", brushed)):
            start = time.perf_counter()
            _get(f"{address}api/classes?set={found['set']}")
            counted[which].append(1000 * (time.perf_counter() - start))
    results.append(_millis(f"a range of {rows:,} rows brushed: ms", seconds, 400))
    for which, times in counted.items():
        middle = statistics.median(times)
        what = f"classes of {whole['total'] if which == 'all' else brushed['total']:,} rows, {which}: ms"
        results.append(info(what, f"{middle:.0f} ({min(times):.0f}–{max(times):.0f})"))
    return results


def _look_around(address: str) -> None:
    """Ask what two pages ask whose users sort, scroll and open rows, so that the server has all that it keeps."""
    request = _request(address)

    def user(descending: bool) -> None:
        for by in ("iou:Road", "column:id", "mean_dice", "mean_iou"):
            found = _post(f"{address}api/set", request | {"sort": {"by": by, "descending": descending}})
            for start in (0, found["total"] // 2, found["total"] - 60):
                rows = _get(f"{address}api/set/{found['set']}?from={start}&to={start + 60}&column=loss")["rows"]
            _get(
                f"{address}api/row/{rows[0]['run']}/evaluation/{rows[0]['row']}?truth=ground_truth&prediction=predictions"
            )

    with ThreadPoolExecutor(2) as users:
        list(users.map(user, (False, True)))


def _peak_bytes(process: int) -> int:
    """Return the most memory that a process has had at once."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def _post(url: str, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        return json.loads(answer.read())


def _get(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.loads(answer.read())


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

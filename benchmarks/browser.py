"""A real Chromium on a real ``maskl view``, for benchmarks, tests and pictures of the page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["CHROMIUM", "chromium", "server", "viewing"]

#: where it lies: that of the environment, else the one on the path
CHROMIUM: Final = os.environ.get("MASKL_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def viewing(store: Path, *arguments: str) -> Iterator[str]:
    """Run ``maskl view`` on a store, and give its address."""
    with server(store, *arguments) as (address, _):
        yield address


@contextmanager
def server(store: Path, *arguments: str) -> Iterator[tuple[str, int]]:
    """Run ``maskl view`` on a store, and give its address and the id of its process."""
    command = [sys.executable, "-m", "maskl", "view", *arguments, "--dir", str(store), "--no-open", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.terminate()


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()

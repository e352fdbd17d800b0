"""Artifacts: memory and time of a file of 2 GB, and what a version costs a run that logs one after another.

Usage, for one large file in a process of its own: python -m benchmarks.artifacts BYTES
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.filesize import decimal

import maskl
from benchmarks.report import Result, at_most, info
from benchmarks.timing import peak_bytes, timed

__all__ = ["run"]

BYTES: Final = 2 << 30
#: megabytes that logging and downloading may take beyond what the process had, and times as long as a plain copy
MEGABYTES: Final = 64
COPIES: Final = 6
VERSIONS: Final = 50
BLOCK: Final = 1 << 24


def run(scale: float) -> list[Result]:
    """Log and download a large file, and log versions one after another."""
    size = max(BLOCK, round(BYTES * scale))
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "benchmarks.artifacts", str(size)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=root)
    found = json.loads(done.stdout.splitlines()[-1])
    what, copy = f"an artifact of {decimal(size)}", found["copy"]
    before = f"before {decimal(found['before'])}"
    return [
        at_most(
            f"{what}, logged and downloaded: MB beyond those before",
            decimal(found["after"]),
            before,
            (found["after"] - found["before"]) / 1e6,
            MEGABYTES,
        ),
        at_most(
            f"{what}: add_file() and log_artifact()",
            f"{found['log']:.1f} s",
            f"shutil.copyfile: {copy:.1f} s",
            found["log"] / copy,
            COPIES,
        ),
        at_most(
            f"{what}: download()",
            f"{found['download']:.1f} s",
            f"shutil.copyfile: {copy:.1f} s",
            found["download"] / copy,
            COPIES,
        ),
        info(f"each of {VERSIONS} versions of 1 MB", f"{1000 * found['version']:.0f} ms"),
    ]


def main() -> None:
    """Measure in this process, and print what was found as JSON."""
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        folder = Path(temporary)
        large = folder / "large"
        with large.open("wb") as file:
            block = bytes(range(256)) * (BLOCK // 256)
            for number in range(int(sys.argv[1]) // BLOCK):
                file.write(number.to_bytes(8, "little") + block[8:])
        copy = timed(lambda: shutil.copyfile(large, folder / "copy"))
        (folder / "copy").unlink()
        with maskl.init(dir=folder / "maskl-store", settings={"silent": True}) as active:
            small = folder / "small"
            small.write_bytes(b"warm")
            active.log_model(small, "warm")
            before = peak_bytes()
            artifact = maskl.Artifact("large", "data")

            def log() -> None:
                artifact.add_file(large)
                active.log_artifact(artifact)

            logged = timed(log)
            downloaded = timed(lambda: artifact.download(folder / "out"))
            after = peak_bytes()

            def versions() -> None:
                for number in range(VERSIONS):
                    small.write_bytes(number.to_bytes(4, "little") * (1 << 18))
                    active.log_model(small, "small")

            each = timed(versions) / VERSIONS
    times = {"copy": copy, "log": logged, "download": downloaded, "version": each}
    print(json.dumps({"before": before, "after": after, **times}))


if __name__ == "__main__":
    main()

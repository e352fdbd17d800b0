"""Make a virtual environment and install into it: with uv where the index has it, else with pip.

``python3 .ci/environment.py FOLDER ARGUMENTS…``, where the arguments are those that ``pip install`` and
``uv pip install`` both take. Needs python3 with its venv, and a package index. What pip is told by its configuration
and by PIP_ variables holds for uv as well, which reads neither.
"""

from __future__ import annotations

import ast
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: where uv is installed, if it is not on the path
TOOLS = ROOT / ".uv"
#: a Python with pip, if the one that runs this has none
OWN_PIP = TOOLS / "pip" / "bin" / "python"
#: the first version that knows dependency groups
PIP = "pip>=25.1"
#: pip's settings that uv has under another name, and the variable that says it to uv
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "constraint": "UV_CONSTRAINT",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")


def main() -> None:
    """Make the environment that the command line names, and exit with 1 if that fails."""
    folder, *arguments = sys.argv[1:]
    wanted = re.search(r'requires-python = ">=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    if wanted and sys.version_info < (int(wanted[1]), int(wanted[2])):
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        sys.exit(
            f"maskl needs Python {wanted[1]}.{wanted[2]} or later, and {sys.executable} is {version}:"
            " name another with make PYTHON=…"
        )
    uv = find_uv()
    if uv is not None:
        if with_uv(uv, folder, arguments):
            return
        print(f"uv could not make {folder}: pip tries", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    if not with_pip(folder, arguments):
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(f"{folder} could not be made: the lines above say why (pip config list shows which index was asked)")


def find_uv() -> str | None:
    """Return the path of uv, which is installed below the checkout if it is not there; None where no index has it."""
    found = shutil.which("uv")
    if found is not None:
        return found
    uv = TOOLS / "uv" / "bin" / "uv"
    with alone():
        if not uv.exists():
            shutil.rmtree(TOOLS, ignore_errors=True)
            python = python_with_pip()
            if python is None:
                if not succeeds([sys.executable, "-m", "venv", str(OWN_PIP.parents[1])], quiet=True):
                    return None
                python = str(OWN_PIP)
            command = [python, "-m", "pip", "install", "--quiet", "--target", str(uv.parents[1]), "uv"]
            ours = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}  # neither goes with a folder of its own
            if not succeeds(command, ours, quiet=True):
                print("no uv in the index: pip makes the environments, which takes longer", file=sys.stderr)
                return None
    return str(uv)


def with_uv(uv: str, folder: str, arguments: list[str]) -> bool:
    """Make an environment with uv, as pip would; return whether that went well."""
    told = pip_settings()
    ours = for_uv(told, os.environ)
    index = ["--no-index"] if told.get("no-index", "").lower() in ("1", "true", "yes", "on") else []
    return succeeds([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], ours) and succeeds(
        [uv, "pip", "install", "--quiet", "--python", f"{folder}/bin/python", *index, *arguments], ours
    )


def with_pip(folder: str, arguments: list[str]) -> bool:
    """Make an environment with the means of Python; return whether that went well."""
    pip = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return (
        succeeds([sys.executable, "-m", "venv", folder])
        and succeeds([*pip, "--upgrade", PIP])
        and succeeds([*pip, *arguments])
    )


def python_with_pip() -> str | None:
    """Return a Python that has pip: this one, the one that this environment was made with, or our own."""
    for python in (sys.executable, getattr(sys, "_base_executable", sys.executable), str(OWN_PIP)):
        if Path(python).exists() and succeeds([python, "-m", "pip", "--version"], quiet=True):
            return python
    return None


def pip_settings() -> dict[str, str]:
    """Return what pip's configuration and PIP_ variables say, the latter before the former."""
    python = python_with_pip()
    if python is None:
        return {}
    done = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    return parse_settings(done.stdout)


def parse_settings(listed: str) -> dict[str, str]:
    """Return the settings that ``pip config list`` shows and that an installation takes."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for section, name, value in re.findall(r"^(.+?)\.([\w-]+)=(.+)$", listed, re.MULTILINE):
        if section in sections:
            sections[section][name] = str(ast.literal_eval(value))
    return {name: value for section in sections.values() for name, value in section.items()}


def for_uv(told: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that tell uv what pip is told, except where uv has been told something itself."""
    kept = set(INDEXES) if any(name in environment for name in INDEXES) else set()
    ours = {"UV_PYTHON_DOWNLOADS": "never"}
    for setting, variable in SETTINGS.items():
        if setting in told and variable not in kept and variable not in environment:
            ours[variable] = (",".join if setting == "find-links" else " ".join)(told[setting].split())
    if "UV_INDEX" in ours or "UV_FIND_LINKS" in ours:
        ours.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")  # the best of all indexes, as pip has it
    return ours


def succeeds(command: list[str], variables: Mapping[str, str] | None = None, *, quiet: bool = False) -> bool:
    """Run a command, say nothing about it or leave that to it, and return whether it went well."""
    shown = subprocess.DEVNULL if quiet else None
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(variables or {})},
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=shown,
            stderr=shown,
        )
    except OSError as error:
        print(f"{command[0]}: {error}", file=sys.stderr)
        return False
    return done.returncode == 0


@contextmanager
def alone() -> Iterator[None]:
    """Let one process at a time into a block; the lock is on the checkout's folder."""
    lock = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


if __name__ == "__main__":
    main()

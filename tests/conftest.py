"""What every test shares: a run that always ends, a store below ``tmp_path``, and proof that it is unchanged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import maskl
from maskl.runs import active
from maskl.runs._server_calls import forget_told
from maskl_storage.write import live

Snapshot = dict[str, bytes]
Refused = Callable[..., AbstractContextManager[pytest.ExceptionInfo[BaseException]]]

ROOT = Path(__file__).parents[1]
#: seconds after which another process hangs, however busy the machine is; no test is to come near it
HANGS = 1800.0

# the same examples on every run; --hypothesis-profile=explore looks for new ones
settings.register_profile(
    "maskl", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", deadline=None, max_examples=2000, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("maskl")


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Start without a store or a run, and leave none behind."""
    for variable in [name for name in os.environ if name.startswith("MASKL_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("MASKL_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    forget_told()
    live._live.renew()  # a run that could not end is the next test's no more
    yield
    try:
        maskl.teardown()
    finally:
        active._process.renew()


@pytest.fixture
def store_dir(tmp_path: Path) -> Path:
    """Where the store of a test is."""
    return tmp_path / "maskl-store"


@pytest.fixture
def start(store_dir: Path) -> Callable[..., maskl.Run]:
    """Start a run in the test's store."""

    def start(**arguments: Any) -> maskl.Run:
        return maskl.init(dir=store_dir, **arguments)

    return start


def python_of_wandb() -> Path | None:
    """Return the interpreter of the environment that has W&B, or None."""
    found = Path(os.environ.get("MASKL_WANDB_PYTHON") or ROOT / ".venv-wandb" / "bin" / "python")
    return found if found.exists() else None


def eventually(condition: Callable[[], object]) -> None:
    """Wait until something that another thread or process does has happened."""
    pause = 0.01
    for _ in range(round(HANGS / pause)):
        if condition():
            return
        time.sleep(pause)
    raise AssertionError("it never happened")


def some_of(cases: Iterable[Any], every: int = 4) -> list[Any]:
    """Return cases as parameters of a test: the suite tries one of so many, ``make durability`` all."""
    return [
        pytest.param(case, marks=() if number % every == 0 else pytest.mark.durability)
        for number, case in enumerate(cases)
    ]


def traces_in(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Return all that can be seen of a folder: names, contents, times, modes and links to its files."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        stat = path.lstat()
        data = path.read_bytes() if path.is_file() else None
        found[path.relative_to(folder).as_posix()] = (data, stat.st_mtime_ns, stat.st_mode, stat.st_nlink)
    return found


def files_of(root: Path) -> Snapshot:
    """Return every file below a directory with its bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def snapshot(tmp_path: Path, store_dir: Path) -> Callable[[], Snapshot]:
    """Return every file of the test's directory, sealing first what waits, so that nothing pending hides."""

    def snapshot() -> Snapshot:
        if (store_dir / "maskl.json").exists() and maskl.run is not None:
            maskl.open(store_dir).refresh()
        return files_of(tmp_path)

    return snapshot


@pytest.fixture
def refused(snapshot: Callable[[], Snapshot]) -> Refused:
    """Check that a block raises an error of this type with these words, and changes no file."""

    @contextmanager
    def refused(error: type[BaseException], *words: str) -> Iterator[pytest.ExceptionInfo[BaseException]]:
        before = snapshot()
        with pytest.raises(error) as caught:
            yield caught
        for word in words:
            assert word in str(caught.value)
        assert snapshot() == before

    return refused

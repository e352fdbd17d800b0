"""What tests of ``wandb`` being maskl share: it is undone after each, and nothing is sent anywhere."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

import maskl

ROOT = Path(__file__).parents[2]


def state() -> dict[str, Any]:
    """Return all of a process that the installation changes."""
    modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "wandb"}
    return {"modules": modules, "finders": list(sys.meta_path), "variables": dict(os.environ)}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*address: object) -> NoReturn:
        raise AssertionError(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for variable in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(variable)
    yield
    maskl.uninstall_as_wandb()


@pytest.fixture
def installed() -> Any:
    """Return the module that programs import."""
    maskl.install_as_wandb()
    import wandb

    return wandb


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package of the name that may not be imported, and return where it lies."""
    folder = tmp_path / "site"
    (folder / "wandb").mkdir(parents=True)
    (folder / "wandb" / "__init__.py").write_text("raise AssertionError('the other wandb was imported')")
    info = folder / "wandb-0.20.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wandb\nVersion: 0.20.1\n")
    monkeypatch.syspath_prepend(str(folder))
    return folder

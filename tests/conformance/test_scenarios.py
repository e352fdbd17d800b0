"""The same code against W&B and against maskl: what was kept is the same, or differs as is written down."""

from __future__ import annotations

import fcntl
import json
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest

from maskl.errors import MasklWarning
from tests.conformance.observe import RECORD, load
from tests.conformance.ours import Ours
from tests.conformance.scenario import Scenario, plain
from tests.conftest import HANGS, python_of_wandb

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
SCENARIOS = load()
RECORDED: dict[str, Any] = json.loads(RECORD.read_text("utf-8"))


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, Any] | None:
    """Run every scenario against W&B, once for all workers; None where there is no W&B."""
    python = python_of_wandb()
    if python is None:
        return None
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    seen = shared / "wandb.json"
    with (shared / "wandb.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not seen.exists():
            command = [python, "-m", "tests.conformance.observe"]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=HANGS)
            assert done.returncode == 0, done.stderr[-2000:]
            seen.write_text(done.stdout, "utf-8")
    found: dict[str, Any] = json.loads(seen.read_text("utf-8"))
    return found


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_scenario(scenario: Scenario, live: dict[str, Any] | None, tmp_path: Path) -> None:
    """Compare with W&B itself where it is there, else with what was recorded of it."""
    theirs = (live or RECORDED)["observed"][scenario.name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MasklWarning)  # which warnings there are is for the tests of each part
        ours = plain(scenario.observe(Ours(tmp_path)))
    if scenario.differs:
        assert theirs == scenario.wandb
        assert ours == scenario.maskl
        assert ours != theirs, "what is alike now is no difference: say so in the table"
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", ["names", "observed"])
def test_what_was_recorded_is_what_wandb_does(name: str, live: dict[str, Any] | None) -> None:
    if live is None:
        pytest.skip(
            "no W&B: neither MASKL_WANDB_PYTHON nor .venv-wandb, which `make test` sets up where an index has "
            "wandb 0.31, is an environment of it"
        )
    assert live["wandb"].startswith("0.31.")
    changed = {
        key for key in RECORDED[name].keys() | live[name].keys() if RECORDED[name].get(key) != live[name].get(key)
    }
    assert not changed


def test_no_scenario_failed_in_itself() -> None:
    failed = [name for name, seen in RECORDED["observed"].items() if isinstance(seen, dict) and "failed" in seen]
    assert not failed
    assert RECORDED["observed"].keys() == SCENARIOS.keys()

"""What people get is complete: the wheel, with what it asks for and nothing else, does what the README says."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import HANGS

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PACKAGES = {"maskl": ROOT / "maskl", "maskl_storage": ROOT / "storage" / "maskl_storage"}
#: what the sdist holds, of which everything can be built and tested
SOURCES = ["pyproject.toml", "Makefile", ".ci/environment.py", "LICENSE", "tests/test_wheel.py", "storage/SPEC.md"]


def ran(command: list[str | Path], where: Path) -> str:
    """Run a command away from the checkout, and return what it printed."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", "MASKL_DIR")
    }
    done = subprocess.run(command, cwd=where, env=inherited, capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an sdist is, and the wheel that was built of it with the build backend that is installed."""
    folder = tmp_path_factory.mktemp("built")
    ran([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment that has the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("installed") / "environment"
    ran([sys.executable, ROOT / ".ci" / "environment.py", folder, wheel], wheel.parent)
    return folder / "bin"


def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"{package}/{path.relative_to(folder)}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {
        "maskl/py.typed",
        "maskl_storage/py.typed",
        "maskl/cli/page.html",
        "maskl_storage/query/sql/views.sql",
    } <= wanted
    meta = {name for name in names if ".dist-info/" in name}
    assert names - meta == wanted
    assert {name.split("/", 1)[1] for name in meta} == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }


def test_the_sdist_has_what_a_build_and_the_tests_need(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames()}
    assert set(SOURCES) <= names


def test_the_demo_and_a_query_run_where_only_the_wheel_is(installed: Path, tmp_path: Path) -> None:
    where = ran(
        [installed / "python", "-c", "import maskl, maskl_storage; print(maskl.__path__, maskl_storage.__path__)"],
        tmp_path,
    )
    assert where.count(str(installed.parent)) == 2
    assert "Try next" in ran([installed / "maskl", "demo"], tmp_path)
    query = "SELECT run_name, round(mean_iou, 3) FROM mean_iou('evaluation') ORDER BY ALL"
    found = ran([installed / "maskl", "sql", query, "--dir", "maskl-demo", "--csv"], tmp_path)
    assert [line.split(",")[0] for line in found.splitlines()] == ["run_name", "baseline", "improved"]
    assert (tmp_path / "maskl-demo" / "comparison.png").exists()

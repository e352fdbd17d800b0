"""The commands verify, compact and delete."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import maskl
from maskl.cli.app import main

pytestmark = pytest.mark.once

Outcome = tuple[int, str, str]


@pytest.fixture
def store(store_dir: Path) -> Path:
    """Two runs with a table of two images each; the second failed, and has several seals."""
    for name, code in (("하나", 0), ("two", 1)):
        with maskl.init(dir=store_dir, name=name, project="p") as run:
            for step in range(2):
                table = maskl.Table(columns=["image"])
                mask = {"truth": {"mask_data": np.eye(4, dtype=np.uint8), "class_labels": {0: "a", 1: "b"}}}
                table.add_data(maskl.Image(np.full((4, 4, 3), step, np.uint8), masks=mask))
                run.log({"표": table, "loss": 1.0}, step=step)
                maskl.open(store_dir).refresh()
            run.finish(code)
    return store_dir


@pytest.fixture
def cli(store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    monkeypatch.setenv("MASKL_DIR", str(store))

    def call(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_verify_says_what_it_checked(cli: Callable[..., Outcome]) -> None:
    code, out, err = cli("verify")
    assert (code, err) == (0, "")
    assert "4 rows, 4 masks, 2 images, 0 files checked; 0 faults" in out
    code, out, _ = cli("verify", "--json", "--processes", "1")
    assert code == 0
    assert json.loads(out)["clean"] is True


def test_verify_names_each_fault_and_exits_with_1(cli: Callable[..., Outcome], store: Path) -> None:
    part = next(store.glob("rows/*/*/*.parquet"))
    data = bytearray(part.read_bytes())
    data[data.index(b"MSKL") + 9] ^= 255
    part.write_bytes(data)
    code, out, err = cli("verify")
    assert (code, err) == (1, "")
    first, second, *_, last = out.splitlines()
    assert first == f"{part.relative_to(store)}: its BLAKE3 is not the one in its seal: its bytes were altered"
    assert "row 0, column 'image__mask__truth', mask 'truth': the checksum of an encoded mask" in second
    assert last.endswith("2 faults")
    code, out, _ = cli("verify", "--json")
    assert code == 1
    assert json.loads(out)["faults"][1]["mask"] == "truth"


def test_compact_says_what_it_would_do_and_does_it(cli: Callable[..., Outcome], store: Path) -> None:
    before = sorted(store.rglob("*.parquet"))
    code, out, _ = cli("compact", "--dry-run", "--run", "two")
    assert code == 0
    assert "of 1 run would be merged into 1" in out
    assert sorted(store.rglob("*.parquet")) == before
    code, out, err = cli("compact", "--grace", "0", "--json")
    assert (code, err) == (0, "")
    done = json.loads(out)
    assert (done["runs"], done["seals_after"], done["images"]) == (2, 2, 0)
    assert [len(list(store.glob(f"rows/*/run_id={run.run_id}/*"))) for run in maskl.open(store).runs()] == [1, 1]
    assert cli("verify")[0] == 0


def test_delete_removes_what_it_is_told_to(cli: Callable[..., Outcome], store: Path) -> None:
    code, out, _ = cli("delete", "--where", "state = 'failed'", "--dry-run")
    assert code == 0
    assert "two" in out
    assert "would be deleted: 2 rows of 1 table" in out
    code, out, _ = cli("delete", "--where", "state = 'failed'", "--json")
    assert code == 0
    assert json.loads(out)["rows"] == 2
    assert [run.name for run in maskl.open(store).runs()] == ["하나"]
    assert "table '표' of 하나" in cli("delete", "하나", "--table", "표")[1]
    assert maskl.open(store).tables() == []
    assert "no run deleted" in cli("delete", "--where", "false")[1]
    code, out, err = cli("delete")
    assert (code, out) == (2, "")
    assert err.startswith("maskl: delete() needs runs")


def test_a_live_run_is_not_deleted(cli: Callable[..., Outcome], store: Path) -> None:
    with maskl.init(dir=store, name="live") as run:
        code, _, err = cli("delete", run.id)
        assert code == 2
        assert "is being written: finish it first" in err
    assert cli("delete", run.id)[0] == 0

"""The page on reading a store without maskl: every block but R's runs, and finds what was logged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import duckdb
import numpy as np
import numpy.typing as npt
import pytest

import maskl
from maskl.cli import app
from maskl_storage import encode

pytestmark = pytest.mark.once

PAGE = (Path(__file__).parents[2] / "docs" / "reading-without-maskl.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
LABELS = {0: "road", 1: "차", 255: "void"}
#: one is encoded in paths, one looks like a number
IDS = {"unet": "unet/1", "sam": "007"}
#: what a process without maskl runs around the page's Python
BEFORE = "import sys\nsys.modules['maskl'] = sys.modules['maskl_storage'] = None\n"
AFTER = """
import pickle, pathlib
masks = {}
for path in parts("maskl-store", "rows/table_name=evaluation"):
    table = pq.read_table(path, partitioning=None)
    for key in ("ground_truth", "predictions", "edges"):
        if f"image__mask__{key}" in table.column_names:
            for name, data in zip(table["name"].to_pylist(), table[f"image__mask__{key}"].to_pylist()):
                masks[path.parent.name, name, key] = None if data is None else decode(data)
encoded = {path.name: decode(path.read_bytes()) for path in pathlib.Path("encoded").iterdir()}
result = dict(masks=masks, encoded=encoded, names=classes_of, ignored=ignored, size=photo.size)
result["coverage"] = coverage.reset_index().to_dict("list")
result["truths"] = len(truth)
result["runs"] = sorted(rows["run_id"].unique())
result["counts"] = {name: rows[name].count() for name in rows.columns}
pathlib.Path("found.pickle").write_bytes(pickle.dumps(result, protocol=5))
"""


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCKS if found == language]


def masks_of(rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    """Masks of every dtype and codec: regions, noise, one pixel, one row, gaps wider than a byte."""
    regions = np.kron(rng.integers(0, 5, (9, 11)), np.ones((7, 13), np.int64))
    wide = np.zeros((17, 1500), np.uint8)
    wide[3, 700:] = 1
    dtypes = ["?", "u1", "i1", "<u2", ">u2", "<i2", ">i2", "<u4", "<i4", ">i4", "<u8", "<i8", ">i8"]
    made = {f"regions {dtype}": regions.astype(dtype) for dtype in dtypes}
    made |= {"wide": wide, "pixel": np.array([[7]], np.int16), "row": np.arange(300).reshape(1, -1)}
    made |= {f"noise {top}": rng.integers(-top, top, (40, 50)) for top in (1, 100, 1 << 30)}
    return made | {"negative": -regions, "column": np.arange(40)[:, None] // 3}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A store with two runs of different masks, one of which logged its table twice; and encoded masks."""
    directory = tmp_path_factory.mktemp("reading")
    rng = np.random.default_rng(3)
    logged: dict[tuple[str, str, str], npt.NDArray[Any] | None] = {}
    for run_name, other in (("unet", "predictions"), ("sam", "edges")):
        with maskl.init(name=run_name, id=IDS[run_name], dir=directory) as run:
            for version in range(2):
                table = maskl.Table(["name", "image", "loss"], log_mode="MUTABLE")
                for number in range(4):
                    name = f"{number}-{version}"
                    truth = rng.integers(0, 2, (20, 30)).astype(np.uint8)
                    masks = {"ground_truth": truth, other: rng.integers(0, 2, (20, 30))} if number != 2 else {}
                    if version == 1:
                        for key in ("ground_truth", other):
                            logged[f"run_id={IDS[run_name].replace('/', '%2F')}", name, key] = masks.get(key)
                    entries = {
                        key: {"mask_data": mask, "class_labels": LABELS, "ignore_index": 255}
                        for key, mask in masks.items()
                    }
                    frame = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
                    table.add_data(name, maskl.Image(frame, masks=entries), number if run_name == "sam" else 0.5)
                run.log({"evaluation": table})
                maskl.open(directory).refresh()
    masks = masks_of(rng)
    (directory / "encoded").mkdir()
    for name, mask in masks.items():
        (directory / "encoded" / name).write_bytes(encode(mask))
    return SimpleNamespace(directory=directory, logged=logged, masks=masks)


@pytest.fixture(scope="module")
def found(made: SimpleNamespace) -> dict[str, Any]:
    """What a process found that runs the page's Python, and cannot import maskl."""
    import pickle

    reader, first, *others = blocks("python")
    code = "\n".join((BEFORE, reader, first, "classes_of = names", *others, AFTER))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=made.directory
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = pickle.loads((made.directory / "found.pickle").read_bytes())
    return result


def test_there_are_blocks_of_every_kind() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "sql", "python", "r"}
    assert len(blocks("python")) == 4
    assert len(blocks("sql")) == 2


def test_the_reader_has_thirty_lines() -> None:
    lines = [line for line in blocks("python")[0].splitlines() if line.strip()]
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 120
    assert not re.search(r"maskl\.|import maskl", blocks("python")[0])


def test_the_masks_are_all_codecs(made: SimpleNamespace) -> None:
    assert {(made.directory / "encoded" / name).read_bytes()[5] for name in made.masks} == {0, 1, 2}


def test_the_reader_decodes_every_mask(made: SimpleNamespace, found: dict[str, Any]) -> None:
    for name, mask in made.masks.items():
        assert found["encoded"][name].dtype == mask.dtype, name
        np.testing.assert_array_equal(found["encoded"][name], mask, err_msg=name)


def test_the_reader_finds_the_rows_that_count(made: SimpleNamespace, found: dict[str, Any]) -> None:
    assert found["masks"].keys() == made.logged.keys()
    for place, mask in made.logged.items():
        if mask is None:
            assert found["masks"][place] is None
        else:
            np.testing.assert_array_equal(found["masks"][place], mask)


def test_the_python_finds_names_and_pictures(found: dict[str, Any]) -> None:
    assert found["names"] == LABELS
    assert found["ignored"] == [255]
    assert found["size"] == (30, 20)


def test_pandas_and_polars_find_the_same(made: SimpleNamespace, found: dict[str, Any]) -> None:
    truths = [mask for (_, _, key), mask in made.logged.items() if key == "ground_truth" and mask is not None]
    shares = dict(
        zip(
            zip(*(found["coverage"][name] for name in ("mask_key", "class_name")), strict=True),
            found["coverage"]["pixels"],
            strict=True,
        )
    )
    assert shares["ground_truth", "차"] == sum(int((mask == 1).sum()) for mask in truths)
    assert found["truths"] == len(truths)
    counts = {"ground_truth": 6, "predictions": 3, "edges": 3}
    assert {key: found["counts"][f"image__mask__{key}"] for key in counts} == counts
    assert [unquote(run) for run in found["runs"]] == ["007", "unet/1"]
    assert found["counts"]["run_id"] == found["counts"]["loss"] == 8


def run_sql(con: duckdb.DuckDBPyConnection, text: str) -> list[list[tuple[Any, ...]]]:
    """Run the statements one by one, and return what each of the queries found."""
    answers = []
    for statement in text.split(";\n"):
        if statement.strip():
            result = con.execute(statement)
            if not statement.startswith(("SET", "CREATE", "\nSET")):
                answers.append(result.fetchall())
    return answers


def test_the_duckdb_session_runs(
    made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made.directory)
    (session,) = blocks("sh")
    command, _ = re.fullmatch(r"maskl (.*) > (.*)\nduckdb -init \2\n", session).groups()  # type: ignore[union-attr]
    assert app.app(command.split(), standalone_mode=False) in (None, 0)
    con = duckdb.connect()
    con.execute(capsys.readouterr().out)
    runs, scores, rows, coverage = run_sql(con, blocks("sql")[0])
    assert sorted(row[1] for row in runs) == ["sam", "unet"]
    assert {name for name, _, _ in scores} == {"unet"}  # the other run has no predictions
    assert len(rows) == 8
    assert {row[2:4] for row in rows} == {(30, 20)}
    assert {row[0] for row in coverage} == {"road", "차", "void"}


def test_duckdb_alone_finds_the_rows_that_count(made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.directory)
    rows, coverage = run_sql(duckdb.connect(), blocks("sql")[1])
    assert rows == [("007", 4, 3), ("unet/1", 4, 3)]
    shares = {(run, name): share for run, name, share in coverage}
    for run in IDS.values():
        truths = [
            m
            for (place, _, key), m in made.logged.items()
            if run.replace("/", "%2F") in place and key == "ground_truth" and m is not None
        ]
        assert shares[run, "차"] == pytest.approx(np.mean([(mask == 1).mean() for mask in truths]))


def test_r_names_files_and_fields_that_are_there(made: SimpleNamespace) -> None:
    (text,) = blocks("r")
    seal = json.loads(next((made.directory / "maskl-store").glob("seals/*/*.json")).read_text())
    assert {"replaces", "parts", "generation"} <= seal.keys()
    for name in ("replaces", "parts", "generation", "path", "class_pixels/table_name=evaluation/"):
        assert name in text

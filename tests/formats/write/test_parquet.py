"""Parquet and Arrow IPC: everything is inside, the same each time, and open to other tools."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import maskl
from maskl.formats import parquet
from maskl.interchange.selection import choose
from maskl_storage import decode
from maskl_storage.format.schemas import columns_of

FORMATS = ["parquet", "arrow", "huggingface"]


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def read(path: Path) -> pa.Table:
    if path.suffix == ".arrow":
        with pa.OSFile(str(path)) as file:
            return pa.ipc.open_file(file).read_all()
    return pq.read_table(path)


@pytest.fixture(params=["parquet", "arrow"])
def exported(store: maskl.Store, tmp_path: Path, request: pytest.FixtureRequest) -> pa.Table:
    dest = tmp_path / f"rows.{request.param}"
    done = store.export("표", dest)
    assert (done.path, done.format, done.rows, done.size, done.dropped) == (
        dest,
        request.param,
        17,
        dest.stat().st_size,
        {},
    )
    return read(dest)


def test_every_row_is_inside_as_it_was_stored(store: maskl.Store, exported: pa.Table) -> None:
    chosen = choose(store, "표")
    columns = columns_of(exported.schema, "rows")
    rows = exported.to_pylist()
    for position, row in enumerate(chosen.rows):
        found, image = rows[position], row["image"]
        for name in ("id", "loss", "name", "list", "at", "flag", "raw", "extra"):
            assert found[name] == row.get(name)
        assert (found["more"] is None) == (row.get("more") is None)
        assert np.array_equal(found["array"], row.get("array"))
        assert (found["image"] or {}).get("caption") == getattr(image, "caption", None)
        for key in ("ground_truth", "예측"):
            mask = None if image is None else image.masks.get(key)
            assert found[f"image__mask__{key}"] == (None if mask is None else mask[0])
            if mask is not None:
                sets = columns[f"image__mask__{key}"].class_sets
                assert sets[found.get(f"image__set__{key}", 0)] == mask[1]
        boxes = None if image is None else image.boxes.get("found")
        assert len(found["image__boxes__found"] or ()) == (0 if boxes is None else len(boxes[0]))
        data = exported["image__bytes"][position].as_py()
        assert data == (None if image is None or image.digest is None else store.image(image.digest))
        assert exported["run_name"][position].as_py() == ("첫 실행" if position < 12 else "second")
        assert (exported["_row"][position].as_py(), exported["_step"][position].as_py()) == (row.row, row.step)


def test_statistics_are_those_of_sql(store: maskl.Store, exported: pa.Table) -> None:
    stored = store.sql(
        "SELECT run_id, _row, mask_key, class_id, class_name, ignored, pixels FROM class_pixels WHERE table_name = '표'"
    ).fetchall()
    found = [
        (run, row, key, *item.values())
        for key in ("ground_truth", "예측")
        for run, row, items in zip(
            *(exported[name].to_pylist() for name in ("run_id", "_row", f"image__pixels__{key}")), strict=True
        )
        for item in items or ()
    ]
    assert sorted(found) == sorted(stored)
    assert len(stored) > 30
    for position, joint in enumerate(exported["image__confusion__ground_truth__예측"].to_pylist()):
        masks = [exported[f"image__mask__{key}"][position].as_py() for key in ("ground_truth", "예측")]
        assert (joint is None) == (None in masks)
        if joint is not None:
            a, b = map(decode, masks)
            pairs, counts = np.unique(
                np.stack([a.ravel().astype(int), b.ravel().astype(int)]), axis=1, return_counts=True
            )
            assert [(item["class_id_a"], item["class_id_b"], item["pixels"]) for item in joint] == [
                (*pair, count) for pair, count in zip(pairs.T.tolist(), counts.tolist(), strict=True)
            ]


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_masks_as_png_are_exact(store: maskl.Store, tmp_path: Path, name: str) -> None:
    store.export("표", tmp_path / f"a.{name}")
    store.export("표", tmp_path / f"b.{name}", masks="png")
    own, other = read(tmp_path / f"a.{name}"), read(tmp_path / f"b.{name}")
    for key in ("ground_truth", "예측"):
        column = f"image__mask__{key}"
        rows = zip(
            own[column].to_pylist(), other[column].to_pylist(), other[f"image__exact__{key}"].to_pylist(), strict=True
        )
        for mask, png, exact in rows:
            assert (mask is not None) == (png is not None) + (exact is not None)
            if png is not None:
                assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), decode(mask))
            else:
                assert exact == mask
    assert other["image__exact__ground_truth"].null_count < other.num_rows
    described = json.loads(other.schema.metadata[b"maskl_export"])
    assert (described["masks"], described["table"], described["format"]) == ("png", "표", name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_second_export_writes_the_same_bytes(store: maskl.Store, filled: Path, tmp_path: Path, name: str) -> None:
    query = "SELECT run_id, table_name, _row FROM tables.표 ORDER BY id DESC"
    store.export(sql=query, dest=tmp_path / "one", format=name)
    as_by_default = "png" if name == "huggingface" else "maskl"  # the one form that its pictures have
    maskl.open(filled).export(sql=query, dest=tmp_path / "two", format=name, masks=as_by_default)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert files(tmp_path / "one")


@pytest.mark.parametrize("masks", ["maskl", "png"])
def test_polars_and_pandas_open_the_parquet(store: maskl.Store, tmp_path: Path, masks: str) -> None:
    store.export("표", tmp_path / "out", masks=masks)
    expected = pq.read_table(tmp_path / "out")
    frame = pl.read_parquet(tmp_path / "out" / "*.parquet")
    assert frame.columns == expected.column_names
    assert frame["image__bytes"].to_list() == expected["image__bytes"].to_pylist()
    assert frame["image__mask__ground_truth"].to_list() == expected["image__mask__ground_truth"].to_pylist()
    assert frame["image__pixels__ground_truth"].to_list() == expected["image__pixels__ground_truth"].to_pylist()
    table = pd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert list(table.columns) == expected.column_names
    assert table["id"].tolist() == expected["id"].to_pylist()
    assert table["image__bytes"].tolist() == expected["image__bytes"].to_pylist()


def test_duckdb_reads_the_parquet_beside_the_store(store: maskl.Store, tmp_path: Path) -> None:
    store.export("표", tmp_path / "out.parquet")
    query = f"SELECT list(id ORDER BY id), count(image__bytes) FROM read_parquet('{tmp_path}/out.parquet')"
    ((ids, count),) = store.connect().sql(query).fetchall()
    assert (len(ids), count) == (17, 13)


def test_files_and_row_groups_have_a_most(store: maskl.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "FILE_BYTES", 4000)
    monkeypatch.setattr("maskl.formats.rows._columnar.PIECE_BYTES", 500)
    monkeypatch.setattr("maskl.formats.rows._columnar.FIRST", 2)
    monkeypatch.setattr("maskl.formats.rows._columnar.BLOCK", 5)
    monkeypatch.setattr(parquet.grouped, "__defaults__", (1500,))
    store.export("표", tmp_path / "out")
    store.export("표", tmp_path / "whole.parquet")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) > 2
    assert names == [f"part-{number:05}.parquet" for number in range(len(names))]
    assert pq.read_table(tmp_path / "out").equals(pq.read_table(tmp_path / "whole.parquet"))
    assert pq.ParquetFile(tmp_path / "whole.parquet").num_row_groups >= len(names)


@pytest.mark.parametrize("name", FORMATS)
def test_a_table_without_rows_or_images(start: Any, store_dir: Path, tmp_path: Path, name: str) -> None:
    with start() as run:
        run.log({"empty": maskl.Table(["a"])})
        run.log({"plain": maskl.Table(["a", "b"], [[1, None]])})
    store = maskl.open(store_dir)
    for table, rows in (("empty", []), ("plain", [{"a": 1, "b": None}])):
        store.export(table, tmp_path / table, name)
        found = [pq.read_table(path) for path in (tmp_path / table).rglob("*.parquet")] or [
            read(tmp_path / table / "data.arrow")
        ]
        assert [row for piece in found for row in piece.select(["a", *(["b"] if rows else [])]).to_pylist()] == rows


def test_columns_that_bear_the_names_of_exports_keep_them(start: Any, store_dir: Path, tmp_path: Path) -> None:
    image = maskl.Image(np.zeros((2, 2), np.uint8), masks={"m": {"mask_data": np.ones((2, 2), np.uint8)}})
    with start() as run:
        run.log({"t": maskl.Table(["image__bytes", "image", "Image__Pixels__m"], [[1, image, 2]])})
    maskl.open(store_dir).export("t", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    described = json.loads(found.schema.metadata[b"maskl_export"])
    assert (found["image__bytes"].to_pylist(), found["Image__Pixels__m"].to_pylist()) == ([1], [2])
    assert described["bytes"] == {"image__bytes_1": "image"}
    assert found["image__bytes_1"][0].as_py().startswith(b"\x89PNG")
    assert found["image__pixels__m_1"].to_pylist() == [
        [{"class_id": 1, "class_name": "class_1", "ignored": False, "pixels": 4}]
    ]

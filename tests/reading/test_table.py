"""Stored rows in pandas and Polars, and as datasets of torch and of Hugging Face."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import maskl
import maskl_storage
from maskl.errors import InvalidType, InvalidValue, MissingExtra, NotFound

pytestmark = pytest.mark.once

WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)
LABELS = {0: "도로", 1: "car", 9: "sky"}
PLACES = ["run_id", "_row", "_step", "_timestamp"]
RNG = np.random.default_rng(0)
FRAME = RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)
TRUTH = RNG.integers(0, 2, (6, 8)).astype(">i2")
GUESS = RNG.integers(0, 2, (6, 8)).astype(np.bool_)


def image(pixels: Any = FRAME, **masks: Any) -> maskl.Image:
    entries = {key: {"mask_data": mask, "class_labels": LABELS} for key, mask in masks.items()}
    return maskl.Image(pixels, masks=entries, caption="첫째" if "truth" in masks else None)


@pytest.fixture
def rows(start: Callable[..., maskl.Run], store_dir: Path) -> maskl.StoredTable:
    """Two runs whose columns differ: masks, missing values, and a column that is a number in one only."""
    columns = ["image", "n", "flag", "score", "name", "json", "array", "list", "raw", "when", "_own", "mixed"]
    with start(name="a") as run:
        table = maskl.Table(columns)
        values = [
            7,
            True,
            0.5,
            "이름",
            {"k": [1, None]},
            np.arange(6, dtype=np.int16).reshape(2, 3),
            [1, 2],
            b"x",
            WHEN,
        ]
        table.add_data(image(truth=TRUTH), *values, "own", 1)
        table.add_data(None, *[None] * 11)
        run.log({"t": table}, step=3)
    with start(name="b") as run:
        run.log({"t": maskl.Table(["image", "score", "mixed"], [[image(FRAME[..., 0], guess=GUESS), 2, "text"]])})
    return maskl.open(store_dir).table("t")


def test_open_returns_tables_of_this_kind(rows: maskl.StoredTable) -> None:
    assert type(rows) is type(rows[1:]) is type(rows[::2]) is maskl.StoredTable
    assert isinstance(rows, maskl_storage.read.table.StoredTable)
    assert rows[0]["image"].masks["truth"].shape == (6, 8)


# --- pandas and Polars --------------------------------------------------------------------------


def test_pandas_has_the_values_that_were_logged(rows: maskl.StoredTable) -> None:
    frame = rows.to_pandas()
    names = ["image", "n", "flag", "score", "name", "json", "array", "list", "raw", "when", "_own_1"]
    assert list(frame.columns) == [*PLACES, *names, "mixed", "mixed__string"]
    assert frame["n"].tolist()[0] == 7
    assert frame["n"].isna().tolist() == [False, True, True]
    assert [str(frame[name].dtype) for name in ("_row", "n", "flag", "score")] == [
        "int64",
        "Int64",
        "boolean",
        "float64",
    ]
    assert frame["score"].tolist()[::2] == [0.5, 2.0]
    assert frame["json"][0] == {"k": [1, None]}
    assert frame["array"][0].dtype == np.int16
    assert frame["array"][0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (frame["list"][0], frame["raw"][0], frame["when"][0]) == ([1, 2], b"x", WHEN)
    assert frame["mixed"].fillna(0).tolist() == [1, 0, 0]
    assert frame["mixed__string"].fillna("").tolist() == ["", "", "text"]
    assert [row.get("mixed") for row in rows] == [1, None, "text"]
    assert frame["_step"].tolist() == [3, 3, 0]
    assert frame["run_id"].tolist() == [row.run_id for row in rows]
    assert frame["_row"].tolist() == [row.row for row in rows]


def test_pandas_has_images(rows: maskl.StoredTable) -> None:
    first, none, second = rows.to_pandas(["image"])["image"]
    assert none is None
    np.testing.assert_array_equal(np.asarray(first), FRAME)
    np.testing.assert_array_equal(first.masks["truth"].mask_data, TRUTH)
    assert list(second.masks) == ["guess"]


def test_pandas_of_no_rows_has_the_columns(rows: maskl.StoredTable) -> None:
    frame = rows[:0].to_pandas()
    assert len(frame) == 0
    assert list(frame.columns) == list(rows.to_pandas().columns)
    one = rows[2:].to_pandas()
    assert one["n"].isna().tolist() == one["name"].isna().tolist() == [True]


def test_polars_has_what_is_stored(rows: maskl.StoredTable) -> None:
    import polars

    frame = rows.to_polars()
    assert frame.columns[:4] == PLACES
    assert frame["n"].to_list() == [7, None, None]
    assert frame["image"].struct.field("caption").to_list() == ["첫째", None, None]
    assert frame["json"].to_list() == ['{"k": [1, null]}', None, None]
    truth, *others = frame["image__mask__truth"].to_list()
    assert others == [None, None]
    assert maskl_storage.decode(truth).dtype == TRUTH.dtype
    np.testing.assert_array_equal(maskl_storage.decode(truth), TRUTH)
    np.testing.assert_array_equal(maskl_storage.decode(frame["image__mask__guess"][2]), GUESS)
    assert (frame["mixed"].to_list(), frame["mixed__string"].to_list()) == ([1, None, None], [None, None, "text"])
    chosen = rows.to_polars(["score", "run_id", "image__mask__guess"])
    assert chosen.columns == ["score", "run_id", "image__mask__guess"]
    assert chosen.schema["score"] == polars.Float64
    assert rows[:0].to_polars(["image__mask__guess", "image"]).shape == (0, 2)


@pytest.mark.parametrize("method", ["to_pandas", "to_polars", "to_torch", "to_hf"])
def test_columns_are_checked(rows: maskl.StoredTable, method: str) -> None:
    if method in ("to_torch", "to_hf"):
        pytest.importorskip({"to_torch": "torch", "to_hf": "datasets"}[method])
    with pytest.raises(NotFound, match=r"no column 'lost' to take; it has: .*'image'"):
        getattr(rows, method)(["image", "lost"])
    with pytest.raises(InvalidType, match="columns must be a list of names"):
        getattr(rows, method)("image")


@pytest.mark.parametrize(
    ("method", "package"),
    [("to_pandas", "pandas"), ("to_polars", "polars"), ("to_torch", "torch"), ("to_hf", "datasets")],
)
def test_what_is_not_installed_is_named(
    rows: maskl.StoredTable, monkeypatch: pytest.MonkeyPatch, method: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, "torch.utils.data", None)
    from maskl.reading import _torch as datasets_of_torch

    datasets_of_torch._dataset_class.cache_clear()
    with pytest.raises(MissingExtra, match=rf"{method}\(\) needs {package}: pip install 'maskl\[{package}\]'"):
        getattr(rows, method)(["image"])


def test_every_extra_is_declared() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"pandas", "polars", "torch", "datasets"} <= project["optional-dependencies"].keys()


# --- torch --------------------------------------------------------------------------------------


def test_torch_has_tensors(rows: maskl.StoredTable) -> None:
    torch = pytest.importorskip("torch")
    found = rows.to_torch()
    assert isinstance(found, torch.utils.data.Dataset)
    assert len(found) == 3
    item = found[0]
    assert set(item) == {
        *("image", "image__mask__truth", "image__mask__guess"),
        *("n", "flag", "score", "name", "json", "array", "list", "raw", "when", "_own_1", "mixed", "mixed__string"),
    }
    assert item["image"].dtype == torch.uint8
    np.testing.assert_array_equal(item["image"].numpy(), FRAME.transpose(2, 0, 1))
    assert item["image__mask__truth"].dtype == torch.int64
    np.testing.assert_array_equal(item["image__mask__truth"].numpy(), TRUTH)
    assert item["image__mask__guess"] is None
    assert (item["n"], item["score"], item["name"], item["json"]) == (7, 0.5, "이름", {"k": [1, None]})
    assert item["array"].dtype == torch.int16
    assert set(found[1].values()) == {None}
    assert found[-1]["image"].shape == (1, 6, 8)
    with pytest.raises(IndexError):
        found[3]


def test_torch_keeps_the_dtype_of_masks_where_asked(rows: maskl.StoredTable) -> None:
    torch = pytest.importorskip("torch")
    found = rows.to_torch(["image__mask__truth", "image__mask__guess"], mask_dtype="own")
    assert found[0]["image__mask__truth"].dtype == torch.int16
    assert found[2]["image__mask__guess"].dtype == torch.bool
    np.testing.assert_array_equal(found[0]["image__mask__truth"].numpy(), TRUTH)
    with pytest.raises(InvalidValue, match="mask_dtype must be 'int64' or 'own'"):
        rows.to_torch(mask_dtype="int8")


@pytest.mark.parametrize(
    ("pixels", "mode", "shape"),
    [
        (FRAME[..., 0], None, (1, 6, 8)),
        (FRAME[..., 0], "RGB", (3, 6, 8)),
        (np.dstack([FRAME, FRAME[..., :1]]), None, (4, 6, 8)),
        (FRAME[..., 0] > 100, None, (1, 6, 8)),
        (PILImage.fromarray(FRAME).convert("P"), None, (3, 6, 8)),
    ],
)
def test_torch_has_colours_of_every_mode(
    start: Callable[..., maskl.Run], store_dir: Path, pixels: Any, mode: str | None, shape: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch")
    with start() as run:
        run.log({"t": maskl.Table(["image"], [[maskl.Image(pixels)]])})
    item = maskl.open(store_dir).table("t").to_torch(mode=mode)[0]["image"]
    assert (item.dtype, tuple(item.shape)) == (torch.uint8, shape)
    assert item.max() > 100
    with pytest.raises(InvalidValue, match="mode must be one of"):
        maskl.open(store_dir).table("t").to_torch(mode="rgb")


def test_torch_keeps_16_bits_of_an_image(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    torch = pytest.importorskip("torch")
    pixels = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1300
    with start() as run:
        run.log({"t": maskl.Table(["image"], [[maskl.Image(pixels)]])})
    item = maskl.open(store_dir).table("t").to_torch()[0]["image"]
    assert item.dtype == torch.uint16
    np.testing.assert_array_equal(item.numpy(), pixels[None])


def double(item: dict[str, Any]) -> Any:
    return item["image"].float() * 2, item["image__mask__truth"]


@pytest.fixture
def many(start: Callable[..., maskl.Run], store_dir: Path) -> maskl.StoredTable:
    with start() as run:
        table = maskl.Table(["n", "image"])
        for number in range(20):
            table.add_data(number, image(np.full((6, 8, 3), number, np.uint8), truth=np.full((6, 8), number % 2)))
        run.log({"t": table})
    return maskl.open(store_dir).table("t")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_with_workers_returns_every_row_once(many: maskl.StoredTable, workers: int) -> None:
    torch = pytest.importorskip("torch")
    assert many[0]["n"] == 0  # files are open before the workers are forked
    loader = torch.utils.data.DataLoader(many.to_torch(), batch_size=6, num_workers=workers)
    batches = list(loader)
    assert torch.cat([batch["n"] for batch in batches]).tolist() == list(range(20))
    assert batches[0]["image"].shape == (6, 3, 6, 8)
    assert torch.cat([batch["image"][:, 0, 0, 0] for batch in batches]).tolist() == list(range(20))
    assert torch.cat([batch["image__mask__truth"][:, 0, 0] for batch in batches]).tolist() == [0, 1] * 10


def test_a_transform_makes_the_items(many: maskl.StoredTable) -> None:
    pytest.importorskip("torch")
    frame, truth = many.to_torch(transform=double)[5]
    assert (frame.max(), truth.max()) == (10.0, 1)


def test_a_torch_dataset_can_be_pickled(many: maskl.StoredTable) -> None:
    torch = pytest.importorskip("torch")
    found = pickle.loads(pickle.dumps(many[3:].to_torch(transform=double)))
    assert isinstance(found, torch.utils.data.Dataset)
    assert len(found) == 17
    assert found[0][0].max() == 6.0


# --- Hugging Face -------------------------------------------------------------------------------


def test_hf_has_features_that_decode(rows: maskl.StoredTable) -> None:
    datasets = pytest.importorskip("datasets")
    found = rows.to_hf()
    assert len(found) == 3
    assert {name for name, feature in found.features.items() if isinstance(feature, datasets.Image)} == {
        *("image", "image__mask__truth", "image__mask__guess"),
    }
    classes = found.features["image__classes__truth"].feature
    assert classes.names == list(LABELS.values())
    first, none, second = found
    np.testing.assert_array_equal(np.asarray(first["image"]), FRAME)
    assert first["image__mask__truth"].mode == "L"
    np.testing.assert_array_equal(np.asarray(first["image__mask__truth"]), TRUTH)
    assert classes.int2str(first["image__classes__truth"]) == ["도로", "car"]
    assert (first["image__caption"], second["image__caption"]) == ("첫째", None)
    assert (first["n"], first["name"], first["json"], first["list"]) == (7, "이름", '{"k": [1, null]}', [1, 2])
    assert first["when"] == WHEN
    assert {value for name, value in none.items() if name not in PLACES} == {None}
    np.testing.assert_array_equal(np.asarray(second["image__mask__guess"]), GUESS)


def test_hf_can_be_kept_in_a_file(rows: maskl.StoredTable, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    target = tmp_path / "rows.arrow"
    found = rows.to_hf(["image__mask__truth", "n"], file=target)
    assert found.column_names == ["n", "image__mask__truth", "image__classes__truth"]
    assert found["n"][:] == [7, None, None]
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".arrow", ".tmp")] == ["rows.arrow"]
    before = target.read_bytes()
    with pytest.raises(InvalidValue, match=r"rows\.arrow exists"):
        rows.to_hf(file=target)
    assert target.read_bytes() == before


def test_hf_masks_have_8_or_16_bits(start: Callable[..., maskl.Run], store_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    masks = {"wide": np.array([[0, 65535]]), "narrow": np.array([[0, 255]], np.int64)}
    bad = {"negative": np.array([[-1, 0]]), "large": np.array([[0, 65536]])}
    with start() as run:
        run.log({"t": maskl.Table(["image"], [[None], [image(FRAME[:1, :2], **masks, **bad)]])})
    rows = maskl.open(store_dir).table("t")
    found = rows.to_hf(["image__mask__wide", "image__mask__narrow"])[1]
    assert (found["image__mask__wide"].mode, found["image__mask__narrow"].mode) == ("I;16", "L")
    for key, mask in masks.items():
        np.testing.assert_array_equal(np.asarray(found[f"image__mask__{key}"]), mask)
    assert found["image__classes__wide"] == [0, 3]
    for key in bad:
        with pytest.raises(
            InvalidValue, match=rf"row 1, column 'image__mask__{key}': a PNG holds ids from 0 to 65535; this mask has"
        ):
            rows.to_hf([f"image__mask__{key}"], file=tmp_path / "rows.arrow")
    assert not list(tmp_path.glob("rows.arrow*"))


def test_hf_has_class_labels_of_columns_of_ids(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = maskl.Table(["counted", "sparse"], [[1, 9], [None, 0], [0, 9]])
    table.cast(
        "counted", maskl.Classes([{"id": 1, "name": "car"}, {"id": 0, "name": "도로"}]).get_type(), optional=True
    )
    table.cast("sparse", maskl.Classes([{"id": 0, "name": "road"}, {"id": 9, "name": "sky"}]).get_type())
    with start() as run:
        run.log({"t": table})
    found = maskl.open(store_dir).table("t").to_hf(["counted", "sparse"])
    assert found.features["counted"] == datasets.ClassLabel(names=["도로", "car"])
    assert found.features["sparse"] == datasets.Value("int64")
    assert found["counted"][:] == [1, None, 0]


def test_hf_never_fetches_a_reference(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    datasets = pytest.importorskip("datasets")
    with start() as run:
        run.log({"t": maskl.Table(["image"], [[maskl.Image("https://example.com/a.png")]])})
    found = maskl.open(store_dir).table("t").to_hf(["image"]).cast_column("image", datasets.Image(decode=False))
    assert found[0]["image"] == {"bytes": None, "path": "https://example.com/a.png"}
    assert len(maskl.open(store_dir).table("t")[:0].to_hf()) == 0

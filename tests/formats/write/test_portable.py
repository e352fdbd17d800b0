"""Frames in JPEG XL leave in what other tools open, pixel for pixel, and the export says so."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from PIL import Image as PILImage

import maskl
from maskl.cli.app import main
from maskl.errors import InvalidValue, MissingExtra
from maskl.importing.importer import import_dataset
from maskl_storage.images import jxl
from maskl_storage.images.lossless import format_of

RNG = np.random.default_rng(5)
#: what each frame becomes
FRAMES: dict[str, npt.NDArray[Any]] = {
    "webp": RNG.integers(0, 256, (7, 5, 3), "u1"),
    "webp with alpha": RNG.integers(0, 256, (7, 5, 4), "u1"),
    "png with alpha that hides nothing": np.dstack([RNG.integers(0, 256, (7, 5, 3), "u1"), np.full((7, 5), 255, "u1")]),
    "png of grey": RNG.integers(0, 256, (7, 5), "u1"),
    "png of 16 bits": RNG.integers(0, 65536, (7, 5), "u2"),
}
MASK = RNG.integers(0, 3, (7, 5), "u1")
CONVERTED = {"JPEG XL as PNG": 2, "JPEG XL as WebP": 3}


@pytest.fixture
def store(tmp_path: Path) -> maskl.Store:
    with maskl.init(dir=tmp_path / "store", image_format="jxl") as run:
        images = [maskl.Image(frame, masks={"ground_truth": {"mask_data": MASK}}) for frame in FRAMES.values()]
        run.log({"t": maskl.Table(["name", "image"], [*map(list, zip(FRAMES, images, strict=True))])})
    return maskl.open(tmp_path / "store")


def check(files: list[bytes], *, as_jxl: bool = False) -> None:
    """Check that Pillow alone has each frame's pixels of its file, and what the format is."""
    for (wanted, frame), data in zip(FRAMES.items(), files, strict=True):
        form = "jxl" if as_jxl else "webp" if wanted.startswith("png with alpha") else wanted.split()[0]
        assert format_of(data) in (form, wanted.split()[0])
        if not as_jxl:
            with PILImage.open(io.BytesIO(data)) as opened:
                np.testing.assert_array_equal(
                    np.asarray(opened.convert("RGBA") if frame.shape[2:] == (4,) else opened), frame
                )


def cells(path: Path) -> list[dict[str, Any]]:
    table = pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_parquet_and_arrow_keep_what_is_stored_unless_asked(store: maskl.Store, tmp_path: Path, suffix: str) -> None:
    done = store.export("t", kept := tmp_path / f"kept{suffix}")
    assert done.converted == {}
    check([row["image__bytes"] for row in cells(kept)], as_jxl=True)
    done = store.export("t", tmp_path / f"out{suffix}", images="portable")
    assert (done.converted, done.dropped) == (CONVERTED, {})
    rows = cells(tmp_path / f"out{suffix}")
    check([row["image__bytes"] for row in rows])
    assert [row["image"]["format"] for row in rows] == ["webp"] * 3 + ["png"] * 2
    with pytest.raises(InvalidValue, match="images must be 'stored' or 'portable'; got 'jxl'"):
        store.export("t", tmp_path / "more", images="jxl")  # type: ignore[arg-type]  # as it says


def test_hugging_face_opens_them(store: maskl.Store, tmp_path: Path) -> None:
    done = store.export("t", tmp_path / "out", "huggingface")
    assert done.converted == CONVERTED
    (path,) = (tmp_path / "out" / "data").iterdir()
    rows = cells(path)
    check([row["image"]["bytes"] for row in rows])
    assert [row["image__info"]["format"] for row in rows] == ["webp"] * 3 + ["png"] * 2


@pytest.mark.parametrize("form", ["png", "coco-rle", "coco-panoptic"])
def test_folders_hold_files_that_everything_opens(store: maskl.Store, tmp_path: Path, form: str) -> None:
    done = store.export("t", tmp_path / "out", form, columns=["image"])
    assert done.converted == CONVERTED
    paths = sorted(path for path in (tmp_path / "out" / "images").rglob("*") if path.is_file())
    assert [path.suffix for path in paths] == [".webp", ".webp", ".png", ".png", ".png"]
    check([path.read_bytes() for path in paths])


def test_cityscapes_is_png_as_ever(store: maskl.Store, tmp_path: Path) -> None:
    done = store.export("t", tmp_path / "out", "cityscapes", columns=["image"])
    assert done.converted == {}
    for path, frame in zip(sorted((tmp_path / "out").rglob("*_leftImg8bit.png")), FRAMES.values(), strict=True):
        np.testing.assert_array_equal(np.asarray(PILImage.open(path)), frame)


def test_frames_that_several_rows_have_are_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = FRAMES["webp"]
    with maskl.init(dir=tmp_path / "store", image_format="jxl") as run:
        for _ in range(3):
            run.log({"t": maskl.Image(frame)})
    opened: list[int] = []
    real = jxl._opened
    monkeypatch.setattr(jxl, "_opened", lambda data: opened.append(1) or real(data))  # type: ignore[func-returns-value]
    done = maskl.open(tmp_path / "store").export("t", tmp_path / "out", "huggingface")
    assert (done.converted, opened) == ({"JPEG XL as WebP": 3}, [1])


def test_files_in_other_formats_stay_as_they_are(tmp_path: Path) -> None:
    PILImage.fromarray(FRAMES["webp"]).save(tmp_path / "a.jpg")
    with maskl.init(dir=tmp_path / "store") as run:
        run.log({"t": [maskl.Image(tmp_path / "a.jpg"), maskl.Image(FRAMES["webp"])]})
    done = maskl.open(tmp_path / "store").export("t", tmp_path / "out", "png")
    assert done.converted == {}
    assert (tmp_path / "out" / "images" / "0000000.jpg").read_bytes() == (tmp_path / "a.jpg").read_bytes()


def test_the_command_says_what_became_of_them(
    store: maskl.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKL_DIR", str(store.root))
    arguments = ["maskl", "export", "t", str(tmp_path / "out.parquet"), "--images", "portable"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit):
        main()
    assert "images: 2 JPEG XL as PNG, 3 JPEG XL as WebP\n" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", [*arguments, "--force", "--json"])
    with pytest.raises(SystemExit):
        main()
    assert json.loads(capsys.readouterr().out)[0]["converted"] == CONVERTED


def test_what_is_exported_comes_back(store: maskl.Store, tmp_path: Path) -> None:
    for number, (form, images) in enumerate([("parquet", None), ("parquet", "portable"), ("huggingface", None)]):
        store.export("t", tmp_path / f"out{number}", form, images=images)  # type: ignore[call-overload]
        import_dataset(tmp_path / f"out{number}", dir=tmp_path / f"store{number}")
        back = maskl.open(tmp_path / f"store{number}")
        (table,) = back.tables()
        rows = back.table(table.name)
        assert all(
            np.array_equal(np.asarray(rows[at]["image"].image), frame) for at, frame in enumerate(FRAMES.values())
        )
        assert not back.verify().faults


def test_without_the_plugin_an_export_names_the_extra(
    store: maskl.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_jxl", None)
    with pytest.raises(MissingExtra, match=r"pip install 'maskl\[jxl\]'"):
        store.export("t", tmp_path / "out", "huggingface")
    assert not (tmp_path / "out").exists()
    assert store.export("t", tmp_path / "kept").rows == len(FRAMES)

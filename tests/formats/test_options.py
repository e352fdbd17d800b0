"""Every format with every option: it heeds it, or refuses it and says which formats heed it."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from PIL import Image

import maskl
from maskl.cli.app import app
from maskl.errors import InvalidValue, MasklError
from maskl.formats import BUILT_IN, load, names
from maskl.importing.importer import import_dataset
from maskl.interchange.options import HEEDED, HEEDED_READING, ExportOptions, ImportOptions
from tests.formats.read.hostile import save

pytestmark = pytest.mark.once

#: a value of each option that is not the default, and what the command line calls it
READING: Final[dict[str, tuple[Any, list[str]]]] = {
    "images": ("nowhere", ["--images", "nowhere"]),
    "masks": (("nowhere",), ["--mask", "nowhere"]),
    "classes": ("nowhere", ["--classes", "nowhere"]),
    "staging": ("nowhere", ["--staging", "nowhere"]),
    "follow_links": (True, ["--follow-links"]),
}
WRITING: Final[dict[str, tuple[Any, list[str]]]] = {
    "masks": ("png", ["--masks", "png"]),
    "images": ("portable", ["--images", "portable"]),
    "instances": (True, ["--instances"]),
    "image": ("nowhere", ["--image", "nowhere"]),
    "mask": ("nowhere", ["--mask", "nowhere"]),
}


def heeding(option: str, *, read: bool) -> list[str]:
    """Return the formats that heed an option."""
    if read:
        return [name for name in names("read") if option in load(name, "read").heeds]
    return [name for name in names("write") if option in load(name, "write").takes]


def test_no_option_is_forgotten() -> None:
    assert {field.name for field in dataclasses.fields(ImportOptions)} == {*HEEDED_READING, "table", "step"}
    assert {field.name for field in dataclasses.fields(ExportOptions)} == {*HEEDED, "force", "file"}
    assert (set(READING), set(WRITING)) == (set(HEEDED_READING), set(HEEDED))
    assert set(HEEDED_READING) < set(inspect.signature(import_dataset).parameters)
    assert set(HEEDED) < set(inspect.signature(maskl.Store.export).parameters)
    assert all(heeding(option, read=True) for option in HEEDED_READING)
    assert all(heeding(option, read=False) for option in HEEDED)


@pytest.fixture(scope="module")
def call() -> Callable[..., str]:
    """What runs a command and returns what it fails with; the parser is made once, which takes longer than all else."""
    command = typer.main.get_command(app)

    def run(*words: str) -> str:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                command.main(list(words), prog_name="maskl", standalone_mode=False)
        except MasklError as error:
            return str(error)
        return ""

    return run


def failing(call: Callable[[], object]) -> str:
    """Return what a call fails with."""
    try:
        call()
    except MasklError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name in names("read")])
def test_an_import_refuses_what_its_format_does_not_heed(tmp_path: Path, call: Callable[..., str], name: str) -> None:
    source, store = tmp_path / "source", tmp_path / "store"
    source.mkdir()
    for option, (value, words) in READING.items():
        options = {option: value}
        failed = failing(lambda options=options: import_dataset(source, name, dir=store, **options))
        assert call("import", name, str(source), "--dir", str(store), *words) == failed
        others = heeding(option, read=True)
        refused = f"{name} takes no option {option!r}; it is for {', '.join(others)}: leave it out ({words[0]})"
        assert failed, "the source is empty"
        assert (failed == refused) == (name not in others)
        assert ("takes no option" in failed) == (name not in others)
    assert not store.exists()


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name in names("write")])
def test_an_export_refuses_what_its_format_does_not_heed(
    pictures: Path, tmp_path: Path, call: Callable[..., str], name: str
) -> None:
    for option, (value, words) in WRITING.items():
        options = {option: value}
        store, out = maskl.open(pictures), tmp_path / option
        failed = failing(lambda store=store, out=out, options=options: store.export("t", out, name, **options))
        again = call("export", "t", str(tmp_path / f"{option}-2"), "-f", name, "--dir", str(pictures), *words)
        assert again == failed
        others = heeding(option, read=False)
        if name not in others:
            refused = f"{name} takes no option {option!r}; it is for {', '.join(others)}: leave it out ({words[0]})"
            assert failed == refused
        else:  # what is not there is missed
            assert ("nowhere" in failed) == (value == "nowhere")
        assert out.exists() == (not failed)


def test_pictures_of_hugging_face_are_png(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="huggingface writes masks as png"):
        maskl.open(pictures).export("t", tmp_path / "out", "huggingface", masks="maskl")


def test_values_of_a_query_need_one(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="params are the values of a query"):
        maskl.open(pictures).export("t", tmp_path / "out", params=[1])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a table of an image with a mask."""
    filled = tmp_path_factory.mktemp("filled")
    with maskl.init(dir=str(filled), settings=maskl.Settings(silent=True)) as run:
        mask = {"ground_truth": {"mask_data": np.eye(4, dtype=np.uint8), "class_labels": {0: "a", 1: "b"}}}
        image = maskl.Image(np.zeros((4, 4, 3), np.uint8), masks=mask)
        run.log({"t": maskl.Table(["image"], [[image]])})
    return filled


# --- what is heeded has an effect ---------------------------------------------------------------


def png(value: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((2, 3), value, np.uint8)).save(out, "PNG")
    return out.getvalue()


def tables(folder: Path) -> pa.Table:
    cells = [{"bytes": png(number), "path": None} for number in range(2)]
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table({"image": pa.array(cells, picture), "annotation": pa.array(cells, picture)})


def parquet(folder: Path) -> None:
    pq.write_table(tables(folder), folder / "a.parquet")


def arrow(folder: Path) -> None:
    with pa.OSFile(str(folder / "a.arrow"), "wb") as sink, pa.ipc.new_file(sink, tables(folder).schema) as writer:
        writer.write_table(tables(folder))


def picture_folder(folder: Path) -> None:
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "annotation_file_name": "b.png"}))
    for name in "ab":
        (folder / f"{name}.png").write_bytes(png(1))


def cityscapes(folder: Path) -> None:
    for kind, end in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
        save(folder / kind / "val" / "ulm" / f"ulm_000000_000019_{end}.png", np.ones((2, 3)))


def folders(folder: Path) -> None:
    for kind in ("images", "masks"):
        save(folder / kind / "a.png", np.ones((2, 3)))


def coco(folder: Path, annotation: dict[str, Any]) -> None:
    save(folder / "images" / "a.png", np.ones((2, 3, 3)))
    body = {
        "images": [{"id": 1, "file_name": "a.png", "width": 3, "height": 2}],
        "annotations": [{"id": 1, "image_id": 1, **annotation}],
        "categories": [{"id": 1, "name": "road"}],
    }
    (folder / "any.json").write_text(json.dumps(body))


def rle(folder: Path) -> None:
    coco(folder, {"category_id": 1, "segmentation": {"size": [2, 3], "counts": [0, 6]}})


def panoptic(folder: Path) -> None:
    save(folder / "panoptic" / "a.png", np.full((2, 3, 3), [1, 0, 0]))
    coco(folder, {"file_name": "a.png", "segments_info": [{"id": 1, "category_id": 1}]})


SOURCES: Final[dict[str, Callable[[Path], None]]] = {
    "huggingface": parquet,
    "parquet": parquet,
    "arrow": arrow,
    "coco-panoptic": panoptic,
    "coco-rle": rle,
    "png": picture_folder,
    "cityscapes": cityscapes,
    "folders": folders,
}


LOOKED_AT: Final = [
    (name, option)
    for name in SOURCES
    for option in READING
    if option in ("images", "masks", "classes")
    if option in load(name, "read").heeds
]


@pytest.mark.parametrize(("name", "option"), LOOKED_AT)
def test_what_is_heeded_is_looked_at(tmp_path: Path, name: str, option: str) -> None:
    """A place, a column or a file that is not there ends the import; what is not heeded is refused above."""
    source = tmp_path / "source"
    source.mkdir()
    SOURCES[name](source)
    more = {"masks": "annotation"} if name in ("huggingface", "parquet", "arrow") else {}
    import_dataset(source, name, dir=tmp_path / "store", **more)
    with pytest.raises(MasklError, match="nowhere"):
        import_dataset(source, name, dir=tmp_path / "other", **(more | {option: READING[option][0]}))
    assert not (tmp_path / "other").exists()


CLASSES: Final = [{"id": 0, "name": "road"}, {"id": 1, "name": "car"}, {"id": 255, "name": "void", "ignore": True}]


@pytest.mark.parametrize("name", [name for name in SOURCES if "classes" in load(name, "read").heeds])
def test_classes_of_a_file_are_those_of_the_masks(tmp_path: Path, name: str) -> None:
    """Of every format that heeds them; 255 counts for nothing where the file says so."""
    source = tmp_path / "source"
    source.mkdir()
    SOURCES[name](source)
    (tmp_path / "names.json").write_text(json.dumps(CLASSES))
    more = {"masks": "annotation"} if name in ("huggingface", "parquet", "arrow") else {}
    import_dataset(source, name, dir=tmp_path / "store", table="t", classes=tmp_path / "names.json", **more)
    (mask,) = maskl.open(tmp_path / "store").table("t")[0]["image"].masks.values()
    assert [(item.id, item.name, item.ignore) for item in mask.class_set] == [
        (0, "road", False),
        (1, "car", False),
        (255, "void", True),
    ]


@pytest.mark.parametrize("name", ["huggingface", "parquet", "arrow"])
def test_classes_of_no_mask_are_refused(tmp_path: Path, name: str) -> None:
    SOURCES[name](tmp_path)
    (tmp_path / "names.json").write_text(json.dumps(CLASSES))
    with pytest.raises(InvalidValue, match=r"say which columns are masks \(--mask\)"):
        import_dataset(tmp_path, name, dir=tmp_path / "store", classes=tmp_path / "names.json")


#: what png has of classes stands in the place of maskl's own file
WRITTEN: Final = [
    *((name, option) for name in ("huggingface", "parquet", "arrow") for option in ("masks", "classes")),
    ("png", "masks"),
]


@pytest.mark.parametrize(("name", "option"), WRITTEN)
def test_what_maskl_wrote_says_itself_what_masks_are(pictures: Path, tmp_path: Path, name: str, option: str) -> None:
    source = maskl.open(pictures).export("t", tmp_path / "out", name).path
    (tmp_path / "nowhere").write_text("[]")
    with pytest.raises(InvalidValue, match=re.escape(f"{option} ({READING[option][1][0]})")):
        import_dataset(
            source, name, dir=tmp_path / "store", **{option: tmp_path / "nowhere" if option == "classes" else "nowhere"}
        )


@pytest.mark.parametrize("option", [{"table": "t"}, {"step": 3}])
def test_a_source_without_tables_refuses_what_is_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: dict[str, Any]
) -> None:
    from maskl import formats
    from maskl.interchange.records import Scalars

    monkeypatch.setattr(formats, "_registered", {})
    formats.register(formats.Format("toy", read=lambda *_: iter([Scalars({"loss": 1.0}, 0)])))
    with pytest.raises(InvalidValue, match=rf"holds no table: leave '{next(iter(option))}' out"):
        import_dataset(tmp_path, "toy", dir=tmp_path / "store", **option)

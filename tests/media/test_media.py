"""Kept media: made of files and arrays, logged anywhere, read back, and kept through all that a store goes through."""

from __future__ import annotations

import io
import json
import pickle
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import maskl
from maskl.data_types import Bokeh, Media
from maskl.errors import (
    ConversionWarning,
    CorruptData,
    InvalidType,
    InvalidValue,
    NotFound,
    NotStoredWarning,
    StateError,
    StorageError,
)
from maskl_storage.format.json_values import dump_text, load_text

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]
PAGE = "<p>한강</p>"


def files_in(store_dir: Path) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = (
        maskl.open(store_dir).sql("SELECT path, size FROM run_files ORDER BY path").fetchall()
    )
    return found


# --- what each is made of ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.html", "b.HTML"])
def test_a_page_is_text_or_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(PAGE, "utf-8")
    with (tmp_path / name).open("rb") as file, (tmp_path / name).open(encoding="utf-8") as text:
        for data in (PAGE, PAGE.encode(), io.StringIO(PAGE), name, tmp_path / name, file, text):
            assert maskl.Html(data).read().decode() == PAGE
    assert maskl.Html(name, data_is_not_path=True).data == name.encode()
    assert maskl.Html("no such.html").data == b"no such.html"
    assert maskl.Html("a\0.html").data == b"a\0.html"


@pytest.mark.parametrize(
    ("data", "samples"),
    [
        ([0.0, 1.0, -1.0], [0, 32767, -32767]),
        (np.array([0.5, np.nan, np.inf], np.float32), [16384, 0, 32767]),
        (np.array([1, -2], np.int16), [1, -2]),
        ([3, -4], [3, -4]),
        (np.array([1 << 16, -1], np.int32), [1, -1]),
        (np.array([128, 255], np.uint8), [0, 127 << 8]),
        (np.array([], np.float32), []),
        (np.array([[1, 2], [3, 4]], np.int16), [1, 2, 3, 4]),
    ],
)
@pytest.mark.filterwarnings("ignore:a sound has samples")
def test_samples_become_a_wav(data: Any, samples: list[int]) -> None:
    made = maskl.Audio(data, sample_rate=8000, caption="소리")
    with wave.open(io.BytesIO(made.read())) as file:
        assert file.getframerate() == 8000
        assert file.getnchannels() == (2 if np.ndim(data) == 2 else 1)
        assert np.frombuffer(file.readframes(file.getnframes()), "<i2").tolist() == samples
    assert (made.type, made.format, made.caption) == ("audio", "wav", "소리")


def test_samples_out_of_range_are_cut_off() -> None:
    with pytest.warns(ConversionWarning, match="cut off"):
        assert maskl.Audio([2.0], 8000).size == 46


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, bool])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.filterwarnings("ignore:a video of float32")
def test_frames_become_a_gif(channels: int, dtype: Any) -> None:
    frames = np.zeros((3, channels, 4, 6), dtype)
    frames[1] = 255 if dtype is np.uint8 else 1
    with PILImage.open(io.BytesIO(maskl.Video(frames, fps=5).read())) as file:
        assert (file.size, getattr(file, "n_frames", 0), file.info["duration"]) == ((6, 4), 3, 200)
        seen = []
        for number in range(3):
            file.seek(number)
            seen.append(np.asarray(file.convert("RGB")).max())
    assert seen == [0, 255, 0]


def test_several_videos_stand_beside_each_other() -> None:
    videos = np.zeros((3, 1, 1, 2, 2), np.uint8)
    videos[1] = 255
    with PILImage.open(io.BytesIO(maskl.Video(videos).read())) as file:
        assert np.asarray(file.convert("L")).tolist() == [[0, 0, 255, 255, 0, 0, 0, 0]] * 2


def test_what_needs_an_encoder_is_a_gif_and_a_warning() -> None:
    with pytest.warns(ConversionWarning, match="moviepy"):
        assert maskl.Video(np.zeros((1, 3, 2, 2), np.uint8), format="mp4").format == "gif"
    with pytest.warns(ConversionWarning, match="its own rate"):
        assert maskl.Video(b"????ftypisom", fps=4).format == "mp4"
    assert maskl.Video(b"unknown", format="ogg").format == "ogg"


def test_points_and_scenes_become_json() -> None:
    assert json.loads(maskl.Object3D(np.array([[1.5, 2, np.nan]])).read()) == [[1.5, 2.0, None]]
    assert json.loads(maskl.Object3D.from_numpy([[1, 2, 3, 4]]).read()) == [[1, 2, 3, 4]]
    boxes = np.array([{"corners": np.array([[0, 0, 1]]), "label": "차"}])
    scene = maskl.Object3D.from_point_cloud(points=np.zeros((1, 3)), boxes=boxes)
    assert json.loads(scene.read()) == {
        "type": "lidar/beta",
        "vectors": [],
        "points": [[0.0, 0.0, 0.0]],
        "boxes": [{"corners": [[0, 0, 1]], "label": "차"}],
    }
    assert scene.format == "pts.json"
    assert maskl.Object3D.from_file(io.BytesIO(b"v 0 0 0"), "obj").format == "obj"


def test_a_quarter_turn_of_a_box() -> None:
    """About z, by ninety degrees: what lay along x lies along y."""
    given: dict[str, Any] = {"center": (1, 2, 3), "size": (4, 2, 2), "color": (0, 0, 1)}
    for turn, first in (((1, 0, 0, 1), (2, 0, 2)), ((1e-200, 0, 0, -1e-200), (0, 4, 2)), ((-3, 0, 0, 0), (-1, 1, 2))):
        box = maskl.box3d(**given, orientation=turn)
        assert np.allclose(box["corners"][0], first)
    scene = maskl.Object3D.from_point_cloud([[0, 0, 0]], [box])
    assert json.loads(scene.read())["boxes"][0]["corners"][0] == [-1.0, 1.0, 2.0]
    with pytest.raises(InvalidValue, match="other than 0"):
        maskl.box3d(**given, orientation=(0, 0, 0, 0))
    with pytest.raises(InvalidType, match="center must be 3"):
        maskl.box3d(**(given | {"center": (1, 2)}), orientation=(1, 0, 0, 0))


@pytest.mark.parametrize("name", ["a.pts.json", "b.GLB"])
def test_files_keep_their_format(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"{}")
    with (tmp_path / name).open("rb") as file:
        found = [maskl.Object3D(given, caption="c") for given in (name, tmp_path / name, file)]
    for made in found:
        assert (made.format, made.read(), made.caption) == (name.lower().partition(".")[2], b"{}", "c")


def test_a_molecule_without_rdkit_is_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.warns(ConversionWarning, match="rdkit is not installed"):
        made = maskl.Molecule.from_smiles("CCO", caption="ethanol")
    assert (made.read(), made.format, made.caption) == (b"CCO", "smi", "ethanol")


def test_a_molecule_of_rdkit_is_pdb(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    rdkit, chem = ModuleType("rdkit"), ModuleType("rdkit.Chem")
    optimizer = SimpleNamespace(
        EmbedMolecule=calls.append, MMFFOptimizeMolecule=lambda molecule, **options: calls.append(options)
    )
    of_chem = {
        "MolFromSmiles": lambda text, sanitize: None if text == "?" else [text, sanitize],
        "AddHs": lambda molecule: [*molecule, "H"],
        "MolToPDBBlock": lambda molecule: f"PDB {molecule}",
        "AllChem": optimizer,
    }
    vars(chem).update(of_chem)
    vars(rdkit)["Chem"] = chem
    monkeypatch.setitem(sys.modules, "rdkit", rdkit)
    monkeypatch.setitem(sys.modules, "rdkit.Chem", chem)
    made = maskl.Molecule.from_smiles("CCO", mmff_optimize_molecule_max_iterations=7)
    assert (made.read(), made.format) == (b"PDB ['CCO', True, 'H']", "pdb")
    assert calls == [["CCO", True, "H"], {"maxIters": 7}]
    flat = maskl.Molecule.from_rdkit(["CCO"], convert_to_3d_and_optimize=False)
    assert flat.read() == b"PDB ['CCO']"
    with pytest.raises(InvalidValue, match="no SMILES"):
        maskl.Molecule.from_smiles("?")


class Document:
    """What documents of bokeh answer."""

    __module__ = "bokeh.document"
    roots: tuple[Any, ...] = ()

    def to_json(self, **arguments: Any) -> dict[str, Any]:
        if arguments:
            raise TypeError("an older version")
        return {"roots": []}


def test_plots_are_their_json() -> None:
    assert (Bokeh(Document()).read(), Bokeh(Document()).format) == (b'{"roots": []}', "bokeh.json")
    assert Bokeh(io.BytesIO(b"{}")).type == "bokeh"
    assert maskl.Plotly(io.BytesIO(b"{}")).format == "plotly.json"


def test_a_figure_of_matplotlib_is_a_picture() -> None:
    pyplot = pytest.importorskip("matplotlib.figure")
    with pytest.warns(ConversionWarning, match="matplotlib"):
        made = maskl.Plotly(pyplot.Figure(figsize=(1, 1)))
    assert (made.format, made.read()[1:4]) == ("png", b"PNG")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: maskl.Html(3), InvalidType, "a page is its text"),
        (lambda: maskl.Html(Path("none.html")), NotFound, "there is no file"),
        (lambda: maskl.Html(Path(".")), InvalidValue, "no regular file"),
        (lambda: maskl.Audio([0.5]), InvalidValue, "needs sample_rate"),
        (lambda: maskl.Audio([0.5], 0), InvalidValue, "sample_rate must be"),
        (lambda: maskl.Audio([1 << 20], 8000), InvalidValue, "16 bits"),
        (lambda: maskl.Audio(np.zeros((1, 1, 1)), 8000), InvalidType, "a sound is an array"),
        (lambda: maskl.Audio("none.wav", caption=3), InvalidType, "a caption"),  # type: ignore[arg-type]
        (lambda: maskl.Video(np.zeros((2, 2))), InvalidType, "a video is an array"),
        (lambda: maskl.Video(np.zeros((0, 3, 2, 2))), InvalidType, "a video is an array"),
        (lambda: maskl.Video(np.zeros((1, 3, 2, 2)), fps=0), InvalidValue, "fps must be"),
        (lambda: maskl.Video(b"", format="avi"), InvalidValue, "format must be"),  # type: ignore[arg-type]
        (lambda: maskl.Object3D(np.zeros((2, 5))), InvalidValue, "points are rows"),
        (lambda: maskl.Object3D({"type": "x"}), InvalidValue, "lidar/beta"),
        (lambda: maskl.Object3D("a.exe"), InvalidValue, "ends in one of"),
        (lambda: maskl.Molecule(io.StringIO("x")), InvalidValue, "file_type"),
        (lambda: maskl.Molecule(3), InvalidType, "a molecule is"),
        (lambda: maskl.Plotly(object()), InvalidType, "a plot is"),
        (lambda: Bokeh(object()), InvalidType, "a plot is"),
    ],
)
def test_what_makes_none(make: Callable[[], Media], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


# --- logged and read back ---------------------------------------------------------------------------


def test_it_comes_back_from_everywhere(start: Start, store_dir: Path) -> None:
    """Made before the run and in it; by itself, nested, in lists, cells, and cells' lists and dicts."""
    page = maskl.Html(PAGE)
    with start(name="one") as run:
        sound = maskl.Audio([0.5], 8000, caption="삐")
        cells = maskl.Table(["n", "media"], [[1, page], [2, None], [3, sound]])
        mixed = maskl.Table(["media"], [[[sound, page]], [{"어디": page}], ["text"]], allow_mixed_types=True)
        run.log({"page": page, "안/쪽": {"sound": sound}, "list": [page, sound], "cells": cells, "mixed": mixed})
        assert run.summary["page"] == page
    store = maskl.open(store_dir)
    stored = store.run("one")
    assert [value.read() for _, value in stored.values("page")] == [PAGE.encode()]
    assert stored.values("안/쪽/sound") == [(0, sound)]
    assert stored.values("list") == [(0, [page, sound])]
    assert stored.summary["list"][1].read() == sound.read()
    assert [row["media"] for row in store.table("cells")] == [page, None, sound]
    assert [row["media"] for row in store.table("mixed")] == [[sound, page], {"어디": page}, "text"]
    assert store.table("mixed")[0]["media"][0].data == sound.read()
    assert isinstance(store.table("cells")[2]["media"], maskl.Audio)
    digest = store.sql("""SELECT media->>'$."$media"' FROM cells WHERE n = 1""").fetchall()
    assert digest == [(page.digest,)]
    assert files_in(store_dir) == [
        (f"media/audio/안-쪽-sound_0_{sound.digest[:8]}.wav", sound.size),
        (f"media/html/page_0_{page.digest[:8]}.html", len(PAGE.encode())),
    ]


def test_a_figure_of_plotly_is_logged_as_it_is(start: Start, store_dir: Path) -> None:
    figure = type("Figure", (), {"__module__": "plotly.graph_objs", "to_plotly_json": lambda self: {"data": []}})()
    with start(name="one") as run:
        run.log({"figure": figure, "t": maskl.Table(["figure"], [[figure]])})
    store = maskl.open(store_dir)
    assert store.run("one").values("figure")[0][1].read() == store.table("t")[0]["figure"].read() == b'{"data": []}'


def test_frames_and_joined_tables_keep_media(start: Start, store_dir: Path) -> None:
    pandas = pytest.importorskip("pandas")
    left = maskl.Table(dataframe=pandas.DataFrame({"id": [1], "page": [maskl.Html(PAGE)]}))
    right = maskl.Table(["id", "sound"], [[1, maskl.Audio([0.5], 8000)]])
    right.add_column("more", [maskl.Html("more")])
    with start() as run:
        run.log({"joined": maskl.JoinedTable(left, right, "id"), "frame": left})
    row = maskl.open(store_dir).table("joined")[0]
    assert [row[name].size for name in ("page", "sound", "more")] == [len(PAGE.encode()), 46, 4]
    assert row["more"].read() == b"more"
    assert maskl.open(store_dir).table("frame").to_pandas()["page"][0].read() == PAGE.encode()


class Report(maskl.Html):
    """A class of a user's own."""


def test_a_class_of_ones_own_comes_back_as_its_kind(start: Start, store_dir: Path) -> None:
    with start(name="one") as run:
        run.log({"page": Report(PAGE)})
    assert type(maskl.open(store_dir).run("one").values("page")[0][1]) is maskl.Html


def test_many_steps_keep_each_file_once(start: Start, store_dir: Path) -> None:
    """What is logged again is no other file; a run that goes on names it anew."""
    same = maskl.Html(PAGE)
    with start(id="one") as run:
        for step in range(3):
            run.log({"same": same, "new": maskl.Html(f"{step}")})
    with start(id="one", resume="must") as run:
        run.log({"same": maskl.Html(PAGE)})
    store = maskl.open(store_dir)
    assert [value.read() for _, value in store.run("one").values("same")] == [PAGE.encode()] * 4
    assert [path.split("_")[:2] for path, _ in files_in(store_dir)] == [
        *(["media/html/new", step] for step in "012"),
        ["media/html/same", "0"],
        ["media/html/same", "3"],
    ]
    assert store.verify().faults == []


def test_what_a_table_gives_back_can_go_into_another(start: Start, store_dir: Path) -> None:
    first = maskl.Table(["page"], [[maskl.Html(PAGE)]])
    second = maskl.Table(["page"], first.data)
    del first
    with start() as run:
        run.log({"second": second})
    assert maskl.open(store_dir).table("second")[0]["page"].read() == PAGE.encode()


def test_rows_that_come_later_bring_their_media(start: Start, store_dir: Path) -> None:
    with start() as run:
        table = maskl.Table(["page"], log_mode="INCREMENTAL")
        for text in ("a", "b"):
            table.add_data(maskl.Html(text))
            run.log({"t": table})
    assert [row["page"].read() for row in maskl.open(store_dir).table("t")] == [b"a", b"b"]
    assert [path[:17] for path, _ in files_in(store_dir)] == ["media/html/t_0_" + "17", "media/html/t_1_" + "10"]


def test_another_run_and_another_store_get_bytes_of_their_own(start: Start, store_dir: Path, tmp_path: Path) -> None:
    with start(name="one") as run:
        page = maskl.Html(PAGE)
        run.log({"page": page})
    read = maskl.open(store_dir).run("one").values("page")[0][1]
    for value in (page, read, pickle.loads(pickle.dumps(read))):
        other = tmp_path / f"other {id(value)}"
        with maskl.init(dir=other, name="two") as run:
            run.log({"page": value})
        assert maskl.open(other).run("two").values("page")[0][1].read() == PAGE.encode()
    with start(name="two") as run:
        run.log({"page": read})
    maskl.open(store_dir).delete("one")
    store = maskl.open(store_dir)
    store.compact()
    assert store.run("two").values("page")[0][1].read() == PAGE.encode()


def test_an_artifacts_table_keeps_media(start: Start, store_dir: Path) -> None:
    artifact = maskl.Artifact("rows", "data")
    artifact.add(maskl.Table(["page"], [[maskl.Html(PAGE)]]), "rows")
    with start() as run:
        run.log_artifact(artifact)
    found = maskl.open(store_dir).artifact("rows").get("rows")
    assert found.data[0][0].read() == PAGE.encode()  # type: ignore[union-attr]


def test_bytes_outlive_compaction_and_are_verified(start: Start, store_dir: Path) -> None:
    with start(name="one") as run:
        run.log({"page": maskl.Html(PAGE)})
    store = maskl.open(store_dir)
    store.compact()
    assert store.verify().faults == []
    stored = store.run("one").values("page")[0][1]
    assert stored.read() == PAGE.encode()
    (blob,) = [path for path in (store_dir / "blobs").rglob("*") if path.is_file()]
    blob.write_bytes(b"altered")
    assert store.verify().faults
    with pytest.raises(CorruptData, match="not those that were kept"):
        stored.read()
    blob.unlink()
    with pytest.raises(NotFound, match="does not hold"):
        stored.read()


def test_a_pickle_brings_bytes_that_wait() -> None:
    page = pickle.loads(pickle.dumps(maskl.Html(PAGE)))
    assert page == maskl.Html(PAGE)
    assert hash(page) == hash(maskl.Html(PAGE))
    assert page != maskl.Html("else")
    assert page.read() == PAGE.encode()


# --- what cannot be stored --------------------------------------------------------------------------


def test_nothing_is_kept_in_a_disabled_run(start: Start, store_dir: Path) -> None:
    run = maskl.init(mode="disabled")
    page, video = maskl.Html(PAGE), maskl.Video("not looked at.mp4")
    table = maskl.Table(["page"], [[page]])
    run.log({"page": page, "list": [page, video], "t": table})
    run.finish()
    assert table.data == [[page]]
    for gone in (page, video, table.data[0][0], pickle.loads(pickle.dumps(page))):
        with pytest.raises(StateError, match="disabled run"):
            gone.read()
    for logged in (page, [page], table):
        with start() as run, pytest.raises(StateError, match="disabled run"):
            run.log({"page": logged})
    assert files_in(store_dir) == maskl.open(store_dir).sql("FROM history").fetchall() == []


def test_a_list_of_media_holds_nothing_else(start: Start) -> None:
    with (
        start() as run,
        pytest.raises(InvalidValue, match="a list of kept media must hold nothing else; item 1 is a int"),
    ):
        run.log({"list": [maskl.Html(PAGE), 3]})


def test_text_alone_names_bytes_that_are_not_there(start: Start, store_dir: Path) -> None:
    text = dump_text(maskl.Html(PAGE))
    page = load_text(text)
    with pytest.raises(NotFound, match="without its store"):
        page.read()
    with start(name="one") as run, pytest.warns(NotStoredWarning, match="are not stored"):
        run.log({"page": page})
    store = maskl.open(store_dir)
    assert store.run("one").values("page") == [(0, page)]
    assert files_in(store_dir) == store.verify().faults == []


@pytest.mark.parametrize(
    "change",
    [
        {"$media": "../../etc/passwd"},
        {"$media": "A" * 64},
        {"$media": 3},
        {"type": None},
        {"type": 3},
        {"size": -1},
        {"size": "1"},
        {"format": ["a"]},
        {"caption": 3},
    ],
)
def test_text_of_others_is_checked(change: dict[str, Any]) -> None:
    text = json.dumps(json.loads(dump_text(maskl.Html(PAGE))) | change)
    with pytest.raises(CorruptData):
        load_text(text)


def test_types_and_names_of_others_lead_nowhere(start: Start, store_dir: Path) -> None:
    said = {"type": "../..", "format": "../x", "more": 1}
    found = load_text(json.dumps(json.loads(dump_text(maskl.Html(PAGE))) | said))
    assert type(found) is Media
    assert found.path("../\x00..:한" * 99, 3).count("/") == 2
    with start() as run:
        run.log({"../../a\\b:c" + "길" * 200: maskl.Html(PAGE)})
    ((path, _),) = files_in(store_dir)
    assert path.startswith("media/html/")
    assert len(path.encode()) < 150


def test_a_full_disk_is_told_by_log(start: Start, store_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any, **_more: Any) -> Any:
        raise OSError(28, "No space left on device")

    run = start(name="one")
    with monkeypatch.context() as broken:
        broken.setattr("maskl_storage.write.files.put_blob", full)
        page = maskl.Html(PAGE)
        with pytest.raises(StorageError):
            run.log({"page": page, "loss": 1})
    run.log({"page": page})
    run.finish()
    assert [(step, value.read()) for step, value in maskl.open(store_dir).run("one").values("page")] == [
        (0, PAGE.encode())
    ]

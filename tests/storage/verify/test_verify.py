"""Verification finds what is wrong, says where, and finds nothing where nothing is."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as PILImage

import maskl
from maskl_storage import Layout, Store
from maskl_storage.catalog.listing import SealCache, live_seals, write_seal
from maskl_storage.catalog.signed import signed
from maskl_storage.disk.local import Folder
from maskl_storage.errors import SizeMismatchWarning
from maskl_storage.format.seals import Part, Seal
from maskl_storage.verify._faults import Fault
from maskl_storage.verify.verify import Verified, verify
from tests.durability.flips import damaged, flips

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a file image, arrays, masks of several class sets, boxes, and two seals."""
    directory = tmp_path_factory.mktemp("verify")
    picture = directory / "p.png"
    PILImage.fromarray(np.arange(60, dtype=np.uint8).reshape(6, 10)).save(picture)
    with maskl.init(dir=directory / "maskl-store", name="r") as run:
        for step in range(2):
            table = maskl.Table(columns=["image", "tags"])
            for number in range(3):
                truth = np.zeros((6, 10), np.uint8)
                truth[: number + 1] = 1
                masks = {
                    "truth": {
                        "mask_data": truth,
                        "class_labels": {0: "하늘", 1: f"car {number % 2}"},
                        "ignore_index": 9,
                    },
                    "guess": {"mask_data": np.roll(truth, 1, 0).astype(np.int32)},
                }
                boxes = {"b": {"box_data": [{"position": {"minX": 0, "maxX": 1, "minY": 0, "maxY": 1}, "class_id": 1}]}}
                pixels: Any = str(picture) if number == 2 else np.full((6, 10, 3), 9 * number + step, np.uint8)
                table.add_data(maskl.Image(pixels, masks=masks, boxes=boxes), {"a": number})
            run.log({"평가": table, "loss": 0.5}, step=step)
            maskl.open(directory / "maskl-store").refresh()
    return directory / "maskl-store"


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy" / "maskl-store"))


def faults(root: Path) -> list[Fault]:
    return verify(Layout(root)).faults


def part(root: Path, kind: str) -> tuple[Seal, Part]:
    return next((seal, p) for seal in live_seals(Folder(root), {}) for p in seal.parts if p.kind == kind)


def reseal(root: Path, kind: str, change: Callable[[pa.Table], pa.Table], group: int | None = None) -> str:
    """Write a part again with something changed, and a seal that fits it; return its path."""
    from blake3 import blake3

    seal, old = part(root, kind)
    table = change(pq.read_table(root / old.path, partitioning=None))
    pq.write_table(table, root / old.path, row_group_size=group)
    data = (root / old.path).read_bytes()
    new = Part(old.path, len(data), table.num_rows, blake3(data).hexdigest(), old.columns)
    body = seal.to_json() | {"parts": [(new if p is old else p).to_json() for p in seal.parts]}
    (root / seal.path).write_bytes(signed(json.dumps(body)))
    return old.path


def test_a_store_that_is_whole_is_clean(root: Path) -> None:
    ticks: list[tuple[int, int]] = []
    found = verify(Layout(root), tick=lambda done, total: ticks.append((done, total)))
    assert found.clean
    assert (found.faults, found.notes) == ([], [])
    assert (found.seals, found.rows, found.masks, found.images, found.unchecked) == (2, 6, 12, 5, 0)
    assert ticks[-1][0] == pytest.approx(ticks[-1][1], rel=0.5)
    assert json.loads(json.dumps(found.to_json()))["clean"] is True


@pytest.mark.parametrize("version", sorted(path.name for path in GOLDEN.glob("v*")))
def test_stores_of_every_version_are_clean(version: str, tmp_path: Path) -> None:
    root = Path(shutil.copytree(GOLDEN / version / "maskl-store", tmp_path / "maskl-store"))
    assert faults(root) == []


@pytest.mark.once
def test_several_processes_find_the_same(root: Path) -> None:
    reseal(root, "class_pixels", lambda table: table.set_column(7, "pixels", pa.array(range(table.num_rows))))
    one, two = verify(Layout(root)), verify(Layout(root), processes=2)
    assert one.faults == two.faults != []
    assert (one.rows, one.masks, one.images) == (two.rows, two.masks, two.images)


@pytest.mark.once
def test_several_processes_know_an_image_by_a_digest_that_is_none(root: Path) -> None:
    first = part(root, "rows")[1].path
    named: dict[str, set[str]] = {}
    for sealed in Layout(root).listing().of("rows"):
        cells = pq.read_table(root / sealed.part.path, partitioning=None)["image"].to_pylist()
        named[sealed.part.path] = {cell["digest"] for cell in cells if cell is not None}
    digest = min(named.pop(first).difference(*named.values()))

    def renamed(digests: pa.ChunkedArray) -> pa.Array:
        return pa.array(["odd" if text == digest else text for text in digests.to_pylist()], pa.string())

    def in_rows(table: pa.Table) -> pa.Table:
        images = table["image"].combine_chunks()
        fields = [renamed(images.field(0)), *(images.field(number) for number in range(1, images.type.num_fields))]
        changed = pa.StructArray.from_arrays(fields, fields=list(images.type), mask=images.is_null())
        return table.set_column(table.column_names.index("image"), table.schema.field("image"), changed)

    reseal(root, "images", lambda table: table.set_column(0, "digest", renamed(table["digest"])))
    assert reseal(root, "rows", in_rows) == first
    found = verify(Layout(root), processes=2)
    assert not [fault for fault in found.faults if "does not hold its image" in fault.problem]
    assert [fault.problem for fault in found.faults] == ["image odd: its digest is not that of its pixels"]


# --- statistics ---------------------------------------------------------------------------------


def bumped(column: str, by: float = 1) -> Callable[[pa.Table], pa.Table]:
    """Change the last value of a column."""

    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[-1] = not values[-1] if isinstance(values[-1], bool) else (values[-1] or 0) + by
        at = table.schema.get_field_index(column)
        return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))

    return change


STATISTICS = [
    *(("class_pixels", name) for name in ("pixels", "mask_pixels", "valid_pixels", "ignored", "_step", "class_id")),
    *(("confusion", name) for name in ("pixels", "a_in_b", "b_in_a", "ignored_b", "class_id_a", "_step")),
    *(("scores", name) for name in ("mean_iou", "pixel_accuracy", "same_size", "names_in_common")),
    *(("class_scores", name) for name in ("tp", "fp", "fn", "names_in_common")),
    *(("class_totals", name) for name in ("pixels", "masks")),
    ("confusion_totals", "pixels"),
]


@pytest.mark.parametrize(("kind", "column"), STATISTICS, ids=".".join)
def test_a_statistic_that_is_not_the_masks_is_found(root: Path, kind: str, column: str) -> None:
    path = reseal(root, kind, bumped(column, 1e-6 if column in ("mean_iou", "pixel_accuracy") else 1))
    found = faults(root)
    assert path in {fault.file for fault in found}
    if not kind.endswith("totals"):
        (first, *_) = [fault for fault in found if fault.file == path]
        assert first.row is not None
        if column not in ("mean_iou", "pixel_accuracy"):
            assert (first.column, "truth" in str(first.mask) or "guess" in str(first.mask)) == ("image", True)


@pytest.mark.parametrize("kind", ["class_pixels", "confusion", "scores", "class_scores", "class_totals"])
def test_a_statistic_that_is_missing_or_there_twice_is_found(root: Path, kind: str) -> None:
    reseal(root, kind, lambda table: table.slice(0, table.num_rows - 1))
    assert faults(root) != []
    shutil.rmtree(root)


#: statistics of rows and a column of whole numbers of each
COUNTS = {"class_pixels": "pixels", "confusion": "pixels", "class_scores": "fp"}


@pytest.mark.parametrize("kind", COUNTS)
def test_each_wrong_count_of_many_rows_is_found(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: Path
) -> None:
    root = Path(shutil.copytree(many, tmp_path / "maskl-store"))
    rng = np.random.default_rng(3)
    wrong: set[int] = set()

    def change(table: pa.Table) -> pa.Table:
        values = table[COUNTS[kind]].to_pylist()
        counted = [place for place, value in enumerate(values) if value is not None]
        for place in rng.choice(counted, 5, replace=False).tolist():
            values[place] += int(rng.integers(1, 9))
            wrong.add(table["_row"][place].as_py())
        at = table.schema.get_field_index(COUNTS[kind])
        return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))

    path = reseal(root, kind, change)
    for window in (7, 1 << 17):  # also where rows are looked at a few at a time
        monkeypatch.setattr("maskl_storage.verify._windows.WINDOW", window)
        monkeypatch.setattr("maskl_storage.verify._recount.AT_ONCE", 40 * window)
        found = faults(root)
        assert {fault.row for fault in found if fault.file == path} == wrong
        assert {fault.file for fault in found} == {path}


@pytest.mark.parametrize("window", [1, 1 << 17])
def test_rows_of_masks_of_several_sizes_and_kinds_are_clean(
    window: int, monkeypatch: pytest.MonkeyPatch, many: Path
) -> None:
    monkeypatch.setattr("maskl_storage.verify._windows.WINDOW", window)
    found = verify(Layout(many))
    assert found.faults == []
    assert found.rows == 60


def mixed_rows() -> maskl.Table:
    rng = np.random.default_rng(0)
    table = maskl.Table(columns=["image"])
    for number in range(60):
        shape = (8, 9) if number % 3 else (70, 80)
        truth = np.zeros(shape, np.uint8)
        truth[: number % 7] = 1 + number % 4
        guess = rng.integers(0, 5, shape) if number % 5 == 0 else np.roll(truth, 1, 1).astype(np.int32)
        masks: dict[str, Any] = {"truth": {"mask_data": truth, "class_labels": {0: "a", 1: "b", 40: "c"}}}
        if number % 11:
            masks["guess"] = {"mask_data": guess if number % 13 else guess[:, :5], "class_labels": {3: "d"}}
        table.add_data(maskl.Image(np.full((*shape, 3), number, np.uint8), masks=masks))
    return table


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of rows whose masks differ in size, type, classes and noise, in one part of many row groups."""
    directory = tmp_path_factory.mktemp("many") / "maskl-store"
    with maskl.init(dir=directory, name="m") as run:
        with pytest.warns(SizeMismatchWarning):
            table = mixed_rows()
        run.log({"t": table})
    reseal(directory, "rows", lambda rows: rows, group=4)
    return directory


@pytest.mark.parametrize("order", [1, -1])
def test_a_mask_that_is_not_counted_says_nothing_of_one_that_lists_no_class(tmp_path: Path, order: int) -> None:
    """Both list no class of the set that they share: the one keeps no statistics, the other declared none."""
    masks = [
        {"mask_data": np.array([[0, 1]]), "class_labels": {0: "sky", 1: "car"}, "statistics": False},
        {"mask_data": np.array([[5, 5]])},
    ]
    with maskl.init(dir=tmp_path) as run:
        images = [maskl.Image(np.zeros((1, 2), np.uint8), masks={"m": mask}) for mask in masks[::order]]
        run.log({"t": maskl.Table(["image"], [[image] for image in images])})
    layout = Layout(tmp_path / "maskl-store")
    (sealed,) = layout.listing().of("rows")
    assert "image__set__m" not in dict(sealed.part.columns)  # they share one set
    assert verify(layout).faults == []


def test_a_class_name_that_is_not_the_class_sets_is_found(root: Path) -> None:
    def renamed(table: pa.Table) -> pa.Table:
        names = table["class_name"].to_pylist()
        at = names.index("하늘")
        names[at] = "sky"
        kind = table.schema.field("class_name")
        return table.set_column(table.schema.get_field_index("class_name"), kind, pa.array(names).cast(kind.type))

    reseal(root, "class_pixels", renamed)
    (fault, *_) = faults(root)
    assert fault.column == "image"
    assert fault.mask in ("truth", "guess")
    assert "class_pixels are not those of its masks" in fault.problem


# --- rows and images ----------------------------------------------------------------------------


def test_a_mask_whose_checksum_is_wrong_is_named(root: Path) -> None:
    def broken(table: pa.Table) -> pa.Table:
        values = table["image__mask__guess"].to_pylist()
        values[1] = values[1][:-1] + bytes([values[1][-1] ^ 1])
        at = table.schema.get_field_index("image__mask__guess")
        return table.set_column(at, table.schema.field(at), pa.array(values, pa.binary()))

    path = reseal(root, "rows", broken)
    (fault,) = [fault for fault in faults(root) if fault.file == path]
    assert (fault.row, fault.column, fault.mask) == (1, "image__mask__guess", "guess")
    assert "checksum of an encoded mask does not match" in str(fault)
    assert str(fault).startswith(f"{path}, row 1, column 'image__mask__guess', mask 'guess': ")


def test_a_mask_in_an_altered_file_is_named_too(root: Path) -> None:
    _, rows = part(root, "rows")
    data = bytearray((root / rows.path).read_bytes())
    data[data.index(b"MSKL", 4) + 8] ^= 1
    (root / rows.path).write_bytes(data)
    found = faults(root)
    assert "its BLAKE3 is not the one in its seal" in found[0].problem
    assert {(fault.row, fault.mask) for fault in found if fault.mask} == {(0, "truth")}
    assert {fault.file for fault in found} == {rows.path}


def test_rows_with_one_number_are_found(root: Path) -> None:
    path = reseal(root, "rows", lambda table: table.set_column(0, "_row", pa.array([0, 0, 2])))
    assert any(fault.row == 0 and fault.column == "_row" and fault.file == path for fault in faults(root))


def test_a_class_set_that_is_not_there_is_found(root: Path) -> None:
    def numbered(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index("image__set__truth")
        return table.set_column(at, "image__set__truth", pa.array([0, 1, 7], pa.uint16()))

    reseal(root, "rows", numbered)
    assert any("class set 7 is not one of the part's 2" in fault.problem and fault.row == 2 for fault in faults(root))


def test_a_mask_without_its_class_set_is_found(root: Path) -> None:
    def numbered(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index("image__set__truth")
        return table.set_column(at, "image__set__truth", pa.array([0, None, 0], pa.uint16()))

    path = reseal(root, "rows", numbered)
    found = [fault for fault in faults(root) if fault.file == path]
    assert [(fault.row, fault.problem) for fault in found if "class set None" in fault.problem] == [
        (1, "class set None is not one of the part's 2")
    ]


def test_rows_whose_numbers_cannot_be_read_are_told_of(root: Path) -> None:
    path = reseal(root, "rows", lambda table: table.set_column(0, "_row", pa.array(["a", "b", "c"])))
    assert any(fault.file == path and "its rows cannot be read" in fault.problem for fault in faults(root))


def test_a_box_of_another_name_is_found(root: Path) -> None:
    def renamed(table: pa.Table) -> pa.Table:
        column = table["image__boxes__b"].to_pylist()
        column[0][0]["class_name"] = "tree"
        at = table.schema.get_field_index("image__boxes__b")
        return table.set_column(at, table.schema.field(at), pa.array(column, table.schema.field(at).type))

    reseal(root, "rows", renamed)
    assert any("is called 'tree'" in fault.problem and fault.mask == "b" for fault in faults(root))


def test_an_image_that_is_not_its_digest_or_not_there_is_found(root: Path) -> None:
    def swapped(table: pa.Table) -> pa.Table:
        values = table["bytes"].to_pylist()
        values[0], values[1] = values[1], values[0]
        return table.set_column(5, "bytes", pa.array(values, pa.binary()))

    path = reseal(root, "images", swapped)
    assert {fault.file for fault in faults(root)} == {path}
    assert all("digest is not that of" in f.problem or "its row says" in f.problem for f in faults(root))
    reseal(root, "images", lambda table: table.slice(1))
    missing = [fault for fault in faults(root) if "does not hold its image" in fault.problem]
    assert missing
    assert {fault.column for fault in missing} == {"image"}


def test_a_part_that_is_not_there_or_named_twice_is_found(root: Path) -> None:
    seal, history = part(root, "history")
    write_seal(Folder(root), Seal(seal.run_id, 0, 99, (history,)))
    assert any("is a part of" in fault.problem for fault in faults(root))
    (root / history.path).unlink()
    assert any("it is not there" in fault.problem and fault.file == history.path for fault in faults(root))


# --- JSON ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "change", "words"),
    [
        ("maskl.json", {"new": 1}, "'new' is no key of version"),
        ("runs/*/*.json", {"run_id": "other"}, "by its path"),
        ("runs/*/*.json", {"state": "flying"}, "state: it cannot be 'flying'"),
        ("runs/*/*.json", {"started": "yesterday"}, "started: it cannot be"),
        ("seals/*/0-0.json", {"writer": 5}, "its path would be"),
        ("seals/*/0-0.json", {"replaces": ["maskl.json"]}, "no path of a seal of its run"),
        ("seals/*/0-0.json", {"generation": "0"}, "generation: a number is needed"),
    ],
)
def test_json_that_says_what_it_should_not_is_found(root: Path, pattern: str, change: Any, words: str) -> None:
    (path,) = root.glob(pattern)
    body = json.loads(path.read_text()) | change
    del body["blake3"]
    path.write_bytes(signed(json.dumps(body)))
    found = faults(root)
    assert any(words in fault.problem and fault.file == path.relative_to(root).as_posix() for fault in found)


def test_json_without_a_checksum_is_that_of_an_older_writer(root: Path) -> None:
    for path in [*root.glob("seals/*/*.json"), *root.glob("runs/*/*.json"), root / "maskl.json"]:
        body = json.loads(path.read_text())
        del body["blake3"]
        path.write_text(json.dumps(body))
    assert faults(root) == []


def test_a_write_ahead_file_whose_bytes_changed_is_found(root: Path) -> None:
    from maskl_storage.write.wal import Mark, WalFile

    path = root / "wal" / "run_id=gone" / "0-0.wal"
    file = WalFile(Folder(root), "wal/run_id=gone/0-0.wal")
    file.append(Mark(), [(["summary", "{}", False], b"") for _ in range(3)])
    found = verify(Layout(root))
    assert found.faults == []
    assert any("rows that are not sealed" in note for note in found.notes)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])  # torn, as a kill leaves it
    assert faults(root) == []
    path.write_bytes(whole[:30] + bytes([whole[30] ^ 1]) + whole[31:])
    assert [fault.file for fault in faults(root)] == ["wal/run_id=gone/0-0.wal"]


# --- what is no fault ---------------------------------------------------------------------------


def test_files_that_nothing_names_are_noted(root: Path) -> None:
    (root / "rows" / "run_id=r").mkdir()
    (root / "rows" / "run_id=r" / "0-9.parquet").write_bytes(b"")
    (root / "rows" / "run_id=r" / "0-9.tmp").write_bytes(b"")
    (root / "rows" / "mine.txt").write_text("")
    (root / "notes.md").write_text("")
    found = verify(Layout(root))
    assert found.faults == []
    for words in ("0-9.parquet: stray", "0-9.tmp: unfinished", "rows/mine.txt: nothing", "notes.md: nothing"):
        assert any(words in note for note in found.notes)


# --- single bytes -------------------------------------------------------------------------------


@pytest.mark.once
def test_a_byte_that_changed_is_found(root: Path) -> None:
    """Forty of the changes that tests/durability makes a thousand of."""
    told: list[str] = []
    for flip in flips(root, 40, seed=7):
        with damaged(root, flip):
            if not verify(Layout(root)).faults if flip.path != "maskl.json" else not found_in_store_file(root):
                told.append(str(flip))
    assert told == []


def found_in_store_file(root: Path) -> bool:
    try:
        return bool(verify(Layout(root)).faults)
    except maskl.errors.MasklError:
        return True


def test_the_cache_of_seals_is_not_what_is_verified(root: Path) -> None:
    layout = Layout(root)
    layout.listing()
    cache: SealCache = layout.seal_cache
    assert cache
    path = next(root.glob("seals/*/*.json"))
    path.write_bytes(path.read_bytes().replace(b'"generation": 0', b'"generation": 1'))
    assert isinstance(verify(layout), Verified)
    assert verify(layout).faults != []


def test_the_method_of_a_store(root: Path) -> None:
    assert Store(root).verify().clean
    assert maskl.open(root).verify().clean


@pytest.mark.parametrize("names", [{}, {1: "road"}, {0: "sky", 1: "road", 9: "car"}], ids=["none", "some", "all"])
def test_masks_of_other_sizes_and_ids_without_a_name_are_counted_as_they_were_written(
    tmp_path: Path, names: dict[int, str]
) -> None:
    rng = np.random.default_rng(5)
    with maskl.init(dir=tmp_path, settings={"silent": True}) as run, warnings.catch_warnings():
        warnings.simplefilter("ignore", maskl.errors.MasklWarning)
        for number in range(6):
            masks = {
                key: {"mask_data": rng.choice([0, 1, 9], (4 + number % size, 5)), "class_labels": names}
                for key, size in (("ground_truth", 2), ("predictions", 3), ("셋", 1))
            }
            run.log({"t": maskl.Image(np.zeros((4, 5), np.uint8), masks=masks)})
    assert maskl.open(tmp_path).verify().faults == []

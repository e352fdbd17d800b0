"""W&B's offline runs that are wrong somewhere: none of them keeps another one out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import maskl
from maskl.errors import ConversionWarning, CorruptData, InvalidValue
from maskl.importing.importer import import_dataset
from tests.formats.read.test_hostile import png
from tests.formats.read.wandb_logs import (
    ENDED,
    GOOD,
    artifact,
    entry,
    field,
    history,
    log_of,
    staged,
    started,
    wandb_run,
)

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever imports has no data and no cache of W&B's."""
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "none"))


# --- what no run may spoil ----------------------------------------------------------------------


def altered(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]


def image_of(path: str) -> dict[str, Any]:
    return {"_type": "image-file", "path": path, "sha256": "0" * 64}


def bad_log(data: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "run-r.wandb").write_bytes(data)

    return write


def bad_run(*records: bytes, keep: dict[str, bytes] | None = None) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "run-r.wandb").write_bytes(log_of(started(folder.name, at=2), *records, ENDED))
        for name, data in (keep or {}).items():
            path = folder / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    return write


def raw(key: str, text: str) -> bytes:
    return field(2, field(1, field(2, key) + field(16, text)) + field(2, field(1, 3)))


WRONG = {
    "an empty log": bad_log(b""),
    "another file": bad_log(b"\x89PNG" * 100),
    "a log that ends too early": bad_log(log_of(history(0, {"a": 1}))),
    "an altered record": bad_log(altered(log_of(started("bad"), history(0, {"a": 1}), ENDED), 40)),
    "no protocol buffer": bad_run(b"\xff" * 9),
    "a record without end": bad_run(field(2, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f")),
    "no JSON": bad_run(raw("a", "{")),
    "no JSON in the summary": bad_run(field(3, field(1, field(2, "a") + field(16, "nope")))),
    "no JSON in the config": bad_run(field(5, field(1, field(2, "a") + field(16, "nope")))),
    "JSON without end": bad_run(raw("a", "[" * 100_000)),
    "no UTF-8": bad_run(field(2, field(1, field(2, b"\xff") + field(16, "1")))),
    "half a character in the history": bad_run(raw("a", '"\\ud800"')),
    "half a character in the config": bad_run(field(5, field(1, field(2, "a") + field(16, '"\\ud800"')))),
    "half a character in the summary": bad_run(field(3, field(1, field(2, "a") + field(16, '"\\ud800"')))),
    "a time that is none": bad_log(log_of(started("bad", at=1 << 60), ENDED)),
    "an id that is none": bad_log(log_of(started("x" * 300), ENDED)),
    "a missing image": bad_run(history(0, {"a": image_of("media/none.png")})),
    "an altered image": bad_run(history(0, {"a": image_of("media/a.png")}), keep={"media/a.png": png()}),
    "missing media": bad_run(history(0, {"a": {"_type": "html-file", "path": "media/none.html"}})),
    "media of no known format": bad_run(
        history(0, {"a": {"_type": "object3D-file", "path": "media/a.xyz"}}), keep={"media/a.xyz": b"1"}
    ),
    "media elsewhere": bad_run(history(0, {"a": {"_type": "video-file", "path": "../../good/x"}})),
    "a list of media that is none": bad_run(history(0, {"a": {"_type": "videos", "videos": "all"}})),
    "media without a path": bad_run(history(0, {"a": {"_type": "html", "html": [7]}})),
    "a table without an artifact": bad_run(history(0, {"a": {"_type": "table-file", "path": 7}})),
    "a table of an unknown artifact": bad_run(
        history(0, {"a": {"_type": "table-file", "artifact_path": "wandb-client-artifact://x/y.table.json"}})
    ),
    "an artifact without a name": bad_run(artifact("", [entry("a", reference="s3://a")])),
    "an artifact of no type": bad_run(artifact("a", [entry("a", reference="s3://a")], "")),
    "an artifact called as no artifact": bad_run(artifact("a/b:c", [entry("a", reference="s3://a")])),
    "an artifact with an alias that is none": bad_run(artifact("a", [entry("a", reference="s3://a")], aliases=["v7"])),
    "an artifact whose metadata is none": bad_run(artifact("a", [entry("a", reference="s3://a")], metadata="[")),
    "a file that leads out of an artifact": bad_run(artifact("a", [entry("../a", reference="s3://a")])),
    "a file that is a folder too": bad_run(
        artifact("a", [entry("a/b", reference="s3://a"), entry("a", reference="s3://b")])
    ),
    "a file with another MD5": bad_run(
        artifact("a", [entry("w", b"weight0", "x/run-bad a file with another MD5/files/w")]), keep={"w": b"weights"}
    ),
    "a file with another size": bad_run(
        artifact("a", [entry("w", b"more bytes", "x/run-bad a file with another size/files/w")]), keep={"w": b"weights"}
    ),
    "a file with no MD5": bad_run(
        artifact("a", [entry("w", b"w", "x/run-bad a file with no MD5/files/w", digest="?")]), keep={"w": b"w"}
    ),
    "a list of files that is gone": bad_run(field(8, field(4, "m") + field(5, "a") + field(12, field(5, "gone.gz")))),
}


def test_what_is_wrong_with_a_run_ends_the_import_and_says_where(tmp_path: Path) -> None:
    for name, write in WRONG.items():
        bad = tmp_path / name / f"run-bad {name}"
        (bad / "files").mkdir(parents=True)
        write(bad)
        with pytest.raises((CorruptData, InvalidValue), match=f"run-bad {name}/"):
            import_dataset(tmp_path / name, "wandb", dir=tmp_path / "store")
    assert {path.name for path in tmp_path.iterdir()} == WRONG.keys()


def test_what_is_wrong_with_runs_keeps_no_other_out(tmp_path: Path) -> None:
    for name, write in WRONG.items():
        bad = tmp_path / "wandb" / f"run-bad {name}"
        (bad / "files").mkdir(parents=True)
        write(bad)
    wandb_run(tmp_path / "wandb", *GOOD, name="run-good")
    found = import_dataset(tmp_path / "wandb", "wandb", dir=tmp_path / "store", skip_bad=True)
    for name in WRONG:
        assert any(f"run-bad {name}/" in problem for problem in found.problems), name
    assert all("run-bad" in problem for problem in found.problems)
    assert found.skipped == len(found.problems)
    store = maskl.open(tmp_path / "store")
    assert store.run("good").values("x") == [(0, 1)]
    assert store.verify().faults == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "wandb"]


def typed(**kind: Any) -> dict[str, Any]:
    """Return the body of a table of one column and one cell, of some type."""
    return {"columns": ["a"], "data": [[kind.pop("cell", 1)]], "column_types": {"params": {"type_map": {"a": kind}}}}


FORMLESS = {
    "types are a number": {"columns": ["a"], "data": [[1]], "column_types": 7},
    "a type is a number": {"columns": ["a"], "data": [[1]], "column_types": {"params": {"type_map": {"a": 7}}}},
    "types are a list": {"columns": ["a"], "data": [[1]], "column_types": {"params": {"type_map": [1]}}},
    "parameters are a number": typed(wb_type="ndarray", params=7),
    "classes are nowhere": typed(wb_type="classesId", params={"classes_obj": {"path": "gone"}}),
    "masks are a list": typed(cell={"_type": "image-file", "path": "x", "masks": [1]}),
    "boxes are a text": typed(cell={"_type": "image-file", "path": "x", "boxes": {"a": "b"}}),
    "maps are a number": typed(
        wb_type="image-file",
        params={"box_class_maps": {"params": 7}},
        cell={"_type": "image-file", "path": "x", "boxes": {"a": []}},
    ),
    "columns are a number": {"columns": 7, "data": []},
    "a row is a number": {"columns": ["a"], "data": [7]},
    "a row is too long": {"columns": ["a"], "data": [[1, 2]]},
    "the table is a list": [],
}


def test_tables_of_no_form_that_there_is_keep_no_other_out(tmp_path: Path) -> None:
    records = []
    for step, (name, body) in enumerate(FORMLESS.items()):
        data = json.dumps(body).encode()
        local = staged(tmp_path, f"tmp{step}", data)
        table = {"_type": "table-file", "artifact_path": f"wandb-client-artifact://c{step}/t.table.json"}
        logged = artifact("run-r-t", [entry("t.table.json", data, local)], "run_table", client=f"c{step}")
        records += [logged, history(step, {name: table, "x": 1})]
    wandb_run(tmp_path, started(), *records, ENDED)
    with pytest.raises((CorruptData, InvalidValue), match=r"offline-run-1-r.*step 0, 'types are a number'"):
        import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    found = import_dataset(tmp_path, "wandb", dir=tmp_path / "store", skip_bad=True)
    assert [name for name in FORMLESS if not any(f"{name!r}" in problem for problem in found.problems)] == []
    assert found.skipped == len(FORMLESS)
    assert len(maskl.open(tmp_path / "store").run("r").values("x")) == len(FORMLESS)


def test_types_of_the_history_that_are_no_text_are_kept_as_text(tmp_path: Path) -> None:
    values = [{"_type": 7}, {"_type": {"a": 1}}, {"_type": []}]
    wandb_run(tmp_path, started(), *(history(step, {"a": value}) for step, value in enumerate(values)), ENDED)
    with pytest.warns(ConversionWarning, match="values of W&B's type"):
        import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    found = maskl.open(tmp_path / "store").run("r").values("a")
    assert [json.loads(text) for _, text in found] == values


def test_links_in_the_place_of_a_folder_keep_no_run_out(tmp_path: Path) -> None:
    wandb_run(tmp_path / "elsewhere", started("bad"), ENDED)
    wandb_run(tmp_path / "wandb", *GOOD, name="offline-run-2-good")
    (tmp_path / "wandb" / "offline-run-1-bad").symlink_to(tmp_path / "elsewhere" / "offline-run-1-r")
    with pytest.raises(InvalidValue, match=r"offline-run-1-bad.*link"):
        import_dataset(tmp_path / "wandb", "wandb", dir=tmp_path / "store")
    found = import_dataset(tmp_path / "wandb", "wandb", dir=tmp_path / "store", skip_bad=True)
    assert (found.runs, found.skipped) == (("good",), 1)


def test_an_altered_record_costs_its_block_and_no_more(tmp_path: Path) -> None:
    folder = wandb_run(tmp_path, started(), *(history(step, {"a": "가" * 1000}) for step in range(100)), ENDED)
    log = folder / "run-r.wandb"
    data = log.read_bytes()
    log.write_bytes(altered(data, 40_000))
    with pytest.raises(CorruptData, match=r"run-r\.wandb: byte 3[0-9]{4}.*checksum"):
        import_dataset(folder, dir=tmp_path / "store")
    found = import_dataset(folder, dir=tmp_path / "store", skip_bad=True)
    assert found.skipped == 1
    steps = [step for step, _ in maskl.open(tmp_path / "store").run("r").values("a")]
    assert steps[0] == 0
    assert steps[-1] == 99
    assert 85 <= len(steps) < 100
    assert maskl.open(tmp_path / "store").run("r").state == "finished"


def test_only_what_is_wrong_of_a_row_is_left_out(tmp_path: Path) -> None:
    wandb_run(tmp_path, started(), history(0, {"x": 1, "y": "\ud800", "z": 2}), ENDED)
    found = import_dataset(tmp_path, "wandb", dir=tmp_path / "store", skip_bad=True)
    assert found.skipped == 1
    run = maskl.open(tmp_path / "store").run("r")
    assert (run.values("x"), run.values("z")) == ([(0, 1)], [(0, 2)])


@pytest.mark.skipif(not hasattr(os.stat_result, "st_blocks"), reason="needs a system that says what room a file takes")
def test_a_file_of_holes_is_not_copied(tmp_path: Path) -> None:
    folder = wandb_run(tmp_path / "wandb", started(), history(0, {"x": 1}), ENDED)
    with (folder / "files" / "huge.bin").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InvalidValue, match=r"run-r\.wandb, file 'huge\.bin'.*holes"):
        import_dataset(folder, dir=tmp_path / "store")
    found = import_dataset(folder, dir=tmp_path / "store", skip_bad=True)
    assert found.skipped == 1
    assert maskl.open(tmp_path / "store").run("r").values("x") == [(0, 1)]


def test_nothing_is_imported_where_all_is_wrong(tmp_path: Path) -> None:
    for number in range(2):
        folder = tmp_path / "wandb" / f"offline-run-{number}-r"
        folder.mkdir(parents=True)
        (folder / "run-r.wandb").write_bytes(b"")
    with pytest.raises(InvalidValue, match=r"nothing to import.*not a transaction log"):
        import_dataset(tmp_path / "wandb", "wandb", dir=tmp_path / "store", skip_bad=True)
    assert not (tmp_path / "store").exists()


def test_media_of_a_hostile_log_are_bytes_and_no_more(tmp_path: Path) -> None:
    """A link, a path that leads out, and a pipe."""
    folder = wandb_run(
        tmp_path / "wandb",
        started(),
        *(
            history(step, {"page": {"_type": "html-file", "path": path}})
            for step, path in enumerate(("media/link.html", "/etc/hostname", "media/pipe.html", "media/good.html"))
        ),
    )
    (tmp_path / "secret").write_text("secret")
    (folder / "files/media/link.html").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "files/media/pipe.html")
    (folder / "files/media/good.html").write_text("<script>alert(1)</script>")
    found = import_dataset(folder, dir=tmp_path / "store", skip_bad=True)
    assert found.skipped == 3
    ((step, page),) = maskl.open(tmp_path / "store").run("r").values("page")
    assert (step, page.read()) == (3, b"<script>alert(1)</script>")
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


def test_a_failed_import_leaves_blobs_and_versions_of_the_store_alone(tmp_path: Path) -> None:
    local = staged(tmp_path, "one", b"one")
    wandb_run(tmp_path, started(), artifact("m", [entry("a", b"one", local)]), history(0, {"a": image_of("none")}))
    with maskl.init(dir=tmp_path / "store") as run:
        run.log({"x": 1})
    before = sorted(path for path in (tmp_path / "store").rglob("*"))
    with pytest.raises(InvalidValue):
        import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    assert sorted(path for path in (tmp_path / "store").rglob("*")) == before

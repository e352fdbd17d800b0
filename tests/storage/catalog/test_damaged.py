"""Documents of a store that were altered or made to harm: each is named, set aside, and everybody else goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.cli.app import main
from maskl.errors import CorruptData, DamagedWarning, MasklError
from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.signed import signed
from maskl_storage.disk.local import Folder
from maskl_storage.format.document import MAX_DEPTH, MAX_DOCUMENT
from maskl_storage.upkeep.compact import compact
from maskl_storage.upkeep.delete import delete
from maskl_storage.verify._documents import check_documents, read_seals
from tests.conftest import some_of

pytestmark = pytest.mark.once

DEEP = b"[" * 3000 + b"]" * 3000
DIGITS = b"1" * 5000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three runs, each with a table, scalars, a config and a summary, in two seals."""
    directory = tmp_path_factory.mktemp("made")
    for name in ("a", "b", "c"):
        with maskl.init(dir=directory, id=name, project="p", config={"lr": 0.1}, tags=["x"], notes="n") as run:
            for step in range(2):
                mask = {"mask_data": np.full((2, 3), step, np.uint8), "class_labels": {0: "sky", 1: "road"}}
                image = maskl.Image(np.full((2, 3), ord(name), np.uint8), masks={"ground_truth": mask})
                run.log({"t": maskl.Table(columns=["image", "n"], data=[[image, step]]), "loss": 0.5}, step=step)
                maskl.open(directory).refresh()
    return directory / "maskl-store"


Answers = dict[str, list[Any]]


@pytest.fixture(scope="module")
def whole(made: Path) -> Answers:
    """What the store answers while nothing in it is damaged, by run."""
    store = maskl.open(made)
    return {run: answers(store, run) for run in "abc"}


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "maskl-store"
    shutil.copytree(made, copy)
    return copy


def writer_file(root: Path) -> Path:
    return root / "runs/run_id=a/writer-0.json"


def seals_of(root: Path, run: str) -> list[Path]:
    return sorted(root.glob(f"seals/run_id={run}/*.json"))


def changed(path: Path, **fields: Any) -> bytes:
    body = {**json.loads(path.read_bytes()), **fields}
    del body["blake3"]
    return signed(json.dumps(body))


def with_item(path: Path, key: str, item: bytes) -> bytes:
    """Return a document with a value that no parser would write."""
    body = json.loads(path.read_bytes())
    body[key] = "MARK"
    del body["blake3"]
    return signed(json.dumps(body)).replace(b'"MARK"', item)


ANY: dict[str, Callable[[Path], bytes]] = {
    "deep": lambda path: b'{"version": ' + DEEP + b"}",
    "deep objects": lambda path: b'{"a":' * 3000 + b"1" + b"}" * 3000,
    "digits": lambda path: b'{"version": ' + DIGITS + b"}",
    "a list": lambda path: b"[]",
    "a number": lambda path: b"7",
    "nothing": lambda path: b" ",
    "cut": lambda path: path.read_bytes()[:-30],
    "no text": lambda path: b"\xff\xfe\x00",
    "utf-16": lambda path: path.read_bytes().decode().encode("utf-16"),
    "NUL bytes": lambda path: b"\0" * 100,
    "too large": lambda path: b" " * MAX_DOCUMENT + path.read_bytes(),
    "version of another type": lambda path: changed(path, version=1),
    "version of many digits": lambda path: changed(path, version="1." + "1" * 5000 + ".0"),
    "surrogate": lambda path: with_item(path, "more", rb'"\ud800"'),
    "surrogate in a key": lambda path: with_item(path, "more", rb'{"\udfff": 1}'),
    "NaN": lambda path: with_item(path, "more", b"NaN"),
    "Infinity": lambda path: with_item(path, "more", b"[-Infinity]"),
    "deep inside": lambda path: with_item(path, "more", b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)),
}
DESCRIPTIONS: dict[str, Callable[[Path], bytes]] = ANY | {
    f"{key}: {value!r:.30}": lambda path, key=key, value=value: changed(path, **{key: value})  # type: ignore[misc]
    for key, value in [
        *(
            ("tags", 5),
            ("tags", "ab"),
            ("tags", [1]),
            ("tags", {}),
            ("started", "soon"),
            ("started", 5),
            ("started", True),
        ),
        *(
            ("started", "2024-W01-1"),
            ("started", "0001-01-01T00:00:00+14:00"),
            ("updated", "9999-12-31T23:59:59-14:00"),
        ),
        *(("updated", []), ("updated", 10**400), ("finished", "x"), ("finished", -1), ("config", []), ("config", "x")),
        *(("summary", 5), ("name", 5), ("name", ["x"]), ("project", {}), ("group", 1), ("job_type", False)),
        *(("notes", [1]), ("state", "well"), ("state", ["running"]), ("state", 3)),
    ]
}
PART: dict[str, Any] = {
    "path": "rows/table_name=t/run_id=a/0-9.parquet",
    "bytes": 1,
    "rows": 1,
    "blake3": "0" * 64,
    "columns": [],
}
WRONG_PATHS = (
    *("rows/table_name=t/run_id=b/0-9.parquet", "rows/table_name=t\0/run_id=a/0-9.parquet", "rows/../../x", 5),
    *("/etc/passwd", "rows/table_name=%41/run_id=a/0-9.parquet", "rows/table_name=t/run_id=a/00-9.parquet"),
    *(f"rows/table_name={'t' * 300}/run_id=a/0-9.parquet", "history/run_id=a/0-9.json"),
    f"rows/table_name=t/run_id=a/{'1' * 5000}-9.parquet",
)
WRONG_PARTS = (
    *({"path": path} for path in WRONG_PATHS),
    *({"bytes": -1}, {"bytes": True}, {"rows": 10**30}, {"rows": None}, {"blake3": "x"}),
    *({"columns": 5}, {"columns": [["a"]]}),
)
SEALS: dict[str, Callable[[Path], bytes]] = ANY | {
    f"{key}: {value!r:.120}": lambda path, key=key, value=value: changed(path, **{key: value})  # type: ignore[misc]
    for key, value in [
        *(("run_id", "b"), ("run_id", 5), ("run_id", ""), ("run_id", "a\0"), ("writer", -1), ("writer", True)),
        *(("writer", 10**30), ("seal", 1.5), ("seal", "0"), ("generation", -1), ("generation", 10**30)),
        *(("replaces", 5), ("replaces", [5]), ("replaces", ["seals/run_id=b/0-0.json"]), ("replaces", ["maskl.json"])),
        *(("place", [1]), ("place", [-1, 0]), ("level", -1), ("level", True), ("parts", {}), ("parts", [5])),
        *(("parts", [PART | wrong]) for wrong in WRONG_PARTS),
    ]
}


@pytest.fixture
def told() -> Iterator[list[str]]:
    """Every warning about a damaged file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found: list[str] = []
        yield found
        found += [str(warning.message) for warning in caught if warning.category is DamagedWarning]


def answers(store: maskl.Store, run: str) -> list[Any]:
    queries = (
        "SELECT run_name, project, config, summary, tags, notes, started IS NULL FROM runs WHERE run_id = $run",
        'SELECT _row, _step, n, "image".digest FROM tables.t WHERE run_id = $run ORDER BY _row',
        "SELECT key, value FROM history WHERE run_id = $run ORDER BY _row",
        "SELECT class_name, pixels FROM class_totals WHERE run_id = $run ORDER BY ALL",
    )
    return [store.sql(query, {"run": run}).fetchall() for query in queries]


@pytest.mark.once
@pytest.mark.parametrize("kind", some_of(DESCRIPTIONS))
def test_a_damaged_description_is_named_and_its_run_is_known_by_its_id(root: Path, whole: Answers, kind: str) -> None:
    path = writer_file(root)
    path.write_bytes(DESCRIPTIONS[kind](path))
    store = maskl.open(root)
    with pytest.warns(DamagedWarning, match=r"^runs/run_id=a/writer-0\.json: "):
        runs = {info.run_id: info for info in store.runs()}
    assert store.sql("SELECT run_id, run_name FROM runs ORDER BY run_id").fetchall()[0] == ("a", "a")  # not told again
    assert (runs["a"].name, runs["a"].state, runs["a"].config) == ("a", "killed", {})
    assert [answers(store, "a")[1:], answers(store, "b")] == [whole["a"][1:], whole["b"]]


@pytest.mark.once
@pytest.mark.parametrize("kind", some_of(SEALS))
def test_a_damaged_seal_is_named_and_other_runs_are_as_they_were(root: Path, whole: Answers, kind: str) -> None:
    first, second = seals_of(root, "a")
    first.write_bytes(SEALS[kind](first))
    store = maskl.open(root)
    with pytest.warns(DamagedWarning, match=r"^seals/run_id=a/0-0\.json: .* run 'a' is missing") as caught:
        held = answers(store, "a")
    assert len(caught) == 1
    assert answers(store, "b") == whole["b"]
    assert held[1] == whole["a"][1][1:]  # what the other seal commits
    assert second.exists()


def test_verify_names_every_damaged_document(root: Path) -> None:
    for kinds, path in ((SEALS, seals_of(root, "a")[0]), (DESCRIPTIONS, writer_file(root))):
        text = path.read_bytes()
        for kind, change in kinds.items():
            path.write_bytes(change(path))
            named = {fault.file for fault in [*check_documents(Folder(root)), *read_seals(Folder(root))[1]]}
            assert named == {path.relative_to(root).as_posix()}, kind
            path.write_bytes(text)
    seals_of(root, "a")[0].write_bytes(b"[]")
    assert "seals/run_id=a/0-0.json" in {fault.file for fault in maskl.open(root).verify().faults}


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


@pytest.mark.filterwarnings("ignore::maskl.errors.DamagedWarning")
def test_nothing_of_a_run_goes_of_which_a_seal_is_damaged(root: Path) -> None:
    first = seals_of(root, "a")[0]
    whole = first.read_bytes()
    first.write_bytes(b"{")
    before = {path for path in files(root) if "run_id=a" in path or path.startswith("images")}
    done = compact(Layout(root), grace=0)
    assert sum("0-0.json" in reason for reason in done.skipped) == 1
    assert any(reason.startswith("images stay") for reason in done.skipped)
    with pytest.raises(CorruptData, match=r"0-0\.json.*run 'a' was not deleted"):
        delete(Layout(root), ["a"], grace=0)
    with pytest.raises(CorruptData, match=r"0-0\.json.*run 'a' was not deleted"):
        delete(Layout(root), ["a"], "t", grace=0)
    delete(Layout(root), ["b"], grace=0)
    compact(Layout(root), grace=0)
    assert before - files(root) <= {path for path in before if "run_id=b" in path}
    with maskl.init(dir=root, id="a") as run:  # the run goes on, and merges nothing either
        for step in range(2, 12):
            run.log({"loss": 1.0}, step=step)
            maskl.open(root).refresh()
    assert before - files(root) <= {path for path in before if "run_id=b" in path}
    first.write_bytes(whole)
    assert maskl.open(root).sql("SELECT count(*) FROM tables.t WHERE run_id = 'a'").fetchall() == [(2,)]
    assert maskl.open(root).sql("SELECT count(*) FROM history WHERE run_id = 'a'").fetchall() == [(12,)]
    assert maskl.open(root).verify().clean


def test_what_a_damaged_seal_replaced_counts_again_only_where_it_is_whole(root: Path) -> None:
    compact(Layout(root), ["a"], grace=1e9)
    merged = next(path for path in seals_of(root, "a") if path.stem.startswith("0-4294"))
    merged.write_bytes(b"")
    merged.write_bytes(b"[]")
    with pytest.warns(DamagedWarning):
        assert len(answers(maskl.open(root), "a")[1]) == 2
    (root / "rows/table_name=t/run_id=a/0-0.parquet").unlink()  # parts go before the seal that names them
    with pytest.warns(DamagedWarning):
        assert [row[2] for row in answers(maskl.open(root), "a")[1]] == [1]


def test_a_damaged_seal_that_another_replaces_is_nothing_to_speak_of(root: Path, told: list[str]) -> None:
    compact(Layout(root), ["a"], grace=1e9)
    seals_of(root, "a")[0].write_bytes(b"[]")
    assert len(answers(maskl.open(root), "a")[1]) == 2
    assert told == []


@pytest.mark.parametrize(
    "name",
    [
        *("seals/run_id=a/0-0 (copy).json", "seals/run_id=a/٣-0.json", "seals/run_id=a/00-0.json"),
        *("seals/run_id=%41/0-0.json", "runs/run_id=a/writer-x.json", "runs/run_id=%61/writer-0.json"),
        *("runs/run_id=a/writer-٣.json", "runs/run_id=a/writer-99999999999999999999.json"),
        f"runs/run_id={'x' * 240}/writer-0.json",
    ],
)
def test_a_file_of_a_name_that_no_writer_gives_is_no_file_of_the_store(root: Path, whole: Answers, name: str) -> None:
    target = root / name
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(b"{")
    store = maskl.open(root)
    assert {run: answers(store, run) for run in "abc"} == whole
    assert len(store.runs()) == 3


@pytest.mark.parametrize(
    "name", ["seals/run_id=a/0-0.json", "runs/run_id=a/writer-0.json", "seals/run_id=d", "seals/x"]
)
def test_a_folder_or_file_in_place_of_the_other(root: Path, whole: Answers, name: str) -> None:
    target = root / name
    if target.exists():
        target.unlink()
        target.mkdir()
        (target / "x").write_text("x")
        with pytest.warns(DamagedWarning, match=name):
            assert answers(maskl.open(root), "b") == whole["b"]
    elif name == "seals/x":
        target.write_text("x")
        assert answers(maskl.open(root), "a") == whole["a"]
    else:  # what run d has is not known
        target.write_text("x")
        with pytest.warns(DamagedWarning, match=name):
            assert answers(maskl.open(root), "a") == whole["a"]


COMMANDS = (
    ("runs",), ("tables",), ("sql", "FROM runs"), ("sql", "FROM tables.t"), ("sql", "--print-setup"),
    ("coverage", "t"), ("recover",), ("compact", "--grace", "0"), ("delete", "c"), ("verify",),
    ("export", "t", "out.csv"),
)  # fmt: skip


@pytest.mark.filterwarnings("default::maskl.errors.DamagedWarning")
@pytest.mark.once
@pytest.mark.parametrize("kind", ["deep", "tags: 5"])
def test_no_command_stops_at_a_damaged_description(root: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = writer_file(root)
    path.write_bytes(DESCRIPTIONS[kind](path))
    for command in COMMANDS:
        with pytest.raises(SystemExit) as end:
            main([*command, "--dir", str(root)])
        out, err = capsys.readouterr()
        assert end.value.code == (1 if command == ("verify",) else 0), (command, err)
        assert "Traceback" not in err
        assert "writer-0.json" in err + out or command == ("recover",)  # which lists no runs


def test_the_store_file_itself(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in (b"[]", DEEP, b'{"format": "maskl", "version": ' + DIGITS + b"}", b'{"format": NaN}', b"\xff", b""):
        (root / "maskl.json").write_bytes(text)
        with pytest.raises(CorruptData, match=r"maskl\.json"):
            maskl.open(root)
        with pytest.raises(SystemExit) as end:
            main(["runs", "--dir", str(root)])
        assert end.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_is_larger_than_memory_is_not_read(root: Path, whole: Answers) -> None:
    for path in (writer_file(root), seals_of(root, "a")[0], root / "maskl.json"):
        with path.open("r+b") as file:
            file.truncate(1 << 40)
        if path.name == "maskl.json":
            with pytest.raises(CorruptData, match=r"maskl\.json: a document has 32 MB at the most"):
                maskl.open(root)
        else:
            with pytest.warns(DamagedWarning, match="a document has 32 MB at the most"):
                assert answers(maskl.open(root), "b") == whole["b"]


@pytest.mark.parametrize("text", [b"[]", DEEP, b'{"run_id": 5}', b'{"run_id": "' + b"x" * 5000 + b'"}', b"", b"\xff"])
def test_a_marker_of_a_run_to_go_on_with_may_hold_anything(root: Path, text: bytes) -> None:
    with maskl.init(dir=root, id="failed", resume="auto"):
        pass
    (marker,) = root.glob(".resume-*")
    marker.write_bytes(text)
    with maskl.init(dir=root, resume="auto") as run:
        assert run.id != "failed"


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    nested: Any = 1
    for _ in range(MAX_DEPTH + 10):
        nested = [nested]
    with pytest.raises(MasklError, match="deep"):
        maskl.init(dir=tmp_path, id="r", config={"nested": nested})
    with maskl.init(dir=tmp_path, id="s", config={"a": "\0 한글 😀", "b": float("inf"), "c": float("nan")}) as run:
        run.summary["x"] = 10**30
        with pytest.raises(MasklError, match="deep"):
            run.log({"t": maskl.Table(columns=["a"], data=[[nested]])})
    info = next(info for info in maskl.open(tmp_path).runs() if info.run_id == "s")
    assert info.config == {"a": "\0 한글 😀", "b": float("inf"), "c": None}
    ((config, summary),) = maskl.open(tmp_path).sql("SELECT config, summary FROM runs WHERE run_id = 's'").fetchall()
    assert json.loads(config) == info.config
    assert json.loads(summary)["x"] == 10**30


def test_a_process_of_its_own_ends_without_a_traceback(root: Path) -> None:
    path = seals_of(root, "a")[0]
    path.write_bytes(b"[" * 100_000)
    command = [sys.executable, "-m", "maskl", "runs", "--dir", str(root)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.returncode, "Traceback" in done.stderr, "0-0.json" in done.stderr) == (0, False, True)


def test_a_store_that_another_process_makes_meanwhile_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, root = tmp_path / "other", tmp_path / "maskl-store"
    with maskl.init(dir=other) as run:
        run.log({"a": 1})
    names = Folder.names

    def late(files: Folder, path: str = "") -> list[str]:
        shutil.copytree(other / "maskl-store", root, dirs_exist_ok=True)
        monkeypatch.undo()
        return names(files, path)

    monkeypatch.setattr(Folder, "names", late)
    assert len(Layout.create(root).runs()) == 1

"""W&B's offline runs of all versions, of one folder or several: what the real tool wrote, artifacts and files."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import maskl
from maskl.errors import ConversionWarning, InvalidValue, NotStoredWarning
from maskl.importing.importer import Imported, import_dataset
from tests.conftest import HANGS, python_of_wandb
from tests.formats.read.test_cli import KILLED_MOVING
from tests.formats.read.wandb_logs import (
    ENDED,
    GOOD,
    artifact,
    config,
    entry,
    field,
    files,
    history,
    staged,
    started,
    summary,
    wandb_run,
)
from tests.formats.read.wandb_versions import LABELS, mask, pixels, unpack

pytestmark = pytest.mark.once

HERE = Path(__file__).parent
RECORDED = sorted(HERE.glob("wandb-0.*.json"))


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever imports has no data and no cache of W&B's."""
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "none"))


# --- what real W&B wrote ------------------------------------------------------------------------


Imports = tuple[Imported, maskl.Store]


@pytest.fixture(scope="module", params=[*(path.stem for path in RECORDED), "W&B"])
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Imports:
    """What came of what W&B logged as ``wandb_versions.py`` says: then, or now."""
    folder, recording = tmp_path_factory.mktemp("wandb"), HERE / f"{request.param}.json"
    source = folder / "source"
    if recording in RECORDED:
        unpack(recording, source)
    else:
        python = python_of_wandb()
        if python is None:
            pytest.skip("needs an environment with W&B: .venv-wandb, or MASKL_WANDB_PYTHON")
        source.mkdir()
        script = HERE / "wandb_versions.py"
        done = subprocess.run([python, script, source], capture_output=True, text=True, timeout=HANGS, cwd=source)
        assert done.returncode == 0, done.stderr[-2000:]
    with pytest.MonkeyPatch.context() as patched:
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
            patched.setenv(name, str(folder / "none"))
        return import_dataset(source, dir=folder / "store"), maskl.open(folder / "store")


def test_there_are_recordings_of_old_versions() -> None:
    assert {json.loads(path.read_text(encoding="utf-8"))["wandb"].rpartition(".")[0] for path in RECORDED} >= {
        "0.15",
        "0.17",
    }


def test_a_resumed_run_of_any_version_comes_whole(imported: Imports) -> None:
    found, store = imported
    assert found == Imported(("run1",), {"image": 1, "val/표": 2})
    run = store.run("run1")
    assert (run.info.name, run.info.project, run.info.tags, run.state) == ("유넷", "camvid", ("a",), "failed")
    assert run.info.config == {"lr": 0.1, "n": 2}
    assert (run.summary["loss"], run.summary["acc"]) == (0.0625, 0.5)
    # the row of step 11 is of both folders, and the later value counts
    assert run.values("loss") == [(0, 1.0), (10, 0.1), (11, 0.125), (20, 0.25), (21, 0.0625)]
    assert run.values("acc") == [(11, 0.5)]
    assert run.values("hist") == [(0, maskl.Histogram(np_histogram=([1, 2], [0, 1, 2])))]
    ((_, page),) = run.values("page")
    ((_, pages),) = run.values("pages")
    assert [one.read() for one in (page, *pages)] == ["<p>글</p>".encode(), b"<p>a</p>", b"<p>b</p>"]
    assert run.summary["page"] == page
    assert store.verify().faults == []


def test_tables_of_any_version_come_with_their_media(imported: Imports) -> None:
    _, store = imported
    rows = store.table("val/표")
    assert [(row.step, row["글"]) for row in rows] == [(10, "글 10"), (11, "글 11")]
    for row in rows:
        assert_image(row["image"], row.step)
        assert row["page"].read() == f"<p>{row.step}</p>".encode()
        assert (row["sound"].read(), row["sound"].caption, row["sound"].format) == (b"RIFF....WAVE", "소리", "wav")
        assert (row["video"].format, row["molecule"].format) == ("mp4", "pdb")
        assert json.loads(row["points"].read()) == [[row.step] * 3] * 2
    assert_image(store.table("image")[0]["image"], 7)


def assert_image(image: maskl.Image, seed: int) -> None:
    assert np.array_equal(np.asarray(image.image), pixels(seed, 4, 6, 3))
    assert image.caption == f"그림 {seed}"
    assert np.array_equal(image.masks["ground_truth"].mask_data, mask(seed))
    assert image.masks["ground_truth"].class_labels == LABELS
    assert image.boxes["predictions"].box_data[0]["box_caption"] == "차"


def test_artifacts_of_any_version_come_with_files_and_addresses(imported: Imports, tmp_path: Path) -> None:
    _, store = imported
    # those of tables are tables, and no artifacts
    ((name, number),) = store.sql("SELECT name, version FROM artifacts").fetchall()
    assert (name, number) == ("unet", 0)
    model = store.artifact("camvid/unet:best")
    assert (model.type, model.description, model.metadata) == ("model", "처음", {"miou": 0.5})
    assert model.aliases == ["best", "latest"]
    folder = Path(model.download(tmp_path / "down", allow_missing_references=True))
    assert (folder / "best/model.pt").read_bytes() == b"weights"
    assert model.get_entry("train.tar").ref_target() == "lab://bucket/train.tar"


# --- several folders ----------------------------------------------------------------------------


def test_folders_of_one_run_are_in_order_of_time_whatever_they_are_called(tmp_path: Path) -> None:
    later = started(at=200, f8="second", f3="p")
    wandb_run(tmp_path, later, config(a=2), history(1, {"x": 3.0}), summary(x=3.0), name="offline-run-1-r")
    earlier = started(at=100, f8="first", f3="p", f9="noted")
    wandb_run(
        tmp_path,
        earlier,
        config(a=1, b=1),
        history(0, {"x": 1.0}),
        history(1, {"x": 2.0, "y": 5.0}),
        summary(x=2.0, y=5.0),
        ENDED,
        name="offline-run-2-r",
    )
    import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    run = maskl.open(tmp_path / "store").run("r")
    assert (run.info.name, run.info.notes, run.info.config) == ("second", "noted", {"a": 2, "b": 1})
    assert (run.values("x"), run.values("y")) == ([(0, 1.0), (1, 3.0)], [(1, 5.0)])
    assert (run.state, run.info.summary["x"], run.info.summary["y"]) == ("killed", 3.0, 5.0)
    assert str(run.info.started).startswith("1970-01-01T00:01:40")


def test_a_table_that_two_folders_logged_at_one_step_is_the_later(tmp_path: Path) -> None:
    for number, step in ((1, 5), (2, 5)):
        body = json.dumps({"columns": ["n"], "data": [[number]]}).encode()
        staged(tmp_path, f"t{number}", body)
        wandb_run(
            tmp_path,
            started(at=number),
            artifact("run-r-t", [entry("t.table.json", body, f"t{number}")], "run_table"),
            files(f"media/table/t_5_{number}.table.json"),
            history(step, {"t": {"_type": "table-file", "path": f"media/table/t_5_{number}.table.json"}}),
            name=f"offline-run-{number}-r",
        )
    import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    assert [row["n"] for row in maskl.open(tmp_path / "store").table("t")] == [2]


def test_runs_of_one_id_in_two_projects_are_two(tmp_path: Path) -> None:
    for number in (1, 2):
        wandb_run(tmp_path, started(at=number, f3=f"p{number}"), history(0, {"x": number}), name=f"run-{number}-r")
    with pytest.raises(InvalidValue, match=r"run-2-r.*there is a run 'r'"):
        import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    assert not (tmp_path / "store").exists()
    found = import_dataset(tmp_path, "wandb", dir=tmp_path / "store", skip_bad=True)
    assert (found.runs, found.skipped) == (("r",), 1)
    assert maskl.open(tmp_path / "store").run("r").info.project == "p1"


def test_a_step_that_stands_in_the_row_alone(tmp_path: Path) -> None:
    """As W&B before 0.19 writes the last row of a run."""
    row = b"".join(field(1, field(1, key) + field(16, json.dumps(value))) for key, value in (("x", 2), ("_step", 7)))
    wandb_run(tmp_path, started(), history(0, {"x": 1}), field(2, row), ENDED)
    import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    assert maskl.open(tmp_path / "store").run("r").values("x") == [(0, 1), (7, 2)]


# --- tables before 0.19 -------------------------------------------------------------------------


def test_rows_that_are_written_later_find_their_own_table(tmp_path: Path) -> None:
    """A row is written when the next step begins, after that one's table was logged."""
    records = []
    for number in range(3):
        body = json.dumps({"columns": ["n"], "data": [[number]]}).encode()
        local = staged(tmp_path, f"tmp{number}", body)
        copy = f"media/table/val/t_{number}_{number}abc.table.json"
        records += [
            artifact("run-r-valt", [entry("val/t.table.json", body, local)], "run_table", client=f"c{number}"),
            files(copy),
        ]
    for number in range(3):
        copy = f"media/table/val/t_{number}_{number}abc.table.json"
        records.append(history(number, {"val": {"t": {"_type": "table-file", "path": copy, "sha256": "0" * 64}}}))
    wandb_run(tmp_path, started(), *records, ENDED)
    import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    rows = maskl.open(tmp_path / "store").table("val/t")
    assert [(row.step, row["n"]) for row in rows] == [(0, 0), (1, 1), (2, 2)]


def test_a_table_without_an_artifact_is_bad(tmp_path: Path) -> None:
    table = {"_type": "table-file", "path": "media/table/t_0_abc.table.json"}
    wandb_run(tmp_path, started(), history(0, {"t": table, "x": 1}), ENDED)
    with pytest.raises(InvalidValue, match=r"run-r\.wandb, step 0, 't'.*no artifact of the table"):
        import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    found = import_dataset(tmp_path, "wandb", dir=tmp_path / "store", skip_bad=True)
    assert found.skipped == 1
    assert maskl.open(tmp_path / "store").run("r").values("x") == [(0, 1)]


def test_cells_of_unknown_types_are_kept_as_described(tmp_path: Path) -> None:
    body = json.dumps({"columns": ["a"], "data": [[{"_type": "hologram-file", "path": "x"}], [None]]}).encode()
    local = staged(tmp_path, "tmp0", body)
    table = {"_type": "table-file", "artifact_path": "wandb-client-artifact://client/t.table.json"}
    logged = artifact("run-r-t", [entry("t.table.json", body, local)], "run_table")
    wandb_run(tmp_path, started(), logged, history(0, {"t": table}), ENDED)
    with pytest.warns(ConversionWarning, match="1 values of W&B's type 'hologram-file'"):
        import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    rows = maskl.open(tmp_path / "store").table("t")
    assert [row["a"] for row in rows] == [{"_type": "hologram-file", "path": "x"}, None]


# --- artifacts ----------------------------------------------------------------------------------


def test_versions_go_on_from_those_of_the_store(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path / "store", project="p") as run:
        (tmp_path / "own").write_bytes(b"own")
        model = maskl.Artifact("unet", "model")
        model.add_file(tmp_path / "own")
        run.log_artifact(model)
    records = []
    for data in (b"one", b"two", b"two"):
        local = staged(tmp_path, data.decode(), data)
        records.append(artifact("unet", [entry("w", data, local)], aliases=["latest", data.decode()]))
    wandb_run(tmp_path, started(f3="p"), *records, ENDED)
    import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    store = maskl.open(tmp_path / "store")
    found = store.sql("SELECT version, aliases FROM artifacts ORDER BY version").fetchall()
    assert [(number, sorted(aliases)) for number, aliases in found] == [(0, []), (1, ["one"]), (2, ["latest", "two"])]
    assert store.verify().faults == []
    with maskl.init(dir=tmp_path / "store", project="p") as run:
        assert run.use_artifact("unet:v1").metadata == {}


def test_an_incremental_version_has_what_the_one_before_has(tmp_path: Path) -> None:
    one, two = (staged(tmp_path, data, data.encode()) for data in ("one", "two"))
    wandb_run(
        tmp_path,
        started(),
        artifact("data", [entry("a", b"one", one)], "dataset", client="c1"),
        artifact("data", [entry("b", b"two", two)], "dataset", client="c2", incremental=True),
    )
    import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    assert sorted(maskl.open(tmp_path / "store").artifact("data").manifest.entries) == ["a", "b"]


@pytest.mark.parametrize("place", ["staging", "cache", "run"])
def test_a_file_is_found_in_the_staging_folder_the_cache_or_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    data = b"weights"
    local = "/gone/offline-run-1-r/files/kept/model.pt"
    folder = wandb_run(tmp_path / "wandb", started(), artifact("m", [entry("model.pt", data, local)]), ENDED)
    digest = hashlib.md5(data).hexdigest()
    path = {
        "staging": tmp_path / "given" / "model.pt",
        "cache": tmp_path / "cache" / "artifacts/obj/md5" / digest[:2] / digest[2:],
        "run": folder / "files" / "kept" / "model.pt",
    }[place]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    import_dataset(folder, dir=tmp_path / "store", staging=tmp_path / "given")
    model = maskl.open(tmp_path / "store").artifact("m")
    assert Path(model.get_entry("model.pt").download(tmp_path / "down")).read_bytes() == data


def test_artifacts_that_wandb_makes_itself_are_none(tmp_path: Path) -> None:
    kinds = ("run_table", "wandb-run-incremental-table", "wandb-history", "job", "jobs")
    of_kinds = [artifact(f"a-{kind}", [entry("a", reference="s3://a")], kind, client=kind) for kind in kinds]
    wandb_run(tmp_path, started(), *of_kinds, ENDED)
    import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    assert maskl.open(tmp_path / "store").sql("SELECT name FROM artifacts").fetchall() == [("a-jobs",)]


def test_files_that_are_gone_are_said_to_be_left_out(tmp_path: Path) -> None:
    local = staged(tmp_path, "one", b"one")
    both = [entry("a", b"one", local), entry("b", b"two", "/tmp/x/secret")]
    wandb_run(tmp_path, started(), artifact("m", both), artifact("n", both[1:], client="c2"), ENDED)
    with pytest.warns(NotStoredWarning) as warned:
        import_dataset(tmp_path, "wandb", dir=tmp_path / "store")
    said = sorted(str(one.message) for one in warned)
    assert "artifact 'm': 1 of 2 files are gone, and the version holds the others" in said[0]
    assert "artifact 'n': 1 of 1 files are gone, and the version is left out" in said[1]
    assert maskl.open(tmp_path / "store").sql("SELECT name, files FROM artifacts").fetchall() == [("m", 1)]


def test_files_of_the_run_are_kept_and_links_are_not_followed(tmp_path: Path) -> None:
    folder = wandb_run(tmp_path / "wandb", started(), history(0, {"x": 1}), ENDED)
    (tmp_path / "saved.txt").write_text("saved")
    (folder / "files" / "notes").mkdir()
    (folder / "files" / "notes" / "메모.txt").write_text("note")
    (folder / "files" / "media" / "shown.txt").write_text("no file of its own")
    (folder / "files" / "saved.txt").symlink_to(tmp_path / "saved.txt")
    with pytest.warns(NotStoredWarning, match=r"1 of the run's files are links.*saved\.txt.*--follow-links"):
        import_dataset(folder, dir=tmp_path / "store")
    found = maskl.open(tmp_path / "store").sql("SELECT path, size FROM run_files").fetchall()
    assert found == [("notes/메모.txt", 4)]
    import_dataset(folder, dir=tmp_path / "other", follow_links=True)
    found = maskl.open(tmp_path / "other").sql("SELECT path FROM run_files ORDER BY path").fetchall()
    assert found == [("notes/메모.txt",), ("saved.txt",)]


@pytest.mark.parametrize(("moves", "new"), [(1, True), (6, False)])
def test_an_import_with_artifacts_that_is_killed_while_it_moves_is_completed(
    tmp_path: Path, moves: int, new: bool
) -> None:
    one, two = (staged(tmp_path, data, data.encode()) for data in ("one", "two"))
    table = {"_type": "html-file", "path": "media/page.html"}
    both = [entry("a", b"one", one), entry("b", b"two", two)]
    folder = wandb_run(tmp_path / "wandb", started(), artifact("m", both), history(0, {"page": table}), ENDED)
    (folder / "files/media/page.html").write_text("<p>글</p>")
    store = tmp_path / "maskl-store"
    if not new:
        with maskl.init(dir=store) as run:
            run.log({"x": 1})
    done = subprocess.run([sys.executable, "-c", KILLED_MOVING, folder, store, str(moves)], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    good = wandb_run(tmp_path / "other", *GOOD, name="run-good")
    import_dataset(good, dir=store)
    found = maskl.open(store)
    ((_, page),) = found.run("r").values("page")
    assert page.read() == "<p>글</p>".encode()
    model = found.artifact("m")
    assert Path(model.get_entry("b").download(tmp_path / "down")).read_bytes() == b"two"
    assert found.verify().faults == []
    assert not list(tmp_path.rglob(".import-*"))

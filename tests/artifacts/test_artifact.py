"""Artifacts: what goes in, and what comes out of which version."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.errors import (
    CorruptData,
    InvalidType,
    InvalidValue,
    MissingName,
    NotFound,
    NotStoredWarning,
    NotSupported,
    ServerOnlyWarning,
    StateError,
)
from maskl_storage.format.artifacts import Entry, manifest_digest

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with files as a training leaves them."""
    made = tmp_path / "work"
    (made / "ckpt" / "below").mkdir(parents=True)
    (made / "ckpt" / "best.pt").write_bytes(b"weights")
    (made / "ckpt" / "below" / "한강 1.txt").write_text("x")
    (made / "ckpt" / "empty").write_bytes(b"")
    monkeypatch.chdir(made)
    return made


def image(caption: str = "한강") -> maskl.Image:
    mask = {"mask_data": np.eye(4, dtype=np.uint8), "class_labels": {0: "road", 1: "car"}}
    return maskl.Image(np.zeros((4, 4, 3), np.uint8), caption=caption, masks={"truth": mask})


def logged(start: Start, artifact: maskl.Artifact, **arguments: Any) -> maskl.Artifact:
    with start(project="streets") as run:
        return run.log_artifact(artifact, **arguments)


# --- what goes in -------------------------------------------------------------------------------------


def test_files_come_back_as_they_were(start: Start, folder: Path, store_dir: Path) -> None:
    artifact = maskl.Artifact("unet", "model", description="the best", metadata={"miou": np.float32(0.5), "t": (1, 2)})
    artifact.add_file("ckpt/best.pt", name="model/best.pt")
    artifact.add_dir("ckpt", "all")
    with artifact.new_file("notes.txt") as text, artifact.new_file("raw", "wb") as raw:
        text.write("메모")
        raw.write(b"\x00\x01")
    assert (artifact.name, artifact.type, artifact.is_draft(), artifact.state) == ("unet", "model", True, "PENDING")
    assert artifact.file_count == 6
    (folder / "ckpt" / "best.pt").write_bytes(b"overwritten")  # what was added is kept as it was
    with start(project="streets") as run:
        done = run.log_artifact(artifact, aliases=["best"])
        assert done is artifact
        used = run.use_artifact("unet:best", type="model")
    assert (used.name, used.version, used.qualified_name) == ("unet:v0", "v0", "streets/unet:v0")
    assert (used.metadata, used.description) == ({"miou": 0.5, "t": [1, 2]}, "the best")
    assert used.aliases == ["best", "latest"]
    assert used.size == 7 + 7 + 1 + 0 + 6 + 2
    assert used.logged_by().run_id == run.id
    out = Path(used.download())
    assert out == Path("artifacts") / "unet:v0"
    there = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert there == {
        "model/best.pt": b"weights",
        "all/best.pt": b"weights",
        "all/below/한강 1.txt": b"x",
        "all/empty": b"",
        "notes.txt": "메모".encode(),
        "raw": b"\x00\x01",
    }
    used.verify()
    assert [entry.path for entry in used.files(["raw", "none"])] == ["raw"]
    assert used.manifest.entries["raw"].size == 2
    assert len(list((store_dir / "blobs").glob("*/*"))) == 5  # the same bytes stand once
    assert maskl.open(store_dir).verify().clean


def test_an_artifact_may_be_filled_before_its_run(start: Start, folder: Path) -> None:
    artifact = maskl.Artifact("early", "data")
    artifact.add_file("ckpt/best.pt")
    (folder / "ckpt" / "best.pt").unlink()
    assert Path(logged(start, artifact).file()).read_bytes() == b"weights"


def test_one_that_was_filled_in_a_run_may_be_logged_by_another(start: Start, folder: Path, tmp_path: Path) -> None:
    artifact = maskl.Artifact("late", "data")
    with start():
        artifact.add_file("ckpt/best.pt")
    with maskl.init(dir=tmp_path / "other") as run:
        run.log_artifact(artifact)
    assert Path(artifact.file()).read_bytes() == b"weights"
    assert maskl.open(tmp_path / "other").verify().clean


def test_what_is_said_to_stay_is_read_when_it_is_logged(start: Start, folder: Path) -> None:
    for change, error in ((lambda path: path.write_bytes(b"other"), CorruptData), (Path.unlink, NotFound)):
        (folder / "a").write_bytes(b"a")
        artifact = maskl.Artifact("a", "data")
        artifact.add_file("a", policy="immutable")
        change(folder / "a")
        with start() as run, pytest.raises(error, match="'a'"):
            run.log_artifact(artifact)
    assert maskl.open().sql("FROM artifacts").fetchall() == []


def test_tables_and_images_come_back_as_values(start: Start, store_dir: Path) -> None:
    artifact = maskl.Artifact("val", "dataset")
    table = maskl.Table(["id", "image", "score"], [[1, image("a"), 0.5], [2, image("b"), None]])
    artifact.add(table, "rows/validation")
    artifact["one"] = image("c")
    artifact.add(maskl.Table(["x"]), "none")
    artifact.add(maskl.Table(["x"], [[1], ["a"]], allow_mixed_types=True), "mixed")
    assert artifact.get("one") == image("c")
    with start() as run:
        run.log_artifact(artifact)
        used = run.use_artifact("val")
        back = used.get("rows/validation")
        assert isinstance(back, maskl.Table)
        assert back.columns == ["id", "image", "score"]
        assert [(row[0], row[1].caption, row[2]) for row in back.data] == [(1, "a", 0.5), (2, "b", None)]
        assert back.data[0][1] == image("a")
        assert used["one"] == image("c")
        assert used.get("none").columns == ["x"]  # type: ignore[union-attr]
        assert used.get("mixed").data == [[1], ["a"]]  # type: ignore[union-attr]
        assert used.get("nothing") is None
        # the reference-table pattern: images of the artifact in rows of predictions
        run.log({"predictions": maskl.Table(["image", "p"], [[row[1], 0.9] for row in back.data])})
    store = maskl.open(store_dir)
    assert store.table("predictions")[1]["image"] == image("b")
    assert [found.name for found in store.tables()] == [
        *("predictions", "val/v0/mixed", "val/v0/none", "val/v0/one", "val/v0/rows/validation"),
    ]
    assert store.sql("SELECT count(*) FROM images").fetchall() == [(1,)]
    assert store.verify().clean


def test_a_table_may_be_logged_beside_its_artifact(start: Start, store_dir: Path) -> None:
    for mode in ("IMMUTABLE", "MUTABLE", "INCREMENTAL"):
        table = maskl.Table(["x"], [[1], [2]], log_mode=mode)  # type: ignore[arg-type]
        with start(id=mode) as run:
            run.log({"t": table})
            artifact = maskl.Artifact(mode, "data")
            artifact.add(table, "t")
            run.log_artifact(artifact)
        assert artifact.get("t").data == [[1], [2]]  # type: ignore[union-attr]
        assert len(maskl.open(store_dir).table("t", run=mode)) == 2


def test_one_run_may_log_a_name_of_several_projects_and_tables_of_any_name(start: Start, store_dir: Path) -> None:
    for project in ("p", "q"):
        with start(id="r", project=project) as run:
            run.log({"val/v0/rows": maskl.Table(["x"], [["logged"]])})
            artifact = maskl.Artifact("val", "data")
            artifact.add(maskl.Table(["x"], [[project]]), "rows")
            with artifact.new_file(project) as file:
                file.write(project)
            assert run.log_artifact(artifact).qualified_name == f"{project}/val:v0"
    store = maskl.open(store_dir)
    for project in ("p", "q"):
        found = store.artifact(f"{project}/val")
        assert [entry.path for entry in found.files()] == [project, "rows"]
        assert found.get("rows").data == [[project]]  # type: ignore[union-attr]
    assert [row["x"] for row in store.table("val/v0/rows")] == ["logged", "logged"]
    assert store.verify().clean


def test_addresses_are_kept_and_never_fetched(start: Start, folder: Path) -> None:
    artifact = maskl.Artifact("refs", "data")
    artifact.add_reference("s3://bucket/a/b.tar")
    artifact.add_reference("https://host.invalid/x", name="web/x")
    artifact.add_reference((folder / "ckpt").as_uri())
    artifact.add_reference((folder / "ckpt" / "best.pt").as_uri(), "best", checksum=False)
    with pytest.raises(InvalidValue, match="holds 3 files, and max_objects is 2"):
        artifact.add_reference((folder / "ckpt").as_uri(), "more", max_objects=2)
    used = logged(start, artifact)
    kept = {entry.path: (entry.ref, entry.size) for entry in used.files()}
    assert kept["b.tar"] == ("s3://bucket/a/b.tar", None)
    assert kept["best.pt"] == ((folder / "ckpt" / "best.pt").as_uri(), 7)
    assert kept["best"][1] is None
    with pytest.warns(NotStoredWarning, match="is the address") as caught:
        out = Path(used.download("out"))
    assert len(caught) == 2
    assert (out / "best.pt").read_bytes() == (out / "best").read_bytes() == b"weights"
    used.download("again", allow_missing_references=True)
    assert used.get_entry("b.tar").ref_target() == "s3://bucket/a/b.tar"
    with pytest.raises(InvalidValue, match=r"fetch 's3://bucket/a/b\.tar' yourself"):
        used.get_entry("b.tar").download()
    (folder / "ckpt" / "best.pt").write_bytes(b"changed")
    with pytest.raises(CorruptData, match=r"best\.pt"):
        used.download("changed", allow_missing_references=True)


HOSTILE = (
    *("../x", "/etc/passwd", "a/../../x", "a//b", ".", "..", "a/.", "", "a\\b", "C:x", "a\nb", "\x1b[31m", "x" * 300),
    *("\udc80", "a\0b"),
)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_lead_out_are_refused(name: str, folder: Path) -> None:
    artifact = maskl.Artifact("a", "data")
    calls: tuple[Callable[[], object], ...] = (
        lambda: artifact.add_file("ckpt/best.pt", name),
        lambda: artifact.add(image(), name),
        lambda: artifact.add_reference("s3://b/c", name) if name else artifact.add_file("ckpt/best.pt", name),
        lambda: artifact.new_file(name).__enter__(),
    )
    for call in calls:
        with pytest.raises(InvalidValue, match="is a relative path of names"):
            call()
    assert artifact.file_count == 0


@pytest.mark.skipif(os.name != "posix", reason="no links to make")
def test_links_in_a_folder_are_refused_unless_they_are_asked_for(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret")
    (folder / "ckpt" / "link").symlink_to(tmp_path / "secret")
    artifact = maskl.Artifact("a", "data")
    with pytest.raises(InvalidValue, match="link' is a link, which may lead out of the folder"):
        artifact.add_dir("ckpt")
    assert artifact.file_count == 0
    artifact.add_dir("ckpt", follow_links=True)
    assert artifact.file_count == 4
    (folder / "ckpt" / "link").unlink()
    (folder / "ckpt" / "loop").symlink_to(folder / "ckpt")
    with pytest.raises(InvalidValue, match="leads back"):
        maskl.Artifact("a", "data").add_dir("ckpt", follow_links=True)
    os.mkfifo(folder / "ckpt" / "fifo")
    (folder / "ckpt" / "loop").unlink()
    for call in (lambda: artifact.add_dir("ckpt", "more"), lambda: artifact.add_file("ckpt/fifo")):
        with pytest.raises(InvalidValue, match=r"is neither a file nor a folder|is no regular file"):
            call()


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a\\b", "a\nb", " ", "x" * 201, "\udc80", "NULL"])
def test_names_of_artifacts_that_are_none(name: str) -> None:
    with pytest.raises(InvalidValue, match="artifact"):
        maskl.Artifact(name, "data")


def test_wrong_arguments(folder: Path) -> None:
    with pytest.raises(InvalidType, match="name must be a string"):
        maskl.Artifact(3, "data")  # type: ignore[arg-type]
    with pytest.raises(InvalidType, match="type must be a string"):
        maskl.Artifact("a", None)  # type: ignore[arg-type]
    with pytest.raises(InvalidType, match="metadata must be a dict"):
        maskl.Artifact("a", "data", metadata=[1])  # type: ignore[arg-type]
    artifact = maskl.Artifact("a", "data")
    with pytest.raises(NotFound, match=r"there is no file 'none\.pt'"):
        artifact.add_file("none.pt")
    with pytest.raises(InvalidValue, match=r"add_dir\(\) takes folders"):
        artifact.add_file("ckpt")
    with pytest.raises(NotFound, match="there is no folder"):
        artifact.add_dir("none")
    with pytest.raises(InvalidType, match=r"a maskl\.Table or a maskl\.Image; got int"):
        artifact.add(3, "n")
    with pytest.raises(InvalidValue, match="a reference is an address"):
        artifact.add_reference("no address")
    artifact.add_file("ckpt/best.pt", "a/b")
    with pytest.raises(InvalidValue, match=r"holds 'a/b' already: give another name, or overwrite=True"):
        artifact.add_file("ckpt/empty", "a/b")
    for name in ("a", "a/b/c"):
        with pytest.raises(InvalidValue, match="cannot both be in an artifact"):
            artifact.add_file("ckpt/best.pt", name)
    artifact.add_file("ckpt/empty", "a/b", overwrite=True)
    assert artifact.get_entry("a/b").size == 0
    with pytest.raises(InvalidValue, match="policy must be"):
        artifact.add_file("ckpt/best.pt", policy="now")
    with pytest.raises(NotFound, match="there are: 'a/b'"):
        artifact.get_entry("none")
    artifact.remove("a")
    assert artifact.file_count == 0
    with pytest.raises(NotFound):
        artifact.remove("a")


def test_what_only_a_server_has(start: Start) -> None:
    with pytest.warns(ServerOnlyWarning, match="use_as"):
        artifact = maskl.Artifact("a", "data", use_as="x")
    assert not hasattr(artifact, "collection")
    assert not hasattr(artifact, "version")  # before it is logged, as in W&B
    assert getattr(artifact, "nonsense", 3) == 3
    with pytest.raises(MissingName, match="an artifact has no used_by here; instead: "):
        _ = artifact.used_by
    with pytest.raises(StateError, match=r"no version before it is logged: run\.log_artifact\(\)"):
        _ = artifact.version
    with pytest.warns(ServerOnlyWarning, match="nothing is linked"):
        assert artifact.link("registry/a") is artifact
    with start(settings={"strict": True}) as run:
        for call in (lambda: artifact.link("a"), lambda: run.log_artifact(artifact, tags=["a"])):
            with pytest.raises(NotSupported):
                call()
    assert pickle.loads(pickle.dumps(maskl.Artifact)) is maskl.Artifact


# --- versions -----------------------------------------------------------------------------------------


def test_versions_and_aliases(start: Start, folder: Path, store_dir: Path) -> None:
    with start(project="streets", id="r") as run:
        for epoch in range(12):
            (folder / "model.pt").write_bytes(b"epoch %d" % epoch)
            artifact = maskl.Artifact("unet", "model", metadata={"epoch": epoch})
            artifact.add_file("model.pt")
            run.log({"loss": 1 / (epoch + 1)})
            run.log_artifact(artifact, aliases=["latest", "best"] if epoch in (3, 7) else None)
            assert artifact.version == f"v{epoch}"
        assert run.use_artifact("unet").version == "v11"
        assert run.use_artifact("unet:latest").version == "v11"
        assert run.use_artifact("unet:best").version == "v7"
        assert run.use_artifact("unet:v3").aliases == []
        assert run.use_artifact("team/streets/unet:v3").metadata == {"epoch": 3}
        with pytest.raises(NotFound, match="has no version 'v12'; there are: best, latest, v0"):
            run.use_artifact("unet:v12")
        with pytest.raises(NotFound, match="there is no artifact 'none' in project 'streets'; there are: streets/unet"):
            run.use_artifact("none")
        with pytest.raises(InvalidValue, match="is of type 'model', not 'data'"):
            run.use_artifact("unet", type="data")
        with pytest.raises(InvalidValue, match="is of type 'model', and cannot be of type 'data'"):
            run.log_artifact(maskl.Artifact("unet", "data"))
        for alias in ("v3", "a/b", "a:b"):
            with pytest.raises(InvalidValue, match="an alias"):
                run.log_artifact(artifact, aliases=[alias])
        for nothing in ("", [""], ["", "latest"]):
            assert run.log_artifact(artifact, aliases=nothing).aliases == ["latest"]
    store = maskl.open(store_dir)
    rows = store.sql("SELECT version, aliases, metadata->>'epoch' FROM artifacts ORDER BY version").fetchall()
    assert rows == [(n, ["best"] if n == 7 else ["latest"] if n == 11 else [], str(n)) for n in range(12)]
    assert store.sql("SELECT count(DISTINCT digest), sum(size) FROM artifact_files").fetchall() == [(12, 86)]
    assert len(list(store_dir.glob("seals/*/*.json"))) < 40  # merged as they come
    assert store.verify().clean
    assert store.artifact("unet:best").version == "v7"  # only one project has it
    with start(project="other") as run, pytest.raises(NotFound, match="there are: streets/unet"):
        run.use_artifact("unet")
    assert start(project="other").use_artifact("streets/unet:best").version == "v7"


def test_what_is_as_it_was_is_the_version_that_it_was(start: Start, folder: Path) -> None:
    with start() as run:
        for alias in ("a", "b", None):
            artifact = maskl.Artifact("same", "data")
            artifact.add_dir("ckpt")
            assert run.log_artifact(artifact, aliases=alias).version == "v0"
        assert run.use_artifact("same").aliases == ["a", "b", "latest"]
        artifact = maskl.Artifact("same", "data", metadata={"new": True})
        artifact.add_dir("ckpt")
        assert run.log_artifact(artifact).version == "v0"
        assert run.use_artifact("same").metadata == {"new": True}


def test_saving_a_draft_logs_it(start: Start, folder: Path) -> None:
    artifact = maskl.Artifact("a", "data")
    artifact.add_file("ckpt/best.pt")
    artifact.add(maskl.Table(["x"], [[1]]), "rows")
    with pytest.raises(StateError, match="before it is logged"):
        artifact.save()
    with start(mode="disabled"):
        artifact.save()
    assert artifact.is_draft()
    with start(project="p") as run:
        artifact.save()
        assert (artifact.qualified_name, artifact.logged_by().run_id) == ("p/a:v0", run.id)
        artifact.metadata["k"] = 1
        artifact.save()
        found = run.use_artifact("a:latest")
    assert (found.version, found.metadata) == ("v0", {"k": 1})
    with pytest.raises(StateError, match="saved with a run that stores"):
        artifact.save()


def test_tables_and_images_are_found_by_the_names_of_their_files_too(start: Start) -> None:
    artifact = maskl.Artifact("a", "data")
    artifact.add(maskl.Table(["x"], [[1]]), "rows")
    artifact.add(maskl.Table(["x"], [[2]]), "odd.table.json")
    artifact.add(image(), "one")
    with start() as run:
        for found in (artifact, run.log_artifact(artifact)):
            rows, odd = found.get("rows.table.json"), found.get("odd.table.json")
            assert isinstance(rows, maskl.Table)
            assert isinstance(odd, maskl.Table)
            assert ([*rows.data], [*odd.data]) == ([[1]], [[2]])
            assert found.get("one.image-file.json") == image()
            assert found.get("none.table.json") is None


def test_who_asks_for_the_artifact_of_a_logged_table_is_told_where_it_is(start: Start) -> None:
    with start(id="r", project="p") as run:
        run.log({"rows": maskl.Table(["x"], [[1]])})
        with pytest.raises(NotFound, match=r"there are: none: maskl\.open\(\)\.table\(key, run=\.\.\.\) reads a table"):
            run.use_artifact("run-r-rows:v0")
        assert maskl.open().table("rows", run="r")[0] == {"x": 1}
        with pytest.raises(NotFound, match=r"there are: none$"):
            run.use_artifact("rows:v0")


def test_a_logged_version_is_said_anew(start: Start, folder: Path) -> None:
    with start(project="p") as run:
        artifact = maskl.Artifact("a", "data", metadata={"k": 1})
        artifact.add_file("ckpt/best.pt")
        run.log_artifact(artifact)
        with pytest.raises(StateError, match="nothing more goes into it: make another one of its name"):
            artifact.add_file("ckpt/empty")
        used = run.use_artifact("a")
        used.aliases.append("prod")
        used.metadata["k"] = 2
        used.description = "new"
        run.log_artifact(used, aliases=["more"])
        found = run.use_artifact("a:prod")
        assert (found.version, found.metadata, found.description) == ("v0", {"k": 2}, "new")
        assert found.aliases == ["more", "prod", "latest"]
        assert Path(found.file()).read_bytes() == b"weights"
    with start(id="another", project="p") as run:  # by another run, too
        used = run.use_artifact("a:more")
        used.metadata["k"] = 3
        run.log_artifact(used)
        assert run.use_artifact("a").metadata == {"k": 3}
        assert run.use_artifact("a").logged_by().run_id != "another"
        assert [entry.path for entry in run.use_artifact("a").files()] == ["best.pt"]


def test_an_incremental_version_has_what_the_latest_had(start: Start, folder: Path) -> None:
    with start() as run:
        first = maskl.Artifact("grows", "data")
        first.add_dir("ckpt")
        run.log_artifact(first)
        (folder / "new").write_text("new")
        more = maskl.Artifact("grows", "data", incremental=True)
        more.add_file("new")
        more.add_file("new", "best.pt")
        run.log_artifact(more)
        assert [(entry.path, entry.size) for entry in run.use_artifact("grows:v1").files()] == [
            *(("below/한강 1.txt", 1), ("best.pt", 3), ("empty", 0), ("new", 3)),
        ]
    assert maskl.open().verify().clean


def test_paths_become_artifacts(start: Start, folder: Path) -> None:
    with start(id="r:1") as run:
        assert run.log_artifact("ckpt/best.pt").name == "run-r-1-best.pt:v0"
        assert run.log_artifact("ckpt", "all", "data").file_count == 3
        assert run.log_artifact("s3://bucket/x", "ref").type == "unspecified"
        run.log_model("ckpt/best.pt", "m", aliases="prod")
        run.log_model(folder / "ckpt", "many")
        assert Path(run.use_model("m:prod")).read_bytes() == b"weights"
        assert sorted(os.listdir(run.use_model("many"))) == ["below", "best.pt", "empty"]
        with pytest.raises(InvalidValue, match="no model"):
            run.use_model("all")
        with pytest.raises(InvalidType, match="takes an artifact or a path"):
            run.log_artifact(3)  # type: ignore[arg-type]
        with pytest.raises(NotFound, match="there is no file 'none'"):
            run.log_artifact("none")
        with pytest.warns(ServerOnlyWarning, match=r"upsert_artifact\(\)"):
            assert run.upsert_artifact("ckpt", "shared", "data").version == "v0"
        draft = maskl.Artifact("used", "data")
        assert run.use_artifact(draft, aliases=["x"]).aliases == ["x", "latest"]


def test_the_modules_calls_are_those_of_the_active_run(start: Start, folder: Path) -> None:
    start()
    assert maskl.log_artifact("ckpt", "all", "data").version == "v0"
    maskl.log_model("ckpt/best.pt", "m")
    assert maskl.use_artifact("all").file_count == 3
    assert Path(maskl.use_model("m")).read_bytes() == b"weights"
    assert maskl.save("ckpt/best.pt") == [str(folder / "ckpt" / "best.pt")]
    with maskl.restore("ckpt/best.pt") as file:
        assert file.read() == "weights"


def test_the_digest_is_over_paths_and_bytes() -> None:
    entries = [Entry("b", "file", 1, "1" * 64), Entry("a", "reference", None, None, "s3://한/강")]
    assert manifest_digest(entries) == manifest_digest(reversed(entries))
    others = [Entry("b", "file", 1, "2" * 64), Entry("c", "file", 1, "1" * 64)]
    assert len({manifest_digest([entry]) for entry in (*entries, *others)}) == 4
    assert (
        manifest_digest([]) == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    )  # BLAKE3 of nothing


# --- what others made ---------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="no links to make")
def test_nothing_is_downloaded_through_a_link(start: Start, folder: Path, tmp_path: Path) -> None:
    artifact = maskl.Artifact("a", "data")
    artifact.add_dir("ckpt")
    used = logged(start, artifact)
    (tmp_path / "outside").mkdir()
    (folder / "out").mkdir()
    (folder / "out" / "below").symlink_to(tmp_path / "outside")
    with pytest.raises(CorruptData, match="link"):
        used.download("out")
    assert os.listdir(tmp_path / "outside") == []
    (folder / "out" / "below").unlink()
    (tmp_path / "file").write_text("mine")
    (folder / "out" / "best.pt").unlink(missing_ok=True)
    (folder / "out" / "best.pt").symlink_to(tmp_path / "file")
    used.download("out")  # what takes the place of a link is the file
    assert (tmp_path / "file").read_text() == "mine"
    assert (folder / "out" / "best.pt").read_bytes() == b"weights"


def test_bytes_that_were_altered_are_not_given_out(start: Start, folder: Path, store_dir: Path) -> None:
    artifact = maskl.Artifact("a", "data")
    entry = artifact.add_file("ckpt/best.pt")
    used = logged(start, artifact)
    assert used.get_entry("best.pt").digest == entry.digest
    (blob,) = store_dir.glob(f"blobs/*/{entry.digest}")
    blob.write_bytes(b"altered")
    with pytest.raises(CorruptData, match="its bytes were altered"):
        used.download("out")
    assert os.listdir("out") == []
    assert [fault.file for fault in maskl.open(store_dir).verify().faults] == [blob.relative_to(store_dir).as_posix()]
    blob.unlink()
    with pytest.raises(NotFound, match="does not hold the bytes"):
        used.download("out")
    (fault,) = maskl.open(store_dir).verify().faults
    assert "names it, and it is not there" in fault.problem


def test_a_folder_is_checked_against_a_version(start: Start, folder: Path) -> None:
    artifact = maskl.Artifact("a", "data")
    artifact.add_dir("ckpt")
    used = logged(start, artifact)
    out = Path(used.download())
    used.verify()
    (out / "more").write_text("x")
    with pytest.raises(CorruptData, match="holds 'more'"):
        used.verify()
    (out / "more").unlink()
    (out / "best.pt").write_bytes(b"altered")
    with pytest.raises(CorruptData, match="it was altered"):
        used.verify()
    (out / "best.pt").unlink()
    with pytest.raises(CorruptData, match=r"lacks 'best\.pt'"):
        used.verify()
    with pytest.raises(NotFound, match=r"download\(\) makes it"):
        used.verify("none")
    with pytest.raises(InvalidValue, match="holds 3 files"):
        used.file()


SPAWNED = """
import sys, maskl
with maskl.init(dir=sys.argv[1], id=sys.argv[2], project="p") as run:
    for number in range(int(sys.argv[3])):
        artifact = maskl.Artifact("shared", "data")
        with artifact.new_file("n") as file:
            file.write(f"{sys.argv[2]} {number}")
        print(run.log_artifact(artifact).version)
"""


def test_processes_that_log_one_name_get_different_versions(store_dir: Path) -> None:
    """Many of them, and many kills, are under ``make durability``."""
    each = 4
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SPAWNED, store_dir, f"r{number}", str(each)], stdout=subprocess.PIPE, text=True
        )
        for number in range(3)
    ]
    printed = [process.communicate()[0].split() for process in started]
    assert sorted(version for some in printed for version in some) == sorted(f"v{number}" for number in range(3 * each))
    store = maskl.open(store_dir)
    assert store.sql("SELECT count(*), max(version) FROM artifacts").fetchall() == [(12, 11)]
    assert store.verify().clean

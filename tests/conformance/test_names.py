"""The tables of names in ``docs/migrating-from-wandb.md``, and the code and the tests behind every row."""

from __future__ import annotations

import inspect
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from tests.conformance.names import KEPT, MEDIA, VERDICTS, Name, found, names
from tests.conformance.observe import RECORD, load

pytestmark = pytest.mark.once

NAMES = names()
SCENARIOS = load()
WANDB: dict[str, list[str]] = json.loads(RECORD.read_text("utf-8"))["names"]
#: rows whose evidence is a test below, since W&B has nothing to compare with
COVERED: set[str] = set()
THERE = [name for name in NAMES.values() if name.verdict != "not there"]
ABSENT = [name for name in NAMES.values() if name.verdict == "not there"]
#: what maskl's own classes have and only maskl itself calls
ARGUMENTS = (
    "BoundingBoxes2D",
    "Classes",
    "EvalTable",
    "Histogram",
    "Image",
    "ImageMask",
    "JoinedTable",
    "Table",
    "init",
)


def covers(*rows: str) -> Callable[[Any], Any]:
    """Mark a test as the evidence for rows of the table."""
    COVERED.update(rows)
    return lambda test: test


# --- the table against maskl ------------------------------------------------------------------------


def test_the_table_is_read() -> None:
    assert len(NAMES) > 250
    assert {name.verdict for name in NAMES.values()} == set(VERDICTS)


def test_what_is_not_the_same_is_explained() -> None:
    assert not [name for name in NAMES.values() if name.verdict != "same" and not name.said]


def test_what_is_there_is_found() -> None:
    assert not [name for name in THERE if found(name.name) not in (True, None)]


@pytest.mark.parametrize("name", ABSENT, ids=lambda name: name.name)
def test_what_is_not_there_is_not_there_or_says_so(name: Name, start: Callable[..., maskl.Run]) -> None:
    """The verdict ``not there``: no such name, or a call of it raises ``NotSupported``."""
    if name.name.startswith("Media."):
        owners = [owner for owner in MEDIA if hasattr(getattr(maskl, owner), name.name[6:])]
        assert not owners or name.name == "Media.to_data_array", owners
        return
    owner, _, member = name.name.rpartition(".")
    run = start()
    if (not found(name.name) and owner != "Run") or f"maskl.{name.name}" in sys.modules:
        return  # the latter is a folder of maskl's own
    target: Any = run if owner == "Run" else getattr(maskl, owner) if owner else maskl
    with pytest.raises(maskl.errors.NotSupported):
        getattr(target, member)()


def test_every_public_name_is_in_the_table() -> None:
    assert not [name for name in maskl.__all__ if name not in NAMES or NAMES[name].verdict == "not there"]


def test_every_argument_is_in_the_table() -> None:
    given = {name: inspect.signature(getattr(maskl, name)).parameters for name in ARGUMENTS}
    assert {f"{name}({argument})" for name, arguments in given.items() for argument in arguments} <= NAMES.keys()


@pytest.mark.parametrize("name", ["define_metric", "finish", "log"])
def test_every_argument_of_a_runs_calls_is_in_the_table(name: str) -> None:
    arguments = list(inspect.signature(getattr(maskl.Run, name)).parameters)[1:]
    assert {f"Run.{name}({argument})" for argument in arguments} <= NAMES.keys()
    assert list(inspect.signature(getattr(maskl, name)).parameters) == arguments


# --- the table against W&B --------------------------------------------------------------------------


@pytest.mark.parametrize("owner", [owner for owner in WANDB if not owner.endswith("()")])
def test_every_name_of_wandb_is_in_the_table(owner: str) -> None:
    inside = "" if owner in ("wandb", "env") else f"{owner}."
    assert not [member for member in WANDB[owner] if f"{inside}{member}" not in NAMES]


@pytest.mark.parametrize("call", [owner for owner in WANDB if owner.endswith("()")])
def test_every_argument_of_wandb_is_in_the_table_and_in_its_place(call: str) -> None:
    name = call.removesuffix("()")
    listed = [argument for argument in WANDB[call] if f"{name}({argument})" in NAMES]
    assert listed == WANDB[call]
    target: Any = maskl
    for part in name.split("."):
        target = getattr(target, part)
    ours = [argument for argument in inspect.signature(target).parameters if argument in listed]
    assert ours == listed, "code that passes arguments by position means the same"


# --- the table against the tests --------------------------------------------------------------------


def evidence(row: str) -> list[Any]:
    return [scenario for scenario in SCENARIOS.values() if row in scenario.rows]


def test_every_row_has_a_test_of_its_verdict() -> None:
    for name in THERE:
        scenarios = evidence(name.name)
        assert scenarios or name.name in COVERED, f"no scenario and no test names the row {name.name}"
        differing = [scenario.name for scenario in scenarios if scenario.differs]
        if name.verdict == "same":
            assert not differing, name.name
        else:
            assert name.name in COVERED or differing, name.name


def test_scenarios_name_rows_of_the_table() -> None:
    assert not [name for name, scenario in SCENARIOS.items() if not set(scenario.rows) <= NAMES.keys()]


def test_the_tests_of_this_module_name_rows_of_the_table() -> None:
    assert NAMES.keys() >= COVERED


# --- rows about what W&B has nothing of, or needs a server for ---------------------------------------

CURVES = [f"({name})" for name in ("y_true", "y_probas", "labels", "classes_to_plot", "title", "split_table")]
SERVER = {
    "entity": "team",
    "force": True,
    "save_code": True,
    "tensorboard": True,
    "sync_tensorboard": True,
    "monitor_gym": True,
    "anonymous": "allow",
    "resume_from": "run-1?_step=3",
    "fork_from": "run-1?_step=3",
}


@covers(*(f"init({argument})" for argument in SERVER))
@pytest.mark.parametrize("argument", SERVER)
def test_arguments_for_a_server_warn_once(argument: str, start: Callable[..., maskl.Run]) -> None:
    with pytest.warns(maskl.errors.ServerOnlyWarning) as caught:
        start(**{argument: SERVER[argument]})
    assert len(caught) == 1
    assert argument in str(caught[0].message)


#: calls for a server, and what they are called with
CALLS: dict[str, tuple[Any, ...]] = {
    "login": (),
    "require": ("core",),
    "termsetup": (None, None),
    "Run.display": (),
    "Run.link_artifact": ("artifact", "registry/model"),
    "Run.log_code": (".",),
    "Run.status": (),
    "Run.to_html": (),
    "Run.write_logs": ("text",),
}
BOTH: dict[str, tuple[Any, ...]] = {
    "alert": ("title", "text"),
    "link_model": ("model.pt", "model"),
    "mark_preempting": (),
    "pin_config_keys": (["lr"],),
    "unwatch": (),
    "watch": (object(),),
}


@covers(*CALLS, *BOTH, *(f"Run.{name}" for name in BOTH))
@pytest.mark.parametrize("name", [*CALLS, *BOTH, *(f"Run.{name}" for name in BOTH)])
def test_calls_for_a_server_warn_and_go_on(name: str, start: Callable[..., maskl.Run]) -> None:
    run = start()
    owner, _, member = name.rpartition(".")
    arguments = {**CALLS, **BOTH, **{f"Run.{call}": given for call, given in BOTH.items()}}[name]
    with pytest.warns(maskl.errors.ServerOnlyWarning, match=rf"^{member}\(\) needs W&B's server") as caught:
        getattr(run if owner else maskl, member)(*arguments)
    assert len(caught) == 1
    run.log({"a": 1})


@covers("Run.save", "Run.restore", "save", "restore", "Run.dir")
def test_files_of_a_run_are_its_own(start: Callable[..., maskl.Run], tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    folders = []
    for name in ("one", "two"):
        path.write_text(name)
        with start(id=name) as run:
            folders.append(run.dir)
            assert run.save("best.pt") == maskl.save("best.pt") == [str(path)]
            with run.restore("best.pt", run_path="one") as file, maskl.restore("best.pt") as same:
                assert file.read() == same.read() == "one"
    assert len(set(folders)) == 2


@covers("Run.log_artifact", "Run.use_artifact", "Run.log_model", "Run.use_model", "ArtifactEntry", "ArtifactManifest")
@covers("log_artifact", "use_artifact", "log_model", "use_model", "Artifact", "Artifact(incremental)", "Artifact.add")
@covers("Artifact.get", "Artifact.get_entry", "Artifact.get_path", "Artifact.wait", "Artifact.file_count")
@covers(*(f"Artifact.{name}" for name in ("version", "aliases", "download", "file", "files", "verify", "created_at")))
@covers(*(f"Artifact.{name}" for name in ("qualified_name", "project", "entity", "id", "logged_by", "source_name")))
@covers("Artifact.source_version", "Artifact.url", "Artifact.save", "Artifact.digest", "Artifact.digest_algorithm")
def test_artifacts_are_found_at_once(start: Callable[..., maskl.Run], tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(b"weights")
    artifact = maskl.Artifact("unet", "model", incremental=True)
    artifact.add_file("best.pt")
    artifact.add(maskl.Table(["x"], [[1]]), "rows")
    assert artifact.get_entry("best.pt").path == artifact.get_path("best.pt").path == "best.pt"
    with start(project="p") as run:
        logged = run.log_artifact(artifact).wait()
        used = maskl.use_artifact("unet:latest")
        run.log_model("best.pt", "m")
        maskl.log_model("best.pt", "m")
        assert run.use_model("m") == maskl.use_model("m:v0")
        assert maskl.log_artifact(used).version == "v0"
        used.aliases.append("prod")
        used.save()
        assert run.use_artifact("unet:prod").aliases == ["prod", "latest"]
    assert isinstance(used.manifest, maskl.ArtifactManifest)
    assert {type(entry) for entry in used.files()} == {maskl.ArtifactEntry}
    assert (logged.digest, logged.digest_algorithm, len(used.digest)) == (used.digest, "BLAKE3", 64)
    assert (used.version, used.source_version, used.name, used.source_name) == ("v0", "v0", "unet:v0", "unet:v0")
    assert (used.qualified_name, used.id, used.project, used.entity, used.url) == (
        "p/unet:v0",
        "p/unet:v0",
        "p",
        "",
        None,
    )
    assert (used.file_count, used.logged_by().run_id) == (2, run.id)
    assert used.get("rows").data == [[1]]  # type: ignore[union-attr]
    assert used.created_at >= str(maskl.open(run.store_dir).runs()[0].started)
    Path(used.download("out"))
    used.verify("out")
    assert Path(maskl.open(run.dir).artifact("m").file()).read_bytes() == b"weights"


@covers("Artifact.add_dir")
def test_a_link_in_a_folder_is_no_file_of_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(maskl.errors.InvalidValue, match="follow_links=True"):
        maskl.Artifact("a", "data").add_dir("in")


@covers("Run.upsert_artifact", "Run.finish_artifact", "Artifact.link", "Artifact.tags", "Artifact.ttl")
@covers("Artifact(use_as)", "Artifact(storage_region)", "Artifact(digest_algorithm)")
def test_what_of_artifacts_a_server_would_heed_warns(start: Callable[..., maskl.Run], tmp_path: Path) -> None:
    run = start()
    (tmp_path / "a").write_text("a")
    artifact = maskl.Artifact("a", "data")
    calls: list[Callable[[], object]] = [
        lambda: run.upsert_artifact("a"),
        lambda: run.finish_artifact("a"),
        lambda: artifact.link("registry/a"),
        lambda: setattr(artifact, "tags", ["x"]),
        lambda: setattr(artifact, "ttl", 3),
        lambda: maskl.Artifact("a", "data", use_as="x"),
        lambda: maskl.Artifact("a", "data", storage_region="x"),
        lambda: maskl.Artifact("a", "data", digest_algorithm="XXH128"),
    ]
    for call in calls:
        with pytest.warns(maskl.errors.ServerOnlyWarning) as caught:
            call()
        assert len(caught) == 1


class Figure:
    """What plotly's figures answer."""

    __module__ = "plotly.graph_objs._figure"

    def to_plotly_json(self) -> dict[str, Any]:
        return {"data": [{"y": np.array([1])}]}


#: kept media, with the bytes and the format that each has without any library of its own
MADE: dict[str, tuple[Callable[[], Any], bytes, str]] = {
    "Audio": (lambda: maskl.Audio(b"fLaC sound"), b"fLaC sound", "flac"),
    "Html": (lambda: maskl.Html("<head>길</head>"), "<head>길</head>".encode(), "html"),
    "Molecule": (lambda: maskl.Molecule(io.StringIO("HEADER"), file_type="pdb"), b"HEADER", "pdb"),
    "Object3D": (lambda: maskl.Object3D([[1, 2, 3]]), b"[[1, 2, 3]]", "pts.json"),
    "Plotly": (lambda: maskl.Plotly(Figure()), b'{"data": [{"y": [1]}]}', "plotly.json"),
    "Video": (lambda: maskl.Video(b"GIF89a"), b"GIF89a", "gif"),
}


@covers(*KEPT, *(f"log({name})" for name in KEPT), "data_types")
@pytest.mark.parametrize("name", KEPT)
def test_media_are_kept_as_they_are(name: str, start: Callable[..., maskl.Run], store_dir: Path) -> None:
    make, content, form = MADE[name]
    with start(name="one") as run:
        run.log({"by itself": make(), "cells": maskl.Table(["media"], [[make()]])})
    store = maskl.open(store_dir)
    for kept in (store.run("one").values("by itself")[0][1], store.table("cells")[0]["media"]):
        assert isinstance(kept, getattr(maskl.data_types, name))
        assert isinstance(kept, maskl.data_types.Media)
        assert (kept.read(), kept.format, kept.size) == (content, form, len(content))


@covers("box3d")
def test_a_box_is_turned_the_way_that_its_signs_say() -> None:
    """By ninety degrees about z, either way; W&B turns both alike."""
    given: dict[str, Any] = {"center": (0, 0, 0), "size": (4, 2, 2), "color": (0, 0, 1), "label": "차"}
    one, other = (maskl.box3d(**given, orientation=(1, 0, 0, sign)) for sign in (1, -1))
    assert np.allclose(one["corners"][0], (1, -2, -1))
    assert np.allclose(other["corners"][0], (-1, 2, -1))
    assert (one["color"], one["label"], one["score"]) == ((0, 0, 1), "차", None)


@covers("termlog", "termwarn", "termerror")
def test_lines_for_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MASKL_SILENT", "0")
    maskl.termlog("a")
    maskl.termwarn("b")
    maskl.termerror("c\x1b")
    assert capsys.readouterr().err == "maskl: a\nmaskl: WARNING b\nmaskl: ERROR c\\x1b\n"


@covers("Table(dataframe)")
@pytest.mark.parametrize("package", ["polars", "pyarrow", "duckdb"])
def test_dataframes_of_any_package(package: str, start: Callable[..., maskl.Run], store_dir: Path) -> None:
    module = pytest.importorskip(package)
    made = {
        "polars": lambda: module.DataFrame({"id": [1, 2], "이름": ["a", None]}),
        "pyarrow": lambda: module.table({"id": [1, 2], "이름": ["a", None]}),
        "duckdb": lambda: module.connect().sql("SELECT * FROM (VALUES (1, 'a'), (2, NULL)) AS t(id, 이름)"),
    }[package]()
    with start() as run:
        run.log({"t": maskl.Table(dataframe=made)})
    assert list(maskl.open(store_dir).table("t")) == [{"id": 1, "이름": "a"}, {"id": 2, "이름": None}]


@covers("log(JoinedTable)")
def test_joined_tables_are_kept_as_their_rows(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    names = maskl.Table(columns=["id", "name"], data=[[1, "a"], [2, "b"], [3, "c"]])
    scores = maskl.Table(columns=["id", "score"], data=[[2, 0.5], [1, 0.7]])
    with start() as run:
        run.log({"joined": maskl.JoinedTable(names, scores, "id")})
    rows = list(maskl.open(store_dir).table("joined"))
    assert [tuple(row.values()) for row in rows] == [(1, "a", 0.7), (2, "b", 0.5), (3, "c", None)]


@covers("Run.define_metric(goal)")
def test_the_best_value_by_its_goal(start: Callable[..., maskl.Run]) -> None:
    with start() as run:
        run.define_metric("loss", summary="best", goal="minimize")
        for value in (3.0, 1.0, 2.0):
            run.log({"loss": value})
        assert run.summary["loss"]["best"] == 1.0


@covers("Run.finish(quiet)")
def test_a_run_that_ends_quietly(
    start: Callable[..., maskl.Run], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKL_SILENT", "false")
    printed = {}
    for quiet in (False, True):
        run = start()
        run.log({"a": 1})
        capfd.readouterr()
        run.finish(quiet=quiet)
        printed[quiet] = "".join(capfd.readouterr())
    assert printed[False]
    assert not printed[True]


@covers("open", "sql", "Store", "StoredTable", "errors")
def test_what_was_logged_is_read_back_and_queried(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    with start(name="one") as run:
        run.log({"t": maskl.Table(columns=["id"], data=[[7]])})
    store = maskl.open(store_dir)
    assert isinstance(store, maskl.Store)
    rows = store.table("t")
    assert isinstance(rows, maskl.StoredTable)
    assert (rows[0]["id"], len(rows[:1])) == (7, 1)
    assert maskl.sql("SELECT id FROM t", dir=store_dir).fetchall() == [(7,)]
    with pytest.raises(maskl.errors.NotFound):
        store.table("none")


@covers("install_as_wandb", "uninstall_as_wandb")
def test_wandb_can_be_maskl() -> None:
    maskl.install_as_wandb()
    try:
        assert sys.modules["wandb"].Image is maskl.Image
    finally:
        maskl.uninstall_as_wandb()
    assert "wandb" not in sys.modules


@covers("StoredRun", "RunInfo", "TableInfo", "Answer", "Exported")
@covers("Verified", "Recovered", "Compacted", "Deleted", "import_dataset", "Imported")
def test_what_a_stores_methods_return(start: Callable[..., maskl.Run], store_dir: Path, tmp_path: Path) -> None:
    mask = {"mask_data": np.eye(2, dtype=np.uint8)}
    image = maskl.Image(np.zeros((2, 2), np.uint8), masks={"ground_truth": mask, "predictions": mask})
    with start(name="one") as run:
        run.log({"t": maskl.Table(columns=["image"], data=[[image]])})
    store = maskl.open(store_dir)
    exported = store.export("t", tmp_path / "t.parquet")
    assert isinstance(exported, maskl.Exported)
    assert isinstance(store.run("one"), maskl.StoredRun)
    assert isinstance(store.runs()[0], maskl.RunInfo)
    assert isinstance(store.tables()[0], maskl.TableInfo)
    assert isinstance(store.metrics("t"), maskl.Answer)
    assert isinstance(store.verify(), maskl.Verified)
    assert isinstance(store.compact(), maskl.Compacted)
    imported = maskl.import_dataset(exported.path, format="parquet", dir=store_dir, run="two", table="u")
    assert isinstance(imported, maskl.Imported)
    assert (imported.runs, dict(imported.rows)) == (("two",), {"u": 1})
    assert isinstance(store.delete("two"), maskl.Deleted)
    code = "import os, sys, maskl; maskl.init(dir=sys.argv[1]).log({'a': 1}); os._exit(1)"
    subprocess.run([sys.executable, "-c", code, store_dir], env=os.environ | {"MASKL_SILENT": "1"}, check=False)
    (left,) = store.recover()
    assert isinstance(left, maskl.Recovered)
    assert (left.scalars, left.killed) == (1, True)


@covers("masks", "metrics")
def test_masks_and_metrics_in_memory() -> None:
    truth, prediction = np.array([[0, 1]]), np.array([[0, 0]])
    assert maskl.masks.area(truth, 1) == 1
    assert maskl.metrics.iou(truth, prediction) == {"class_0": 0.5, "class_1": 0.0}


@covers("Config", "Summary", "Metric")
def test_the_classes_of_a_runs_parts(start: Callable[..., maskl.Run]) -> None:
    with start() as run:
        assert isinstance(run.config, maskl.Config)
        assert isinstance(run.summary, maskl.Summary)
        assert isinstance(run.define_metric("a"), maskl.Metric)


@covers("MASKL_STRICT")
def test_a_strict_run_refuses_what_only_a_server_could_heed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKL_STRICT", "1")
    with pytest.raises(maskl.errors.NotSupported, match="strict"):
        maskl.login()


@covers("MASKL_REINIT", "MASKL_ALLOW_VAL_CHANGE")
def test_arguments_of_init_from_the_environment(
    start: Callable[..., maskl.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKL_REINIT", "finish_previous")
    monkeypatch.setenv("MASKL_ALLOW_VAL_CHANGE", "true")
    one = start(config={"lr": 0.1})
    one.config["lr"] = 0.2
    assert one.config["lr"] == 0.2
    assert start() is not one


@covers('mask["ignore_index"]')
@pytest.mark.parametrize("ignored", [255, [254, 255]])
def test_ignored_classes_are_kept(ignored: Any, start: Callable[..., maskl.Run], store_dir: Path) -> None:
    mask = {"mask_data": np.full((2, 2), 255), "class_labels": {255: "void"}, "ignore_index": ignored}
    with start() as run:
        run.log({"frame": maskl.Image(np.zeros((2, 2), np.uint8), masks={"truth": mask})})
    stored = maskl.open(store_dir).sql("SELECT DISTINCT class_id FROM class_pixels WHERE ignored").fetchall()
    assert {number for (number,) in stored} == ({255} if ignored == 255 else {254, 255})


@covers("Image(torch.Tensor)")
def test_torch_is_not_imported(tmp_path: Path) -> None:
    code = "import sys, numpy, maskl; maskl.Image(numpy.zeros((2, 2))); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "False"


@covers(*(f"plot.{name}{argument}" for name in ("roc_curve", "pr_curve") for argument in ("", *CURVES)))
@covers("plot.pr_curve(interp_size)")
def test_curves_of_classifiers_need_nothing_but_numpy(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    """Of two rows the one of class 1 has the higher score; W&B needs scikit-learn and pandas for it."""
    truth, scores = [0, 1], [[0.75, 0.25], [0.375, 0.625]]
    given = {"y_true": truth, "y_probas": scores, "labels": ["no", "예"], "classes_to_plot": [1], "title": "T"}
    with start(name="one") as run:
        run.log({"roc": maskl.plot.roc_curve(**given, split_table=True)})  # type: ignore[arg-type]
        run.log({"pr": maskl.plot.pr_curve(**given, interp_size=2)})  # type: ignore[arg-type]
    store = maskl.open(store_dir)
    rows = [tuple(row.values()) for row in store.table("Custom Chart Tables/roc_table")]
    assert rows == [("예", 0.0, 0.0), ("예", 0.0, 1.0), ("예", 1.0, 1.0)]
    assert [tuple(row.values()) for row in store.table("pr_table")] == [("예", 1.0, 1.0), ("예", 1.0, 0.0)]
    assert store.run("one").values("pr")[0][1]["string_fields"]["title"] == "T"


@covers("EvalTable(input_columns)", "EvalTable(output_columns)", "EvalTable(score_columns)", "EvalTable(backend)")
@covers("EvalTable(unsupported_media_mode)")
def test_an_evaluation_stays_in_the_store(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    lists = {"input_columns": ["질문"], "output_columns": ["answer"], "score_columns": ["score"]}
    with pytest.warns(maskl.errors.ServerOnlyWarning, match="backend"):
        table = maskl.EvalTable(data=[["a", "b", 0.5]], backend="weave", **lists)
    with pytest.warns(maskl.errors.ConversionWarning, match="object"):
        table.add_data("c", object(), 1.0)
    with pytest.raises(TypeError):
        maskl.EvalTable(["a"], [[object()]], unsupported_media_mode="raise")
    with start() as run:
        run.log({"eval": table})
    rows = maskl.open(store_dir).table("eval")
    assert rows.roles == {"질문": ("input",), "answer": ("output",), "score": ("score",)}
    assert rows[1]["answer"] == "[object is not stored]"


@covers("init(image_format)")
def test_a_run_chooses_how_its_arrays_are_kept(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    with start(image_format="png") as run:
        run.log({"image": maskl.Image(np.zeros((2, 3, 3), np.uint8))})
    (row,) = maskl.open(store_dir).table("image")
    assert row["image"].format == "png"


@covers("init(on_error)", "init(durability)")
def test_what_cannot_be_stored_is_counted_where_a_run_goes_on(start: Callable[..., maskl.Run]) -> None:
    run = start(on_error="warn", durability="fsync")
    with pytest.warns(maskl.errors.NotStoredWarning, match="not stored: 'bad', 'loss': column 'bad'"):
        run.log({"bad": object(), "loss": 0.5})
    run.log({"loss": 0.25})
    assert run.summary["not_stored"] == {"calls": 1, "rows": 0, "values": 2}
    assert (run.step, run.summary["loss"]) == (2, 0.25)

"""What the README and the docs say runs."""

from __future__ import annotations

import doctest
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image

import maskl
from maskl.cli import _demo as demo
from maskl.cli import app
from maskl.formats import BUILT_IN, READ_ONLY
from maskl_storage.query.views import VIEWS

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
VIEWING = (ROOT / "docs" / "viewing.md").read_text("utf-8")
SQL = (ROOT / "docs" / "sql.md").read_text("utf-8")
EXPORTING = (ROOT / "docs" / "exporting.md").read_text("utf-8")
METRICS = (ROOT / "docs" / "metrics.md").read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Run the demo once, and keep what it printed."""
    import contextlib
    import io

    directory = tmp_path_factory.mktemp("docs") / "maskl-demo"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        demo.run(directory)
    return SimpleNamespace(directory=directory, printed=printed.getvalue())


@pytest.mark.parametrize("query", blocks(SQL, "sql"))
def test_every_query_of_the_sql_page_returns_rows(made: SimpleNamespace, query: str) -> None:
    assert maskl.open(made.directory).sql(query).fetchall()


@pytest.mark.parametrize("block", blocks(SQL, "python"))
def test_python_of_the_sql_page_runs(made: SimpleNamespace, block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.directory.parent)
    exec(block, {"maskl": maskl, "store": maskl.open(made.directory)})


def test_python_of_the_page_on_exporting_runs(
    made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    names: dict[str, Any] = {"store": maskl.open(made.directory)}
    for block in blocks(EXPORTING, "python"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # datasets has some of its own
            exec(block, names)
    assert len(names["rows"]) == 10
    assert names["mask"].shape == names["frame"].size[::-1]


def test_the_page_on_exporting_has_every_format_in_its_table() -> None:
    (header,) = re.findall(r"^\| \| (`parquet`.*) \|$", EXPORTING, re.MULTILINE)
    assert set(re.findall(r"`([a-z-]+)`", header)) == set(BUILT_IN) - set(READ_ONLY)


def test_the_examples_of_the_metrics_page_print_what_they_show() -> None:
    names: dict[str, Any] = {}
    found = [doctest.DocTestParser().get_doctest(b, names, "metrics.md", None, 0) for b in blocks(METRICS, "pycon")]
    runner = doctest.DocTestRunner()
    for example in found:
        example.globs = names  # a block goes on where the one before ended
        runner.run(example, clear_globs=False)
    assert runner.summarize() == (0, sum(len(example.examples) for example in found))
    assert len(found) == 6


QUERIES = re.findall(r"\| `(SELECT .*?)` \|", METRICS)


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_the_metrics_page_returns_rows(made: SimpleNamespace, query: str) -> None:
    assert maskl.open(made.directory).sql(query).fetchall()


def test_the_metrics_page_names_every_metric() -> None:
    shown = set(re.findall(r"`(\w+)`", METRICS.split("## Conventions")[0]))
    machinery = {"ClassCounts", "ConfusionMatrix", "Metric", "compute", "confusion_matrix", "register", "registered"}
    # these need the pixels, and so are no functions of the counts that are registered
    section = METRICS.split("## Segments, boundaries and surfaces")[1].split("### Panoptic quality")[0]
    of_pixels = set(re.findall(r"`(\w+)`", section)) & set(maskl.metrics.__all__)
    public = set(maskl.metrics.__all__) - machinery - of_pixels
    assert public <= shown
    assert len(of_pixels) == 13
    found = maskl.metrics.registered()
    # examples register others
    assert {name for name, metric in found.items() if ".formulas." in metric.function.__module__} == public


def test_the_metric_of_ones_own_is_one() -> None:
    (block,) = (block for block in blocks(METRICS, "python") if "@register" in block)
    registry, names = maskl.metrics.registered(), {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskl.metrics.registry._metrics", registry)
        exec(block, names)
        assert maskl.metrics.compute("tversky", [[0, 0]], [[0, 1]], alpha=1, beta=1) == {
            "class_0": 0.5,
            "class_1": 0.0,
        }
        assert maskl.metrics.compute("mean_tversky", [[0, 0]], [[0, 0]]) == 1


def test_scores_are_kept_in_the_store_as_the_page_says(made: SimpleNamespace, tmp_path: Path) -> None:
    shutil.copytree(made.directory, tmp_path / "copy")
    scoring, own = (block for block in blocks(METRICS, "python") if "@register" not in block)
    opened = SimpleNamespace(open=lambda: maskl.open(tmp_path / "copy"))
    names: dict[str, Any] = {"__name__": "__main__", "maskl": opened}
    exec(scoring.replace("processes=0", "processes=1"), names)
    exec(own, names)
    store = names["store"]
    assert store.score("evaluation", names["edge_error"]).rows > 0
    said = "FROM pixel_scores('evaluation', metric := 'edge_error')"
    assert said in METRICS
    assert {row[5] for row in store.sql(said).fetchall()} == {"wrong", "left"}
    with pytest.raises(duckdb.Error, match="other parameters"):
        store.sql("FROM boundary_iou('evaluation', dilation_ratio := 0.005)").fetchall()
    assert "boundary_iou('evaluation',\n  dilation_ratio := 0.005)" in METRICS


def test_the_example_of_boxes_finds_the_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = (block for block in blocks(SQL, "python") if "boxes" in block)
    names: dict[str, Any] = {"maskl": maskl}
    exec(block.replace("maskl.sql(", "found = maskl.sql(").replace(".show()", ".fetchall()"), names)
    assert names["found"] == [("detector", 0, "car", 0.9, 0.3)]


def test_the_sql_page_lists_the_columns_of_every_macro(made: SimpleNamespace) -> None:
    listed = dict(re.findall(r"^\| `(\w+)\(t.*?\)` \| `(.*?)` \|$", SQL, re.MULTILINE))
    con = maskl.open(made.directory).connect()
    query = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'table_macro' AND NOT internal"
    public = {name for (name,) in con.execute(query).fetchall() if not name.startswith("maskl_")}
    assert listed.keys() == public
    for macro, columns in listed.items():
        runs = ", 'baseline', 'improved'" if macro.startswith("compare") else ""
        runs = ", 'panoptic'" if macro.endswith("pixel_scores") else runs
        assert con.sql(f"FROM {macro}('evaluation'{runs})").columns == columns.split(", ")


@pytest.mark.parametrize("view", VIEWS)
def test_the_sql_page_lists_the_columns_of_every_view(made: SimpleNamespace, view: str) -> None:
    (listed,) = re.findall(rf"^\| `{view}` \| .*? \| `(.*?)` \|$", SQL, re.MULTILINE)
    assert maskl.open(made.directory).sql(f"FROM {view}").columns == listed.split(", ")


def test_the_sql_page_lists_what_every_pixel_function_returns(made: SimpleNamespace) -> None:
    listed = re.findall(r"^\| `(mask_\w+)\((.*?)\)` \| `(.*?)`", SQL, re.MULTILINE)
    calls = [f"{name}({', '.join(['m'] + ['0'] * parameters.count(','))})" for name, parameters, _ in listed]
    calls = [call.replace("iou(m, 0", "iou(m, m").replace("0, 0, 0, 0", "0, 0, 1, 1") for call in calls]
    source = "(SELECT image__mask__ground_truth AS m FROM tables.evaluation)"
    relation = maskl.open(made.directory).sql(f"SELECT {', '.join(calls)} FROM {source} LIMIT 1")
    assert [str(kind) for kind in relation.types] == [kind for _, _, kind in listed]
    assert {name for name, _, _ in listed} == {f"mask_{name}" for name in maskl.masks.__all__ if name[0].islower()} - {
        "mask_run_lengths",
        "mask_runs",
    }


def test_the_readme_shows_what_the_demo_prints(made: SimpleNamespace) -> None:
    shown = next(block for block in blocks(README, "") if "class_name  baseline  improved" in block)
    printed = {line.rstrip() for line in made.printed.splitlines()}
    missing = [line for line in shown.splitlines() if line.rstrip() not in printed]
    assert not missing


def test_the_pictures_of_the_readme_are_of_the_page_and_what_the_demo_draws(made: SimpleNamespace) -> None:
    page, shown = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert re.findall(rf"!\[.*?\]\({page.removeprefix('docs/')}\)", VIEWING)  # there it says what is seen
    ours, drawn = (np.asarray(Image.open(path), int) for path in (ROOT / shown, made.directory / demo.PICTURE))
    assert ours.shape == drawn.shape
    assert np.abs(ours - drawn).mean() < 1  # letters may be drawn a little otherwise


def test_the_readme_says_what_every_extra_brings() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (table,) = re.findall(r"^\| extra \|.*?\n\n", README, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(project["optional-dependencies"])


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 2, (8, 8)).astype(np.uint8) for _ in range(2)]
    names: dict[str, Any] = {"dataset": [("a", np.zeros((8, 8, 3), np.uint8), *masks)]}
    log, ask, read = blocks(README, "python")
    exec(log, names)
    exec(ask.replace(".show()", ".fetchall()"), names)
    exec(read, names)
    assert names["rows"][0]["name"] == "a"


def test_the_commands_of_the_readme_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    known = {command.name or command.callback.__name__ for command in app.app.registered_commands}
    assert set(re.findall(r"\bmaskl (\w+)", "\n".join(blocks(README, "")))) - {"keeps"} <= known


def test_a_process_that_never_imported_the_command_line_can_log(tmp_path: Path) -> None:
    """Logging must not pay for the command line's imports."""
    code = "import sys, maskl; print([n for n in ('typer', 'rich', 'maskl.cli.app') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"

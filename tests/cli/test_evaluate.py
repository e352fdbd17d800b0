"""What the commands that evaluate models print, write and refuse."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import maskl
from maskl.cli.app import main

pytestmark = pytest.mark.once

LABELS = {0: "하늘", 1: "road", 2: "car", 3: "truck", 255: "void"}
RUNS = ("기준", "candidate")
STEPS, IMAGES = 2, 5
TABLE = "평가/val"
Outcome = tuple[int, str, str]
Cli = Callable[..., Outcome]


def frame(folder: Path, index: int) -> str:
    path = folder / "사진" / f"frame_{index}.png"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        PILImage.fromarray(np.full((20, 30, 3), index, np.uint8)).save(path)
    return str(path)


def truth(index: int) -> np.ndarray:
    return np.random.default_rng(index).choice([0, 1, 2, 3, 255], (20, 30)).astype(np.uint8)


def predicted(run: int, step: int, index: int) -> np.ndarray:
    rng = np.random.default_rng([run, step, index])
    kept = 0.4 + 0.1 * step + (0.3 if index % 2 else -0.2) * run
    return np.where(rng.random((20, 30)) < kept, truth(index), rng.choice([0, 1, 2, 3], (20, 30))).astype(np.uint8)


def image(folder: Path, index: int, prediction: np.ndarray) -> maskl.Image:
    masks = {
        "ground_truth": {"mask_data": truth(index), "class_labels": LABELS, "ignore_index": 255},
        "predictions": {"mask_data": prediction, "class_labels": LABELS},
    }
    return maskl.Image(frame(folder, index), masks=masks)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    """Two runs, two steps, five images, in another order in the second run."""
    folder = tmp_path_factory.mktemp("evaluate")
    for number, name in enumerate(RUNS):
        with maskl.init(dir=folder / "store", name=name) as run:
            for step in range(STEPS):
                table = maskl.Table(["이름", "image"])
                for index in range(IMAGES)[:: -1 if number else 1]:
                    table.add_data(f"장면 {index}", image(folder, index, predicted(number, step, index)))
                run.log({TABLE: table}, step=step)
    return maskl.open(folder / "store")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], store: maskl.Store, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("MASKL_DIR", str(store.root))

    def call(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def printed(cli: Cli, *arguments: str) -> list[str]:
    code, out, err = cli(*arguments)
    assert (code, err) == (0, "")
    return out.splitlines()


def parsed(cli: Cli, *arguments: str) -> Any:
    return json.loads("\n".join(printed(cli, *arguments, "--json")))


def read(cli: Cli, *arguments: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("\n".join(printed(cli, *arguments, "--csv")))))


def records(store: maskl.Store, query: str, *parameters: object, **options: Any) -> list[dict[str, Any]]:
    return store.sql(query, list(parameters), **options).to_arrow_table().to_pylist()


def as_text(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    words = {None: "", True: "true", False: "false"}
    return [
        {key: words[value] if value is None or isinstance(value, bool) else str(value) for key, value in row.items()}
        for row in rows
    ]


def refused(cli: Cli, message: str, *arguments: str) -> None:
    """Check that a command prints one line with these words, nothing else, and exits with 2."""
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("maskl: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.fixture
def vehicles(tmp_path: Path) -> str:
    path = tmp_path / "map.json"
    path.write_text(json.dumps({"car": "탈것", "truck": "탈것"}), "utf-8")
    return str(path)


MAP = {"car": "탈것", "truck": "탈것"}

# --- coverage -----------------------------------------------------------------------------------


def test_coverage_as_json_and_csv_is_that_of_sql(cli: Cli, store: maskl.Store) -> None:
    query = "FROM class_coverage(?, mask := ?, step := ?)"
    by: Callable[[dict[str, Any]], tuple[Any, ...]] = lambda row: (row["run_id"], row["_step"], row["class_name"])  # noqa: E731
    for mask in ("ground_truth", "predictions"):
        for step in ("each", "last", "0"):
            wanted = sorted(records(store, query, TABLE, mask, step), key=by)
            arguments = ("coverage", TABLE, "--mask", mask, "--step", step)
            assert sorted(parsed(cli, *arguments), key=by) == wanted
            if step == "last":
                assert sorted(read(cli, *arguments), key=by) == sorted(as_text(wanted), key=by)


def test_coverage_puts_runs_in_order_of_start_and_common_classes_first(cli: Cli) -> None:
    rows = parsed(cli, "coverage", TABLE, "--step", "last")
    assert list(dict.fromkeys(row["run_name"] for row in rows)) == list(RUNS)
    first = [row for row in rows if row["run_name"] == RUNS[0]]
    assert [row["ignored"] for row in first] == [False] * 4 + [True]
    assert [row["coverage"] for row in first[:4]] == sorted((row["coverage"] for row in first[:4]), reverse=True)
    lines = printed(cli, "coverage", TABLE, "--step", "last")
    assert lines[0] == "기준 · step 1 · 5 masks"
    assert "candidate · step 1 · 5 masks" in lines
    assert [line.split()[0] for line in lines[1:6]] == [row["class_name"] for row in first]
    assert lines[5].endswith("ignored")
    assert printed(cli, "coverage", TABLE, "--step", "all")[0] == "기준 · all steps · 10 masks"


# --- metrics ------------------------------------------------------------------------------------


def test_metrics_as_json_and_csv_is_that_of_sql(cli: Cli, store: maskl.Store) -> None:
    for step in ("last", "each", "all", "0"):
        wanted = {
            (row["run_id"], row["_step"], row["class_name"]): row
            for row in records(store, "FROM class_iou(?, step := ?)", TABLE, step)
        }
        found = parsed(cli, "metrics", TABLE, "--step", step)
        assert {(row["run_id"], row["_step"], row["class_name"]): row for row in found} == wanted
        assert len(found) == len(wanted) == 2 * 4 * (2 if step == "each" else 1)
    found = read(cli, "metrics", TABLE)
    assert [float(row["iou"]) for row in found] == [row["iou"] for row in parsed(cli, "metrics", TABLE)]


@pytest.mark.parametrize("metric", ["iou", "dice", "recall", "precision"])
def test_metrics_stand_side_by_side_with_the_best_marked(cli: Cli, store: maskl.Store, metric: str) -> None:
    lines = printed(cli, "metrics", TABLE, "--metric", metric)
    assert lines[0].split() == [metric, *RUNS]
    values: dict[str, dict[str, float]] = {}
    for row in records(store, "FROM class_iou(?, step := 'last')", TABLE):
        values.setdefault(row["class_name"], {})[row["run_name"]] = row[metric]
    for row in records(store, "FROM mean_iou(?, step := 'last')", TABLE):
        for name in ("mean_iou", "mean_dice", "pixel_accuracy"):
            values.setdefault(name.replace("_", " "), {})[row["run_name"]] = row[name]
    shown = {match[1]: match[2].split() for line in lines if (match := re.fullmatch(r"(\D+?) +(0\.\d.*)", line))}
    assert shown.keys() == values.keys()
    for name, by_run in values.items():
        best = max(by_run.values())
        assert shown[name] == [f"{by_run[run]:.4f}" + "*" * (by_run[run] == best) for run in RUNS], name
    assert lines[-1] == "* the best of its row"


def test_nothing_is_the_best_of_one_run(cli: Cli) -> None:
    lines = printed(cli, "metrics", TABLE, "--run", "candidate")
    assert lines[0].split() == ["iou", "candidate"]
    assert "*" not in "".join(lines)


def test_steps_stand_side_by_side(cli: Cli) -> None:
    header = printed(cli, "metrics", TABLE, "--step", "each")[0]
    assert re.split(r"  +", header) == ["iou", "기준 @0", "기준 @1", "candidate @0", "candidate @1"]
    assert printed(cli, "metrics", TABLE, "--step", "all")[0].split() == ["iou", *RUNS]


def test_a_class_out_of_the_means_is_not_listed(cli: Cli, store: maskl.Store) -> None:
    lines = printed(cli, "metrics", TABLE, "--exclude", "car", "--exclude", "truck")
    assert not any(line.startswith(("car", "truck")) for line in lines)
    means = records(store, "FROM mean_iou(?, step := 'last', exclude := ['car', 'truck'])", TABLE)
    (line,) = [line for line in lines if line.startswith("mean iou")]
    found = {float(word.rstrip("*")) for word in line.split()[2:]}
    assert found == {round(row["mean_iou"], 4) for row in means}


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Path:
    """Two runs of one name, two image columns, and a tie in every class."""
    masks = {key: {"mask_data": truth(0), "class_labels": LABELS} for key in ("ground_truth", "predictions")}
    wrong = masks | {"predictions": {"mask_data": np.roll(truth(0), 1, 1), "class_labels": LABELS}}
    for _ in range(2):
        with maskl.init(dir=tmp_path, name="쌍둥이") as run:
            table = maskl.Table(["왼쪽", "right"])
            for given in ("a/b/one.png", "a/c/one.png"):
                pixels = np.full((20, 30, 3), len(table.data), np.uint8)
                table.add_data(*(maskl.Image(pixels, masks=given_, caption=given) for given_ in (masks, wrong)))
            run.log({"t": table})
    monkeypatch.setenv("MASKL_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("odd")
def test_runs_of_one_name_are_told_apart_by_id_and_ties_are_not_marked(cli: Cli) -> None:
    ids = [row["run_id"] for row in parsed(cli, "runs")]
    lines = printed(cli, "metrics", "t")
    assert lines[0] == "right"  # image columns are blocks
    assert "왼쪽" in lines
    assert [line.split() for line in lines if line.startswith("iou")] == [["iou", *ids]] * 2
    assert "*" not in "".join(lines)
    assert "1.0000" in "".join(lines)
    header = printed(cli, "worst", "t")[0].split()
    assert header[:2] == ["run_id", "run_name"]
    assert "image_column" in header
    header = printed(cli, "compare", *ids)[1].split()
    assert header == ["image_column", "class_name", *ids, "change"]


@pytest.mark.usefixtures("odd")
def test_captions_that_are_paths_stay_whole_where_their_file_names_are_the_same(cli: Cli) -> None:
    lines = printed(cli, "worst", "t")
    assert {line.split()[-1] for line in lines[2:]} == {"a/b/one.png", "a/c/one.png"}


# --- worst --------------------------------------------------------------------------------------


def test_worst_is_that_of_sql(cli: Cli, store: maskl.Store) -> None:
    query = "FROM row_iou(?, step := ?) ORDER BY mean_iou LIMIT ?"
    for step, count in (("last", 20), ("each", 3), ("0", 1)):
        wanted = records(store, query, TABLE, step, count)
        found = parsed(cli, "worst", TABLE, "--step", step, "-n", str(count))
        assert len(found) == min(count, 2 * IMAGES)
        assert [{key: row[key] for key in wanted[0]} for row in found] == wanted
    assert [float(row["mean_iou"]) for row in read(cli, "worst", TABLE)] == [
        row["mean_iou"] for row in parsed(cli, "worst", TABLE)
    ]


def test_worst_by_one_class_is_that_of_sql(cli: Cli, store: maskl.Store) -> None:
    query = "FROM row_class_iou(?, step := 'last') WHERE class_name = '하늘' ORDER BY iou"
    wanted = [(row["run_id"], row["_row"], row["iou"], row["tp"]) for row in records(store, query, TABLE)]
    found = parsed(cli, "worst", TABLE, "--class", "하늘")
    assert [(row["run_id"], row["_row"], row["iou"], row["tp"]) for row in found] == wanted


def test_worst_names_files_for_people_and_paths_for_programs(cli: Cli) -> None:
    lines = printed(cli, "worst", TABLE, "-n", "2")
    assert lines[0].split() == ["run_name", "_step", "_row", "mean_iou", "mean_dice", "pixel_accuracy", "caption"]
    rows = parsed(cli, "worst", TABLE, "-n", "2")
    for line, row in zip(lines[2:], rows, strict=True):
        assert Path(row["caption"]).is_file()
        assert line.split() == [
            *(row["run_name"], "1", str(row["_row"])),
            *(f"{row[name]:.4f}" for name in ("mean_iou", "mean_dice", "pixel_accuracy")),
            Path(row["caption"]).name,
        ]


# --- compare ------------------------------------------------------------------------------------


def test_compare_is_that_of_sql(cli: Cli, store: maskl.Store) -> None:
    found = parsed(cli, "compare", *RUNS)
    assert found["classes"] == records(store, "FROM compare_classes(?, ?, ?)", TABLE, *RUNS)
    query = "FROM compare_rows(?, ?, ?) ORDER BY abs(change) DESC"
    rows = [{key: value for key, value in row.items() if key != "caption"} for row in found["rows"]]
    assert rows == records(store, query, TABLE, *RUNS)
    assert len(rows) == IMAGES
    assert [row["row_a"] - IMAGES + row["_row"] - IMAGES for row in rows] == [IMAGES - 1] * IMAGES
    by_class = parsed(cli, "compare", *RUNS, "--class", "car", "-n", "2")
    wanted = records(store, "FROM compare_rows(?, ?, ?, class := 'car') ORDER BY abs(change) DESC", TABLE, *RUNS)
    assert [row["change"] for row in by_class["rows"]] == [row["change"] for row in wanted[:2]]


def test_compare_as_csv_has_both_lists(cli: Cli) -> None:
    found, rows = parsed(cli, "compare", *RUNS), read(cli, "compare", *RUNS)
    assert [row["of"] for row in rows] == ["classes"] * 4 + ["rows"] * IMAGES
    for kind in ("classes", "rows"):
        mine = [{key: row[key] for key in found[kind][0]} for row in rows if row["of"] == kind]
        assert mine == as_text(found[kind])


def test_compare_heads_its_columns_with_the_runs(cli: Cli) -> None:
    lines = printed(cli, "compare", *RUNS)
    found = parsed(cli, "compare", *RUNS)
    assert lines[:2] == ["IoU of each class", lines[1]]
    assert lines[1].split() == ["class_name", *RUNS, "change"]
    for line, row in zip(lines[3:7], found["classes"], strict=True):
        scores = [f"{row['iou_a']:.4f}", f"{row['iou_b']:.4f}", f"{row['change']:+.4f}"]
        assert line.split()[:4] == [row["class_name"], *scores]
    assert lines[8] == "5 of 5 images, those whose mean IoU changed most first"
    assert re.split(r"  +", lines[9]) == ["row of 기준", "row of candidate", "caption", *RUNS, "change"]
    first, drawn = found["rows"][0], lines[11].split()
    assert drawn[:3] == [str(first["row_a"]), str(first["_row"]), Path(first["caption"]).name]
    assert drawn[-1] == "█" * 12  # the largest change is the longest bar
    backward = parsed(cli, "compare", *RUNS[::-1])
    assert {row["class_name"]: -row["change"] for row in backward["classes"]} == {
        row["class_name"]: row["change"] for row in found["classes"]
    }


def test_compare_names_what_both_runs_share_once(cli: Cli) -> None:
    assert printed(cli, "compare", RUNS[0], RUNS[0])[9].split()[0] == "row"
    assert printed(cli, "compare", *RUNS, "--step", "each")[1].split() == ["step", "class_name", *RUNS, "change"]
    assert "step" not in printed(cli, "compare", *RUNS, "--step", "0")[1]


def test_compare_by_key(cli: Cli) -> None:
    by_image = parsed(cli, "compare", *RUNS)["rows"]
    by_key = parsed(cli, "compare", *RUNS, "--key", "이름")["rows"]
    assert {row["row_key"] for row in by_key} == {f"장면 {index}" for index in range(IMAGES)}
    assert [(row["row_a"], row["_row"]) for row in by_key] == [(row["row_a"], row["_row"]) for row in by_image]
    lines = printed(cli, "compare", *RUNS, "--key", "이름")
    assert re.split(r"  +", lines[9])[2] == "key"
    assert "장면 1" in lines[11] + lines[12] + lines[13]


def keyed(folder: Path, name: str, indices: list[int], ids: list[str], *, pk: bool) -> None:
    table = maskl.Table(["id", "image"])
    for index, key in zip(indices, ids, strict=True):
        table.add_data(key, image(folder, index, predicted(RUNS.index(name), 0, 1)))
    if pk:
        table.set_pk("id")
    with maskl.init(dir=folder, name=name) as run:
        run.log({"t": table})


def test_compare_by_the_primary_key(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyed(tmp_path, RUNS[0], [0, 1], ["가", "나"], pk=True)
    keyed(tmp_path, RUNS[1], [2, 3], ["나", "가"], pk=True)  # other images under the same keys
    monkeypatch.setenv("MASKL_DIR", str(tmp_path))
    rows = parsed(cli, "compare", *RUNS)["rows"]
    assert {(row["row_key"], row["row_a"], row["_row"]) for row in rows} == {("가", 0, 1), ("나", 1, 0)}


def test_compare_without_an_image_in_both_runs_says_so(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed(tmp_path, RUNS[0], [0, 1], ["a", "b"], pk=False)
    keyed(tmp_path, RUNS[1], [2, 3], ["a", "b"], pk=False)
    monkeypatch.setenv("MASKL_DIR", str(tmp_path))
    assert printed(cli, "compare", *RUNS)[-1].startswith("No image is in both runs: name with --key")
    assert parsed(cli, "compare", *RUNS)["rows"] == []
    assert len(parsed(cli, "compare", *RUNS, "--key", "id")["rows"]) == 2


def test_rows_that_a_key_does_not_tell_apart_are_refused(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in RUNS:
        keyed(tmp_path, name, [0, 0], ["a", "a"], pk=False)
    monkeypatch.setenv("MASKL_DIR", str(tmp_path))
    refused(cli, "have the same primary key, inputs or image", "compare", *RUNS)
    refused(cli, "have the same id, a", "compare", *RUNS, "--key", "id")


def test_compare_finds_the_one_table_that_both_runs_have(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        with maskl.init(dir=tmp_path, name=name) as run:
            for table in ("both", *(["more"] if name == "a" else [])):
                run.log({table: maskl.Table(["image"], [[image(tmp_path, 0, predicted(0, 0, 0))]])})
    with maskl.init(dir=tmp_path, name="none") as run:
        run.log({"loss": 1})
    monkeypatch.setenv("MASKL_DIR", str(tmp_path))
    assert {row["table_name"] for row in parsed(cli, "compare", "a", "b")["rows"]} == {"both"}
    refused(cli, "name the table to compare with --table: both runs have 'both', 'more'", "compare", "a", "a")
    refused(cli, "name the table to compare with --table: both runs have none", "compare", "a", "none")
    refused(cli, "'more'", "compare", "a", "b", "--table", "more")
    assert len(parsed(cli, "compare", "a", "a", "--table", "more")["rows"]) == 1


# --- class maps ---------------------------------------------------------------------------------


def test_a_class_map_changes_every_command(cli: Cli, store: maskl.Store, vehicles: str) -> None:
    option = ("--class-map", vehicles)
    covered = parsed(cli, "coverage", TABLE, "--step", "last", *option)
    plain = parsed(cli, "coverage", TABLE, "--step", "last")
    assert {row["class_name"] for row in covered} == {"하늘", "road", "탈것", "void"}
    for run in RUNS:
        pixels = [sum(r["pixels"] for r in rows if r["class_name"] in names and r["run_name"] == run)
                  for rows, names in ((covered, ["탈것"]), (plain, ["car", "truck"]))]  # fmt: skip
        assert pixels[0] == pixels[1] > 0
    wanted = records(store, "FROM class_iou(?, step := 'last')", TABLE, class_map=MAP)
    assert {(r["run_id"], r["class_name"], r["iou"]) for r in parsed(cli, "metrics", TABLE, *option)} == {
        (r["run_id"], r["class_name"], r["iou"]) for r in wanted
    }
    assert any(line.startswith("탈것") for line in printed(cli, "metrics", TABLE, *option))
    query = "FROM row_class_iou(?, step := 'last') WHERE class_name = '탈것' ORDER BY iou"
    wanted = records(store, query, TABLE, class_map=MAP)
    found = parsed(cli, "worst", TABLE, "--class", "탈것", *option)
    assert [row["iou"] for row in found] == [row["iou"] for row in wanted]
    found = parsed(cli, "compare", *RUNS, *option)
    assert found["classes"] == records(store, "FROM compare_classes(?, ?, ?)", TABLE, *RUNS, class_map=MAP)
    names = parsed(cli, "sql", f"SELECT DISTINCT class_name FROM class_iou('{TABLE}') ORDER BY 1", *option)
    assert [row["class_name"] for row in names] == ["road", "탈것", "하늘"]
    refused(cli, "its classes are: ", "worst", TABLE, "--class", "car", *option)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the class map cannot be read: No such file"),
        ("{", "a class map is a JSON object of class names"),
        ("[]", "got list"),
        ('{"car": 1}', "a class map has names of classes on both sides; got 'car': 1"),
        ('{"car": ""}', "a class map has names of classes on both sides"),
        (b"\xff\xfe", "a class map is a JSON object of class names"),
    ],
)
@pytest.mark.parametrize("command", ["coverage", "metrics", "worst", "compare", "sql"])
def test_class_maps_that_are_none(
    cli: Cli, tmp_path: Path, command: str, text: str | bytes | None, message: str
) -> None:
    path = tmp_path / "지도.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    words = {"compare": RUNS, "sql": ("FROM range(3)", "--fail-if-rows")}.get(command, (TABLE,))
    refused(cli, message, command, *words, "--class-map", str(path))


# --- the gate -----------------------------------------------------------------------------------


def test_the_gate_exits_with_1_and_prints_the_rows(cli: Cli) -> None:
    query = f"SELECT class_name, change FROM compare_classes('{TABLE}', '{RUNS[0]}', '{RUNS[1]}') WHERE change < $least"
    code, out, err = cli("sql", "--fail-if-rows", query, "-p", "least", "9", "--json")
    assert (code, err) == (1, "")
    assert {row["class_name"] for row in json.loads(out)} == {"하늘", "road", "car", "truck"}
    code, out, err = cli("sql", "--fail-if-rows", query, "-p", "least", "-2", "--csv")
    assert (code, out, err) == (0, "class_name,change\n", "")


def test_a_gate_that_cannot_ask_does_not_pass_and_found_nothing(cli: Cli) -> None:
    for table, run in (("없음", RUNS[0]), (TABLE, "없음")):
        query = f"FROM compare_classes('{table}', '{run}', '{RUNS[1]}') WHERE change < -0.01"
        refused(cli, "없음", "sql", "--fail-if-rows", query)


def test_queries_have_limits(cli: Cli) -> None:
    slow = "SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b WHERE a.range * b.range % 7 = 3"
    refused(cli, "the query took more than 0.2 seconds and was stopped", "sql", slow, "--timeout", "0.2")
    refused(cli, "timeout must be a number of seconds above 0", "sql", "SELECT 1", "--timeout", "0")
    refused(cli, "memory_limit must be a size such as '500MB'", "sql", "SELECT 1", "--memory-limit", "viel")
    big = "SELECT list(range) AS l FROM range(50000000) ORDER BY l"
    code, out, err = cli("sql", big, "--memory-limit", "50MB")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "memory" in err.lower()
    assert parsed(cli, "sql", "SELECT 1 AS one", "--timeout", "1800", "--memory-limit", "1GB") == [{"one": 1}]


# --- pages --------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The headings, scores and tables of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("h1", "h2", "dt", "dd", "th", "td"):
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data


def test_the_page_of_worst_has_its_rows(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "최악.html"
    rows = parsed(cli, "worst", TABLE, "-n", "3", "--html", str(path))
    page = Page(path.read_text("utf-8"))
    assert page.texts["h1"] == [f"{TABLE}: the 3 images with the lowest mean IoU"]
    assert page.texts["h2"] == [f"{row['run_name']} · step 1 · row {row['_row']}" for row in rows]
    names = ("mean_iou", "mean_dice", "pixel_accuracy")
    assert page.texts["dd"] == [f"{row[name]:.3f}" for row in rows for name in names]


def test_the_page_of_compare_has_its_rows_and_classes(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "compare.html"
    found = parsed(cli, "compare", *RUNS, "-n", "2", "--html", str(path))
    page = Page(path.read_text("utf-8"))
    assert page.texts["h1"] == [f"{TABLE}: from 기준 to candidate"]
    assert page.texts["h2"] == [f"row {row['row_a']} of 기준, row {row['_row']} of candidate" for row in found["rows"]]
    assert page.texts["dt"] == ["IoU 기준", "IoU candidate", "change"] * 2
    scores = [(f"{r['iou_a']:.3f}", f"{r['iou_b']:.3f}", f"{r['change']:+.3f}") for r in found["rows"]]
    assert page.texts["dd"] == [text for row in scores for text in row]
    assert page.texts["th"][:4] == ["class_name", *RUNS, "change"]
    cells = " ".join([*page.texts["th"][4:], *page.texts["td"]])
    for row in found["classes"]:
        assert row["class_name"] in cells
        assert f"{row['change']:+.3f}" in cells
    assert cli("compare", RUNS[0], RUNS[0], "-n", "1", "--html", str(path), "--force")[0] == 0
    (heading,) = Page(path.read_text("utf-8")).texts["h2"]
    assert re.fullmatch(r"row \d", heading)


@pytest.mark.parametrize("words", [("worst", TABLE), ("compare", *RUNS)])
def test_a_page_that_exists_is_kept_without_force(cli: Cli, tmp_path: Path, words: tuple[str, ...]) -> None:
    path = tmp_path / "page.html"
    path.write_text("mine")
    refused(cli, f"{path} exists", *words, "--html", str(path))
    assert path.read_text() == "mine"
    assert cli(*words, "--html", str(path), "--force")[0] == 0
    assert "<html" in path.read_text("utf-8")
    refused(cli, "is not a directory: make it first", *words, "--html", str(tmp_path / "no" / "page.html"))
    refused(cli, "is not a file", *words, "--html", str(tmp_path))


def test_a_page_that_cannot_be_written_is_not_rows_that_were_found(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Iterator[None]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("maskl.cli._pages.write_file", full)
    refused(cli, "the page was not written: No space left", "worst", TABLE, "--html", str(tmp_path / "p.html"))


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["metrics", "없음"], "there is no table '없음' in"),
        (["worst", "없음"], f"there are: '{TABLE}'"),
        (["compare", *RUNS, "--table", "없음"], "there is no table '없음' in"),
        (["compare", "없음", RUNS[1]], "there is no run '없음'"),
        (["compare", RUNS[0], "없음"], "there is no run '없음'"),
        (["metrics", TABLE, "--run", "없음"], "there is no run '없음'"),
        (["metrics", TABLE, "--truth", "없음"], "has no mask '없음'; its masks are: 'ground_truth', 'predictions'"),
        (["worst", TABLE, "--prediction", "없음"], "has no image with the masks 'ground_truth' and '없음'; it has: '"),
        (["compare", *RUNS, "--prediction", "없음"], "'없음'"),
        (["metrics", TABLE, "--exclude", "없음"], "has no class '없음' to exclude; its classes are: 'car', 'road'"),
        (["worst", TABLE, "--class", "없음"], "has a score for class '없음'; its classes are: 'car', 'road'"),
        (["compare", *RUNS, "--class", "없음"], "has a score for class '없음'; its classes are:"),
        (["compare", *RUNS, "--key", "없음"], "no column to match rows by that is called '없음'; there are: 이름"),
        *[
            ([*words, "--step", "7"], "at step 7; its steps go from 0 to 1")
            for words in (["metrics", TABLE], ["worst", TABLE], ["compare", *RUNS])
        ],
        *[
            ([*words, "--step", "soon"], "--step must be each, last, all or a whole number; got 'soon'")
            for words in (["metrics", TABLE], ["worst", TABLE], ["compare", *RUNS])
        ],
        *[
            ([*words, "--json", "--csv"], "--json and --csv exclude each other")
            for words in (["metrics", TABLE], ["worst", TABLE], ["compare", *RUNS])
        ],
        (["worst", TABLE, "-n", "0"], "'-n' / '--count'"),
        (["compare", *RUNS, "-n", "-1"], "'-n' / '--count'"),
        (["metrics", TABLE, "--metric", "없음"], "'--metric'"),
        (["compare", RUNS[0]], "Missing argument"),
        (["worst"], "Missing argument"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(cli: Cli, arguments: list[str], message: str) -> None:
    refused(cli, message, *arguments)


@pytest.mark.usefixtures("odd")
def test_a_name_of_several_runs_is_refused_with_their_ids(cli: Cli) -> None:
    ids = [row["run_id"] for row in parsed(cli, "runs")]
    code, out, err = cli("compare", "쌍둥이", ids[0])
    assert (code, out) == (2, "")
    assert all(run_id in err for run_id in ids)

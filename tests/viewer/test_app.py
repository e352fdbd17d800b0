"""What the server tells the page of a store: state, sets, rows, masks, photos, queries."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image as PILImage

import maskl
from maskl_storage.format.names import encode_name
from tests.viewer.conftest import HOSTILE, ROWS, Client

pytestmark = pytest.mark.once

TABLE = "val/평가"


@pytest.fixture
def store(filled: Path) -> maskl.Store:
    return maskl.open(filled)


@pytest.fixture
def runs(store: maskl.Store) -> list[str]:
    """The two runs of the table, the newest first."""
    return [store.run("실험").id, store.run("baseline").id]


def path_of(run: str, table: str, row: object, column: str | None = None) -> str:
    """Return the path of a row or mask, spelled as paths of a store and then for a URL."""
    pieces = [encode_name(run), encode_name(table), str(row), *([] if column is None else [column])]
    return "/".join(quote(piece, safe="") for piece in pieces)


def unpacked(body: bytes) -> Any:
    """Return the ids of a mask as the page has them."""
    magic, size, signed, rest, width, height = struct.unpack("<4sBBHII", body[:16])
    assert (magic, rest) == (b"MKV1", 0)
    kind = np.dtype({(1, 0): "<u1", (2, 0): "<u2", (4, 1): "<i4"}[size, signed])
    return np.frombuffer(zlib.decompress(body[16:], -15), kind).reshape(height, width)


# --- state ----------------------------------------------------------------------------------------


def test_the_state_has_all_there_is_newest_first(client: Client) -> None:
    state = client.json("api/state")
    assert [run["name"] for run in state["runs"]] == ["odd", "실험", "baseline"]
    assert state["projects"] == ["others", "거리"]
    tables = {table["name"]: table for table in state["tables"]}
    assert set(tables) == {TABLE, "bare", "mutable", "growing", "partly"}
    assert state["runs"][1]["tables"] == [TABLE]
    table = tables[TABLE]
    assert table["rows"] == 5 * ROWS
    assert sorted(table["steps"].values()) == [[0, 1], [0, 2]]
    assert table["images"] == [{"column": "image", "masks": ["ground_truth", "predictions"], "boxes": []}]
    assert {column["name"]: column["kind"] for column in table["columns"]} == {
        "name": "text",
        "loss": "number",
        "good": "bool",
    }
    truth = table["classes"]["image/ground_truth"]
    assert [(item["id"], item["name"], item["ignored"]) for item in truth] == [
        (0, "road", False),
        (1, "차량", False),
        (2, "رصيف", False),
        (3, "<script>", False),
        (9, "void", True),
    ]
    assert len({item["color"] for item in truth}) == 5
    assert tables["bare"]["images"] == []
    assert list(tables["bare"]["steps"].values()) == [[0, 0]]
    assert tables["mutable"]["mode"] == "MUTABLE"
    assert tables["mutable"]["rows"] == 2
    assert [image["column"] for image in tables["partly"]["images"]] == ["image", "second"]
    assert [image["masks"] for image in tables["partly"]["images"]] == [["predictions"], []]


def test_every_class_has_its_stored_color_however_many_runs_have_others(
    serving: Callable[..., Client], start: Callable[..., maskl.Run], store_dir: Path
) -> None:
    mask = np.zeros((2, 2), np.uint8)
    colors = {f"class {number}": f"#{number + 1:02x}80{255 - number:02x}" for number in range(60)}
    for number, (name, color) in enumerate(colors.items()):
        # one class that no other run has, and one that only the first one has coloured
        classes = [
            {"id": 0, "name": name, "color": color},
            {"id": 1, "name": "everywhere", **({"color": "#123456"} if number == 30 else {})},
        ]
        with start(name=name) as run:
            image = maskl.Image(mask, masks={"predictions": {"mask_data": mask}}, classes=maskl.Classes(classes))
            run.log({"t": maskl.Table(["image"], [[image]])})
    client = serving(store_dir)
    client.json("api/state")
    store = maskl.open(store_dir)
    for name, color in colors.items():
        run_id = store.run(name).id
        (row,) = client.rows(client.set("t", [run_id], truth=None))
        (found,) = client.json(f"api/row/{path_of(run_id, 't', row['row'])}")["masks"]
        assert {item["name"]: item["color"] for item in found["classes"]} == {name: color, "everywhere": "#123456"}


def test_what_is_logged_meanwhile_is_there_when_the_page_is_loaded_again(
    serving: Callable[..., Client], start: Callable[..., maskl.Run], store_dir: Path
) -> None:
    now = [0.0]
    with start(name="one") as run:
        run.log({"t": maskl.Table(["n"], [[1]])})
    client = serving(store_dir, clock=lambda: now[0])
    before = client.json("api/state")
    with start(name="two") as run:
        run.log({"t": maskl.Table(["n"], [[2]])})
    runs = [maskl.open(store_dir).run(name).id for name in ("one", "two")]
    # the same moment for five minutes: a set that is scrolled does not change
    assert client.post("api/set", {"table": "t", "runs": runs}).status_code == 404
    now[0] = 301.0
    assert client.set("t", runs, truth=None)["total"] == 2
    after = client.json("api/state")
    assert after["snapshot"]["id"] != before["snapshot"]["id"]
    assert [run["name"] for run in after["runs"]] == ["two", "one"]


# --- sets -----------------------------------------------------------------------------------------


def test_a_set_has_the_rows_of_the_last_step(client: Client, runs: list[str], store: maskl.Store) -> None:
    found = client.set(TABLE, runs)
    assert (found["total"], found["unbrushed"], found["histogram"], found["notes"]) == (2 * ROWS, 2 * ROWS, None, [])
    rows = client.rows(found, "name,loss,good")
    assert [row["run"] for row in rows] == [runs[0]] * ROWS + [runs[1]] * ROWS
    assert {row["step"] for row in rows} == {1, 2}
    assert all(isinstance(row["row"], str) for row in rows)
    assert [row["values"]["name"] for row in rows] == [f"f{number}" for number in range(ROWS)] * 2
    assert rows[2]["values"] == {"name": "f2", "loss": None, "good": True}
    assert rows[0]["masks"] == ["ground_truth", "predictions"]
    assert rows[1]["image"]["caption"] == HOSTILE
    assert store.table(TABLE).find(rows[3]["run"], int(rows[3]["row"]))["name"] == "f3"


def test_a_run_without_the_step_shows_the_one_before_and_it_is_said(client: Client, runs: list[str]) -> None:
    found = client.set(TABLE, runs, step=2)
    assert found["notes"] == ["run 실험 has no step 2: its step 1 is shown"]
    assert {(row["run"], row["step"]) for row in client.rows(found)} == {(runs[0], 1), (runs[1], 2)}
    early = client.set(TABLE, runs, step=-1)
    assert early["total"] == 0
    assert early["notes"] == [
        f"run {name} has no step up to -1: none of its rows is shown" for name in ("실험", "baseline")
    ]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("by", ["mean_iou", "mean_dice", "iou:차량", "column:loss", "column:good", "column:name"])
def test_rows_are_sorted_as_sql_sorts_them(
    client: Client, runs: list[str], store: maskl.Store, by: str, descending: bool
) -> None:
    kind, _, name = by.partition(":")
    sources = {
        "column": f'SELECT run_id, _row, "{name}" AS value FROM tables."{TABLE}" WHERE _step = 1',
        "iou": f"SELECT run_id, _row, iou AS value FROM row_class_iou('{TABLE}') WHERE class_name = '{name}'",
    }
    query = sources.get(kind, f"SELECT run_id, _row, {by} AS value FROM row_iou('{TABLE}', step := 1)")
    way = "DESC" if descending else "ASC"
    wanted = store.sql(
        f'SELECT t._row, q.value FROM tables."{TABLE}" AS t LEFT JOIN ({query}) AS q USING (run_id, _row) '
        f"WHERE t.run_id = '{runs[0]}' AND t._step = 1 ORDER BY q.value {way} NULLS LAST, t._row",
    ).fetchall()
    found = client.set(TABLE, runs[:1], sort={"by": by, "descending": descending})
    rows = client.rows(found)
    mine = [(int(row["row"]), row["score"]) for row in rows]
    if by == "column:name":
        assert [row for row, _ in mine] == [row for row, _ in wanted]
        assert {score for _, score in mine} == {None}
        assert found["histogram"] is None
        return
    assert [row for row, _ in mine] == [row for row, _ in wanted]
    assert [score for _, score in mine] == pytest.approx(
        [None if value is None else float(value) for _, value in wanted]
    )
    known = [value for _, value in wanted if value is not None]
    histogram = found["histogram"]
    assert sum(histogram["counts"]) == len(known)
    assert histogram["missing"] == ROWS - len(known)
    assert (histogram["edges"][0], histogram["edges"][-1]) == (min(known), max(known)) or min(known) == max(known)
    assert len(histogram["edges"]) == 41


def test_a_brushed_set_has_what_is_inside(client: Client, runs: list[str]) -> None:
    sort = {"by": "mean_iou", "descending": False}
    scores = [row["score"] for row in client.rows(client.set(TABLE, runs, sort=sort))]
    found = client.set(TABLE, runs, sort=sort, range=[scores[2], scores[6]])
    assert (found["total"], found["unbrushed"]) == (5, 2 * ROWS)
    assert [row["score"] for row in client.rows(found)] == scores[2:7]


def test_a_querys_rows_come_in_its_order_with_the_number_that_it_is_ordered_by(
    client: Client, runs: list[str], store: maskl.Store
) -> None:
    sql = f"FROM row_iou('{TABLE}', step := 'last') ORDER BY mean_dice DESC, run_id, _row;"
    found = client.set(TABLE, runs, sql=sql, sort={"by": "sql", "descending": False})
    wanted = store.sql(sql).project("run_id, _row, mean_dice").fetchall()
    mine = [(row["run"], int(row["row"]), row["score"]) for row in client.rows(found)]
    assert [place[:2] for place in mine] == [place[:2] for place in wanted]
    assert found["histogram"] is not None
    once = client.set(TABLE, runs[:1], sql="SELECT *, 1 FROM class_pixels ORDER BY _row")
    assert once["total"] == 2 * ROWS
    assert len(once["notes"]) == 2


def test_a_query_that_names_no_rows_says_what_it_needs(client: Client, runs: list[str]) -> None:
    body = {"table": TABLE, "runs": runs, "sql": "SELECT run_id FROM runs"}
    answer = client.post("api/set", body)
    assert answer.status_code == 400
    assert "table_name, _row" in answer.json()["error"]


def test_classes_of_a_whole_set_and_of_a_part_are_what_sql_counts(
    client: Client, runs: list[str], store: maskl.Store
) -> None:
    whole = client.set(TABLE, runs)
    classes = client.json(f"api/classes?set={whole['set']}")["classes"]
    coverage = store.sql(
        f"SELECT run_id, class_name, coverage FROM class_coverage('{TABLE}', step := 'last')"
    ).fetchall()
    iou = store.sql(f"SELECT run_id, class_name, iou FROM class_iou('{TABLE}', step := 'last')").fetchall()
    assert {(row["run_id"], row["class_name"]): row["coverage"] for row in classes} == pytest.approx(
        {place: value for *place_, value in coverage for place in [tuple(place_)]}
    )
    assert {
        (row["run_id"], row["class_name"]): row["iou"] for row in classes if row["iou"] is not None
    } == pytest.approx({(run, name): value for run, name, value in iou if value is not None})
    sql = f"FROM row_iou('{TABLE}', step := 'last')"
    queried = client.set(TABLE, runs, sql=sql)
    again = client.json(f"api/classes?set={queried['set']}")["classes"]
    key = lambda row: (row["run_id"], row["class_name"])  # noqa: E731
    for mine, other in zip(sorted(again, key=key), sorted(classes, key=key), strict=True):
        assert key(mine) == key(other)
        assert mine["coverage"] == pytest.approx(other["coverage"])
        assert mine["iou"] == pytest.approx(other["iou"])


@pytest.mark.parametrize("apart", [0, 8])
def test_classes_of_brushed_rows_are_what_sql_counts_of_each_run_and_of_all(
    filled: Path,
    serving: Callable[..., Client],
    runs: list[str],
    store: maskl.Store,
    monkeypatch: pytest.MonkeyPatch,
    apart: int,
) -> None:
    monkeypatch.setattr("maskl.viewer._classes.APART", apart)
    client = serving(filled)  # one that knows no answer yet
    brushed = client.set(TABLE, runs, sort={"by": "mean_iou"}, range=[0.2, 0.8])
    assert 2 < brushed["total"] < brushed["unbrushed"]
    rows = ", ".join(f"('{row['run']}', {row['row']})" for row in client.rows(brushed))
    answer = client.json(f"api/classes?set={brushed['set']}")
    assert answer["notes"] == []
    for name, grouping in (("classes", "run_id"), ("together", "NULL")):
        expected = store.sql(
            f"WITH p AS (FROM class_pixels WHERE mask_key = 'ground_truth' AND (run_id, _row) IN ({rows})), "
            f"s AS (FROM class_scores WHERE truth_key = 'ground_truth' AND (run_id, _row) IN ({rows})), "
            f"c AS (SELECT {grouping} AS of_run, class_name, sum(pixels) / sum(mask_pixels) AS coverage "
            f"FROM p WHERE table_name = '{TABLE}' GROUP BY ALL), "
            f"i AS (SELECT {grouping} AS of_run, class_name, iou(tp, fp, fn) AS iou "
            f"FROM s WHERE table_name = '{TABLE}' GROUP BY ALL) "
            "SELECT c.of_run, c.class_name, coverage, iou FROM c LEFT JOIN i "
            "ON c.of_run IS NOT DISTINCT FROM i.of_run AND c.class_name = i.class_name"
        ).fetchall()
        found = {(row["run_id"], row["class_name"]): (row["coverage"], row["iou"]) for row in answer[name]}
        assert len(found) == len(answer[name]) == len(expected)
        for run, of, coverage, iou in expected:
            assert found[run, of] == (pytest.approx(coverage), pytest.approx(iou))


def test_tables_of_other_kinds_are_what_they_are(client: Client, store: maskl.Store) -> None:
    odd = [store.run("odd").id]
    bare = client.rows(client.set("bare", odd, image=None, truth=None, prediction=None), "word,number")
    assert [row["values"] for row in bare] == [
        {"word": "b", "number": 1.5},
        {"word": HOSTILE, "number": None},
        {"word": "a", "number": "inf"},
    ]
    assert {row["image"] for row in bare} == {None}
    by_word = client.set("bare", odd, image=None, truth=None, prediction=None, sort={"by": "column:word"})
    assert [row["values"]["word"] for row in client.rows(by_word, "word")] == [HOSTILE, "a", "b"]
    by_number = client.set("bare", odd, sort={"by": "column:number"})
    assert by_number["histogram"]["missing"] == 2
    # one that was logged anew is what it was logged as last, at whatever step; of one that grows, each step has its own
    assert client.set("mutable", odd)["total"] == 2
    assert [client.set("mutable", odd, step=step)["total"] for step in (1, 2, 9)] == [0, 2, 2]
    added = [client.rows(client.set("growing", odd, image=None, step=step), "n") for step in (2, 3, 4)]
    assert [[row["values"]["n"] for row in rows] for rows in added] == [[], [3], [4]]
    assert client.set("growing", odd, image=None)["total"] == 1
    partly = client.rows(client.set("partly", odd, truth=None))
    assert [row["masks"] for row in partly] == [["predictions"], []]
    second = client.rows(client.set("partly", odd, image="second", truth=None, prediction=None))
    assert [row["image"] is None for row in second] == [False, True]
    assert client.post("api/set", {"table": "partly", "runs": odd, "sort": {"by": "mean_iou"}}).status_code == 400


# --- rows, masks, photos --------------------------------------------------------------------------


def test_a_row_is_whole_and_its_lines_give_it(client: Client, runs: list[str], store: maskl.Store) -> None:
    place = client.rows(client.set(TABLE, runs[:1]))[1]
    query = f"image=image&truth=ground_truth&prediction=predictions&step=last&run={runs[1]}"
    row = client.json(f"api/row/{path_of(runs[0], TABLE, place['row'])}?{query}")
    assert (row["run"], row["table"], row["row"], row["step"]) == (runs[0], TABLE, place["row"], 1)
    assert row["columns"] == {"name": "f1", "loss": 0.5, "good": False}
    assert row["image"]["caption"] == HOSTILE
    assert [(mask["key"], mask["width"], mask["height"]) for mask in row["masks"]] == [
        ("ground_truth", 16, 12),
        ("predictions", 16, 12),
    ]
    (mean,) = store.sql(
        f"SELECT mean_iou FROM row_iou('{TABLE}') WHERE run_id = '{runs[0]}' AND _row = {row['row']}"
    ).fetchall()[0]
    assert row["scores"]["mean_iou"] == mean
    assert {item["name"] for item in row["scores"]["classes"]} >= {"road", "차량"}
    (match,) = row["matches"]
    assert (match["run"], match["table"], match["step"]) == (runs[1], TABLE, 2)
    other = store.table(TABLE).find(match["run"], int(match["row"]))
    assert other["name"] == "f1"
    given = eval(row["python"], {"maskl": maskl})
    assert (given.run_id, str(given.row), given["name"]) == (runs[0], place["row"], "f1")
    relation = store.sql(row["sql"])
    found = dict(zip(relation.columns, relation.fetchall()[0], strict=True))
    assert (found["run_id"], str(found["_row"]), found["name"]) == (runs[0], place["row"], "f1")


def test_the_same_image_is_found_at_the_step_that_is_looked_at(client: Client, runs: list[str]) -> None:
    place = client.rows(client.set(TABLE, runs[:1]))[1]
    row = client.json(f"api/row/{path_of(runs[0], TABLE, place['row'])}?image=image&step=0&run={runs[1]}")
    assert [match["step"] for match in row["matches"]] == [0]


@pytest.mark.parametrize("spelled", ["as paths", "for a URL", "plainly"])
def test_masks_come_in_the_narrowest_type(client: Client, runs: list[str], store: maskl.Store, spelled: str) -> None:
    place = client.rows(client.set(TABLE, runs[:1]))[0]
    row = store.table(TABLE).find(runs[0], int(place["row"]))
    table = {
        "as paths": quote(encode_name(TABLE), safe=""),
        "for a URL": quote(TABLE, safe=""),
        "plainly": quote(TABLE),
    }
    for key in ("ground_truth", "predictions"):
        path = f"{runs[0]}/{table[spelled]}/{place['row']}/image__mask__{key}"
        answer = client.get(f"api/mask/{path}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert "immutable" in answer.headers["cache-control"]
        ids = unpacked(answer.content)
        assert ids.dtype == np.uint8
        assert np.array_equal(ids, row["image"].masks[key].mask_data)
        again = client.get(f"api/mask/{path}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        small = unpacked(client.get(f"api/thumb/{path}?max=4").content)
        assert small.shape == (3, 4)
        assert set(small.flat) <= set(ids.flat)


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        ([[0, 255]], "<u1"),
        ([[256]], "<u2"),
        ([[65_535]], "<u2"),
        ([[65_536]], "<i4"),
        ([[-1, 3]], "<i4"),
        ([[True]], "<u1"),
        ([[0, 1] * 2500], "<u1"),
    ],
)
def test_masks_of_every_width(ids: Any, kind: str) -> None:
    from maskl.viewer._masks import pack_mask
    from maskl_storage.masks.codec import encode

    found = unpacked(pack_mask(encode(np.array(ids))))
    assert found.dtype == np.dtype(kind)
    assert found.tolist() == np.array(ids).tolist()


def test_a_mask_that_is_too_large_to_paint_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    from maskl.errors import InvalidValue
    from maskl.viewer import _masks
    from maskl_storage.masks.codec import encode

    monkeypatch.setattr(_masks, "MAX_PIXELS", 99)
    monkeypatch.setattr(_masks, "countable", None)
    with pytest.raises(InvalidValue, match="10 × 10 pixels are more than the 99"):
        _masks.pack_mask(encode(np.zeros((10, 10), np.int64)))


def test_a_mask_with_segments_comes_as_its_classes(tmp_path: Path, serving: Callable[..., Client]) -> None:
    ids = np.array([[0, 1017, 1018], [2000, 7, 7]])
    masks = {
        "m": {"mask_data": ids, "segments": {"divisor": 1000}, "class_labels": {0: "길", 1: "car", 2: "b", 7: "c"}}
    }
    with maskl.init(dir=tmp_path, id="r") as run:
        run.log({"t": maskl.Table(["image"], [[maskl.Image(np.zeros((2, 3), np.uint8), masks=masks)]])})
    client = serving(tmp_path)
    found = client.get("api/mask/r/t/0/image__mask__m")
    assert unpacked(found.content).tolist() == [[0, 1, 1], [2, 7, 7]]
    assert set(unpacked(client.get("api/thumb/r/t/0/image__mask__m?max=2").content).flat) <= {0, 1, 2, 7}
    row = client.json("api/row/r/t/0?image=image")
    assert {item["name"] for item in row["masks"][0]["classes"]} == {"길", "car", "b", "c"}


def photos(folder: Path) -> dict[str, PILImage.Image]:
    """Write pictures of every kind, and return what a browser is to see of them."""
    rng = np.random.default_rng(0)
    rgb = PILImage.fromarray(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    deep = PILImage.fromarray(np.arange(54, dtype=np.uint16).reshape(6, 9) * 100)
    exif = PILImage.Exif()
    exif[0x112] = 6
    saved: dict[str, tuple[PILImage.Image, dict[str, Any]]] = {
        "a.png": (rgb, {}),
        "a.jpg": (rgb, {"exif": exif}),
        "a.webp": (rgb, {"lossless": True}),
        "a.tif": (rgb, {}),
        "cmyk.jpg": (rgb.convert("CMYK"), {}),
        "deep.png": (deep, {}),
        "float.tif": (deep.convert("F"), {}),
        "turned.tif": (rgb, {"exif": exif}),
        "a.gif": (rgb.quantize(16), {}),
        "bits.png": (rgb.convert("1"), {}),
        "grey.png": (rgb.convert("LA"), {}),
    }
    for name, (picture, options) in saved.items():
        picture.save(folder / name, **options)
    found = {}
    for name in saved:
        with PILImage.open(folder / name) as picture:
            found[name] = picture.copy()
    return found


def test_photos_come_as_browsers_can_show_them(
    serving: Callable[..., Client], start: Callable[..., maskl.Run], store_dir: Path, tmp_path: Path
) -> None:
    pictures = photos(tmp_path)
    with start() as run:
        table = maskl.Table(["name", "image"], [[name, maskl.Image(str(tmp_path / name))] for name in pictures])
        table.add_data("reference", maskl.Image("s3://elsewhere/a.png"))
        run.log({"t": table})
    client = serving(store_dir)
    rows = client.rows(client.set("t", [run.id], truth=None, prediction=None), "name")
    digests = {row["values"]["name"]: row["image"]["digest"] for row in rows}
    native = {"a.png": "png", "a.jpg": "jpeg", "a.webp": "webp", "a.gif": "gif", "bits.png": "png", "grey.png": "png"}
    for name, picture in pictures.items():
        answer = client.get(f"api/image/{digests[name]}")
        assert answer.headers["content-type"] == f"image/{native.get(name, 'png')}", name
        assert "sandbox" in answer.headers["content-security-policy"]
        if name in native:
            assert answer.content == (tmp_path / name).read_bytes()
        seen = PILImage.open(io.BytesIO(answer.content))
        assert seen.size == picture.size
        if name in ("a.tif", "cmyk.jpg", "turned.tif"):
            assert seen.getexif().get(0x112) is None
            assert np.array_equal(np.asarray(seen), np.asarray(picture.convert("RGB")))
        if name in ("deep.png", "float.tif"):  # its own range becomes 0 to 255
            grey = np.asarray(seen)[..., 0]
            assert (grey.min(), grey.max()) == (0, 255)
        small = PILImage.open(io.BytesIO(client.get(f"api/image/{digests[name]}?max=3").content))
        assert small.size == ((3, 2) if picture.width > picture.height else (2, 3)), name
    assert digests["reference"] is None
    assert (
        next(row for row in rows if row["values"]["name"] == "reference")["image"]["reference"]
        == "s3://elsewhere/a.png"
    )


# --- queries --------------------------------------------------------------------------------------


def test_a_query_returns_rows_and_whether_there_were_more(client: Client) -> None:
    answer = client.json("api/query", {"sql": "FROM range(1000000000);", "limit": 3})
    assert answer == {
        "columns": [{"name": "range", "type": "BIGINT"}],
        "rows": [[0], [1], [2]],
        "truncated": True,
        "addressable": False,
    }
    ordered = client.json("api/query", {"sql": "SELECT -range AS n FROM range(5000) ORDER BY n", "limit": 2})
    assert ordered["rows"] == [[-4999], [-4998]]
    row = client.json("api/query", {"sql": f"FROM row_iou('{TABLE}') LIMIT 1"})
    assert row["addressable"]
    at = [column["name"] for column in row["columns"]].index("_row")
    assert isinstance(row["rows"][0][at], str)
    odd = client.json("api/query", {"sql": "SELECT 'nan'::DOUBLE, [1, NULL], 2::HUGEINT ** 70, '\\x00'::BLOB, NULL"})
    assert odd["rows"][0][:2] == ["nan", "[1, null]"]
    assert odd["truncated"] is False
    assert client.json("api/query", {"sql": "DESCRIBE runs", "limit": 0})["rows"] == []


def test_the_page_comes_with_its_files_and_no_others(client: Client) -> None:
    page = client.get("")
    assert page.headers["content-type"].startswith("text/html")
    assert client.get("static/main.js").headers["content-type"].startswith("text/javascript")
    for name in ("../_app.py", "..%2f_app.py", "nothing.js", "", "main.js%00"):
        assert client.get(f"static/{name}").status_code == 404


# --- files and names ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "static/main.js", "static/view.css"])
def test_files_of_the_page_are_sent_once(client: Client, path: str) -> None:
    answer = client.get(path)
    tag = answer.headers["etag"]
    again = client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(path, headers={"If-None-Match": '"other"'}).content == answer.content


def test_columns_with_odd_names_are_asked_for_each_by_itself(
    serving: Callable[..., Client], start: Callable[..., maskl.Run], store_dir: Path
) -> None:
    names = ["a,b", "100%", "x/y", "손실", "خسارة", "a&b=c", "plus +"]
    with start(name="one") as run:
        run.log({"t": maskl.Table(names, [list(range(len(names)))])})
    client = serving(store_dir)
    found = client.set("t", [maskl.open(store_dir).run("one").id], image=None, truth=None, prediction=None)
    query = "&".join(f"column={quote(name, safe='')}" for name in names)
    (row,) = client.json(f"api/set/{found['set']}?from=0&to=1&{query}")["rows"]
    assert row["values"] == {name: place for place, name in enumerate(names)}

"""Every object of another library at every door: taken with the same value, or refused with the same words."""

from __future__ import annotations

import ast
import datetime
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import maskl
from maskl import Image, ImageMask, Table
from maskl.adapters import objects
from maskl.errors import ConversionWarning, InvalidType, InvalidValue
from tests.adapters import foreign

ROOT = Path(__file__).parents[2]
Start = Callable[..., maskl.Run]
Doors = dict[str, Callable[[Any], Any]]


@pytest.fixture
def run(start: Start) -> maskl.Run:
    """Return a run under way."""
    return start()


def column_of(value: Any) -> Any:
    """Return a data frame whose only cell is an object."""
    cells = np.empty(1, object)
    cells[0] = value
    return pytest.importorskip("pandas").DataFrame({"x": cells})


def added(value: Any) -> Table:
    table = Table(["id"], [[1]])
    table.add_column("x", [value], optional=True)
    return table


#: ways of one value into a table
CELLS: Doors = {
    "cell": lambda value: Table(["x"], [[value]]),
    "cell of a declared column": lambda value: Table(["x"], [[value]], dtype=object),
    "added column": added,
    "column of a frame": lambda value: Table(dataframe=column_of(value)),
}
#: ways of several values into a table
NESTED: Doors = {
    "list in a cell": lambda value: Table(["x"], [[[value, value]]]),
    "list in a list in a cell": lambda value: Table(["x"], [[[[value], value]]]),
    "dict in a cell": lambda value: Table(["x"], [[{"a": value, "b": {"c": value}}]]),
}
#: ways into a run
LOGGED: Doors = {
    "log": lambda value: maskl.log({"log": value}),
    "log, nested": lambda value: maskl.log({"log, nested": {"y": {"z": value}}}),
}
LISTED: Doors = {"list in log": lambda value: maskl.log({"list in log": [value, value]})}
DESCRIBED: Doors = {
    "config": lambda value: maskl.config.update({"config": value}),
    "config, nested": lambda value: maskl.config.update({"config, nested": {"y": [value, value]}}),
    "summary": lambda value: maskl.summary.update({"summary": value}),
    "summary, nested": lambda value: maskl.summary.update({"summary, nested": {"y": [value, value]}}),
}
#: ways of pixels
PICTURES: Doors = {
    "Image": lambda value: np.array(Image(value).image),
    "ImageMask": lambda value: ImageMask({"mask_data": value}, "m").mask_data,
    "masks": lambda value: maskl.masks.crop(value, 0, 0, 3, 2),
}
#: ways at which a value is seen as a part of something
PARTS = ("list in a cell", "list in a list in a cell", "dict in a cell", "list in log")


def everywhere(value: Any, *doors: Doors) -> dict[str, Any]:
    """Take a value in at every door, and return what comes out of the store, door by door."""
    run = maskl.init(dir="store", reinit="finish_previous")
    for group in doors:
        for name, enter in group.items():
            table = enter(value)
            if isinstance(table, Table):
                run.log({name: table})
    run.finish()
    store = maskl.open("store")
    found: dict[str, Any] = {}
    for info in store.tables():
        (row, *_) = store.table(info.name, run=run.id)
        found[info.name] = row["x"] if "x" in row else row["image"]
    for key, number, text in store.sql("SELECT key, value, text FROM history WHERE run_id = ?", [run.id]).fetchall():
        found[key] = number if text is None else json.loads(text)
    described = {**store.run(run.id).config, **store.run(run.id).summary}
    return {name.removesuffix("/y/z"): plain(item) for name, item in (described | found).items()}


def plain(value: Any) -> Any:
    """Return an array as a list, and what is a part of a dict as a part of a list."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict) and "$array" in value:  # log() keeps what is nested as text
        return value["$array"]
    if isinstance(value, dict):
        found = [plain(item) for item in value.values()]
        return found[0] if len(found) == 1 else found
    return value


def same(value: Any) -> dict[str, Any]:
    """Return what is expected of each door for an object that stands for this value."""
    once = {name: value for doors in (CELLS, LOGGED, DESCRIBED) for name in doors if "nested" not in name}
    twice = {name: [value, value] for name in (*PARTS, "config, nested", "summary, nested")}
    return {**once, "log, nested": value, **twice, "list in a list in a cell": [[value], value]}


ALL = (CELLS, NESTED, LOGGED, LISTED, DESCRIBED)
MAKERS = foreign.ARRAYS | foreign.FLOATS


# --- arrays and tensors -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MAKERS)
def test_a_number_of_any_library_is_that_number(kind: str) -> None:
    found = everywhere(MAKERS[kind](np.array(0.5, np.float32)), *ALL)
    assert found == same(0.5)
    assert all(type(found[name]) is float for name in (*CELLS, *LOGGED, "config", "summary"))


@pytest.mark.parametrize("kind", MAKERS)
def test_an_array_of_any_library_is_its_values(kind: str) -> None:
    made = MAKERS[kind](np.array([[0.5, 1.5]], np.float32))
    assert everywhere(made, *ALL) == same([[0.5, 1.5]])
    for name, enter in CELLS.items():
        ((*_, cell),) = enter(made).data
        assert cell.dtype == (np.float16 if kind == "float16" else np.float32), name


@pytest.mark.parametrize("value", [3, True], ids=["integer", "bool"])
def test_integers_and_booleans_keep_their_type(value: Any) -> None:
    found = everywhere(foreign.Tensor(np.array(value), is_cuda=True), *ALL)
    assert found == same(value)
    assert all(type(found[name]) is type(value) for name in (*CELLS, "config", "summary"))


@pytest.mark.parametrize("door", PICTURES)
@pytest.mark.parametrize("kind", foreign.ARRAYS)
def test_pixels_of_any_library_are_an_image_and_a_mask(kind: str, door: str) -> None:
    pixels = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)
    assert np.array_equal(PICTURES[door](foreign.ARRAYS[kind](pixels)), pixels)


@pytest.mark.parametrize("kind", foreign.FLOATS)
def test_floats_that_numpy_lacks_are_images_and_masks(kind: str) -> None:
    make = foreign.FLOATS[kind]
    assert np.array(Image(make(np.array([[0, 1, 0.5]]))).image).tolist() == [[0, 255, 128]]
    assert ImageMask({"mask_data": make(np.array([[0, 1, 2]]))}, "m").mask_data.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("kind", foreign.ARRAYS)
def test_rows_columns_ids_steps_and_boxes_of_any_library(kind: str, start: Start, store_dir: Path) -> None:
    make = foreign.ARRAYS[kind]
    table = Table(["a", "b"], data=make(np.array([[1, 2], [3, 4]])))
    table.add_column("c", make(np.array([5, 6])))
    table.add_column("d", make(np.array([[5, 6], [7, 8]], np.int16)))
    assert [row[:3] for row in table.data] == [[1, 2, 5], [3, 4, 6]]
    assert [row[3].tolist() for row in table.data] == [[5, 6], [7, 8]]
    with pytest.raises(InvalidType, match="the data of column 'e' must be a list or an array"):
        table.add_column("e", make(np.array(5)))
    mask = ImageMask({"mask_data": [[0, 1]], "ignore_index": make(np.array([1, 255]))}, "m")
    assert mask.ignore_index == {1, 255}
    assert ImageMask({"mask_data": [[0]], "ignore_index": make(np.array(7))}, "m").ignore_index == {7}
    truth = make(np.array([[[0, 0], [1, 1]]]))
    assert maskl.metrics.iou(truth, truth, ignore_index=make(np.array(1))) == {"class_0": 1.0}
    middle = [make(np.array(0.5)), make(np.array(0.25))]
    box = {"position": {"middle": middle, "width": make(np.array(0.5)), "height": 1}, "class_id": make(np.array(3))}
    boxes = maskl.BoundingBoxes2D({"box_data": [{**box, "scores": {"p": make(np.array(0.5))}}]}, "b")
    assert boxes.box_data == [
        {"position": {"middle": [0.5, 0.25], "width": 0.5, "height": 1.0}, "class_id": 3, "scores": {"p": 0.5}}
    ]
    with start() as run:
        run.log({"loss": 1}, step=make(np.array(4)))
    assert maskl.open(store_dir).sql("SELECT _step FROM history").fetchall() == [(4,)]


@pytest.mark.parametrize("kind", foreign.ARRAYS)
def test_a_declared_column_takes_numbers_and_arrays_of_any_library(kind: str) -> None:
    make = foreign.ARRAYS[kind]
    table = Table(["n", "a"], [[make(np.array(0.5)), make(np.array([1, 2]))]], dtype=[float, np.ndarray])
    assert table.data[0][0] == 0.5
    with pytest.raises(InvalidType, match="column 'n' takes number"):
        table.add_data(make(np.array([0.5])), make(np.array([1, 2])))


def test_nothing_of_the_array_is_kept(start: Start) -> None:
    array = np.array([[1, 2]], np.uint8)
    tensor = foreign.Tensor(array)
    table, image, mask = Table(["x"], [[tensor]]), Image(tensor), ImageMask({"mask_data": tensor}, "m")
    run = start(config={"x": tensor})
    array[:] = 9
    assert table.data[0][0].tolist() == [[1, 2]] == np.array(image.image).tolist() == mask.mask_data.tolist()
    assert run.config["x"] == [[1, 2]]


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("kind", foreign.EMPTY_HANDED)
def test_an_array_without_values_is_refused_with_the_same_words(kind: str) -> None:
    value = foreign.EMPTY_HANDED[kind]()
    for doors in (*ALL, PICTURES):
        for enter in doors.values():
            with pytest.raises(InvalidType, match=rf"this {type(value).__name__} does not give its values: \w+"):
                enter(value)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    "value",
    [np.array(["a", "b"]), foreign.Speaking(["a", "b"]), pa.array(["a", "b"]), np.array(["a", "b"], object)],
    ids=["numpy", "speaking", "arrow", "object"],
)
def test_arrays_of_texts_are_lists(value: Any) -> None:
    assert everywhere(value, *ALL) == same(["a", "b"])


def test_a_config_holds_arrays_of_texts_times_and_anything(run: maskl.Run) -> None:
    times = np.array(["2026-01-02"] * 2, "datetime64[D]")
    given = {"text": pa.array(["a", None]), "time": foreign.Speaking(times), "long": np.longdouble(0.5)}
    run.config.update({**given, "longs": np.array([0.5], np.longdouble), "any": np.array([None, "x", 1], object)})
    assert dict(run.config) == {
        "text": ["a", None],
        "time": ["2026-01-02"] * 2,
        "long": 0.5,
        "longs": 0.5,
        "any": [None, "x", 1],
    }


@pytest.mark.parametrize("kind", [np.ndarray, np.float32, foreign.Tensor, foreign.Capsule, pa.Table])
def test_the_class_of_an_array_is_none(kind: type) -> None:
    assert objects.as_value(kind) is kind
    assert not any(ask(kind) for ask in (objects.is_array, objects.is_frame, objects.is_tensor, objects.is_figure))


def test_a_file_is_no_tensor_and_stays_open(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with (tmp_path / "f").open() as file:
        with pytest.raises(InvalidType, match="image array"):
            Image(file)
        assert file.read() == "x"


# --- missing values and times ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["NA", "NaT"])
def test_a_missing_value_of_pandas_is_none(name: str) -> None:
    found = everywhere(getattr(pytest.importorskip("pandas"), name), *ALL)
    assert found == {door: value for door, value in same(None).items() if door not in LOGGED}  # nothing to log


def test_times_of_numpy_in_lists_are_times() -> None:
    ((found,),) = Table(["x"], [[[np.datetime64("2026-01-02T03:04:05.000000006", "ns")]]]).data
    assert found == [datetime.datetime(2026, 1, 2, 3, 4, 5)]
    with pytest.raises(InvalidType, match="a timedelta64 inside cannot be stored"):
        Table(["x"], [[[np.timedelta64(5, "ns")]]])


# --- figures ------------------------------------------------------------------------------------

DRAWN = ["figure", "subclass", "axes", "artist", "subclass of axes", "pyplot"]


@pytest.fixture
def drawn(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return something of matplotlib's that is drawn."""
    pytest.importorskip("matplotlib").use("agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figures, projections = (pytest.importorskip(f"matplotlib.{name}") for name in ("figure", "axes"))

    class Report(figures.Figure):  # type: ignore[misc, name-defined]
        """A figure of somebody's own."""

    class Panel(projections.Axes):  # type: ignore[misc, name-defined]
        """Axes of somebody's own."""

    kind: str = request.param
    figure = pyplot.figure(figsize=(1, 1), dpi=20, FigureClass=Report if kind == "subclass" else figures.Figure)
    axes = figure.add_subplot(axes_class=Panel) if kind == "subclass of axes" else figure.add_subplot()
    (line,) = axes.plot([1, 2])
    yield {"axes": axes, "subclass of axes": axes, "artist": line, "pyplot": pyplot}.get(kind, figure)
    pyplot.close("all")


@pytest.mark.parametrize("drawn", DRAWN, indirect=True)
def test_a_figure_is_an_image_wherever_one_may_be(drawn: Any) -> None:
    expected = Image(drawn)
    found = everywhere(drawn, CELLS, LOGGED, LISTED)
    assert found == dict.fromkeys([*CELLS, *LOGGED, *LISTED], expected)
    assert np.array(expected.image).shape[:2] == (20, 20)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("drawn", DRAWN, indirect=True)
def test_a_figure_is_refused_where_an_image_is_with_the_same_words(drawn: Any) -> None:
    for value in (drawn, Image(np.zeros((1, 1), np.uint8))):
        what = f"a {type(value).__name__}"
        for name in ("config", "config, nested"):
            with pytest.raises(InvalidType, match=rf"must be what JSON can hold; {what} is logged with run\.log\(\)"):
                DESCRIBED[name](value)
        for name in ("summary", "summary, nested"):
            with pytest.warns(ConversionWarning, match=rf"is a .*, stored as its text .* {what} is logged with run"):
                DESCRIBED[name](value)
    with pytest.raises(InvalidType, match="mask_data must be a 2D array"):
        PICTURES["ImageMask"](drawn)


@pytest.mark.parametrize("drawn", ["subclass"], indirect=True)
def test_figures_and_images_are_one_list(run: maskl.Run, store_dir: Path, drawn: Any) -> None:
    run.log({"shots": [drawn, Image(np.zeros((20, 20), np.uint8)), drawn]})
    with pytest.raises(InvalidValue, match="a list of images must hold nothing else; item 1 is a int"):
        run.log({"shots": [drawn, 1]})
    run.finish()
    rows = maskl.open(store_dir).table("shots")
    assert [(row["image"].width, row["index"]) for row in rows] == [(20, 0), (20, 1), (20, 2)]


@pytest.mark.usefixtures("run")
def test_an_artist_without_a_figure_is_refused_with_the_same_words() -> None:
    line = pytest.importorskip("matplotlib.lines").Line2D([0, 1], [0, 1])
    for enter in (CELLS | LOGGED | LISTED | {"Image": Image}).values():
        with pytest.raises(InvalidType, match="this Line2D of matplotlib belongs to no figure: pass the figure itself"):
            enter(line)


def test_what_matplotlib_does_not_draw_is_no_figure() -> None:
    assert not objects.is_figure(pytest.importorskip("matplotlib").colormaps["viridis"])


def test_a_figure_is_recognised_without_importing_matplotlib() -> None:
    figure = type("Figure", (), {"get_figure": lambda self: self, "__module__": "matplotlib.figure"})()
    others = (sys, np.zeros((3, 4, 3), np.uint8), "a")
    found = [value for value in (figure, ModuleType("matplotlib.pyplot"), *others) if objects.is_figure(value)]
    assert found[0] is figure
    assert len(found) == 2
    code = "import sys, maskl; maskl.init(mode='disabled').log({'a': 1}); print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


# --- data frames --------------------------------------------------------------------------------

FRAMES = ["pyarrow", "pandas", "polars", "derived"]


def frame_of(library: str) -> Any:
    """Return the same data frame of each library."""
    columns = {"id": [1, 2], "loss": [0.5, None]}
    if library == "derived":

        class Results(pytest.importorskip("pandas").DataFrame):  # type: ignore[misc]
            """A data frame of somebody's own."""

        return Results(columns)
    return pa.table(columns) if library == "pyarrow" else pytest.importorskip(library).DataFrame(columns)


@pytest.mark.parametrize("library", FRAMES)
def test_a_frame_is_a_table_wherever_one_may_be(run: maskl.Run, store_dir: Path, library: str) -> None:
    frame = frame_of(library)
    run.log({"a": frame, "b": {"c": frame}, "d": Table(data=frame), "e": Table(dataframe=frame)})
    run.finish()
    for name in ("a", "b/c", "d", "e"):
        assert [dict(row) for row in maskl.open(store_dir).table(name)] == [
            {"id": 1, "loss": 0.5},
            {"id": 2, "loss": None},
        ]


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("library", FRAMES)
def test_a_frame_is_refused_as_a_value_with_the_same_words(library: str) -> None:
    frame = frame_of(library)
    what = f"a {type(frame).__name__}"
    doors = CELLS | DESCRIBED
    for name in (*CELLS, "config", "config, nested"):
        with pytest.raises(InvalidType, match=rf"{what} is logged with run\.log\(\)"):
            doors[name](frame)
    for name in ("summary", "summary, nested"):
        with pytest.warns(ConversionWarning, match=rf"{what} is logged with run\.log\(\)"):
            doors[name](frame)
    for enter in (NESTED | LISTED).values():
        with pytest.raises(InvalidType, match=f"{what} inside cannot be stored|cannot hold {what}"):
            enter(frame)


def test_a_class_derived_from_pandas_frame_keeps_what_a_frame_keeps() -> None:
    pandas = pytest.importorskip("pandas")

    class Results(pandas.DataFrame):  # type: ignore[misc, name-defined]
        """A data frame of somebody's own."""

    columns = {"a": [np.arange(2, dtype=np.uint8)], "b": [{"k": b"x"}], "c": [(1 << 53) + 1]}
    (row,) = Table(dataframe=Results(columns)).data
    assert (row[0].dtype, row[0].tolist(), row[1:]) == (np.uint8, [0, 1], [{"k": b"x"}, (1 << 53) + 1])


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_column_of_a_frame_is_an_array(library: str) -> None:
    values = [0.5, 1.5]
    made = pa.chunked_array([values]) if library == "pyarrow" else pytest.importorskip(library).Series(values)
    assert everywhere(made, *ALL) == same(values)


# --- the real libraries, where they are ----------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"])
def test_floats_of_torch(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    kind = getattr(torch, dtype)
    assert everywhere(torch.tensor(0.5, dtype=kind), *ALL) == same(0.5)
    vector = torch.tensor([0.5, 1.5]).to(kind)
    assert everywhere(vector, *ALL) == same([0.5, 1.5])
    wider = {"float16": np.float16, "float64": np.float64}.get(dtype, np.float32)
    assert objects.as_array(vector).dtype == wider


@pytest.mark.parametrize(
    "make",
    [
        lambda torch, values: values.requires_grad_(),
        lambda torch, values: torch.nn.Parameter(values),
        lambda torch, values: values.to_sparse(),
        lambda torch, values: values.to_sparse_csr(),
        lambda torch, values: torch.quantize_per_tensor(values, 0.5, 0, torch.qint8),
        lambda torch, values: torch.imag(torch.complex(values, -values).conj()),
    ],
    ids=["grad", "parameter", "sparse", "sparse by rows", "quantized", "negated view"],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR:UserWarning", "ignore:.*quantize")
def test_tensors_of_torch(make: Callable[..., Any]) -> None:
    torch = pytest.importorskip("torch")
    values = [[0.5, 0], [0, 1.5]]
    assert everywhere(make(torch, torch.tensor(values)), *ALL) == same(values)


@pytest.mark.usefixtures("run")
def test_a_tensor_of_torch_without_values() -> None:
    torch = pytest.importorskip("torch")
    for doors in (*ALL, PICTURES):
        for enter in doors.values():
            with pytest.raises(InvalidType, match="this Tensor does not give its values"):
                enter(torch.zeros(2, 3, device="meta"))


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "int4", "uint4", "int2"]
)
def test_numbers_that_other_libraries_add_to_numpy(dtype: str) -> None:
    kind = getattr(pytest.importorskip("ml_dtypes"), dtype)
    assert everywhere(kind(1), *ALL) == same(1) == everywhere(np.array(1).astype(kind), *ALL)
    assert everywhere(np.array([0, 1]).astype(kind), *ALL) == same([0, 1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_arrays_of_jax(dtype: str) -> None:
    numpy = pytest.importorskip("jax.numpy")
    assert everywhere(numpy.array([[0.5, 1.5]], getattr(numpy, dtype)), *ALL) == same([[0.5, 1.5]])
    assert everywhere(numpy.array(0.5, getattr(numpy, dtype)), *ALL) == same(0.5)


# --- one owner ----------------------------------------------------------------------------------

#: what only a module that looks at objects of other libraries has to ask for
TELLTALES = {"__array__", "__dlpack__", "__arrow_c_stream__", "__arrow_c_array__", "detach", "get_figure", "savefig"}
TELLTALES |= {"NAType", "NaTType", "matplotlib.pyplot", "DataFrame", "Tensor"}
#: a table of ours hands its capsule on, and makes a frame where pandas was asked for
OWN = {
    "reading/metrics.py": {"__arrow_c_stream__"},
    "reading/table.py": {"DataFrame"},
    "tables/_arrays.py": {"DataFrame"},
}


def asked(path: Path) -> set[str]:
    """Return the telltales that a module has as strings, or calls."""
    tree = ast.parse(path.read_text("utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    calls = {n.func.attr for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
    return TELLTALES & (texts | calls)


def test_one_module_looks_at_objects_of_other_libraries() -> None:
    found = {str(path.relative_to(ROOT / "maskl")): asked(path) for path in (ROOT / "maskl").rglob("*.py")}
    assert len(found.pop("adapters/objects.py")) > 8
    assert {name: asks for name, asks in found.items() if asks - OWN.get(name, set())} == {}

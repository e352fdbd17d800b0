"""The demo: made-up street scenes, two models, and what maskl says about them."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFilter
from rich.filesize import decimal

import maskl
from maskl.cli import _charts as charts
from maskl.cli import _output as output
from maskl.drawing import overlay
from maskl_storage.errors import InvalidValue
from maskl_storage.format.document import STORE_DIR

if TYPE_CHECKING:
    import duckdb

__all__ = ["run"]

SCENES: Final = 24
SEED: Final = 7
STEPS: Final = 40
#: the size of what the poor model tells apart
BLOCK: Final = 10
PROJECT: Final = "maskl-demo"
TABLE: Final = "evaluation"
QUIET: Final = maskl.Settings(silent=True)  # the demo says what there is to say
MARKER: Final = ".maskl-demo"
PARQUET: Final = "evaluation.parquet"
PICTURE: Final = "comparison.png"

WIDTH, HEIGHT = 320, 240
SKY, BUILDING, ROAD, PAVEMENT, TREE, CAR, PEDESTRIAN, VOID = 0, 1, 2, 3, 4, 5, 6, 255
CLASSES: Final[list[dict[str, Any]]] = [
    {"id": SKY, "name": "sky", "color": "#4da3e0"},
    {"id": BUILDING, "name": "building", "color": "#b05c4a"},
    {"id": ROAD, "name": "road", "color": "#7a5aa6"},
    {"id": PAVEMENT, "name": "pavement", "color": "#e0b03c"},
    {"id": TREE, "name": "tree", "color": "#3f9b4f"},
    {"id": CAR, "name": "car", "color": "#1f3fbf"},
    {"id": PEDESTRIAN, "name": "pedestrian", "color": "#ff2e88"},
    {"id": VOID, "name": "void", "color": "#606060", "ignore": True},
]

TRUTH_SQL: Final = f"FROM class_coverage('{TABLE}') WHERE run_name = 'improved' ORDER BY ignored, coverage DESC"
COVERAGE_SQL: Final = (
    f"PIVOT class_coverage('{TABLE}', mask := 'predictions') ON run_name USING first(coverage) GROUP BY class_name"
)
IOU_SQL: Final = f"PIVOT class_iou('{TABLE}') ON run_name USING first(iou) GROUP BY class_name"
ROWS_SQL: Final = f"SELECT run_id, _row, mean_iou, pixel_accuracy FROM row_iou('{TABLE}')"


@dataclass(frozen=True, slots=True)
class Shape:
    """A part of a scene: what it shows, in which form and where, and how it looks in the picture."""

    class_id: int
    form: str
    corners: tuple[float, ...]
    color: overlay.RGB


Scene = list[Shape]


def run(directory: Path) -> None:
    """Make the demo's store, Parquet file and picture, and print what they show.

    Parameters
    ----------
    directory : Path
        Where to make them; a demo that was made there before is replaced.

    Raises
    ------
    InvalidValue
        The directory holds something that is not the demo's.
    """
    _prepare(directory)
    print("maskl keeps images with their segmentation masks in columns, and answers questions about them in SQL.")
    print(f"This demo makes up {SCENES} street scenes and what two models, 'baseline' and 'improved', predict on them.")
    _log(directory)
    store = maskl.open(directory / STORE_DIR)
    _ask(store)
    _export(store, directory / PARQUET)
    _draw(store, directory / PICTURE)
    where = shlex.quote(str(directory))
    print("\nTry next:")
    print(f"  maskl metrics {TABLE} --dir {where}")
    print(f"  maskl compare baseline improved --dir {where} --html changes.html")
    print(f"  maskl coverage {TABLE} --dir {where} --mask predictions")
    print(
        f"  maskl sql --dir {where} -p class pedestrian"
        f" 'FROM class_pixels WHERE class_name = $class AND pixels > 0 ORDER BY pixels DESC LIMIT 5'"
    )
    print("\nLook at the images, masks and errors in a browser, with maskl[view]:")
    print(f"  maskl view --dir {where}")


def _prepare(directory: Path) -> None:
    """Make the directory empty of an earlier demo; whatever else is in it stays."""
    marker, store = directory / MARKER, directory / STORE_DIR
    if directory.name == STORE_DIR:
        raise InvalidValue(f"{directory} is the name of a store: choose another directory for the demo with --dir")
    if directory.exists() and not directory.is_dir():
        raise InvalidValue(f"{directory} is a file: choose another directory for the demo with --dir")
    if directory.is_dir() and not marker.is_file() and any(directory.iterdir()):
        raise InvalidValue(f"{directory} holds something that is not the demo's: choose another one with --dir")
    if store.is_dir():
        foreign = [info.run_id for info in maskl.open(store).runs() if info.project != PROJECT]
        if foreign:
            raise InvalidValue(f"{store} holds a run that is not the demo's, {foreign[0]!r}: choose another --dir")
    directory.mkdir(parents=True, exist_ok=True)
    marker.write_text("Files of `maskl demo`, which it replaces when it runs again.\n", "utf-8")
    if store.is_dir():
        shutil.rmtree(store)


def _log(directory: Path) -> None:
    rng = np.random.default_rng(SEED)
    scenes = [_scene(rng, number) for number in range(SCENES)]
    pictures = [_picture(scene, rng) for scene in scenes]
    _log_run(directory, "baseline", {"lr": 0.01, "blocks": BLOCK}, scenes, pictures, [*map(_coarse, scenes)])
    _log_run(
        directory, "improved", {"lr": 0.01, "blocks": 1}, scenes, pictures, [_fine(scene, rng) for scene in scenes]
    )
    size = sum(path.stat().st_size for path in (directory / STORE_DIR).rglob("*") if path.is_file())
    print(f"""
1. These lines logged them, once for each model, to {directory / STORE_DIR} ({decimal(size)}):

     with maskl.init(project="{PROJECT}", name="baseline", dir="{directory}", config=config) as run:
         table = maskl.Table(columns=["name", "image"])
         for name, pixels, truth, predicted in scenes:
             table.add_data(name, maskl.Image(pixels, classes=classes, masks={{
                 "ground_truth": {{"mask_data": truth, "ignore_index": {VOID}}},
                 "predictions": {{"mask_data": predicted}},
             }}))
         run.log({{"{TABLE}": table}}, step=0)
         for step, loss in enumerate(losses):
             run.log({{"loss": loss}}, step=step)""")


def _log_run(
    directory: Path,
    name: str,
    config: dict[str, Any],
    scenes: list[Scene],
    pictures: list[npt.NDArray[np.uint8]],
    predictions: list[npt.NDArray[np.uint8]],
) -> None:
    classes = maskl.Classes(CLASSES)
    table = maskl.Table(columns=["name", "image"])
    for number, (scene, pixels, predicted) in enumerate(zip(scenes, pictures, predictions, strict=True)):
        masks: dict[str, dict[str, Any]] = {
            "ground_truth": {"mask_data": _mask(scene), "ignore_index": VOID},
            "predictions": {"mask_data": predicted},
        }
        table.add_data(f"street_{number:02}", maskl.Image(pixels, classes=classes, masks=masks))
    wrong = float(np.mean([_mask(scene) != mask for scene, mask in zip(scenes, predictions, strict=True)]))
    with maskl.init(project=PROJECT, name=name, dir=directory / STORE_DIR, config=config, settings=QUIET) as logged:
        logged.log({TABLE: table}, step=0)
        for step in range(STEPS):
            logged.log({"loss": 0.1 + wrong + math.exp(-step / 5) + 0.05 * math.cos(7 * step)}, step=step)
        known = maskl.Artifact("classes", "dataset", "the classes of the made-up street scenes")
        with known.new_file("classes.json") as file:
            json.dump(CLASSES, file, indent=1)
        logged.log_artifact(known)


def _ask(store: maskl.Store) -> None:
    print("\n2. Which classes are rare? Pixels of each class in the ground truth, in one line of SQL:\n")
    print(f"     {TRUTH_SQL}\n")
    charts.print_coverage(output.fetch(store.sql(TRUTH_SQL)))
    print("\n3. Does each model predict them? Coverage of the predictions, side by side:\n")
    print(f"     {COVERAGE_SQL}\n")
    order = {item["name"]: number for number, item in enumerate(CLASSES)}
    output.print_result(_sorted(store.sql(COVERAGE_SQL), order))
    print("\n4. Where is the better model better? IoU of each class, side by side:\n")
    print(f"     {IOU_SQL}\n")
    result = _sorted(store.sql(IOU_SQL), order)
    output.print_result(result)
    pedestrian = next(row for row in result.rows if row[0] == "pedestrian")
    print(
        f"\n   The baseline never finds a pedestrian, which {TABLE}'s {SCENES} images hardly show; "
        f"the improved model reaches {pedestrian[2]:.2f}."
    )


def _sorted(relation: duckdb.DuckDBPyRelation, order: dict[str, int]) -> output.Result:
    result = output.fetch(relation)
    return output.Result(result.columns, sorted(result.rows, key=lambda row: order[row[0]]))


# --- what it leaves -----------------------------------------------------------------------------


def _export(store: maskl.Store, path: Path) -> None:
    """Write one Parquet file that needs nothing else: encoded images, masks as PNG, figures of each row."""
    scores = {(run_id, row): rest for run_id, row, *rest in store.sql(ROWS_SQL).fetchall()}
    pixels: dict[tuple[str, int], dict[str, int]] = {}
    query = f"FROM class_pixels WHERE table_name = '{TABLE}' AND mask_key = 'ground_truth'"
    for run_id, row, name, count in store.sql(f"SELECT run_id, _row, class_name, pixels {query}").fetchall():
        pixels.setdefault((run_id, row), {})[name] = count
    records = []
    for row in store.table(TABLE):
        image, place = row["image"], (row.run_id, row.row)
        mean_iou, accuracy = scores[place]
        record = {"name": row["name"], "run": store.run(row.run_id).name, "image": _encoded(image)}
        record |= {f"{key}_png": maskl.masks.png(image.masks[key]) for key in ("ground_truth", "predictions")}
        records.append(record | {"mean_iou": mean_iou, "pixel_accuracy": accuracy, "pixels": pixels[place]})
    table = pa.Table.from_pylist(records).replace_schema_metadata({"classes": json.dumps(CLASSES)})
    pq.write_table(table, path, compression="zstd")
    file = pq.ParquetFile(path)
    print(
        f"\n5. {path} ({decimal(path.stat().st_size)}) holds all of it for any reader of Parquet. pyarrow reads back:\n"
    )
    print(f"     {file.metadata.num_rows} rows, one for each image and model, with the columns")
    for field in file.schema_arrow:
        kind = "pixels of each class in the ground truth" if pa.types.is_struct(field.type) else field.type
        print(f"     {field.name:<18}{kind}")


def _encoded(image: maskl.Image) -> bytes:
    """Return the bytes of a stored image as they stand in the store."""
    stored = image.stored
    if stored is None:
        raise RuntimeError("a row of a store has stored images")
    return stored[1]()


def _draw(store: maskl.Store, path: Path) -> None:
    """Draw the image that shows most of pedestrians, as both models see it."""
    first, second = store.select(f"""
        SELECT run_id, table_name, _row FROM class_pixels
        WHERE table_name = '{TABLE}' AND mask_key = 'ground_truth' AND class_name = 'pedestrian'
        ORDER BY pixels DESC, _row, run_name LIMIT 2
    """)
    items = maskl.Classes(CLASSES).items
    colors = overlay.class_colors(items)
    image, truth = first["image"].image, first["image"].masks["ground_truth"].mask_data
    scores = {(run_id, row): mean for run_id, row, mean, _ in store.sql(ROWS_SQL).fetchall()}
    panels = [(first["name"], image), ("ground truth", overlay.overlay(image, truth, colors))]
    for row in (first, second):
        predicted = overlay.overlay(image, row["image"].masks["predictions"].mask_data, colors)
        name = store.run(row.run_id).name
        panels.append((f"{name}: mean IoU {scores[row.run_id, row.row]:.2f}", predicted))
    entries = [(f"{item.name} (ignored)" if item.ignore else str(item.name), colors[item.id]) for item in items]
    overlay.side_by_side(panels, entries).save(path)
    print(f"\n6. {path} shows one image with its ground truth and both predictions.")


# --- made-up scenes -----------------------------------------------------------------------------


def _scene(rng: np.random.Generator, number: int) -> Scene:
    """Return a street: shapes from back to front. Every fourth has pedestrians."""
    middle = int(rng.integers(145, 176))
    scene = [Shape(SKY, "box", (0, 0, WIDTH, HEIGHT), _tint(rng, (150, 190, 225)))]
    scene += _houses(rng, middle)
    scene.append(Shape(PAVEMENT, "box", (0, 150, WIDTH, HEIGHT), _tint(rng, (165, 160, 152))))
    road = (middle - 16, 148, middle + 16, 148, WIDTH - 30, HEIGHT, 30, HEIGHT)
    scene.append(Shape(ROAD, "polygon", road, _tint(rng, (88, 88, 92))))
    for y, size in ((156, 1), (170, 2), (190, 3), (214, 4)):
        x = middle + (160 - middle) * (y - 148) / 92
        scene.append(Shape(ROAD, "box", (x - size, y, x + size, y + 4 * size), (215, 215, 205)))
    for _ in range(int(rng.integers(1, 4))):
        scene += _tree(rng, float(rng.choice([rng.uniform(5, 80), rng.uniform(240, 315)])), rng.uniform(0.7, 1.2))
    for x, y in ((middle - 14, 164), (middle + 42, 186))[: int(rng.integers(1, 3))]:
        scene += _car(rng, x + rng.uniform(-6, 6), y, (y - 120) / 66)
    if number % 4 == 1:
        for _ in range(int(rng.integers(1, 4))):
            scene += _pedestrian(rng, float(rng.choice([rng.uniform(20, 75), rng.uniform(255, 300)])))
    scene.append(Shape(VOID, "ellipse", (60, 222, 260, 290), (38, 40, 46)))  # the bonnet that the camera stands on
    return scene


def _tint(rng: np.random.Generator, color: overlay.RGB, spread: int = 14) -> overlay.RGB:
    red, green, blue = (int(np.clip(value + rng.integers(-spread, spread + 1), 0, 255)) for value in color)
    return red, green, blue


def _houses(rng: np.random.Generator, middle: int) -> Scene:
    houses = []
    for left, right in ((0, middle - 26), (middle + 26, WIDTH)):
        x = left
        while x < right - 10:
            end = min(x + int(rng.integers(32, 60)), right)
            top = int(rng.integers(25, 85))
            houses.append(Shape(BUILDING, "box", (x, top, end, 156), _tint(rng, (165, 125, 105), 32)))
            glass = _tint(rng, (95, 110, 125))
            for wx in range(x + 6, end - 8, 13):
                for wy in range(top + 8, 132, 19):
                    houses.append(Shape(BUILDING, "box", (wx, wy, wx + 6, wy + 10), glass))
            x = end
    return houses


def _tree(rng: np.random.Generator, x: float, size: float) -> Scene:
    crown = [(-16, -72, 16, -34), (-24, -58, 4, -26), (-4, -60, 24, -28)]
    green = _tint(rng, (70, 115, 60))
    trunk = Shape(TREE, "box", (x - 3 * size, 172 - 40 * size, x + 3 * size, 172), (92, 70, 50))
    return [trunk] + [Shape(TREE, "ellipse", _place(corners, x, 172, size), green) for corners in crown]


def _car(rng: np.random.Generator, x: float, y: float, size: float) -> Scene:
    paint = _tint(rng, [(170, 40, 40), (50, 80, 150), (215, 215, 220)][int(rng.integers(3))])
    parts = [
        ("ellipse", (-20, -6, -10, 5), (25, 25, 25)), ("ellipse", (10, -6, 20, 5), (25, 25, 25)),
        ("polygon", (-16, -14, -10, -25, 10, -25, 16, -14), paint), ("box", (-22, -15, 22, -1), paint),
        ("box", (-9, -23, 9, -15), (150, 175, 190)),
    ]  # fmt: skip
    return [Shape(CAR, form, _place(corners, x, y, size), color) for form, corners, color in parts]


def _pedestrian(rng: np.random.Generator, x: float) -> Scene:
    y, size = rng.uniform(172, 200), rng.uniform(0.9, 1.3)
    coat = _tint(rng, (150, 60, 70), 40)
    parts = [
        ("box", (-4, -13, -1, 0), (40, 42, 60)), ("box", (1, -13, 4, 0), (40, 42, 60)),
        ("box", (-5, -27, 5, -11), coat), ("ellipse", (-3, -34, 3, -27), (215, 175, 150)),
    ]  # fmt: skip
    return [Shape(PEDESTRIAN, form, _place(corners, x, y, size), color) for form, corners, color in parts]


def _place(corners: tuple[float, ...], x: float, y: float, size: float) -> tuple[float, ...]:
    return tuple((y if index % 2 else x) + value * size for index, value in enumerate(corners))


def _paint(draw: ImageDraw.ImageDraw, shape: Shape, fill: int | overlay.RGB) -> None:
    forms = {"box": draw.rectangle, "ellipse": draw.ellipse, "polygon": draw.polygon}
    forms[shape.form](shape.corners, fill=fill)


def _picture(scene: Scene, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    picture = PILImage.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(picture)
    for shape in scene:
        _paint(draw, shape, shape.color)
    smooth = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8)), np.float32)
    light = np.linspace(1.12, 0.92, HEIGHT, dtype=np.float32)[:, None, None]
    grain = rng.normal(0, 2, (HEIGHT, WIDTH, 1)).astype(np.float32)
    return (smooth * light + grain).clip(0, 255).astype(np.uint8)


def _mask(scene: Scene, without: Collection[int] = ()) -> npt.NDArray[np.uint8]:
    mask = PILImage.new("L", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(mask)
    for shape in scene:
        if shape.class_id not in without:
            _paint(draw, shape, shape.class_id)
    return np.array(mask)


def _coarse(scene: Scene) -> npt.NDArray[np.uint8]:
    """Return what a poor model predicts: large blocks, off by some pixels, and no pedestrian."""
    small = _mask(scene, (VOID, PEDESTRIAN))[::BLOCK, ::BLOCK]
    large = small.repeat(BLOCK, 0).repeat(BLOCK, 1)
    return np.pad(large, ((3, 0), (5, 0)), "edge")[:HEIGHT, :WIDTH]


def _fine(scene: Scene, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return what a good model predicts: every shape, a pixel or so off."""
    moved = []
    for shape in scene:
        x, y = rng.normal(0, 0.9, 2)
        moved.append(replace(shape, corners=_place(shape.corners, x, y, 1)))
    return _mask(moved, (VOID,))

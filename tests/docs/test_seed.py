"""The two examples of the ImageMask page, run as they stand there, with maskl in the place of wandb."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import maskl

LABELS = {0: "사람", 1: "나무", 2: "자동차", 3: "도로"}

MASKS = """
import numpy as np
import wandb

wandb.init()
image = np.random.randint(low=0, high=256, size=(100, 100, 3), dtype=np.uint8)
predicted_mask = np.empty((100, 100), dtype=np.uint8)
ground_truth_mask = np.empty((100, 100), dtype=np.uint8)

predicted_mask[:50, :50] = 0
predicted_mask[50:, :50] = 1
predicted_mask[:50, 50:] = 2
predicted_mask[50:, 50:] = 3

ground_truth_mask[:25, :25] = 0
ground_truth_mask[25:, :25] = 1
ground_truth_mask[:25, 25:] = 2
ground_truth_mask[25:, 25:] = 3

class_labels = {0: "사람", 1: "나무", 2: "자동차", 3: "도로"}
"""

SINGLE = (
    MASKS
    + """
masked_image = wandb.Image(
    image,
    masks={
        "예측값": {"mask_data": predicted_mask, "class_labels": class_labels},
        "ground_truth": {"mask_data": ground_truth_mask, "class_labels": class_labels},
    },
)
wandb.log({"img_with_masks": masked_image})
"""
)

TABLE = (
    MASKS
    + """
class_set = wandb.Classes(
    [
        {"name": "사람", "id": 0},
        {"name": "나무", "id": 1},
        {"name": "자동차", "id": 2},
        {"name": "도로", "id": 3},
    ]
)

masked_image = wandb.Image(
    image,
    masks={
        "예측값": {"mask_data": predicted_mask, "class_labels": class_labels},
        "ground_truth": {"mask_data": ground_truth_mask, "class_labels": class_labels},
    },
    classes=class_set,
)

table = wandb.Table(columns=["image"])
table.add_data(masked_image)
wandb.log({"random_field": table})
"""
)

EXAMPLES = {"img_with_masks": SINGLE, "random_field": TABLE}


def expected_mask(edge: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    mask = np.zeros((100, 100), np.uint8)
    mask[edge:, :edge], mask[:edge, edge:], mask[edge:, edge:] = 1, 2, 3
    return mask


@pytest.mark.parametrize("table", EXAMPLES)
@pytest.mark.parametrize("way", ["import maskl as wandb", "as the module wandb"])
def test_the_example_runs_unchanged_and_everything_comes_back(
    table: str, way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = EXAMPLES[table]
    if way == "import maskl as wandb":
        source = source.replace("import wandb\n", "import maskl as wandb\n")
    else:
        monkeypatch.setitem(sys.modules, "wandb", maskl)
    names: dict[str, object] = {}
    exec(compile(source, "example.py", "exec"), names)
    maskl.finish()

    (row,) = maskl.open(tmp_path).table(table)
    image = row["image"]
    assert image.mode == "RGB"
    assert np.array_equal(np.array(image.image), names["image"])
    assert list(image.masks) == ["예측값", "ground_truth"]
    for key, edge in (("예측값", 50), ("ground_truth", 25)):
        assert image.masks[key].mask_data.dtype == np.uint8
        assert np.array_equal(image.masks[key].mask_data, expected_mask(edge))
        assert image.masks[key].class_labels == LABELS
    assert list(row) == (["image"] if table == "random_field" else ["image", "index"])


@pytest.mark.parametrize("table", EXAMPLES)
def test_the_example_runs_as_a_program_of_its_own(table: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(EXAMPLES[table].replace("import wandb\n", "import maskl as wandb\n"), "utf-8")
    subprocess.run([sys.executable, "-W", "error", "-X", "utf8", script], cwd=tmp_path, check=True)
    store = maskl.open(tmp_path)
    query = "SELECT mask_key, class_name, pixels FROM class_pixels WHERE table_name = ? ORDER BY mask_key, class_id"
    pixels = {"예측값": [2500, 2500, 2500, 2500], "ground_truth": [625, 1875, 1875, 5625]}
    expected = [(k, n, c) for k in ("ground_truth", "예측값") for n, c in zip(LABELS.values(), pixels[k], strict=True)]
    assert store.sql(query, [table]).fetchall() == expected
    assert store.runs()[0].state == "finished"


def test_the_classes_of_the_second_example_are_the_class_set_of_its_masks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", maskl)
    exec(compile(TABLE, "example.py", "exec"), {})
    maskl.finish()
    query = "SELECT class_id, class_name FROM classes WHERE mask_key = '예측값' ORDER BY class_id"
    assert maskl.open(tmp_path).sql(query).fetchall() == list(LABELS.items())

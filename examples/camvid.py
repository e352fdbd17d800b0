"""Log CamVid's validation split as two runs, then ask for class coverage and IoU of both in SQL.

Usage: python examples/camvid.py DIR [--store STORE]

DIR holds ``images/``, ``masks/``, ``predictions/epoch03/``, ``predictions/final/`` and
``classes.json``; the store is made in the working directory unless ``--store`` names another place.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

import maskl

VOID = 11
RUNS = ("epoch03", "final")


def log_run(data: Path, name: str, store: Path) -> None:
    """Log every frame with its ground truth and the predictions of one checkpoint."""
    classes = maskl.Classes(json.loads((data / "classes.json").read_text()))
    table = maskl.Table(columns=["name", "image"])
    for frame in sorted((data / "images").glob("*.png")):
        masks = {
            "ground_truth": {"path": data / "masks" / frame.name, "ignore_index": VOID},
            "predictions": {"mask_data": np.array(PILImage.open(data / "predictions" / name / frame.name))},
        }
        table.add_data(frame.stem, maskl.Image(frame, classes=classes, masks=masks))
    with maskl.init(project="camvid", name=name, dir=store) as run:
        run.log({"evaluation": table})


def main() -> None:
    """Log both runs and print coverage and IoU of every class."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("data", type=Path, help="the CamVid folder")
    parser.add_argument("--store", type=Path, default=Path(), help="where to make the store")
    arguments = parser.parse_args()
    for name in RUNS:
        log_run(arguments.data, name, arguments.store)
    store = maskl.open(arguments.store, project="camvid")
    print("Class coverage of the ground truth and of each model's predictions:")
    print(
        store.sql("""
            WITH truth AS (FROM class_coverage('evaluation', step := 'last') WHERE run_name = 'final'),
            predicted AS (FROM class_coverage('evaluation', mask := 'predictions', step := 'last'))
            SELECT truth.class_name, truth.coverage AS ground_truth,
                   first(predicted.coverage) FILTER (predicted.run_name = 'epoch03') AS epoch03,
                   first(predicted.coverage) FILTER (predicted.run_name = 'final') AS final
            FROM truth LEFT JOIN predicted USING (class_name) GROUP BY ALL ORDER BY ground_truth DESC
        """)
    )
    print("IoU of each class:")
    print(
        store.sql(
            "PIVOT class_iou('evaluation', step := 'last') ON run_name USING first(iou) GROUP BY class_name"
        ).order("class_name")
    )
    print("Means over the classes:")
    print(store.sql("SELECT run_name, mean_iou, mean_dice, pixel_accuracy FROM mean_iou('evaluation', step := 'last')"))


if __name__ == "__main__":
    main()

"""What tests against other libraries share: random pairs of masks, and real ones."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

ROOT = Path(__file__).parents[3]
CAMVID = Path(os.environ.get("MASKL_CAMVID") or ROOT.parent / "shared" / "data" / "camvid")
VOID = 11


@pytest.fixture(scope="session")
def camvid() -> list[tuple[Any, Any]]:
    """Return ground truth and predictions of some frames: of a good model, and of one after three epochs."""
    names = sorted(path.name for path in (CAMVID / "masks").glob("*.png"))[::9]
    if not names:
        pytest.skip("CamVid is not here: set MASKL_CAMVID to its folder")
    folders = ["final", "epoch03"] * len(names)
    return [
        tuple(np.array(PILImage.open(CAMVID / part / name)) for part in ("masks", f"predictions/{folder}"))
        for name, folder in zip(names, folders, strict=False)
    ]


@pytest.fixture(scope="session")
def libraries() -> SimpleNamespace:
    """Return the other libraries, which warn of this and that when they are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import faster_coco_eval.core.mask as coco
        import monai.metrics
        import surface_distance
        import torch
        import torchmetrics.functional.detection as torchmetrics
        from cityscapesscripts.evaluation import evalPanopticSemanticLabeling

    return SimpleNamespace(
        coco=coco, monai=monai.metrics, surface_distance=surface_distance, torch=torch, torchmetrics=torchmetrics,
        cityscapes=evalPanopticSemanticLabeling,
    )  # fmt: skip

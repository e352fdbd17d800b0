"""IoU, Dice, precision, recall and their means, of masks in memory or out of a store; segments, boundaries, surfaces.

The definitions are those of the SQL macros, see ``docs/metrics.md``: a pixel counts where its truth is
not ignored; the classes are the truth's that are not ignored; a prediction of any other class is an
error of the truth's class, and no class of its own; 0 / 0 is None, and means are over what is not
None. Counts are integers, summed over all images before anything is divided.

Every function takes the same arguments as :func:`confusion_matrix`; who wants several metrics makes
the matrix once and asks it. A metric of your own is a function of the counts, made known with
:func:`register`; :func:`compute`, a matrix, and :meth:`maskl.Store.metrics` have it by its name.

What needs more than these counts takes the same masks, ``classes`` and ``ignore_index``, and segments where ids are
objects: :func:`panoptic_quality`, :func:`instance_matches`, :func:`boundary_iou`, :func:`surface_dice`,
:func:`hausdorff` and :func:`average_surface_distance`.
"""

from maskl.metrics._boundary import BoundaryCounts, boundary_counts, boundary_iou
from maskl.metrics._confusion import ConfusionMatrix, confusion_matrix
from maskl.metrics._functions import (
    compute,
    dice,
    frequency_weighted_iou,
    iou,
    mean_accuracy,
    mean_dice,
    mean_iou,
    pixel_accuracy,
    precision,
    recall,
)
from maskl.metrics._instances import InstanceMatches, instance_matches
from maskl.metrics._panoptic import PanopticMean, PanopticQuality, panoptic_quality
from maskl.metrics._surface import (
    SurfaceScores,
    average_surface_distance,
    hausdorff,
    surface_dice,
    surface_scores,
)
from maskl.metrics.registry import ClassCounts, Metric, register, registered

__all__ = [
    "BoundaryCounts",
    "ClassCounts",
    "ConfusionMatrix",
    "InstanceMatches",
    "Metric",
    "PanopticMean",
    "PanopticQuality",
    "SurfaceScores",
    "average_surface_distance",
    "boundary_counts",
    "boundary_iou",
    "compute",
    "confusion_matrix",
    "dice",
    "frequency_weighted_iou",
    "hausdorff",
    "instance_matches",
    "iou",
    "mean_accuracy",
    "mean_dice",
    "mean_iou",
    "panoptic_quality",
    "pixel_accuracy",
    "precision",
    "recall",
    "register",
    "registered",
    "surface_dice",
    "surface_scores",
]

"""W&B's module of this name: the classes of values, of those that maskl has."""

from maskl.annotations.boxes import BoundingBoxes2D
from maskl.annotations.classes import Classes
from maskl.annotations.mask import ImageMask
from maskl.images.image import Image
from maskl.media.boxes3d import box3d
from maskl.media.kinds import Audio, Bokeh, Html, Molecule, Object3D, Plotly, Video
from maskl.media.media import Media
from maskl.tables.eval_table import EvalTable
from maskl.tables.histogram import Histogram
from maskl.tables.joined import JoinedTable
from maskl.tables.table import Table

__all__ = [
    "Audio",
    "Bokeh",
    "BoundingBoxes2D",
    "Classes",
    "EvalTable",
    "Histogram",
    "Html",
    "Image",
    "ImageMask",
    "JoinedTable",
    "Media",
    "Molecule",
    "Object3D",
    "Plotly",
    "Table",
    "Video",
    "box3d",
]

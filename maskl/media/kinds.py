"""The kinds of media that are kept: what each is made of."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, Literal

from PIL import Image as PILImage

from maskl.adapters.objects import as_array, draw, is_array, is_figure, is_plotly
from maskl.images.image import Image
from maskl.images.sources import PNG_MODES
from maskl.media._encoding import gif, json_text, wav
from maskl.media.media import Content, Given, Media, given
from maskl_storage.errors import ConversionWarning, InvalidType, InvalidValue, warn

__all__ = ["KINDS", "Audio", "Bokeh", "Html", "Molecule", "Object3D", "Picture", "Plotly", "Video"]

VideoFormat = Literal["gif", "mp4", "webm", "ogg"]


class Html(Media):
    """A page.

    Parameters
    ----------
    data : str, path-like, bytes or file
        The page's text, or a file that is open; a path that ends in ``.html`` is the file there.
    inject : bool, optional
        Without effect: nothing is added to the page.
    data_is_not_path : bool, optional
        Whether a string is text also where a file is called so.

    Examples
    --------
    >>> page = Html("<p>한강</p>")
    >>> page.type, page.format, page.read().decode()
    ('html', 'html', '<p>한강</p>')
    """

    kind = "html"

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False) -> None:
        if isinstance(data, str) and (data_is_not_path or not _is_page(data)):
            content: Content = data.encode("utf-8", "surrogatepass")
        else:
            content = _given(data, "a page is its text, the path of a file, or a file that is open")[0]
        self._take(content, "html")


class Audio(Media):
    """A sound.

    Parameters
    ----------
    data_or_path : path-like, bytes, file or array-like
        A file of any format, which is kept as it is; or samples, (samples) or (samples, channels), which become a WAV
        of 16 bits: floats reach from -1 to 1.
    sample_rate : int, optional
        Samples a second; an array needs it.
    caption : str, optional
        A text that belongs to it.

    Examples
    --------
    >>> Audio([0.0, 0.5, -0.5], sample_rate=8000)
    <Audio audio, wav, 50 bytes>
    """

    kind = "audio"

    def __init__(self, data_or_path: Any, sample_rate: int | None = None, caption: str | None = None) -> None:
        found = given(data_or_path)
        if found is None:
            if sample_rate is None:
                raise InvalidValue("a sound that is an array needs sample_rate, its samples a second")
            found = partial(wav, data_or_path, sample_rate), "wav"
        self._take(*found, caption)


class Video(Media):
    """A video.

    Parameters
    ----------
    data_or_path : path-like, bytes, file or array-like
        A file, which is kept as it is; or frames, (time, channel, height, width), which become a GIF. Of several
        videos, with a dimension before these, the frames stand beside each other.
    caption : str, optional
        A text that belongs to it.
    fps : int, optional
        Frames a second of an array, 4 by default; a GIF counts hundredths of a second. Of a file it warns, which has
        a rate of its own.
    format : {'gif', 'mp4', 'webm', 'ogg'}, optional
        Of bytes, what they are. An array becomes a GIF, with a warning where another format is asked for.

    Warns
    -----
    ConversionWarning
        Frames that are no ``uint8``, or are wanted in a format that needs an encoder of videos.

    Examples
    --------
    >>> import numpy as np
    >>> Video(np.zeros((2, 3, 4, 6), np.uint8), fps=8, format="gif").format
    'gif'
    """

    kind = "video"
    EXTS: ClassVar[tuple[str, ...]] = ("gif", "mp4", "webm", "ogg")

    def __init__(
        self,
        data_or_path: Any,
        caption: str | None = None,
        fps: int | None = None,
        format: VideoFormat | None = None,  # noqa: A002  # as W&B's users know it
    ) -> None:
        _one_of("format", format, self.EXTS)
        found = given(data_or_path)
        if found is None:
            if format not in (None, "gif"):
                warn(
                    f"a video of an array is kept as GIF, not as {format}, which needs an encoder such as moviepy: "
                    f"write a file with it, and give its path",
                    ConversionWarning,
                )
            found = partial(gif, data_or_path, 4 if fps is None else fps), "gif"
        elif fps is not None:
            warn("fps is for arrays: a video that is a file keeps its own rate", ConversionWarning)
        self._take(found[0], found[1] or format, caption)


class Object3D(Media):
    """Points, or a scene, in three dimensions.

    Parameters
    ----------
    data_or_path : path-like, bytes, file, array-like or dict
        A file, which is kept as it is; points, rows of ``x, y, z``, perhaps with a category or with ``r, g, b``; or a
        dict of ``type`` ``"lidar/beta"`` and lists or arrays ``points``, ``boxes`` and ``vectors``. The latter two
        become JSON.
    caption : str, optional
        A text that belongs to it.
    file_type : str, optional
        Of bytes and open files, what they are: ``obj``, ``gltf``, ``glb``, ``babylon``, ``stl`` or ``pts.json``.

    Examples
    --------
    >>> Object3D([[0, 0, 1], [1, 0, 0]]).read()
    b'[[0, 0, 1], [1, 0, 0]]'
    """

    kind = "object3D"
    SUPPORTED_TYPES: ClassVar[tuple[str, ...]] = ("obj", "gltf", "glb", "babylon", "stl", "pts.json")

    def __init__(self, data_or_path: Any, caption: str | None = None, file_type: str | None = None) -> None:
        _one_of("file_type", file_type, self.SUPPORTED_TYPES)
        if isinstance(data_or_path, Mapping):
            found: Given = partial(_scene, data_or_path), "pts.json"
        elif isinstance(data_or_path, list | tuple) or is_array(data_or_path):
            found = partial(_points, data_or_path), "pts.json"
        else:
            content, form = _given(data_or_path, "a 3D object is points, a dict, or a file")
            found = content, _known(form, file_type, self.SUPPORTED_TYPES, "a 3D object")
        self._take(*found, caption)

    @classmethod
    def from_file(cls, data_or_path: Any, file_type: str | None = None) -> Object3D:
        """Return that of a path or a file that is open."""
        return cls(data_or_path, file_type=file_type)

    @classmethod
    def from_numpy(cls, data: Any) -> Object3D:
        """Return that of an array of points."""
        return cls(data if isinstance(data, list | tuple) else as_array(data))

    @classmethod
    def from_point_cloud(
        cls,
        points: Sequence[Any],
        boxes: Sequence[Any],
        vectors: Sequence[Any] | None = None,
        point_cloud_type: str = "lidar/beta",
    ) -> Object3D:
        """Return a scene of points, boxes and vectors."""
        return cls({"type": point_cloud_type, "points": points, "boxes": boxes, "vectors": vectors or []})


class Molecule(Media):
    """A molecule.

    Parameters
    ----------
    data_or_path : path-like, bytes or file
        A file, which is kept as it is.
    caption : str, optional
        A text that belongs to it.
    file_type : str, optional
        Of bytes and open files, what they are, such as ``pdb``; a string is their text then, and no path.

    Examples
    --------
    >>> Molecule("CCO ethanol", file_type="smi")
    <Molecule molecule, smi, 11 bytes>
    """

    kind = "molecule"
    SUPPORTED_TYPES: ClassVar[tuple[str, ...]] = (
        *("pdb", "pqr", "mmcif", "mcif", "cif", "sdf", "sd", "gro", "mol2", "mmtf", "mol", "smi"),
    )

    def __init__(self, data_or_path: Any, caption: str | None = None, file_type: str | None = None) -> None:
        _one_of("file_type", file_type, self.SUPPORTED_TYPES)
        if isinstance(data_or_path, str) and file_type is not None:
            data_or_path = data_or_path.encode()
        content, form = _given(data_or_path, "a molecule is a path, text with file_type, or a file that is open")
        self._take(content, _known(form, file_type, self.SUPPORTED_TYPES, "a molecule"), caption)

    @classmethod
    def from_rdkit(
        cls,
        data_or_path: Any,
        caption: str | None = None,
        convert_to_3d_and_optimize: bool = True,
        mmff_optimize_molecule_max_iterations: int = 200,
    ) -> Molecule:
        """Return that of a molecule of RDKit's, as PDB, with coordinates if wanted; or of a file, as it is."""
        if given(data_or_path) is not None:
            return cls(data_or_path, caption)
        from rdkit import Chem

        molecule = data_or_path
        if convert_to_3d_and_optimize:
            from rdkit.Chem import AllChem

            molecule = Chem.AddHs(molecule)
            AllChem.EmbedMolecule(molecule)
            AllChem.MMFFOptimizeMolecule(molecule, maxIters=mmff_optimize_molecule_max_iterations)
        return cls(Chem.MolToPDBBlock(molecule), caption, "pdb")

    @classmethod
    def from_smiles(
        cls,
        data: str,
        caption: str | None = None,
        sanitize: bool = True,
        convert_to_3d_and_optimize: bool = True,
        mmff_optimize_molecule_max_iterations: int = 200,
    ) -> Molecule:
        """Return that of a SMILES text, as PDB by RDKit; where that is not installed the text, with a warning."""
        if not isinstance(data, str):
            raise InvalidType(f"SMILES is a text; got {data!r:.60}")
        try:
            from rdkit import Chem
        except ImportError:
            warn("rdkit is not installed: a molecule is kept as its SMILES, without coordinates", ConversionWarning)
            return cls(data, caption, "smi")
        molecule = Chem.MolFromSmiles(data, sanitize=sanitize)
        if molecule is None:
            raise InvalidValue(f"RDKit takes this for no SMILES: {data!r:.60}")
        return cls.from_rdkit(molecule, caption, convert_to_3d_and_optimize, mmff_optimize_molecule_max_iterations)


class Plotly(Media):
    """A figure of plotly's, as its JSON.

    Parameters
    ----------
    val : figure, path-like, bytes or file
        A figure of plotly; one of matplotlib becomes a PNG, with a warning; or a file, which is kept as it is.

    Raises
    ------
    InvalidType
        It is something else.
    """

    kind = "plotly"

    def __init__(self, val: Any) -> None:
        if is_plotly(val):
            found: Given = (lambda: json_text(val.to_plotly_json(), "a figure of plotly")), "plotly.json"
        elif is_figure(val):
            warn("a figure of matplotlib is kept as PNG: give plotly's own to keep its data", ConversionWarning)
            found = partial(draw, val), "png"
        else:
            content, form = _given(val, "a plot is a figure of plotly or matplotlib, or a file")
            found = content, form or "plotly.json"
        self._take(*found)


class Bokeh(Media):
    """A document of bokeh's, as its JSON.

    Parameters
    ----------
    data_or_path : document, model, path-like, bytes or file
        A document of bokeh, or a model such as a figure, which becomes one; or a file, which is kept as it is.

    Raises
    ------
    InvalidType
        It is something else.
    """

    kind = "bokeh"

    def __init__(self, data_or_path: Any) -> None:
        if type(data_or_path).__module__.partition(".")[0] == "bokeh":
            found: Given = (lambda: json_text(_document(data_or_path), "a document of bokeh")), "bokeh.json"
        else:
            content, form = _given(data_or_path, "a plot is a document or model of bokeh, or a file")
            found = content, "bokeh.json" if form in (None, "json") else form
        self._take(*found)


class Picture(Media):
    """An image that stands inside of a list or dict of a cell: its pixels as PNG, and its caption.

    Parameters
    ----------
    image : Image
        Its masks and boxes are not kept.

    Examples
    --------
    >>> import maskl, numpy as np
    >>> picture = Picture(maskl.Image(np.zeros((2, 3), np.uint8), caption="한강"))
    >>> picture.type, picture.format, picture.caption, picture.image.size
    ('image', 'png', '한강', (3, 2))
    """

    kind = "image"

    def __init__(self, image: Image) -> None:
        pixels = image.image
        file = io.BytesIO()
        (pixels if pixels.mode in PNG_MODES else pixels.convert("RGB")).save(file, "PNG")
        self._take(file.getvalue(), "png", image.caption)

    @property
    def image(self) -> PILImage.Image:
        """The image as Pillow has it."""
        return PILImage.open(io.BytesIO(self.read()))


KINDS: Final = (Audio, Bokeh, Html, Molecule, Object3D, Picture, Plotly, Video)


def _given(data: Any, what: str) -> Given:
    found = given(data)
    if found is None:
        raise InvalidType(f"{what}; got {type(data).__name__}")
    return found


def _one_of(name: str, value: Any, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise InvalidValue(f"{name} must be one of {', '.join(known)}; got {value!r:.60}")


def _known(form: str | None, file_type: str | None, known: Sequence[str], what: str) -> str:
    """Return the format of a file, or raise that it has none of those that there are."""
    chosen = file_type or form or ""
    if chosen not in known:
        endings = ", ".join(known)
        raise InvalidValue(f"{what} is a file that ends in one of {endings}, or bytes with file_type; got {chosen!r}")
    return chosen


def _is_page(text: str) -> bool:
    try:
        return text.lower().endswith(".html") and os.path.isfile(text)
    except ValueError:  # a text with a NUL is no path
        return False


def _points(data: Any) -> bytes:
    points = as_array(data)
    if points.ndim != 2 or points.shape[1] not in (3, 4, 6) or points.dtype.kind not in "biuf":
        raise InvalidValue(
            f"points are rows of x, y, z, or x, y, z, category, or x, y, z, r, g, b; got {points.dtype} of shape "
            f"{points.shape}"
        )
    return json_text(points, "points")


def _scene(data: Mapping[Any, Any]) -> bytes:
    if data.get("type") != "lidar/beta":
        raise InvalidValue(f"a scene is a dict whose type is 'lidar/beta'; got {data.get('type')!r:.60}")
    lists = {name: data.get(name, []) for name in ("vectors", "points", "boxes")}
    return json_text({"type": data["type"], **lists}, "a scene")


def _document(value: Any) -> Any:
    """Return the JSON of a document of bokeh, or of one that holds a model."""
    if not hasattr(value, "roots"):
        from bokeh.document import Document

        made = Document()
        made.add_root(value)
        value = made
    try:
        return value.to_json(deferred=False)  # else newer versions return arrays that are not written out
    except TypeError:
        return value.to_json()

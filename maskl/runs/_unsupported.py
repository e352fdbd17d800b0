"""What W&B has and only its server could answer: names that say what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn, overload

from maskl_storage.errors import NotSupported

__all__ = ["ABSENT", "ARTIFACT", "FILES", "STORE", "URL", "Nothing", "UnsupportedCall", "UnsupportedProperty"]

ARTIFACT: Final = "log tables and images with log(); keep other files yourself and write their path into config"
FILES: Final = "keep the file yourself and write its path into config; log tables and images with log()"
STORE: Final = "read the store with maskl.open() or maskl.sql()"
URL: Final = "run.dir is where the store is, and `maskl sql` asks it"

#: names of W&B's package that maskl's has not, and what to use instead
ABSENT: Final = {
    "Api": STORE,
    "Artifact": ARTIFACT,
    "ArtifactTTL": ARTIFACT,
    "Audio": "log its path as a string; maskl stores images, masks, boxes and values",
    "CommError": "maskl talks to no server; its errors are in maskl.errors",
    "Graph": "log a picture of it as maskl.Image",
    "Histogram": "log the array itself, or numpy.histogram's counts as a list",
    "Html": "log the text as a string",
    "Molecule": "log its path as a string; maskl stores images, masks, boxes and values",
    "Object3D": "log its path as a string; maskl stores images, masks, boxes and values",
    "Plotly": "log a picture of it as maskl.Image",
    "Video": "log its frames as a list of maskl.Image",
    "agent": "sweeps need a server; start the runs yourself, with a group",
    "box3d": "log its coordinates as a list; 2D boxes are maskl.BoundingBoxes2D",
    "controller": "sweeps need a server; start the runs yourself, with a group",
    "data_types": "Image, ImageMask, Classes, Table and their like are in maskl itself",
    "join": "maskl.finish()",
    "plot": "draw with matplotlib and log the figure, or query the store with maskl.sql()",
    "plot_table": "log a maskl.Table and query it with maskl.sql()",
    "plots": "draw with matplotlib and log the figure, or query the store with maskl.sql()",
    "sweep": "sweeps need a server; start the runs yourself, with a group",
    "termerror": "the logging module",
    "termlog": "the logging module",
    "termwarn": "warnings.warn()",
    "visualize": "log a maskl.Table and query it with maskl.sql()",
}


class Nothing:
    """What calls of a disabled run return where W&B returns an object: whatever is asked of it is itself."""

    def __getattr__(self, name: str) -> Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Nothing:
        """Return itself."""
        return self

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "<nothing: the run is disabled>"


class _Unsupported:
    """A member of a run that is there to say what to use instead."""

    def __init__(self, instead: str) -> None:
        self.instead = instead
        self.__doc__ = f"Not supported; instead: {instead}."

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.__annotations__ = {"return": NoReturn}  # as a function has them, for whoever asks for its types

    def refuse(self) -> NoReturn:
        """Raise what a run that is not disabled raises."""
        raise NotSupported(f"{self.name} needs W&B's server, and maskl has none; instead: {self.instead}")


class UnsupportedCall(_Unsupported):
    """A method that raises :class:`maskl.errors.NotSupported`; of a disabled run it returns :class:`Nothing`."""

    def __get__(self, run: Any, owner: type | None = None) -> Callable[..., Any]:
        return Nothing() if run is not None and run.disabled else self

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse."""
        self.refuse()


class UnsupportedProperty(_Unsupported):
    """A property that raises :class:`maskl.errors.NotSupported`; of a disabled run it is None."""

    @overload
    def __get__(self, run: None, owner: type) -> UnsupportedProperty: ...

    @overload
    def __get__(self, run: object, owner: type | None = None) -> None: ...

    def __get__(self, run: Any, owner: type | None = None) -> UnsupportedProperty | None:
        if run is None:
            return self
        return None if run.disabled else self.refuse()

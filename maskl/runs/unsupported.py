"""What W&B has and only its server could answer: calls that say what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

from maskl.runs.settings import warn_server_only
from maskl_storage.errors import NotSupported

__all__ = ["ABSENT", "CALLS", "URLS", "ServerCalls", "refusal"]

ARTIFACT: Final = "log tables and images with log(); keep other files yourself and write their path into config"
FILES: Final = "keep the file yourself and write its path into config; log tables and images with log()"
STORE: Final = "read the store with maskl.open() or maskl.sql()"
URL: Final = "run.dir is where the store is, and `maskl sql` asks it"

#: methods of a run, and what to use instead
CALLS: Final = {
    "alert": "raise an exception, or send the message yourself",
    "display": STORE,
    "finish_artifact": ARTIFACT,
    "get_project_url": URL,
    "get_sweep_url": URL,
    "get_url": URL,
    "link_artifact": ARTIFACT,
    "link_model": FILES,
    "log_artifact": ARTIFACT,
    "log_code": "keep the code in version control and write its commit into config",
    "log_model": FILES,
    "mark_preempting": "init(resume='auto') continues a run that did not end well",
    "pin_config_keys": "choose the columns in SQL: SELECT config.lr FROM runs",
    "restore": FILES,
    "save": FILES,
    "status": "everything that was logged is in the store; nothing waits for a server",
    "to_html": STORE,
    "upsert_artifact": ARTIFACT,
    "use_artifact": STORE,
    "use_model": FILES,
    "write_logs": "write the text to a file of your own, or log() it",
}
#: properties of a run, and what to use instead
URLS: Final = {"url": URL, "project_url": URL, "sweep_url": URL}

#: other names that W&B has, and what to use instead
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


def refusal(name: str) -> NotSupported:
    """Return the error of a call that only a server could answer."""
    return NotSupported(f"{name} needs W&B's server, and maskl has none; instead: {(CALLS | URLS)[name]}")


def _call(name: str) -> Callable[..., NoReturn]:
    def call(self: object, *args: Any, **kwargs: Any) -> NoReturn:
        raise refusal(name)

    call.__name__, call.__doc__ = name, f"Raise NotSupported; instead: {CALLS[name]}."
    return call


def _url(name: str) -> property:
    def url(self: object) -> NoReturn:
        raise refusal(name)

    return property(url, doc=f"Raises NotSupported; instead: {URLS[name]}.")


class ServerCalls:
    """The calls of a run that W&B's server answers: each raises :class:`maskl.errors.NotSupported`."""

    def watch(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing but warn: gradients and weights of models are not recorded."""
        warn_server_only("watch()", ": gradients and weights are not recorded; log() what you want of them")

    def unwatch(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing but warn, as nothing is watched."""
        warn_server_only("unwatch()")


for _name in CALLS:
    setattr(ServerCalls, _name, _call(_name))
for _name in URLS:
    setattr(ServerCalls, _name, _url(_name))

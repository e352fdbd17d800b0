"""Log images with segmentation masks, keep them in columns, and ask questions about them in SQL.

What is here, errors excepted, is imported when it is first asked for: a program pays for what it uses.
"""

from typing import TYPE_CHECKING
from typing import Any as _Any
from typing import Final as _Final

# what an except clause names has to be there when nothing can be loaded any more: no file descriptor is left, say
from maskl import errors
from maskl.errors import MasklError as Error
from maskl.errors import StorageError as CommError
from maskl.errors import UsageError
from maskl_storage.lazy import public_name as _public_name

if TYPE_CHECKING:
    from maskl import data_types, masks, metrics, plot
    from maskl.annotations.boxes import BoundingBoxes2D
    from maskl.annotations.classes import Classes
    from maskl.annotations.mask import ImageMask
    from maskl.artifacts.artifact import Artifact, ArtifactManifest
    from maskl.artifacts.entries import ArtifactEntry
    from maskl.images.image import Image
    from maskl.importing.importer import Imported, import_dataset
    from maskl.integrations.as_wandb import install_as_wandb, uninstall_as_wandb
    from maskl.media.boxes3d import box3d
    from maskl.media.kinds import Audio, Html, Molecule, Object3D, Plotly, Video
    from maskl.plot.charts import plot_table
    from maskl.reading.export import Exported
    from maskl.reading.metrics import Answer
    from maskl.reading.questions import sql
    from maskl.reading.store import Store, StoredRun, open  # noqa: A004  # maskl.open() is what users type
    from maskl.reading.table import StoredTable
    from maskl.runs.active import define_metric, finish, init, log, setup, teardown
    from maskl.runs.config import Config
    from maskl.runs.files import log_artifact, log_model, restore, save, use_artifact, use_model
    from maskl.runs.run import Run
    from maskl.runs.server import (
        AlertLevel,
        alert,
        ensure_configured,
        join,
        link_model,
        login,
        mark_preempting,
        pin_config_keys,
        require,
        termerror,
        termlog,
        termsetup,
        termwarn,
        unwatch,
        watch,
    )
    from maskl.runs.settings import Settings
    from maskl.runs.summary import Metric, Summary
    from maskl.tables.eval_table import EvalTable
    from maskl.tables.histogram import Histogram
    from maskl.tables.joined import JoinedTable
    from maskl.tables.table import Table
    from maskl_storage.catalog.runs import RunInfo
    from maskl_storage.store import TableInfo
    from maskl_storage.upkeep.compact import Compacted
    from maskl_storage.upkeep.delete import Deleted
    from maskl_storage.upkeep.recovery import Recovered
    from maskl_storage.verify.verify import Verified

    __version__: str
    # what the active run makes of them; see __getattr__
    run: Run | None
    config: Config
    summary: Summary

#: the module of each public name, of those that the active run does not make
_PLACES: _Final = {
    "AlertLevel": "maskl.runs.server",
    "Answer": "maskl.reading.metrics",
    "Artifact": "maskl.artifacts.artifact",
    "ArtifactEntry": "maskl.artifacts.entries",
    "ArtifactManifest": "maskl.artifacts.artifact",
    "Audio": "maskl.media.kinds",
    "BoundingBoxes2D": "maskl.annotations.boxes",
    "Classes": "maskl.annotations.classes",
    "Compacted": "maskl_storage.upkeep.compact",
    "Config": "maskl.runs.config",
    "Deleted": "maskl_storage.upkeep.delete",
    "EvalTable": "maskl.tables.eval_table",
    "Exported": "maskl.reading.export",
    "Histogram": "maskl.tables.histogram",
    "Html": "maskl.media.kinds",
    "Image": "maskl.images.image",
    "ImageMask": "maskl.annotations.mask",
    "Imported": "maskl.importing.importer",
    "JoinedTable": "maskl.tables.joined",
    "Metric": "maskl.runs.summary",
    "Molecule": "maskl.media.kinds",
    "Object3D": "maskl.media.kinds",
    "Plotly": "maskl.media.kinds",
    "Recovered": "maskl_storage.upkeep.recovery",
    "Run": "maskl.runs.run",
    "RunInfo": "maskl_storage.catalog.runs",
    "Settings": "maskl.runs.settings",
    "Store": "maskl.reading.store",
    "StoredRun": "maskl.reading.store",
    "StoredTable": "maskl.reading.table",
    "Summary": "maskl.runs.summary",
    "Table": "maskl.tables.table",
    "TableInfo": "maskl_storage.store",
    "Verified": "maskl_storage.verify.verify",
    "Video": "maskl.media.kinds",
    "alert": "maskl.runs.server",
    "box3d": "maskl.media.boxes3d",
    "data_types": "maskl.data_types",
    "define_metric": "maskl.runs.active",
    "ensure_configured": "maskl.runs.server",
    "finish": "maskl.runs.active",
    "import_dataset": "maskl.importing.importer",
    "init": "maskl.runs.active",
    "install_as_wandb": "maskl.integrations.as_wandb",
    "join": "maskl.runs.server",
    "link_model": "maskl.runs.server",
    "log": "maskl.runs.active",
    "log_artifact": "maskl.runs.files",
    "log_model": "maskl.runs.files",
    "login": "maskl.runs.server",
    "mark_preempting": "maskl.runs.server",
    "masks": "maskl.masks",
    "metrics": "maskl.metrics",
    "open": "maskl.reading.store",
    "pin_config_keys": "maskl.runs.server",
    "plot": "maskl.plot",
    "plot_table": "maskl.plot.charts",
    "require": "maskl.runs.server",
    "restore": "maskl.runs.files",
    "save": "maskl.runs.files",
    "setup": "maskl.runs.active",
    "sql": "maskl.reading.questions",
    "teardown": "maskl.runs.active",
    "termerror": "maskl.runs.server",
    "termlog": "maskl.runs.server",
    "termsetup": "maskl.runs.server",
    "termwarn": "maskl.runs.server",
    "uninstall_as_wandb": "maskl.integrations.as_wandb",
    "unwatch": "maskl.runs.server",
    "use_artifact": "maskl.runs.files",
    "use_model": "maskl.runs.files",
    "watch": "maskl.runs.server",
}

__all__ = [
    "AlertLevel",
    "Answer",
    "Artifact",
    "ArtifactEntry",
    "ArtifactManifest",
    "Audio",
    "BoundingBoxes2D",
    "Classes",
    "CommError",
    "Compacted",
    "Config",
    "Deleted",
    "Error",
    "EvalTable",
    "Exported",
    "Histogram",
    "Html",
    "Image",
    "ImageMask",
    "Imported",
    "JoinedTable",
    "Metric",
    "Molecule",
    "Object3D",
    "Plotly",
    "Recovered",
    "Run",
    "RunInfo",
    "Settings",
    "Store",
    "StoredRun",
    "StoredTable",
    "Summary",
    "Table",
    "TableInfo",
    "UsageError",
    "Verified",
    "Video",
    "alert",
    "box3d",
    "config",
    "data_types",
    "define_metric",
    "ensure_configured",
    "errors",
    "finish",
    "import_dataset",
    "init",
    "install_as_wandb",
    "join",
    "link_model",
    "log",
    "log_artifact",
    "log_model",
    "login",
    "mark_preempting",
    "masks",
    "metrics",
    "open",
    "pin_config_keys",
    "plot",
    "plot_table",
    "require",
    "restore",
    "run",
    "save",
    "setup",
    "sql",
    "summary",
    "teardown",
    "termerror",
    "termlog",
    "termsetup",
    "termwarn",
    "uninstall_as_wandb",
    "unwatch",
    "use_artifact",
    "use_model",
    "watch",
]


if not TYPE_CHECKING:  # a type checker knows every name, and says so of one that is not there

    def __getattr__(name: str) -> _Any:
        """Return a public name, the active run, its config or summary, or say what to use instead of one of W&B's."""
        if name in _PLACES:
            return _public_name(__name__, _PLACES, name)
        if name == "__version__":
            from importlib.metadata import version

            return globals().setdefault(name, version("maskl"))
        if name.startswith("__"):  # asked by tools that look at any module
            raise AttributeError(f"module 'maskl' has no attribute {name!r}", name=name)
        from maskl.runs.active import attribute

        return attribute(name)


def __dir__() -> list[str]:
    return list(__all__)


del TYPE_CHECKING  # it is no public name

"""What W&B has and maskl has not: names that say what to use instead."""

from __future__ import annotations

from typing import Any, Final

from maskl_storage.errors import MissingName

__all__ = ["ABSENT", "Nothing", "missing"]

STORE: Final = "read the store with maskl.open() or maskl.sql()"
CALLBACK: Final = "log() in a callback of your own"
INSIDE: Final = "it belongs to the inside of W&B's package; maskl's names are in dir(maskl)"
SWEEPS: Final = "sweeps need a server; start the runs yourself, with a group"

#: names of W&B's package that maskl's has not, and what to use instead
ABSENT: Final = {
    "Api": STORE,
    "ArtifactTTL": "nothing is removed by its age; maskl delete removes runs, and their artifacts with them",
    "Graph": "log a picture of it as maskl.Image",
    "agent": SWEEPS,
    "agents": SWEEPS,
    "analytics": INSIDE,
    "annotations": INSIDE,
    "api": STORE,
    "apis": STORE,
    "attach": "init(id=run.id): several processes may log to one run at once",
    "catboost": CALLBACK,
    "controller": SWEEPS,
    "env": "the variables are MASKL_DIR, MASKL_MODE and so on; init() names them all",
    "gym": "log the frames as a maskl.Video",
    "helper": INSIDE,
    "integration": CALLBACK,
    "jupyter": "runs, images and tables show themselves in notebooks",
    "keras": CALLBACK,
    "lightgbm": CALLBACK,
    "patched": INSIDE,
    "plots": "the functions are in maskl.plot",
    "profiler": "torch.profiler writes its traces to files of its own",
    "proto": INSIDE,
    "sacred": CALLBACK,
    "sagemaker_auth": "there is no account, and no API key",
    "sdk": INSIDE,
    "sklearn": "maskl.plot has ROC and precision-recall curves; draw others with matplotlib and log the figure",
    "sweep": SWEEPS,
    "tensorboard": "log() what is written to TensorBoard",
    "tensorflow": CALLBACK,
    "trigger": INSIDE,
    "util": INSIDE,
    "visualize": "log a maskl.Table and query it with maskl.sql()",
    "wandb": "the module itself is maskl",
    "wandb_agent": SWEEPS,
    "wandb_lib": INSIDE,
    "wandb_sdk": INSIDE,
    "wandb_torch": "log() what you want of gradients and weights",
    "xgboost": CALLBACK,
}


def missing(name: str) -> MissingName:
    """Return the error of a name of W&B's package that maskl has not."""
    return MissingName(f"maskl has no {name}; instead: {ABSENT[name]}", name)


class Nothing:
    """What calls of a disabled run return where W&B returns an object: whatever is asked of it is itself."""

    def __init__(self, why: str = "the run is disabled") -> None:
        self._why = why

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
        return f"<nothing: {self._why}>"

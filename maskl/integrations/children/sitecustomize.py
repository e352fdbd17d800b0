"""Has ``import wandb`` bring maskl in a process that another one started, which had it so.

Python imports this when it starts, since ``maskl.install_as_wandb()`` put its folder into ``PYTHONPATH``. It loads
nothing until ``wandb`` is looked for, and runs in any Python 3 that such a process may start, maskl there or not.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False  # typing has it, and takes longer to import than all else here
if TYPE_CHECKING:
    from typing import Any

MARK = "MASKL_AS_WANDB"


class Later:
    """Stands for the finder of ``maskl.integrations`` until ``wandb`` is looked for."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return where ``wandb`` is found."""
        finder = self._finder() if name.partition(".")[0] == "wandb" else None
        return None if finder is None else finder.find_spec(name, path, target)

    def find_distributions(self, context: Any = None) -> Any:
        """Return what is to be said of ``wandb`` as an installed package."""
        finder = self._finder() if str(getattr(context, "name", "")).lower() == "wandb" else None
        return [] if finder is None else finder.find_distributions(context)

    def _finder(self) -> Any:
        if self not in sys.meta_path or not os.environ.get(MARK):
            return None
        sys.meta_path.remove(self)  # what follows imports, and asks again
        try:
            from maskl.integrations.as_wandb import in_child
        except ImportError as error:
            import warnings

            warnings.warn(
                f"wandb is not maskl in process {os.getpid()}, though process {os.environ[MARK]}, which it comes "
                f"from, called maskl.install_as_wandb(): {error}",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        return in_child()


def go_on() -> None:
    """Import the ``sitecustomize`` that Python would have found without this one."""
    here = os.path.dirname(os.path.abspath(__file__))
    spec = PathFinder.find_spec("sitecustomize", [at for at in sys.path if os.path.abspath(at) != here])
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        sys.modules["sitecustomize"] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    if os.environ.get(MARK):
        sys.meta_path.insert(0, Later())
    go_on()

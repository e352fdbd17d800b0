"""How Python finds maskl where it looks for W&B's module, and for its version where W&B is not installed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder, MetadataPathFinder
from pathlib import Path
from types import ModuleType

from maskl.integrations._face import face
from maskl.integrations._stand_in import NAME, VERSION, StandIn, is_known
from maskl_storage.errors import MissingName

__all__ = ["Finder"]


class StandInDistribution(Distribution):
    """What is said of an installed package, for the one name that frameworks ask for."""

    def read_text(self, filename: str) -> str | None:
        """Return the metadata, and None of any other file."""
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\nSummary: maskl, under the name of W&B\n"

    def locate_file(self, path: object) -> Path:
        """Return the path: there are no files."""
        return Path(str(path))


class StandInLoader(Loader):
    """Makes the modules that stand for W&B's."""

    def create_module(self, spec: ModuleSpec) -> StandIn:
        """Return a module; it is complete."""
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module is complete."""


class Finder(DistributionFinder):
    """Finds the modules that stand for W&B's, and keeps Python from looking for others of that name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is found.

        Raises
        ------
        ModuleNotFoundError
            A module of W&B's inside that is not there, and what to use instead if maskl knows. That one names no
            module, so that ``from wandb import name`` raises it too.
        """
        if fullname.partition(".")[0] != NAME:
            return None
        if is_known(fullname):
            return ModuleSpec(fullname, StandInLoader(), origin="maskl", is_package=True)
        what = f"no module named {fullname!r}: {NAME} is maskl in this process"
        try:
            getattr(face(), fullname.split(".")[1])
        except MissingName as error:
            raise ModuleNotFoundError(f"{what}, and {error}") from None
        except AttributeError:
            pass
        raise ModuleNotFoundError(f"{what}, which has not all of W&B's inside", name=fullname)

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        """Return what stands for W&B's package, where it is asked for by its name and not installed."""
        asked = context is not None and re.sub(r"[-_.]+", "-", str(context.name)).lower() == NAME
        if context is None or not asked or next(iter(MetadataPathFinder.find_distributions(context)), None) is not None:
            return []
        return [StandInDistribution()]

"""What keeps a store in order, as methods of the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.errors import InvalidValue, NotFound
from maskl_storage.merge.leftovers import GRACE
from maskl_storage.upkeep.compact import Compacted, compact
from maskl_storage.upkeep.delete import Deleted, delete
from maskl_storage.upkeep.recovery import Recovered, recover
from maskl_storage.verify.verify import Verified, verify

__all__ = ["Upkeep"]


class Upkeep(ABC):
    """The part of a store that checks it, makes it smaller, and deletes from it."""

    _layout: Layout

    @abstractmethod
    def runs(self) -> list[RunInfo]:
        """Return the runs that are seen."""

    @abstractmethod
    def tables(self) -> list[Any]:
        """Return the tables that are seen, each with ``name`` and ``runs``."""

    @abstractmethod
    def sql(self, query: str) -> Any:
        """Run one SELECT."""

    @abstractmethod
    def _seal(self) -> None:
        """Seal what waits in this process."""

    @abstractmethod
    def _check_ended(self, run_ids: Sequence[str]) -> None:
        """Raise StateError where this process writes one of the runs."""

    def verify(self, *, processes: int = 1, tick: Callable[[int, int], None] = lambda _done, _all: None) -> Verified:
        """Check every file of the store, and every statistic against the masks.

        Parameters
        ----------
        processes : int, optional
            How many processes check. More than one are started anew, so a program that asks for them guards its
            main module as :mod:`multiprocessing` says.
        tick : callable, optional
            Is told how many bytes were checked, and of how many.

        Returns
        -------
        Verified
            ``faults``, each with file, row, column and mask; ``clean``; ``notes`` on what is no fault; and counts.
        """
        self._seal()
        return verify(self._layout, processes=processes, tick=tick)

    def recover(self, *, force: bool = False, dry_run: bool = False) -> list[Recovered]:
        """Bring in what killed processes had logged, and say of their runs that they were killed.

        ``maskl.init()`` does so by itself. Writers that live are left alone, and nothing is brought in twice.

        Parameters
        ----------
        force : bool, optional
            Act also where the file system knows no locks, so that nobody can tell which writers live.
        dry_run : bool, optional
            Only say what there is.

        Returns
        -------
        list of Recovered
            One for each killed writer: ``run_id``, ``rows`` of each table, ``scalars``, ``images``, the bytes of a
            call in flight that were left out (``torn``), and what could not be read (``problem``).
        """
        return recover(self._layout, force=force, dry_run=dry_run)

    def compact(
        self,
        runs: Sequence[str] | None = None,
        *,
        dry_run: bool = False,
        grace: float = GRACE,
        step: Callable[[str], None] = lambda _: None,
    ) -> Compacted:
        """Merge small parts, drop images that nothing refers to, and remove files that nobody needs.

        No query returns anything else afterwards. Others may read and write the store meanwhile; the seals of a
        writer that is alive are its own to merge.

        Parameters
        ----------
        runs : sequence of str, optional
            Merge the parts of these runs only, by id, name or unique prefix of an id.
        dry_run : bool, optional
            Only say what there is to do.
        grace : float, optional
            Seconds for which files stay that were replaced: who reads them may go on.
        step : callable, optional
            Is told each run's id before it is looked at.

        Raises
        ------
        StateError
            Locks do not work there, so nobody can tell which writers are alive.
        """
        self._seal()
        ids = None if runs is None else [self._layout.run(name).run_id for name in runs]
        return compact(self._layout, ids, dry_run=dry_run, grace=grace, step=step)

    def delete(
        self,
        runs: str | Sequence[str] = (),
        *,
        where: str | None = None,
        table: str | None = None,
        dry_run: bool = False,
    ) -> Deleted:
        """Delete runs, or one table of them; images stay until :meth:`compact` finds that nothing refers to them.

        Parameters
        ----------
        runs : str or sequence of str, optional
            Runs, by id, name or unique prefix of an id.
        where : str, optional
            A condition over the view ``runs``, such as ``"state = 'failed' AND run_group = 'tests'"``.
        table : str, optional
            Delete this table and leave the runs; of all runs that have it, where none is named.
        dry_run : bool, optional
            Only say what would be deleted.

        Raises
        ------
        StateError
            A run is being written; nothing was deleted then.
        NotFound
            There is no such run or table.
        QueryError
            The condition is none.
        """
        self._seal()
        names = [runs] if isinstance(runs, str) else list(runs)
        ids = [self._layout.run(name, self.runs()).run_id for name in names]
        if where is not None:
            select = "SELECT run_id FROM runs WHERE"
            self.sql(f"{select}\n{where}")  # raises where the text closes a bracket that it did not open
            ids += [run_id for (run_id,) in self.sql(f"{select} (\n{where}\n)").fetchall()]
        elif not ids and table is not None:
            ids = [run_id for info in self.tables() if info.name == table for run_id in info.runs]
            if not ids:
                raise NotFound(f"there is no table {table!r} in {self._layout.root}")
        elif not ids:
            raise InvalidValue("delete() needs runs, or where=, or table=")
        ids = list(dict.fromkeys(ids))
        self._check_ended(ids)
        return delete(self._layout, ids, table, dry_run=dry_run)

"""A store as a whole: what is in it, its rows, and SQL over it."""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from maskl_storage.catalog.layout import Layout, find_store
from maskl_storage.catalog.listing import Listing, Sealed, uncollected
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.disk.locks import hold_shared, reading
from maskl_storage.errors import InvalidValue, NotFound, QueryError, StateError
from maskl_storage.format.union_names import UnionNames
from maskl_storage.lazy import LazyModule
from maskl_storage.merge import GRACE
from maskl_storage.write.live import live_writers

if TYPE_CHECKING:
    import duckdb

    import maskl_storage.query.table_views as views
    import maskl_storage.read.table as stored
    import maskl_storage.upkeep.compact as compaction
    import maskl_storage.upkeep.delete as deletion
    import maskl_storage.upkeep.recovery as recovery
    import maskl_storage.verify.verify as verification
    from maskl_storage.images.reader import ImageReader
    from maskl_storage.query.children import Children
    from maskl_storage.query.database import Database
else:
    # who lists runs and tables needs none of these
    duckdb = LazyModule("duckdb")
    views = LazyModule("maskl_storage.query.table_views")
    stored = LazyModule("maskl_storage.read.table")
    compaction = LazyModule("maskl_storage.upkeep.compact")
    deletion = LazyModule("maskl_storage.upkeep.delete")
    recovery = LazyModule("maskl_storage.upkeep.recovery")
    verification = LazyModule("maskl_storage.verify.verify")

__all__ = ["Store", "TableInfo"]

#: connections of a store that are kept, one for each class map and limit
MAX_DATABASES: Final = 4


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A logged table; :meth:`maskl.Store.tables` returns one for each.

    Parameters
    ----------
    name : str
        The table's name.
    rows : int
        How many rows it has.
    runs : tuple of str
        The ids of the runs that logged it.
    columns : tuple of str
        Its columns, as SQL names them.
    """

    name: str
    rows: int
    runs: tuple[str, ...]
    columns: tuple[str, ...]


class Store:
    """A store opened for reading; it can be checked, made smaller, and deleted from too.

    Parameters
    ----------
    directory : path-like, optional
        The store, or the directory that holds ``maskl-store``; by default the store that this process
        logs to, else ``$MASKL_DIR``, else the one found upward from the working directory.
    project : str, optional
        See only the runs of this project.
    runs : sequence of str, optional
        See only these runs, by id, name or unique prefix of an id.

    Raises
    ------
    StoreNotFound
        There is no store at that place.
    UnsupportedVersion
        The store was written by a newer major version of the format.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        project: str | None = None,
        runs: Sequence[str] | None = None,
    ) -> None:
        live = live_writers() if directory is None else []
        self._layout = Layout(live[-1].layout.root if live else find_store(directory))
        self._project = project
        self._only = runs
        self._state: tuple[Any, ...] | None = None
        self._listing = Listing((), ())
        self._pictured = Listing((), ())
        self._runs: list[RunInfo] = []
        self._databases: dict[tuple[Any, ...], Database] = {}
        self._children: Children | None = None
        self._images: ImageReader | None = None

    #: what the tables of this store share, where they do
    _room: stored.Room | None = None

    @property
    def _table_type(self) -> type[stored.StoredTable]:
        """What rows come as; a subclass has its own."""
        return stored.StoredTable

    def __reduce__(self) -> tuple[Any, ...]:
        # to another process goes where the store is, not what is open
        return type(self), (str(self.root), self._project, self._only)

    @property
    def root(self) -> Path:
        """The store's directory."""
        return self._layout.root

    def runs(self) -> list[RunInfo]:
        """Return the runs, in order of start."""
        self.refresh()
        return self._chosen()

    def run(self, name: str) -> RunInfo:
        """Return the run with this id, name, or unique prefix of its id."""
        self.refresh()
        return self._layout.run(name, self._chosen())

    def tables(self) -> list[TableInfo]:
        """Return the logged tables, by name."""
        self.refresh()
        found: dict[str, list[Any]] = {}
        for sealed in self._listing.of("rows"):
            found.setdefault(str(sealed.table), []).append(sealed)
        return [
            TableInfo(
                name,
                sum(sealed.part.rows for sealed in parts),
                tuple(dict.fromkeys(sealed.run_id for sealed in parts)),
                tuple(UnionNames.of((sealed.run_id, sealed.part) for sealed in parts).columns),
            )
            for name, parts in sorted(found.items())
        ]

    def table(self, name: str, run: str | None = None, step: int | Literal["last"] | None = None) -> stored.StoredTable:
        """Return the stored rows of a table, runs in order of start.

        Parameters
        ----------
        name : str
            The table.
        run : str, optional
            One run, by id, name or unique prefix of its id.
        step : int or 'last', optional
            One step, or each run's last one.
        """
        self._read()
        if step is not None and step != "last":
            try:
                step = operator.index("" if isinstance(step, bool) else step)  # type: ignore[arg-type]  # what is no integer raises
            except TypeError as error:
                raise QueryError(f"step must be a whole number or 'last'; got {step!r}") from error
        anew = partial(self._rows_anew, name, run)
        named = self._listing.of("rows", name)
        rows = self._rows(name, run)
        return self._table_type(self._layout.files, rows, step, self._decode, anew, named, self._room)

    def _rows_anew(self, name: str, run: str | None) -> list[Sealed]:
        """Look at the store again, and return the parts of a table."""
        self._read()
        return self._rows(name, run)

    def _rows(self, name: str, run: str | None) -> list[Sealed]:
        parts = self._listing.of("rows", name)
        if not parts:
            known = ", ".join(repr(table.name) for table in self.tables()) or "none"
            raise NotFound(f"there is no table {name!r} in {self.root}; there are: {known}")
        if run is not None:
            run_id = self._layout.run(run, self._chosen()).run_id
            parts = [sealed for sealed in parts if sealed.run_id == run_id]
            if not parts:
                raise NotFound(f"run {run_id!r} logged no table {name!r}")
        order = {info.run_id: number for number, info in enumerate(self._runs)}
        parts.sort(key=lambda sealed: (order.get(sealed.run_id, len(order)), sealed.run_id))
        return parts

    def view(self, table: str) -> views.TableView:
        """Return the view of a table in schema ``tables``: its name, and which of its columns hold images."""
        self.table(table)  # raises an error that names the tables there are
        return next(view for view in views.table_views(self._layout.files, self._listing) if view.table == table)

    def image(self, digest: str) -> bytes:
        """Return the encoded bytes of an image."""
        images = self._images
        if images is not None:  # an image never changes, so that looking at the store again is needed only for new ones
            with contextlib.suppress(NotFound):
                return images.read(digest)
        self._read()
        images = self._images
        if images is None:
            from maskl_storage.images.reader import ImageReader

            images = self._images = ImageReader(self._layout.files, self._pictured)
        return images.read(digest)

    def sql(
        self,
        query: str,
        params: Any = None,
        *,
        class_map: Mapping[str, str] | None = None,
        timeout: float | None = None,
        memory_limit: str | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Run one SELECT over the store on a connection that can do nothing else.

        Parameters
        ----------
        query : str
            One SELECT (or FROM, WITH, PIVOT, SHOW, DESCRIBE, EXPLAIN of one); no statement that
            changes anything.
        params : list or dict, optional
            Values for ``?``, ``$1`` or ``$name`` in the query.
        class_map : dict of str to str, optional
            Other names for classes, in every view and macro: classes that get one name are one class,
            as in ``{"car": "vehicle", "truck": "vehicle"}``.
        timeout : float, optional
            Seconds after which the query is stopped.
        memory_limit : str, optional
            The memory that the query may take, such as ``"500MB"``; without it, most of the machine's.
            With either limit a process of its own answers, which is ended where the query does not heed it, and
            the query runs at once, instead of when its rows are fetched. The rows that it returns count too.
            On Linux the limit holds for all that the query takes, 150 MB more or less; elsewhere for blocks of
            rows. ``docs/sql.md`` says more.

        Raises
        ------
        QueryError
            The SQL is wrong, or the lock refuses it, or it needs more memory than it may take.
        QueryTimeout
            The query took longer than ``timeout``.
        CorruptData
            A part that the query reads is not what was sealed.
        InvalidType, InvalidValue
            A class map or limit that is none; parameters that cannot be handed to another process.

        Warns
        -----
        ClassMapWarning
            The class map names a class that no mask has.
        UnboundedWarning
            No process could be begun for a query with limits, which is answered in this one.
        """
        if not isinstance(query, str):
            raise QueryError(f"a query is a string; got {type(query).__name__}")
        self._read()
        return self._database(class_map, memory_limit).query(query, params, timeout)

    def _database(self, class_map: Mapping[str, str] | None = None, memory_limit: str | None = None) -> Database:
        """Return what answers queries over what was listed last."""
        from maskl_storage.query.children import Children
        from maskl_storage.query.database import Database
        from maskl_storage.query.views import check_class_map

        classes = check_class_map(class_map or {})
        key = (tuple(sorted(classes.items())), memory_limit)
        database = self._databases.get(key)
        if database is None:
            if self._children is None:
                self._children = Children()
            database = Database(
                self._layout,
                self._listing,
                self._chosen(),
                locked=True,
                narrowed=self._narrowed,
                class_map=classes,
                memory_limit=memory_limit,
                children=self._children,
            )
            if len(self._databases) >= MAX_DATABASES:
                self._databases.pop(next(iter(self._databases)))
            self._databases[key] = database
        return database

    def _decode(self, image: stored.StoredImage) -> Any:
        """Turn a stored image into the value that rows hold; a subclass has its own values."""
        return image

    def select(self, query: str, params: Any = None, *, class_map: Mapping[str, str] | None = None) -> list[stored.Row]:
        """Return the rows that a query names, in its order, with their images.

        Parameters
        ----------
        query : str
            One SELECT with the columns ``run_id``, ``table_name`` and ``_row``.
        params : list or dict, optional
            Values for the query's parameters.
        class_map : dict of str to str, optional
            Other names for classes; see :meth:`sql`.
        """
        relation = self.sql(query, params, class_map=class_map)
        missing = [name for name in ("run_id", "table_name", "_row") if name not in relation.columns]
        if missing:
            raise QueryError(
                f"select() needs the columns run_id, table_name and _row; the query lacks {', '.join(missing)}"
            )
        tables: dict[str, stored.StoredTable] = {}
        rows = []
        for run_id, name, row in relation.project("run_id, table_name, _row").fetchall():
            if name not in tables:
                tables[name] = self.table(name)
            rows.append(tables[name].find(run_id, row))
        return rows

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return a DuckDB connection with the store's views and macros, and no limits."""
        from maskl_storage.query.database import Database

        self._read()
        return Database(self._layout, self._pictured, self._chosen(), locked=False).connection

    def setup_sql(self, class_map: Mapping[str, str] | None = None) -> str:
        """Return the SQL that makes the store's views and macros in any DuckDB connection."""
        from maskl_storage.query.views import check_class_map, setup_sql

        self._read()
        return setup_sql(self._layout, self._pictured, self._chosen(), check_class_map(class_map or {}))

    def verify(
        self, *, processes: int = 1, tick: Callable[[int, int], None] = lambda _done, _all: None
    ) -> verification.Verified:
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
        return verification.verify(self._layout, processes=processes, tick=tick)

    def recover(self, *, force: bool = False, dry_run: bool = False) -> list[recovery.Recovered]:
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
        return recovery.recover(self._layout, force=force, dry_run=dry_run)

    def compact(
        self,
        runs: Sequence[str] | None = None,
        *,
        dry_run: bool = False,
        grace: float = GRACE,
        step: Callable[[str], None] = lambda _: None,
    ) -> compaction.Compacted:
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
        return compaction.compact(self._layout, ids, dry_run=dry_run, grace=grace, step=step)

    def delete(
        self,
        runs: str | Sequence[str] = (),
        *,
        where: str | None = None,
        table: str | None = None,
        dry_run: bool = False,
    ) -> deletion.Deleted:
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
            with reading(self._layout.files):  # and not until this process ends: nothing of it is given to anybody
                self.refresh()
                database = self._database()
                database.query(f"{select}\n{where}")  # raises where the text closes a bracket that it did not open
                ids += [run_id for (run_id,) in database.query(f"{select} (\n{where}\n)").fetchall()]
        elif not ids and table is not None:
            ids = [run_id for info in self.tables() if info.name == table for run_id in info.runs]
            if not ids:
                raise NotFound(f"there is no table {table!r} in {self._layout.root}")
        elif not ids:
            raise InvalidValue("delete() needs runs, or where=, or table=")
        ids = list(dict.fromkeys(ids))
        self._check_ended(ids)
        return deletion.delete(self._layout, ids, table, dry_run=dry_run)

    def refresh(self) -> None:
        """Look at the store again, sealing first what waits in this process."""
        self._seal()
        with uncollected():
            listing = self._layout.listing()
            runs = self._runs = self._layout.runs()
        state = (listing.seals, listing.damaged, tuple(runs))
        if state != self._state:
            wanted = {run.run_id for run in self._filter(runs)}
            pictured = listing
            if self._narrowed:
                mine = tuple(s for s in listing.parts if s.run_id in wanted)
                # images are shared between runs: rows find theirs wherever they stand; locked SQL has none of others
                others = [s for s in listing.parts if s.part.kind == "images" and s.run_id not in wanted]
                # another project's tables are none of this store's; those of runs that were not chosen are empty
                known = {run.run_id for run in runs if self._project is None or run.project == self._project}
                unseen = known - wanted
                elsewhere = tuple(s for s in listing.parts if s.part.kind == "rows" and s.run_id in unseen)
                # DuckDB opens the first file of a list, so these come last
                pictured = replace(listing, parts=(*mine, *others), elsewhere=elsewhere)
                listing = replace(listing, parts=mine, elsewhere=elsewhere)
            self._listing, self._pictured, self._state = listing, pictured, state
            self._databases, self._images = {}, None

    # --- inside ---------------------------------------------------------------------------------

    @property
    def _narrowed(self) -> bool:
        """Whether this is the store of some runs only."""
        return self._project is not None or self._only is not None

    def _read(self) -> None:
        """Look at the store again, and say that this process uses its files from here on: what it returns may do so."""
        hold_shared(self._layout.files)
        self.refresh()

    def _check_ended(self, run_ids: Sequence[str]) -> None:
        """Raise StateError where this process writes one of the runs."""
        alive = {writer.run.run_id for writer in live_writers(self.root)}
        for run_id in run_ids:
            if run_id in alive:
                raise StateError(f"run {run_id!r} is being written: finish it first, then delete it")

    def _seal(self) -> None:
        """Seal what waits in this process."""
        for writer in live_writers(self.root):
            writer.seal()

    def _chosen(self) -> list[RunInfo]:
        return self._filter(self._runs)

    def _filter(self, runs: list[RunInfo]) -> list[RunInfo]:
        if self._project is not None:
            runs = [run for run in runs if run.project == self._project]
        if self._only is not None:
            ids = {self._layout.run(name, runs).run_id for name in self._only}
            runs = [run for run in runs if run.run_id in ids]
        return runs

"""A store as it is looked at: one moment of it for five minutes, and what is read of it once and kept."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from maskl.reading.store import Store
from maskl.viewer._values import mark_of
from maskl_storage.catalog.listing import Sealed
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.disk.cache import Cache
from maskl_storage.errors import MasklError, NotFound, QueryError
from maskl_storage.format.union_names import UnionNames
from maskl_storage.query.table_views import named_tables, quote_name
from maskl_storage.read.table import Room, StoredTable

if TYPE_CHECKING:
    import pyarrow as pa

    from maskl.drawing.overlay import RGB

__all__ = ["Gatherer", "Moment", "Session", "ViewedStore"]

#: seconds after which the store is looked at again before it is asked: what is compacted away goes after ten minutes
AGE: Final = 300.0
#: seconds within which a page that is loaded anew gets the same moment
YOUNG: Final = 1.0
#: seconds and memory that a query from the page may take
TIMEOUT: Final = 10.0
MEMORY: Final = "250MB"
#: memory of the server's own queries, which the same kind of process answers: what they need is not the server's
OWN: Final = "1GB"
#: queries of the page at once, and the server's own
THEIRS: Final = 1
OURS: Final = 2
#: what errors say of a file that is not where it was listed
GONE: Final = re.compile(r"access file|such file|open file|IO Error", re.IGNORECASE)
#: tables of runs whose columns and row groups are known
TABLES: Final = 16
#: bytes of all their row groups that are kept, and of their files that are mapped
GROUPS: Final = 8 << 20
MAPPED: Final = 8 << 20


class Gatherer(Protocol):
    """What takes the rows of a query piece by piece, and keeps what is needed of them."""

    def take(self, rows: pa.Table) -> None:
        """Take some rows."""
        ...


Gathered = TypeVar("Gathered", bound=Gatherer)


class ViewedStore(Store):
    """A store that stays at one moment until it is told to look again.

    Parameters
    ----------
    directory : path-like, optional
        As :class:`maskl.Store` takes it.
    project : str, optional
        See only the runs of this project.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None, project: str | None = None) -> None:
        super().__init__(directory, project)
        self._looking = threading.RLock()
        self._seen = False
        self._room = Room(self._layout.files, GROUPS, MAPPED)

    def refresh(self) -> None:
        """Look at the store where nobody did yet; :meth:`look` looks again."""
        if not self._seen:
            self.look()

    def look(self) -> None:
        """Look at the store again."""
        with self._looking:
            super().refresh()
            self._seen = True

    def _rows_anew(self, name: str, run: str | None) -> list[Sealed]:
        self.look()
        return super()._rows_anew(name, run)

    def _database(self, class_map: Mapping[str, str] | None = None, memory_limit: str | None = None) -> Any:
        with self._looking:  # it keeps few, and several threads ask
            return super()._database(class_map, memory_limit)

    def moment(self) -> Moment:
        """Return what was there when the store was looked at last."""
        with self._looking:
            self.refresh()
            parts: dict[str, list[Sealed]] = {}
            for sealed in self._listing.of("rows"):
                parts.setdefault(str(sealed.table), []).append(sealed)
            mark = mark_of(repr((self._listing.seals, self._chosen())))
            views = {table.table: table.name for table in named_tables(self._listing)}
            return Moment(self, mark, tuple(self._chosen()), {name: tuple(of) for name, of in parts.items()}, views)

    def part_columns(self, name: str, parts: Sequence[Sealed]) -> StoredTable:
        """Return a table of some of its parts only, by whose metadata its columns are known."""
        named = self._listing.of("rows", name)
        return self._table_type(self._layout.files, parts, None, self._decode, None, named, self._room)

    def stream(self, query: str, params: Any, take: Callable[[pa.Table], None], **limits: Any) -> None:
        """Answer a query as ``sql`` does, and hand over its rows in pieces when they come; the first may be empty."""
        self._read()
        self._database(None, limits.get("memory_limit")).stream(query, params, limits.get("timeout"), take)


@dataclass(eq=False)
class Moment:
    """What a store held when it was looked at.

    Parameters
    ----------
    store : ViewedStore
        The store.
    mark : str
        The same for the same seals and runs.
    runs : tuple of RunInfo
        The runs, in order of start.
    parts : dict of str to tuple of Sealed
        The rows parts of each table.
    views : dict of str to str
        The name of each table's view.
    """

    store: ViewedStore
    mark: str
    runs: tuple[RunInfo, ...]
    parts: Mapping[str, tuple[Sealed, ...]]
    views: Mapping[str, str]
    taken: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def __post_init__(self) -> None:
        self._tables: Cache[StoredTable] = Cache(TABLES, lambda _: 1)
        self._names: dict[str, UnionNames] = {}
        #: the colours of each table's classes by name, once they are known
        self.colors: dict[str, Mapping[str, RGB]] = {}
        self._lock = threading.Lock()

    @cached_property
    def by_id(self) -> dict[str, RunInfo]:
        """The runs by their ids."""
        return {run.run_id: run for run in self.runs}

    def run(self, run_id: str) -> RunInfo:
        """Return a run by its id."""
        found = self.by_id.get(run_id)
        if found is None:
            raise NotFound(f"there is no run {run_id!r:.120}")
        return found

    def parts_of(self, table: str) -> tuple[Sealed, ...]:
        """Return the rows parts of a table."""
        found = self.parts.get(table)
        if found is None:
            raise NotFound(
                f"there is no table {table!r:.120}; there are: {', '.join(map(repr, self.parts))[:500] or 'none'}"
            )
        return found

    def relation(self, table: str) -> str:
        """Return the name of a table's view, as SQL has it."""
        self.parts_of(table)
        return f"tables.{quote_name(self.views[table])}"

    def names(self, table: str) -> UnionNames:
        """Return what SQL calls the columns of a table."""
        found = self._names.get(table)
        if found is None:
            parts = self.parts_of(table)
            found = self._names[table] = UnionNames.of((sealed.run_id, sealed.part) for sealed in parts)
        return found

    def table(self, table: str, run_id: str) -> StoredTable:
        """Return the rows that a run logged to a table, with all columns by the names that SQL shows."""
        self.parts_of(table)
        self.run(run_id)
        key = (table, run_id)
        found = self._tables.get(key)
        if found is None:
            with self._lock:
                found = self._tables.get(key) or self.store.table(table, run_id).undecoded.united
                self._tables.put(key, found)
        return found


class Session:
    """Everything that the routes share: the store, its moment, and what is kept of it.

    Parameters
    ----------
    store : ViewedStore
        The store.
    clock : callable, optional
        Returns seconds; tests have their own.
    timeout, memory : optional
        What a query from the page may take.
    """

    def __init__(
        self,
        store: ViewedStore,
        *,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = TIMEOUT,
        memory: str = MEMORY,
    ) -> None:
        self.store = store
        self._clock = clock
        self._limits: Mapping[str, Any] = {"timeout": timeout, "memory_limit": memory}
        self._lock = threading.RLock()
        self._moment: Moment | None = None
        self._looked = 0.0
        #: held by what takes memory for each row of a set: one at a time
        self.alone = threading.RLock()
        self._theirs, self._ours = threading.Semaphore(THEIRS), threading.Semaphore(OURS)

    def moment(self, age: float = AGE) -> Moment:
        """Return the moment that is looked at, a new one where that is older than ``age`` in seconds."""
        with self._lock:
            now = self._clock()
            if self._moment is None or now - self._looked > age:
                if self._moment is not None:
                    self.store.look()
                fresh = self.store.moment()
                self._looked = self._clock()
                if self._moment is None or fresh.mark != self._moment.mark:
                    self._moment = fresh
                else:
                    self._moment.taken = fresh.taken
            return self._moment

    def reload(self) -> Moment:
        """Return the moment for a page that is loaded: what was logged meanwhile is there."""
        return self.moment(YOUNG)

    def ask(self, query: str, params: Any = None) -> pa.Table:
        """Return what one of the server's own queries answers; its texts are quoted, and no text of the page is SQL."""
        with self._ours:
            return self._answered(lambda: self.store.sql(query, params, memory_limit=OWN).to_arrow_table())

    def gather(self, query: str, params: Any, make: Callable[[], Gathered]) -> Gathered:
        """Return what gathers the rows of one of the server's own queries, anew with each try."""
        with self._ours:
            return self._gathered(query, params, make, memory_limit=OWN)

    def asked(self, query: str) -> Any:
        """Run a query that the page wrote, within bounds, and return its relation."""
        with self._theirs:
            return self._answered(lambda: self.store.sql(_checked(query), **self._limits))

    def gather_asked(self, query: str, make: Callable[[], Gathered]) -> Gathered:
        """Return what gathers the rows of a query that the page wrote, within bounds."""
        with self._theirs:
            return self._gathered(_checked(query), None, make, **self._limits)

    def _gathered(self, query: str, params: Any, make: Callable[[], Gathered], **limits: Any) -> Gathered:
        def call() -> Gathered:
            made = make()
            self.store.stream(query, params, made.take, **limits)
            return made

        found: Gathered = self._answered(call)
        return found

    def _answered(self, call: Callable[[], Any]) -> Any:
        """Ask, and once more where a file that was listed is gone: another one holds its rows."""
        import duckdb

        try:
            return call()
        except (duckdb.Error, MasklError, OSError) as error:
            if not GONE.search(str(error)):
                raise
            with self._lock:
                before = self.store.moment().mark
                self.store.look()
                fresh = self.store.moment()
                if fresh.mark == before:
                    raise
                self._moment, self._looked = fresh, self._clock()
        return call()


def _checked(query: str) -> str:
    if len(query) > 100_000:
        raise QueryError(f"a query has at most 100,000 characters; got {len(query):,}")
    return query

"""SQL over a store: with ``_statements``, the only module that touches DuckDB."""

from __future__ import annotations

import builtins
import contextlib
import itertools
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import duckdb
import pyarrow as pa
from duckdb.func import ARROW, SPECIAL

from maskl_storage import errors
from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import Listing, Sealed
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.disk.futures import Timer
from maskl_storage.disk.hashes import checks_hashes
from maskl_storage.disk.scratch import unmade
from maskl_storage.errors import (
    ClassMapWarning,
    InvalidType,
    InvalidValue,
    QueryError,
    QueryTimeout,
    UnboundedWarning,
    warn,
)
from maskl_storage.format.paths import KINDS
from maskl_storage.format.schemas import TOTALS
from maskl_storage.masks.codecs import known
from maskl_storage.masks.limits import max_mask_pixels
from maskl_storage.query._allowed import RESAMPLES
from maskl_storage.query._deadline import Deadline
from maskl_storage.query._functions import FUNCTIONS, MACRO, NAMES
from maskl_storage.query._held import HELD, has_few_totals, kinds_of_few, kinds_of_many
from maskl_storage.query._statements import check_functions, explained, one_select
from maskl_storage.query.children import Children, Crashed, Failed, Late, NoChild, Question, TooLarge, pickled
from maskl_storage.query.table_views import RUN_NAME, NamedTable, TableView, named_tables, quote_text, row_keys
from maskl_storage.query.views import (
    BY_RUN,
    HELD_FROM,
    HELD_NAMES,
    HELD_SCHEMA,
    VIEWS,
    Definition,
    definitions,
    held_table,
    in_one_form,
    needed,
    read_files,
    source,
)

__all__ = ["Database"]

_PLAIN: Final[dict[str, str | bool | int | float | list[str]]] = {"autoinstall_known_extensions": "false"}
#: seconds between attempts to stop a query
REPEAT: Final = 0.05
#: queries that are known to call nothing that is refused, and whether they ask for sums alone
PASSED: Final = 256
#: rows that are fetched at a time where there are limits
BATCH: Final = 2048
#: rows of a piece that is handed over where no process answers
PIECE: Final = 65_536
#: takes rows as they come, and what they are
Take = Callable[[pa.Schema, Iterator[pa.RecordBatch]], None]
#: numbers of the moments that questions are asked of
_moments: Final = itertools.count()
#: where the modules of codecs lie that are known everywhere, and what is a module of one process only
CODECS: Final = ("maskl_storage.", "__main__")
_TOO_LARGE: Final = "the rows of the query need more memory than memory_limit allows: ask for fewer"
EVERY_KIND: Final = frozenset(KINDS)
#: units in which DuckDB tells its memory limit
UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")
#: settings that hold paths of this machine and its user, which a locked connection neither needs nor tells
_PATHS: Final = ("home_directory", "secret_directory", "extension_directory")
_NOWHERE: Final = "/nowhere"
#: a text, which names no table that is read, but may name one whose rows are to be matched
_TEXT: Final = re.compile(r"'(?:[^']|'')*'")
#: where one of these is, a query matches rows by their keys
_KEYS: Final = re.compile(
    r"compare_rows|maskl_row_keys|maskl_paired_units|compare_(?=.*\bresamples\b)|\bresamples\b(?=.*compare_)",
    re.IGNORECASE | re.DOTALL,
)
#: where this is, a query may be about some runs
_RUNS: Final = re.compile(r"\b(where|on|using|having|qualify|filter)\b.*\brun_(id|name)\b", re.IGNORECASE | re.DOTALL)
#: where one of these words is, a query may read a part by its path
_FILES: Final = re.compile(r"parquet|\bread_", re.IGNORECASE)
#: where one of these words is, a query may list what there is
_LISTS: Final = re.compile(r"\bshow\b|\bdescribe\b|information_schema|duckdb_|sqlite_master|pg_", re.IGNORECASE)
#: where one of these words is, a query may ask for tables that it does not name
_CATALOG: Final = re.compile(r"\bshow\b|\btables\b|information_schema|duckdb_|sqlite_master|pg_", re.IGNORECASE)


class _Named(NamedTuple):
    """What a query may name, and the kinds of parts whose files it may read."""

    definitions: Sequence[Definition]
    tables: Sequence[NamedTable]
    kinds: frozenset[str]
    functions: bool
    keys: bool


class Database:
    """DuckDB over one moment of a store.

    Parameters
    ----------
    layout : Layout
        The store.
    listing : Listing
        The live parts that the views are made over.
    runs : sequence of RunInfo
        The runs, for their names.
    locked : bool
        Whether to forbid everything but reading the listed files.
    narrowed : bool, optional
        Whether the parts are those of some runs only, whose images may stand in parts of others.
    class_map : mapping of str to str, optional
        Other names of classes; see :func:`maskl_storage.query.views.definitions`.
    memory_limit : str, optional
        The memory that queries may take, such as ``"500MB"``; nothing is spilled to disk then.
    children : Children, optional
        The processes that answer queries with limits; without them they are answered here.
    exact : bool, optional
        Whether Arrow is to hold all of DuckDB's types, as extension types where it has none of its own.
    """

    def __init__(
        self,
        layout: Layout,
        listing: Listing,
        runs: Sequence[RunInfo],
        *,
        locked: bool,
        narrowed: bool = False,
        class_map: Mapping[str, str] | None = None,
        memory_limit: str | None = None,
        children: Children | None = None,
        exact: bool = False,
    ) -> None:
        self._moment, self._children, self._exact = next(_moments), children, exact
        self._of = (layout.root, replace(listing, seals=(), damaged=()), tuple(runs))
        self._arguments = {"narrowed": narrowed, "class_map": class_map, "memory_limit": memory_limit}
        self._layout, self._listing, self._locked = layout, listing, locked
        self._names = {run.run_id: run.name for run in runs} if len(runs) >= HELD_FROM else None
        self._few = kinds_of_few(listing) if locked else frozenset()
        self._definitions = definitions(
            *(layout, listing, runs, class_map),
            narrowed=narrowed,
            held_names=self._names is not None,
            held=self._few | kinds_of_many(listing) if locked else (),
        )
        self._tables = named_tables(listing)
        self._connections: list[duckdb.DuckDBPyConnection] = []
        self._warned: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._memory = memory_limit
        self._most: int | None = None
        self._passed: dict[str, bool] = {}
        self._few_sums = locked and has_few_totals(listing)
        self._making = threading.Lock()  # a store may be asked by several threads
        self._begin(frozenset() if locked else EVERY_KIND)
        if not locked:
            self._define(self._definitions)
            self._view(self._tables)
            self._add_functions()
            self._add_keys()
        if class_map:
            self._check_names(class_map)

    def _begin(self, kinds: frozenset[str]) -> None:
        """Connect anew, with leave to read the files of some kinds."""
        con = duckdb.connect(config=_PLAIN)
        con.execute("SET GLOBAL TimeZone = 'UTC'")
        con.execute("SET GLOBAL disable_parquet_prefetching = true")
        con.execute("CREATE SCHEMA IF NOT EXISTS tables")
        con.execute(f"CREATE SCHEMA {HELD_SCHEMA}")
        if self._names is not None:
            con.execute(
                f"CREATE TABLE {HELD_NAMES} AS SELECT map($1, $2) AS names", [[*self._names], [*self._names.values()]]
            )
        if self._exact:
            con.execute("SET arrow_lossless_conversion = true")
        if self._memory is not None:
            self._most = _limit(con, self._memory)
        paths = read_files(self._layout, self._listing, kinds)
        if self._locked:
            if self._memory is None:  # DuckDB lets queries read what lies in this folder, so that it is nobody else's
                con.execute(f"SET temp_directory = {quote_text(unmade())}")
            _lock(con, paths)
        # what those before it were asked may not be fetched yet, and goes on for as long as they are there
        self._connections.append(con)
        self._con, self._readable = con, kinds
        self._defined: set[Definition] = set()
        self._held: set[str] = set()
        self._made: dict[str, TableView] = {}
        self._keyed = 0
        self._has_functions = False

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection itself, for callers who may do anything."""
        return self._con

    @property
    def most(self) -> int | None:
        """The memory that queries may take, in bytes."""
        return self._most

    def query(self, sql: str, params: Any = None, timeout: float | None = None) -> duckdb.DuckDBPyRelation:
        """Return the relation of one SELECT; see :meth:`maskl_storage.Store.sql`."""
        deadline = Deadline(timeout)
        streams: list[bytearray] = []
        if self._elsewhere(sql, params, deadline, streams.append):
            return self._con.cursor().from_arrow(pa.concat_tables(map(_rows_of, streams)))
        return self.run(sql, params, deadline)

    def stream(self, sql: str, params: Any, timeout: float | None, take: Callable[[pa.Table], None]) -> None:
        """Answer as :meth:`query` does, and hand over the rows in pieces when they come: none of them stays here.

        There is at least one piece, which may have no rows. Before an error, some may have come.
        """
        deadline = Deadline(timeout)
        if not self._elsewhere(sql, params, deadline, lambda stream: take(_rows_of(stream))):
            relation = self.run(sql, params, deadline)
            reader = relation.to_arrow_reader(PIECE)
            take(reader.schema.empty_table())
            for batch in reader:
                take(pa.Table.from_batches([batch]))

    def run(self, sql: str, params: Any, deadline: Deadline, take: Take | None = None) -> duckdb.DuckDBPyRelation:
        """Answer here. Where there is ``take``, it gets the rows, and the relation has none."""
        with explained():
            with deadline.running():
                statement = one_select(sql)
                is_sum = self._check_functions(sql)
                named = self._named_in(" ".join([sql, *_strings(params)]))
            try:
                cursor = self._prepared(named)
                if is_sum and self._few_sums and not params and take is None and self._is_unlimited(deadline):
                    with contextlib.suppress(_Later):
                        return _answer_now(cursor, statement)
                return self._answer(cursor, statement, params, deadline, take)
            except (duckdb.CatalogException, duckdb.PermissionException):
                # it names something in another way than by its name, or something that is not there
                every = _Named(
                    in_one_form(self._definitions, ()), self._tables, EVERY_KIND, named.functions, named.keys
                )
                return self._answer(self._prepared(every), statement, params, deadline, take)

    def _elsewhere(self, sql: str, params: Any, deadline: Deadline, take: Callable[[bytearray], None]) -> bool:
        """Have a process of its own answer over this moment of the store; return False where there is none."""
        children = self._children
        if children is None or children.fail or (deadline.timeout is None and self._most is None):
            return False
        try:
            query = pickled((self._moment, sql, params, deadline.timeout, _settings()))
        except Exception as error:  # whatever the values of the parameters raise
            raise InvalidType(f"the parameters of a query with limits are plain values: {error}") from error
        question = Question(self._moment, self._snapshot, query, deadline.timeout, self._most)
        try:
            told = children.ask(question, take)
        except NoChild:
            children.fail = True
            warn(
                "no process could be begun for queries with limits: timeout and memory_limit are kept in this one, "
                "where they do not bound what a query takes while it is planned",
                UnboundedWarning,
            )
            return False
        except Late:
            unheeded = duckdb.InterruptException("it did not heed an interrupt in time, and its process was ended")
            raise QueryTimeout(_late(deadline)) from unheeded
        except TooLarge:
            raise QueryError(_TOO_LARGE) from None
        except Crashed as error:
            raise QueryError(
                f"the query ended the process that answered it ({error}): it is nested too deeply, or needs more "
                f"memory than memory_limit allows"
            ) from None
        except Failed as error:
            self._tell(error.told)
            raised, cause = _error_of(error.told)
            raise raised from cause
        self._tell(told)
        return True

    def _snapshot(self, others: tuple[int, ...] = ()) -> bytes:
        """Return this moment of the store for another process, and those of others that it is to keep."""
        return pickled((self._moment, others, *self._of, self._arguments, _settings()))

    def _tell(self, told: Mapping[str, Any]) -> None:
        """Warn of what another process would have warned of, once."""
        for name, message in told.get("warnings", ()):
            if (name, message) not in self._told:
                self._told.add((name, message))
                warn(message, getattr(errors, name))

    def _named_in(self, words: str) -> _Named:
        """Return what a query may name: a false yes costs time, a false no that all is made."""
        # where the bootstrap is there once, a number without its name asks for it too
        by_keys = _KEYS.search(words) is not None or any(
            RESAMPLES in definition.asked_by for definition in self._defined
        )
        named = words if by_keys else _TEXT.sub("''", words)
        every_table = _CATALOG.search(words)
        tables = [table for table in self._tables if every_table or table.named_in(named)]
        wanted = f"{words} {RUN_NAME}" if tables else words
        by_run = _RUNS.search(words) is not None
        wanted = f"{wanted} {BY_RUN}" if by_run else wanted
        definitions = self._definitions if _LISTS.search(words) else needed(self._definitions, wanted)
        # about some runs, DuckDB reads their files alone, unless the rows of all are there already
        definitions = in_one_form(definitions, TOTALS.keys() - self._held if by_run else ())
        kinds = frozenset({"rows"} if tables else ())
        kinds = kinds.union(*(definition.kinds | definition.held & self._few for definition in definitions))
        if _FILES.search(words):
            kinds = EVERY_KIND
        return _Named(definitions, tables, kinds, NAMES.search(words) is not None, by_keys)

    def _prepared(self, named: _Named) -> duckdb.DuckDBPyConnection:
        """Return a cursor for which there is what a query may name, and which may read the files of that."""
        with self._making:
            if not named.kinds <= self._readable:
                self._begin(self._readable | named.kinds)
            self._define(named.definitions)
            self._view(named.tables)
            if named.functions:
                self._add_functions()
            if named.keys:
                self._add_keys()
            return self._con.cursor()

    def _answer(
        self,
        cursor: duckdb.DuckDBPyConnection,
        statement: str,
        params: Any,
        deadline: Deadline,
        take: Take | None,
    ) -> duckdb.DuckDBPyRelation:
        with deadline.running(), _stopped(cursor, deadline):
            relation = cursor.sql(statement, params=params) if params else cursor.sql(statement)
            if relation is None:
                raise QueryError("the query returns no rows: one SELECT is needed")
            # a relation runs when it is fetched: where it has limits, it runs here, and what it reaches is explained
            if take is None and self._is_unlimited(deadline):
                return relation
            reader = relation.to_arrow_reader(BATCH)
            if take is not None:
                take(reader.schema, self._within(reader))
                return relation
            return cursor.from_arrow(pa.Table.from_batches(list(self._within(reader)), reader.schema))

    def _is_unlimited(self, deadline: Deadline) -> bool:
        return deadline.timeout is None and self._most is None

    def _within(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """Yield all rows. DuckDB's limit does not count what it has handed over, so that is counted here."""
        size = 0
        try:
            for batch in reader:
                size += batch.nbytes
                if self._most is not None and size > self._most:
                    raise QueryError(_TOO_LARGE)
                yield batch
        except (OSError, pa.ArrowException) as error:  # what DuckDB raises goes through Arrow
            kind = duckdb.OutOfMemoryException if "Out of Memory" in str(error) else duckdb.Error
            raise kind(str(error)) from error

    def _check_functions(self, sql: str) -> bool:
        """Check what a query calls; return whether it asks for sums and nothing else."""
        known = self._passed.get(sql)
        if known is None:
            known = check_functions(self._con.cursor(), sql)
            if len(self._passed) >= PASSED:
                self._passed.clear()
            self._passed[sql] = known
        return known

    def _define(self, definitions: Sequence[Definition]) -> None:
        """Make views and macros of every store that are not there yet.

        DuckDB looks at everything that a macro is built upon when it is made, which with thousands of files takes
        longer than the query: the files come last.
        """
        new = [definition for definition in definitions if definition not in self._defined]
        for kind in frozenset[str]().union(*(definition.held for definition in new)) - self._held:
            self._hold(kind)
        for definition in new:
            self._con.cursor().execute((definition.stub or definition.make)())
        for definition in new:
            if definition.stub is not None:
                self._con.cursor().execute(definition.make())
        self._defined.update(new)
        if any(definition.name == "maskl_row_keys" for definition in new):
            self._keyed = 0

    def _hold(self, kind: str) -> None:
        """Make the table that has the rows of all parts of a kind."""
        name, parts = f"held_{kind}", self._listing.of(kind)
        table = f"CREATE OR REPLACE TABLE {held_table(kind)} AS FROM"
        cursor = self._con.cursor()
        if kind in self._few:
            cursor.execute(f"{table} {source(self._layout, parts, kind)}")
        else:
            cursor.register(name, HELD.rows(parts, partial(self._read, kind)))
            cursor.execute(f"{table} {name}")
            cursor.unregister(name)
        self._held.add(kind)

    def _read(self, kind: str, parts: Sequence[Sealed]) -> pa.Table:
        """Return the rows of some parts of a kind; where their order need not be kept, DuckDB takes half the time."""
        read_files(self._layout, replace(self._listing, parts=tuple(parts)), {kind})
        with duckdb.connect(config=_PLAIN | {"preserve_insertion_order": "false"}) as connection:
            return connection.sql(f"FROM {source(self._layout, parts, kind)}").to_arrow_table()

    def _view(self, tables: Sequence[NamedTable]) -> None:
        """Make views of logged tables that are not there yet; warn once of what is odd in one."""
        for table in tables:
            if table.name not in self._made:
                view = table.view(self._layout.files)
                for statement in view.statements(self._taken()):
                    self._con.cursor().execute(statement)
                self._made[table.name] = view
                if table.name not in self._warned:
                    self._warned.add(table.name)
                    view.warn()

    def _check_names(self, class_map: Mapping[str, str]) -> None:
        cursor = self._prepared(self._named_in("class_totals"))
        rows = cursor.execute("SELECT DISTINCT class_name FROM stored.class_totals").fetchall()
        unknown = class_map.keys() - {name for (name,) in rows}
        if unknown:
            warn(f"the class map names classes that no mask has: {', '.join(sorted(unknown))}", ClassMapWarning)

    def _add_keys(self) -> None:
        """Make the macro that compare_rows matches rows by; it opens a file of each table that was named."""
        if self._keyed != len(self._made):
            self._con.cursor().execute(row_keys(list(self._made.values())))
            self._keyed = len(self._made)

    def _add_functions(self) -> None:
        """Make the pixel-level functions; they cost a few milliseconds, so only for queries that name them."""
        if not self._has_functions:
            self._has_functions = True
            for function in FUNCTIONS:
                parameters: list[Any] = list(function.parameters)
                # on the connection itself: what a cursor registers may go with the cursor
                self._con.create_function(
                    function.name, function.call, parameters, function.returns, type=ARROW, null_handling=SPECIAL
                )
            self._con.cursor().execute(MACRO)
            if self._exact:  # what DuckDB imports for its first call is no time of the query's
                self._con.cursor().execute("SELECT mask_area(NULL, 1)").fetchall()

    def _taken(self) -> set[str]:
        rows = self._con.cursor().execute("SELECT view_name FROM duckdb_views() WHERE schema_name = 'main'").fetchall()
        return {*VIEWS, *(str(name).casefold() for (name,) in rows)}


class _Later(Exception):  # never leaves this module
    """What is wrong with a query is said when its rows are fetched."""


def _answer_now(cursor: duckdb.DuckDBPyConnection, statement: str) -> duckdb.DuckDBPyRelation:
    """Return the few rows of a query. DuckDB plans a relation when it is made and when it is fetched, this once."""
    try:
        relation = cursor.sql(f"CALL query({quote_text(statement)})")
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        raise _Later from error
    assert relation is not None  # noqa: S101  # a SELECT has rows
    return relation


def _rows_of(stream: bytearray) -> pa.Table:
    return pa.ipc.open_stream(pa.py_buffer(stream)).read_all()


def _limit(con: duckdb.DuckDBPyConnection, memory: str) -> int:
    """Bound the memory of a connection, and return the bound in bytes."""
    try:
        con.execute(f"SET memory_limit = {quote_text(str(memory))}")
        ((text,),) = con.execute("SELECT current_setting('memory_limit')").fetchall()
        number, unit = text.split()
        most = int(float(number) * 1024 ** UNITS.index(unit))  # a negative size is none, in a larger unit
    except (duckdb.Error, ValueError) as error:
        raise InvalidValue(f"memory_limit must be a size such as '500MB'; got {memory!r:.40}") from error
    con.execute("SET temp_directory = ''")
    return most


def _lock(con: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
    """Forbid a connection everything but reading these files."""
    for name in _PATHS:
        con.execute(f"SET {name} = {quote_text(_NOWHERE)}")
    con.execute(f"SET allowed_paths = [{', '.join(map(quote_text, paths))}]")
    con.execute("SET python_enable_replacements = false")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")


@contextlib.contextmanager
def _stopped(cursor: duckdb.DuckDBPyConnection, deadline: Deadline) -> Iterator[None]:
    """Stop what runs on a cursor when its time is over."""
    left = deadline.left
    if left is None:
        yield
        return
    late = False

    def stop() -> None:
        nonlocal late
        late = True
        cursor.interrupt()

    timer = Timer(left, stop, again=REPEAT)  # what had not begun did not notice
    try:
        yield
    except duckdb.Error as error:
        if late:
            raise QueryTimeout(_late(deadline)) from error
        raise
    finally:
        timer.end()


def _settings() -> tuple[int, bool, list[str]]:
    """Return what was chosen in this process that the answer of another one depends on."""
    modules = {type(codec).__module__ for codec in known()}
    return max_mask_pixels(), checks_hashes(), sorted(name for name in modules if not name.startswith(CODECS))


def _late(deadline: Deadline) -> str:
    return f"the query took more than {deadline.timeout:g} seconds and was stopped"


def _error_of(told: Mapping[str, Any]) -> tuple[BaseException, BaseException | None]:
    """Return the error that another process raised, and its cause."""
    name, message = told["error"], told["message"]
    kind: Any = getattr(errors, name, None) or getattr(builtins, name, None) or getattr(duckdb, name, QueryError)
    error: BaseException = kind(message)
    cause = told.get("cause")
    return error, None if cause is None else getattr(duckdb, cause[0], RuntimeError)(cause[1])


def _strings(params: Any) -> list[str]:
    values = params.values() if isinstance(params, Mapping) else params if isinstance(params, list | tuple) else ()
    return [value for value in values if isinstance(value, str)]

"""Importing: a source becomes runs that are in the store whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from maskl.formats import format_of, load, names
from maskl.importing._destination import Destination
from maskl.importing._files import Files
from maskl.importing._tables import build_table
from maskl.interchange.choices import ImportFormat
from maskl.interchange.options import ImportOptions, check_heeded
from maskl.interchange.problems import Problems
from maskl.interchange.progress import progress as shown_progress
from maskl.interchange.records import WRONG, About, Block, Record, RunFiles, Scalars, Version
from maskl.interchange.source_files import noting
from maskl.interchange.unused import unused_files
from maskl.runs.run import Run
from maskl_storage.catalog.layout import find_store, locate
from maskl_storage.errors import (
    CorruptData,
    EncodingError,
    InvalidValue,
    LeftOutWarning,
    NotFound,
    StateError,
    StorageError,
    StoreNotFound,
    warn,
)

__all__ = ["Imported", "import_dataset"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to; :func:`maskl.import_dataset` returns it.

    Parameters
    ----------
    runs : tuple of str
        The ids of the runs that are new.
    rows : mapping of str to int
        How many rows each table took, by its name.
    skipped : int
        How many bad rows or files were left out.
    problems : tuple of str
        What was wrong with them, each with file and row: at most the first 1,000.
    unused : tuple of str
        What of the source was not imported though nothing is wrong with it, each with a count and an example: files
        that were not read, images without masks, annotations without pixels, keys that maskl has no place for.
    """

    runs: tuple[str, ...]
    rows: Mapping[str, int]
    skipped: int = 0
    problems: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def import_dataset(
    source: str | os.PathLike[str],
    format: ImportFormat | str | None = None,  # noqa: A002  # what users type
    *,
    dir: str | os.PathLike[str] | None = None,  # noqa: A002  # the name that init() has
    run: str | None = None,
    name: str | None = None,
    table: str | None = None,
    step: int | None = None,
    images: str | os.PathLike[str] | None = None,
    masks: str | Sequence[str] = (),
    classes: str | os.PathLike[str] | None = None,
    staging: str | os.PathLike[str] | None = None,
    follow_links: bool = False,
    skip_bad: bool = False,
    progress: bool | None = None,
) -> Imported:
    """Import a dataset as a new run, or as several where it holds several: all of it, or nothing.

    Parameters
    ----------
    source : path-like
        A file or folder.
    format : str, optional
        ``wandb``, ``huggingface``, ``parquet``, ``arrow``, ``coco-panoptic``, ``coco-rle``, ``png``, ``cityscapes``,
        ``folders``, or one that was :func:`registered <maskl.formats.register>`; by default what the source
        looks like.
    dir : path-like, optional
        The store, or the directory that holds it or is to hold it; by default ``$MASKL_DIR``, else the store
        found upward from the working directory, else a new one in it.
    run, name : str, optional
        The id and the name of the new run; by default what the source says, else its own name.
    table : str, optional
        The table's name; by default what the source says, else the source's own name.
    step : int, optional
        The step of every row; by default what the source says, else 0.
    images : path-like, optional
        Where images are: for ``folders`` a folder or a pattern with ``*``, counted from the source; for COCO
        a folder. By default ``images``.
    masks : str or sequence of str, optional
        What masks are, where the source does not say so: of tables, columns of images, over the first other
        column of images; of ``folders``, folders or patterns with ``*``, each perhaps after ``KEY=``, by
        default ``masks``.
    classes : path-like, optional
        A JSON file of the classes of the masks of ``folders``, ``png`` and ``cityscapes``, and of those that ``masks``
        names of tables: a list of objects with ``id``, ``name`` and perhaps ``color`` and ``ignore``, or an object of
        names by id. By default what is in the source.
    staging : path-like, optional
        Where the files of W&B's artifacts are; by default in W&B's own folder, or beside the run.
    follow_links : bool, optional
        Whether links below the source are followed, wherever they lead: say so of a source that you trust. By
        default they are refused; what you name yourself may be a link.
    skip_bad : bool, optional
        Whether bad rows, and files and runs that cannot be read, are left out, counted and listed, instead of ending
        the import.
    progress : bool, optional
        Whether to count the rows on standard error; by default where that is a terminal.

    Returns
    -------
    Imported
        ``runs``, the ids of the new runs; ``rows`` of each table; how many bad rows were ``skipped``, and what
        their ``problems`` were; what of the source was ``unused``.

    Raises
    ------
    NotFound
        There is nothing at the source's path.
    InvalidType, InvalidValue, CorruptData, UnsupportedVersion
        A source of no known format, or that is wrong somewhere; the message names file and row. Or an option that the
        format does not heed; the message says which formats do. Nothing of it is then in the store.

    Warns
    -----
    LeftOutWarning
        Images have no mask where the format has them, or annotations are none that a mask can be made of.

    Examples
    --------
    >>> import tempfile, maskl
    >>> folder = tempfile.mkdtemp()
    >>> with maskl.init(name="one", dir=folder) as run:
    ...     run.log({"losses": maskl.Table(["loss"], [[0.5], [0.25]])})
    >>> exported = maskl.open(folder).export("losses", folder + "/losses.parquet")
    >>> imported = import_dataset(exported.path, dir=folder + "/other", table="copy")
    >>> dict(imported.rows), imported.skipped
    ({'copy': 2}, 0)
    >>> maskl.open(folder + "/other").table("copy")[1]["loss"]
    0.25
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise NotFound(f"there is no file or folder {path} to import")
    options = ImportOptions(
        table=table,
        step=step,
        images=None if images is None else os.fspath(images),
        masks=(masks,) if isinstance(masks, str) else tuple(masks),
        classes=None if classes is None else Path(classes),
        staging=None if staging is None else Path(staging),
        follow_links=follow_links,
    )
    form = format_of(path) if format is None else load(format, "read")
    assert form.read is not None  # noqa: S101  # else it is not loaded for this
    check_heeded(options, form.heeds, form.name, lambda: {other: load(other, "read").heeds for other in names("read")})
    if options.classes is not None and not options.classes.exists():
        raise NotFound(f"there is no file {options.classes} of classes (--classes)")
    problems = Problems(skip_bad)
    root = _store(dir)
    destination = Destination(root)
    session = _Session(destination, Files(root, problems), path, options, problems, run, name)
    try:
        with noting() as opened, shown_progress("importing", unit="rows", shown=progress) as bar:
            for record in form.read(path, options, problems):
                bar.advance(session.take(record))
        session.finish()
        files = [] if form.holds_copies else unused_files(path, opened, options.images, links=follow_links)
        loud = problems.lines(warned=True)
        if loud:
            warn(f"{path}: {'; '.join(loud)}", LeftOutWarning)
        runs = destination.commit()
    except RecursionError as error:
        raise CorruptData(f"{path}: something in it is nested too deep to be meant") from error
    finally:
        destination.close()
    unused = (*problems.lines(), *files)
    return Imported(tuple(runs), dict(session.rows), problems.count, tuple(problems.messages), unused)


def _store(directory: str | os.PathLike[str] | None) -> Path:
    try:
        return find_store(directory)
    except StoreNotFound:
        return locate(directory)


@dataclass
class _Session:
    """The runs of one import while it is under way."""

    destination: Destination
    files: Files
    source: Path
    options: ImportOptions
    problems: Problems
    run_id: str | None
    name: str | None
    rows: dict[str, int] = field(default_factory=dict)
    _runs: dict[str, tuple[Run, About]] = field(default_factory=dict)
    _tables: set[str] = field(default_factory=set)
    #: runs that could not be begun, whose records are left out
    _refused: set[str] = field(default_factory=set)

    def take(self, record: Record) -> int:
        """Log a record to its run, and return how many rows it brought."""
        if isinstance(record, About):
            if record.run in self._runs:
                raise InvalidValue(f"{self.source}: run {record.run!r} is described twice, or after its rows")
            self._check_names()
            try:
                self._begin(record)
            except WRONG as error:
                self.files.refuse(record.run or str(self.source), error)
                self._refused.add(record.run)
            return 0
        if record.run in self._refused:
            return 0
        run = self._run(record.run)
        if isinstance(record, Scalars):
            self._note(run, record)
        elif isinstance(record, Version):
            self.files.log(run, record)
        elif isinstance(record, RunFiles):
            self.files.keep(run, record)
        else:
            return self._log(run, record)
        return 0

    def finish(self) -> None:
        """End every run; a source without any is an error."""
        if not self._runs:
            why = f": {self.problems.messages[0]}" if self.problems.messages else ""
            raise InvalidValue(f"{self.source} holds nothing to import{why}")
        for option in () if self.rows or self.problems.count else ("table", "step"):
            if getattr(self.options, option) is not None:
                raise InvalidValue(f"{self.source} holds no table: leave {option!r} out (--{option})")
        for key, (run, about) in self._runs.items():
            self.destination.finish(run, about, partial(self._refuse, key or str(self.source)))

    def _refuse(self, where: str, what: str, error: Exception) -> None:
        self.files.refuse(f"{where}, {what}", error)

    def _note(self, run: Run, record: Scalars) -> None:
        """Log scalars; where bad rows are left out, each for itself if they cannot be logged together."""
        try:
            with self.destination.storing(run, record.time):
                run.log(record.values, step=record.step)
        except WRONG as error:
            if not self.problems.skip or len(record.values) == 1 or isinstance(error, StorageError | StateError):
                self.files.refuse(record.file or str(self.source), error)
                return
            for name, value in record.values.items():
                self._note(run, replace(record, values={name: value}))

    def _log(self, run: Run, block: Block) -> int:
        name = self.options.table or block.table or _stem(self.source)
        step = block.step if self.options.step is None else self.options.step
        with self.destination.storing(run, block.time):
            try:
                table = build_table(block, self.problems)
            except WRONG as error:
                if not self.problems.skip:  # it says where
                    raise
                self.files.refuse(block.file or str(self.source), error)
                return 0
            try:
                run.log({name: table}, step=step)
            except WRONG as error:
                self.files.refuse(block.file or str(self.source), error)
                if not isinstance(error, EncodingError):  # which stores the other rows
                    return 0
        if self.options.table is not None:
            self._tables.add(block.table)
            if len(self._tables) > 1:
                raise InvalidValue(f"{self.source} holds several tables, so that --table cannot name them")
        self.rows[name] = self.rows.get(name, 0) + len(table)
        return len(table)

    def _run(self, key: str) -> Run:
        if key not in self._runs:
            self._check_names()
            self._begin(About(run=key, name=key or None))
        return self._runs[key][0]

    def _check_names(self) -> None:
        if self._runs and (self.run_id is not None or self.name is not None):
            raise InvalidValue(f"{self.source} holds several runs, so that --run and --name cannot name them")

    def _begin(self, about: About) -> None:
        name = self.name or about.name or self.run_id or about.run_id or _stem(self.source)
        run = self.destination.run(about, name, self.run_id)
        self._runs[about.run] = (run, about)


def _stem(source: Path) -> str:
    """Return the name that a source gives what it does not name."""
    return source.resolve().stem or "imported"

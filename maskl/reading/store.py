"""The read side: stores opened for questions and rows."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from maskl.formats import name_for
from maskl.interchange.choices import ExportFormat, ImageFiles, MaskForm
from maskl.interchange.options import ExportOptions
from maskl.reading._scoring import ScoredStore
from maskl.reading.export import Exported, export_selection
from maskl.reading.metrics import (
    Answer,
    By,
    Group,
    Steps,
    check_exclude,
    metrics_query,
    registered_metrics,
    warn_left_out,
    with_registered,
)
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.disk.futures import Pool
from maskl_storage.errors import InvalidType, InvalidValue, NotFound, QueryError
from maskl_storage.format.union_names import masks_of
from maskl_storage.lazy import LazyModule

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    import maskl.artifacts.artifact as artifacts
    import maskl.artifacts.logging as logging
    import maskl.reading._comparison as comparison
    import maskl.reading._history as history
    import maskl.reading.table as stored
    from maskl.images.image import Image
    from maskl_storage.read.table import StoredImage
else:
    # who lists runs and tables needs none of these
    duckdb, pa = LazyModule("duckdb"), LazyModule("pyarrow")
    stored = LazyModule("maskl.reading.table")
    artifacts, logging = LazyModule("maskl.artifacts.artifact"), LazyModule("maskl.artifacts.logging")
    history, comparison = LazyModule("maskl.reading._history"), LazyModule("maskl.reading._comparison")

__all__ = ["Store", "StoredRun", "open"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StoredRun:
    """A run of a store, as it stood there when it was asked for; :meth:`maskl.Store.run` returns it.

    Parameters
    ----------
    store : Store
        The store.
    info : RunInfo
        All that is known of the run: what is below, and its group, job type, tags, notes and times.
    """

    store: Store
    info: RunInfo

    @property
    def id(self) -> str:
        """The run's id."""
        return self.info.run_id

    @property
    def name(self) -> str:
        """The run's name."""
        return self.info.name

    @property
    def state(self) -> str:
        """``running``, ``finished`` or ``failed``."""
        return self.info.state

    @property
    def config(self) -> Mapping[str, Any]:
        """What the run was configured with."""
        return self.info.config

    @property
    def summary(self) -> Mapping[str, Any]:
        """The run's summary; histograms in it are :class:`maskl.Histogram`, kept media of their classes."""
        return history.summary_of(self.store._layout.files, dict(self.info.summary))

    def history(self) -> pa.Table:
        """Return what the run logged beside tables, in order: columns ``_step, _timestamp, key, value, text, form``."""
        query = "SELECT _step, _timestamp, key, value, text, form FROM history WHERE run_id = ? ORDER BY _row"
        return self.store.sql(query, [self.id]).to_arrow_table()

    def values(self, key: str) -> list[tuple[int, Any]]:
        """Return the step and the value of what the run logged under a name, in order.

        Numbers are floats, integers that no float holds exactly are ints, histograms are :class:`maskl.Histogram`, and
        kept media such as :class:`maskl.Html`, whose ``read()`` gives their bytes.

        Examples
        --------
        >>> import tempfile, maskl
        >>> with maskl.init(name="one", dir=tempfile.mkdtemp()) as run:
        ...     run.log({"loss": 0.5, "grads": maskl.Histogram([1, 2, 2, 3], num_bins=2)})
        ...     stored = maskl.open().run("one")
        >>> stored.values("loss"), stored.values("grads")
        ([(0, 0.5)], [(0, Histogram(np_histogram=([1, 3], [1.0, 2.0, 3.0])))])
        """
        query = "SELECT _step, value, text, form FROM history WHERE run_id = ? AND key = ? ORDER BY _row"
        found = self.store.sql(query, [self.id, key]).fetchall()
        files = self.store._layout.files
        return [(step, history.logged_value(files, *row)) for step, *row in found]

    def __repr__(self) -> str:
        return f"<StoredRun {self.id!r} {self.state}>"


class Store(ScoredStore):
    """A store opened for reading, with rows decoded to :class:`maskl.Image` and plain values."""

    @property
    def _table_type(self) -> type[stored.StoredTable]:
        return stored.StoredTable

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

        Raises
        ------
        NotFound
            There is no such table or run, or the run logged no such table.
        """
        rows = super().table(name, run, step)
        assert isinstance(rows, stored.StoredTable)  # noqa: S101  # what _table_type makes
        return rows

    def run(self, name: str) -> StoredRun:  # type: ignore[override]  # richer than what the format knows
        """Return the run with this id, name, or unique prefix of its id."""
        return StoredRun(self, super().run(name))

    def artifact(self, name: str, project: str | None = None) -> artifacts.Artifact:
        """Return a version of an artifact.

        Parameters
        ----------
        name : str
            ``name`` for the highest version, ``name:alias`` or ``name:v3``; with a project ``project/name:alias``.
        project : str, optional
            The project of a name that has none; by default the store's, where it was opened for one.

        Raises
        ------
        NotFound
            There is no such artifact or version; the message names those that there are.
        """
        layout = self._layout
        return artifacts.Artifact._of(layout, logging.find(layout, name, project or self._project))

    def metrics(
        self,
        table: str,
        truth: str = "ground_truth",
        prediction: str = "predictions",
        by: Group | Iterable[Group] = ("run", "step", "class"),
        *,
        step: Steps | None = None,
        exclude: Collection[str] = (),
        class_map: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return metrics of a logged table, as the SQL macros define them; see ``docs/metrics.md``.

        Parameters
        ----------
        table : str
            The logged table.
        truth, prediction : str, optional
            The keys of the masks to compare.
        by : sequence of str, optional
            What there is a row for: some of ``"run"``, ``"step"``, ``"class"`` and ``"row"`` (a logged
            row, which names its run and step too). Image columns are always told apart. Counts are
            summed over what is not named, and divided once.
        step : int or {'each', 'last', 'all'}, optional
            The steps to count: by default each by itself where ``by`` names ``"step"`` or ``"row"``,
            else each run's last one, so that epochs are not summed by accident.
        exclude : sequence of str, optional
            Classes to leave out; their pixels still count as errors of others.
        class_map : dict of str to str, optional
            Other names for classes; see :meth:`sql`.

        Returns
        -------
        Answer
            An Arrow table with ``to_pandas()`` and ``to_polars()``. With classes: ``iou, dice, recall,
            precision, tp, fp, fn`` (DOUBLE and BIGINT pixels); else ``mean_iou, mean_dice,
            mean_accuracy, frequency_weighted_iou, pixel_accuracy``; then what was registered with
            :func:`maskl.metrics.register` and needs no more than such counts. 0 / 0 is null. Last, unless ``by`` names
            ``"row"``, ``n_rows`` and ``n_left_out``: the rows that were counted, and those whose masks could not be
            compared, since they differ in size or one is missing.

        Raises
        ------
        NotFound
            There is no such table, no such pair of masks in it, or no such class to exclude.
        QueryError
            The masks have no class name in common.

        Warns
        -----
        RowsLeftOutWarning
            Some rows are in no number.
        """
        self.table(table)  # raises an error that names the tables there are
        by = [by] if isinstance(by, str) else list(by)
        names = {"t": table, "truth": truth, "prediction": prediction}

        def ask(query: str, parameters: dict[str, Any]) -> pa.Table:
            return self._asked(query, names | parameters, class_map)

        query, parameters = metrics_query(by, step, exclude)
        self._check_masks(table, truth, prediction)
        found = ask(query, parameters)
        if not found.num_rows:
            raise NotFound(self.why_nothing(table, (truth, prediction), parameters["step"]))
        warn_left_out(table, found.column_names, lambda name: found[name].to_pylist())
        if exclude:
            self._check_classes(table, exclude, class_map)
        if more := registered_metrics(found):
            counted = ask(*metrics_query([*by, "class"], parameters["step"], ()))
            found = with_registered(found, counted, more, exclude)
        return Answer(found)

    def compare(
        self,
        table: str,
        run_a: str,
        run_b: str,
        truth: str = "ground_truth",
        prediction: str = "predictions",
        by: By = "class",
        *,
        step: Steps = "last",
        exclude: Collection[str] = (),
        key: str | None = None,
        class_map: Mapping[str, str] | None = None,
        resamples: int = 0,
    ) -> Answer:
        """Compare two runs, as the SQL macros ``compare_classes`` and ``compare_means`` do; see ``docs/metrics.md``.

        Parameters
        ----------
        table : str
            The logged table.
        run_a, run_b : str
            The run to compare with, and the one that is compared: by id, name or unique prefix of an id.
        truth, prediction : str, optional
            The keys of the masks to compare.
        by : {'class', 'mean'}, optional
            What there is a row for: each class, or each mean over the classes.
        step : int or {'each', 'last', 'all'}, optional
            The steps to count; ``"last"`` compares the runs' last steps, whatever their numbers.
        exclude : sequence of str, optional
            Classes to leave out of the means; only with ``by="mean"``.
        key : str, optional
            Match rows for the intervals by this column; by default by the table's primary key, else its inputs, else
            the image.
        class_map : dict of str to str, optional
            Other names for classes; see :meth:`sql`.
        resamples : int, optional
            How many resamples of the paired bootstrap the intervals are from; 0 is none, and 1,000 are usual.

        Returns
        -------
        Answer
            An Arrow table: ``iou_a, iou_b`` of each class, or ``mean_a, mean_b`` of each metric, ``change``, and of it
            ``change_low, change_high``, between which it is with 95 %, over ``n_matched`` rows that are in both runs.
            With fewer than two such rows both are null.

        Raises
        ------
        NotFound
            There is no such table, run, step, pair of masks, or class to exclude.
        QueryError
            Rows cannot be matched, or masks have no class name in common.
        InvalidType, InvalidValue
            ``resamples``, ``by`` or ``exclude`` is none, or belongs to what is not asked for.

        Warns
        -----
        RowsLeftOutWarning
            Some rows are in no number.

        Examples
        --------
        >>> import tempfile, numpy as np, maskl
        >>> def log(name, predictions):
        ...     with maskl.init(name=name, dir=folder) as run:
        ...         for row, predicted in enumerate(predictions):
        ...             masks = {"ground_truth": [[0, 1]], "predictions": predicted}
        ...             masks = {key: {"mask_data": np.array(mask)} for key, mask in masks.items()}
        ...             table.add_data(maskl.Image(np.full((1, 2), row, np.uint8), masks=masks))
        ...         run.log({"t": table})
        >>> folder = tempfile.mkdtemp()
        >>> for name, worse in (("main", [[0, 1]]), ("candidate", [[0, 0]])):
        ...     table = maskl.Table(["image"])
        ...     log(name, [[[0, 1]], worse, worse])
        >>> answer = maskl.open(folder).compare("t", "main", "candidate", by="mean", resamples=200)
        >>> place = list(answer["metric"]).index("mean_iou")
        >>> round(answer["change"][place], 3), answer["n_matched"][place]
        (-0.533, 3)
        """
        query = comparison.comparison_query(by)
        count = comparison.check_resamples(resamples)
        check_exclude(exclude)
        if exclude and by == "class":
            raise InvalidValue("exclude leaves classes out of means: compare with by='mean', or leave it out")
        self._read()
        ids = [self._layout.run(name, self._chosen()).run_id for name in (run_a, run_b)]
        for name in ids:
            self._rows(table, name)
        self._check_masks(table, truth, prediction)
        masks = {"truth": truth, "prediction": prediction, "step": step}
        names = {"t": table, "a": ids[0], "b": ids[1], **masks}
        excluded = {"exclude": list(exclude)} if by == "mean" else {}
        pool = Pool(1)  # half of the time is DuckDB's, which plans one query while it answers another
        try:
            resampling = (
                pool.submit(partial(self._resampled, count, names | {"key": key}, class_map)) if count else None
            )
            found = self._asked(query, names | excluded, class_map)
            if not found.num_rows:
                raise NotFound(self.why_nothing(table, (truth, prediction), step))
            warn_left_out(table, found.column_names, lambda name: found[name].to_pylist())
            if exclude:
                self._check_classes(table, exclude, class_map)
            if resampling is not None:
                found = comparison.with_intervals(found, resampling.result(), by, exclude, step)
        finally:
            pool.end(cancel=True)
        return Answer(found)

    def _resampled(
        self, count: int, names: dict[str, Any], class_map: Mapping[str, str] | None
    ) -> comparison.Resampled:
        """Return the sums of so many resamples of the rows that two runs have both."""
        draws = self._asked("FROM maskl_draws($n)", {"n": count}, class_map)
        try:
            return comparison.resampled(draws, self.sql(comparison.units_query(), names, class_map=class_map))
        except (OSError, pa.ArrowException, duckdb.InvalidInputException) as error:
            raise QueryError(str(error).removeprefix("Invalid Input Error: ")) from error

    def _asked(self, query: str, parameters: dict[str, Any], class_map: Mapping[str, str] | None) -> pa.Table:
        """Return the answer of a query of this module's own, whose errors are those of the data."""
        try:
            return self.sql(query, parameters, class_map=class_map).to_arrow_table()
        except duckdb.InvalidInputException as error:
            raise QueryError(str(error).removeprefix("Invalid Input Error: ")) from error

    def _check_masks(self, table: str, *masks: str) -> None:
        """Raise NotFound for a mask that a table has not, in any of the runs that are seen."""
        known = {key for sealed in self._listing.of("rows", table) for _, key in masks_of(sealed.part.columns)}
        for mask in masks:
            if mask not in known:
                raise NotFound(_no_mask(table, mask, sorted(known)))

    def export(
        self,
        table: str | None = None,
        dest: str | os.PathLike[str] | None = None,
        format: ExportFormat | str | None = None,  # noqa: A002  # what users type
        *,
        sql: str | None = None,
        params: Any = None,
        run: str | None = None,
        step: int | Literal["last"] | None = None,
        where: str | None = None,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        masks: MaskForm | None = None,
        images: ImageFiles | None = None,
        instances: bool = False,
        image: str | None = None,
        mask: str | None = None,
        force: bool = False,
        progress: bool | None = None,
    ) -> Exported:
        """Write rows as files of another format; ``docs/exporting.md`` says which format keeps what.

        Parameters
        ----------
        table : str
            The logged table.
        dest : path-like
            Where to: a folder, or one file where it ends in ``.parquet`` or ``.arrow``. It appears whole
            or not at all.
        format : str, optional
            ``parquet``, ``arrow``, ``huggingface``, ``coco-panoptic``, ``coco-rle``, ``coco-results``, ``png`` or
            ``cityscapes``; by default what ``dest`` ends in, else ``parquet``.
        sql : str, optional
            Instead of a table, one SELECT with the columns ``run_id``, ``table_name`` and ``_row``: these
            rows, each once, in its order.
        params : list or dict, optional
            Values for the query's parameters.
        run : str, optional
            One run, by id, name or unique prefix of its id.
        step : int or 'last', optional
            One step, or each run's last one.
        where : str, optional
            An SQL condition on the table's columns.
        columns : sequence of str, optional
            The columns to keep, images with all their masks; all by default.
        limit : int, optional
            How many rows at most.
        masks : {'maskl', 'png'}, optional
            How ``parquet`` and ``arrow`` write masks: in maskl's own bytes, which is the default, or as PNG.
        images : {'stored', 'portable'}, optional
            Whether ``parquet`` and ``arrow`` hold images as they are stored, which is the default, or JPEG XL as
            WebP or PNG, as the other formats do.
        instances : bool, optional
            Whether COCO's formats write each connected component by itself.
        image, mask : str, optional
            The image column and the mask's key for formats that hold one of them; by default the first
            column, and ``ground_truth`` or else the first key.
        force : bool, optional
            Whether to replace what stands at ``dest``.
        progress : bool, optional
            Whether to show a progress bar on standard error; by default where that is a terminal.

        Returns
        -------
        Exported
            ``path``, ``format``, ``rows``, ``size`` in bytes, ``dropped``: what the format cannot hold, with counts;
            and ``converted``: which images are in another format now.

        Raises
        ------
        NotFound
            There is no such table, run or column, or no row is chosen.
        QueryError
            The SQL is wrong.
        InvalidType, InvalidValue
            An argument is wrong, or there is something at ``dest``.

        Warns
        -----
        DroppedWarning
            The format cannot hold all of it.

        Examples
        --------
        >>> import tempfile, maskl
        >>> folder = tempfile.mkdtemp()
        >>> with maskl.init(name="one", dir=folder) as run:
        ...     run.log({"losses": maskl.Table(["loss"], [[0.5], [0.25]])})
        >>> exported = maskl.open(folder).export("losses", folder + "/low.parquet", where="loss < 0.4")
        >>> exported.rows, exported.format
        (1, 'parquet')
        """
        from maskl.interchange.selection import choose

        if dest is None:
            raise InvalidType("export() needs dest, the folder or file to write")
        options = ExportOptions(masks=masks, images=images, instances=instances, image=image, mask=mask, force=force)
        chosen = {"run": run, "step": step, "where": where, "columns": columns, "limit": limit}
        selection = choose(self, table, sql=sql, params=params, **chosen)  # type: ignore[arg-type]  # as annotated above
        return export_selection(selection, dest, format or name_for(dest), options, progress)

    def _check_classes(self, table: str, names: Collection[str], class_map: Mapping[str, str] | None) -> None:
        """Raise NotFound for a class that no mask of a table has."""
        query = (
            "SELECT DISTINCT class_name FROM class_totals WHERE table_name = $t AND class_name IS NOT NULL ORDER BY 1"
        )
        known = [name for (name,) in self.sql(query, {"t": table}, class_map=class_map).fetchall()]
        for name in names:
            if name not in known:
                classes = ", ".join(map(repr, known))
                raise NotFound(f"table {table!r} has no class {name!r} to exclude; its classes are: {classes}")

    def why_nothing(self, table: str, masks: Sequence[str], step: int | str) -> str:
        """Say why a table has no metrics of these masks."""
        query = "SELECT DISTINCT mask_key, _step FROM class_totals WHERE table_name = $t ORDER BY ALL"
        found = self.sql(query, {"t": table}).fetchall()
        keys = list(dict.fromkeys(key for key, _ in found))
        for mask in masks:
            if mask not in keys:
                return _no_mask(table, mask, keys)
        steps = sorted(set.intersection(*({number for key, number in found if key == mask} for mask in masks)))
        if not steps:
            return f"table {table!r} has {' and '.join(map(repr, masks))} in no step together"
        return (
            f"table {table!r} has no {' and '.join(map(repr, masks))} at step {step}; "
            f"its steps go from {steps[0]} to {steps[-1]}"
        )

    def _decode(self, image: StoredImage) -> Image:
        from maskl.images.image import Image

        digest = image.digest
        return Image.from_stored(image, lambda: self.image(str(digest)))


def _no_mask(table: str, mask: str, known: Sequence[str]) -> str:
    told = ", ".join(map(repr, known)) or "none with class statistics"
    return f"table {table!r} has no mask {mask!r}; its masks are: {told}"


def open(  # noqa: A001  # maskl.open() is what users type
    dir: str | os.PathLike[str] | None = None,  # noqa: A002  # as above
    project: str | None = None,
    runs: Sequence[str] | None = None,
) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    dir : path-like, optional
        The store, or the directory that holds ``maskl-store``; by default the store that this process
        logs to, else ``$MASKL_DIR``, else the one found upward from the working directory.
    project : str, optional
        See only the runs of this project.
    runs : sequence of str, optional
        See only these runs, by id, name or unique prefix of an id.

    Returns
    -------
    Store

    Raises
    ------
    StoreNotFound
        There is no store at that place.
    """
    return Store(dir, project, runs)

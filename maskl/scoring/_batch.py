"""The seam for engines: some rows with masks in, their scores out; nothing here knows who calls it, or where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from maskl.annotations.mask import ImageMask
from maskl.scoring._metrics import PixelMetric
from maskl_storage.errors import CorruptData, InvalidValue, MasklError, prefixed
from maskl_storage.format.metadata import ClassSet, Column
from maskl_storage.format.names import set_name
from maskl_storage.format.segments import parse_stored_segments
from maskl_storage.lazy import LazyModule

if TYPE_CHECKING:
    import pyarrow as pa

    from maskl_storage.format import schemas
else:
    pa, schemas = LazyModule("pyarrow"), LazyModule("maskl_storage.format.schemas")

__all__ = ["BatchScorer", "scores_of"]

#: whose rows, in front of the columns of a part of scores
RUN: Final = "run_id"
#: where a batch comes from, in messages
WHERE: Final = "the rows to score"


@dataclass(frozen=True, slots=True)
class BatchScorer:
    """Scores rows by some metrics; it can be pickled, and knows of no store.

    Parameters
    ----------
    metrics : tuple of PixelMetric
    image : str
        The image column, by its user's name.
    truth, prediction : str
        The keys of its masks.
    image_column : str
        What scores call the column: its name in SQL.
    """

    metrics: tuple[PixelMetric, ...]
    image: str
    truth: str
    prediction: str
    image_column: str

    def score_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the scores of some rows.

        Parameters
        ----------
        batch : pyarrow.RecordBatch
            Rows as they are stored: ``run_id``, ``_row`` and ``_step``, both masks with what belongs to them, and
            values, described by the schema's metadata.

        Returns
        -------
        pyarrow.RecordBatch
            ``run_id`` and the columns of *pixel_scores*. A row whose masks are not both there, differ in size, or have
            no class in common, has one for each metric with ``name`` and ``value`` NULL.

        Raises
        ------
        CorruptData
            A mask cannot be decoded.
        MasklError
            A metric of one's own returned something else than numbers.
        """
        columns = schemas.columns_of(batch.schema, WHERE)
        truths, predictions = (_masks(batch, columns, self.image, key) for key in (self.truth, self.prediction))
        rows = _values(batch, columns)
        made: list[tuple[Any, ...]] = []
        for place, row in enumerate(rows):
            head = (row[RUN], row["_row"], row["_step"], self.image_column, self.truth, self.prediction)
            try:
                truth, prediction = truths(place), predictions(place)
                for metric in self.metrics:
                    of = (*head, metric.name, metric.version, metric.params)
                    values = scores_of(metric, truth, prediction, row) or [(None, None, None)]
                    made += [(*of, *value) for value in values]
            except MasklError as error:
                raise prefixed(error, f"row {row['_row']} of run {row[RUN]!r}") from error
        schema = pa.schema([(RUN, pa.string()), *schemas.FIXED["pixel_scores"]])
        listed = zip(*made, strict=True) if made else [()] * len(schema)
        arrays = [pa.array(list(values), field.type) for values, field in zip(listed, schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def scores_of(
    metric: PixelMetric, truth: ImageMask | None, prediction: ImageMask | None, row: Mapping[str, Any]
) -> Sequence[tuple[str | None, str | None, float | None]]:
    """Return a metric's values of a row; none where its masks cannot be compared."""
    if truth is None or prediction is None or truth.shape != prediction.shape:
        return []
    try:
        return metric.values(truth, prediction, row)
    except InvalidValue:
        if metric.function is not None:
            raise
        return []  # no class in common: there is nothing else that a metric refuses of masks of one size


class _Stored:
    """The masks of one key in a batch, by the place of their row."""

    def __init__(self, key: str, layers: Sequence[tuple[Any, Any, Sequence[ClassSet]]], segments: Any) -> None:
        self._key, self._layers, self._segments = key, layers, segments

    def __call__(self, place: int) -> ImageMask | None:
        for data, numbers, sets in self._layers:
            value = data[place].as_py()
            if value is None:
                continue
            number = 0 if numbers is None else numbers[place].as_py() or 0
            if not number < len(sets):
                raise CorruptData(
                    f"class set {number} of mask {self._key!r} is not one of the {len(sets)} that there are"
                )
            found = None if self._segments is None else self._segments[place].as_py()
            segments = None if found is None else parse_stored_segments(found)
            return ImageMask.from_stored(value, self._key, sets[number], segments)
        return None


def _masks(batch: pa.RecordBatch, columns: Mapping[str, Column], image: str, key: str) -> _Stored:
    names = set(batch.schema.names)

    def of(kind: str) -> Iterator[str]:
        for name, column in columns.items():
            if column.kind == kind and column.name == image and column.key == key and name in names:
                yield name

    layers = [
        (batch[name], batch[set_name(name)] if set_name(name) in names else None, columns[name].class_sets)
        for name in of("mask")
    ]
    segments = next((batch[name] for name in of("segments")), None)
    return _Stored(key, layers, segments)


def _values(batch: pa.RecordBatch, columns: Mapping[str, Column]) -> list[dict[str, Any]]:
    """Return the plain values of each row by the user's names."""
    wanted = {name: column.name for name, column in columns.items() if column.kind == "value"}
    own = {name: name for name in (RUN, "_row", "_step")}
    there = {stored: name for stored, name in (wanted | own).items() if stored in batch.schema.names}
    cells = {name: batch[stored].to_pylist() for stored, name in there.items()}
    return [{name: values[place] for name, values in cells.items()} for place in range(batch.num_rows)]

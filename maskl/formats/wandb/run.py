"""W&B's offline runs: a run's folder, with the staging folder of its artifacts, becomes a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from maskl.formats.wandb._log_file import Message, read_log, set_items
from maskl.formats.wandb._media import Media
from maskl.formats.wandb._tables import Artifacts, read_table
from maskl.interchange.format import Format
from maskl.interchange.options import ImportOptions
from maskl.interchange.problems import Problems
from maskl.interchange.records import About, Block, Record, Scalars
from maskl.interchange.source_files import SourceFile, matching, named
from maskl.runs.config import plain
from maskl.tables.histogram import Histogram
from maskl_storage.errors import ConversionWarning, CorruptData, InvalidType, InvalidValue, MasklError, prefixed, warn

__all__ = ["FORMAT", "read", "sniff"]

#: numbers of the fields of a record, as W&B's protocol has them
HISTORY, SUMMARY, CONFIG, ARTIFACT, RUN, EXIT = 2, 3, 5, 8, 17, 18
#: of history and summary records: what is set, and what is removed or the step
ITEMS, REMOVED, STEP = 1, 2, 2
#: types of values in the history that are read; others are kept as JSON text
IMAGE: Final = "image-file"
IMAGES: Final = "images/separated"
TABLES: Final = ("table-file", "incremental-table-file")
MEDIA: Final = (IMAGE, IMAGES, *TABLES)
#: seconds from 1970 to the last moment that there is a date for
YEAR_9999: Final = 253_402_300_799
#: rows of a table that are logged at a time
ROWS: Final = 64


def sniff(source: Path) -> bool:
    """Whether this is a run's folder of W&B, one of such folders, or a transaction log."""
    try:
        return bool(_logs(source, links=False, strict=False))
    except InvalidValue:
        return False


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Read every run of a folder."""
    for log in _logs(source, links=options.follow_links, strict=True):
        yield from _Run(log, options, problems).records()


def _logs(source: Path, *, links: bool, strict: bool) -> list[SourceFile]:
    if source.is_file() and source.suffix == ".wandb":
        return [named(source)]
    # latest-run, which is a link to one of the others, is none of these
    logs = matching(source, "*.wandb", "*run-*/*.wandb", "wandb/*run-*/*.wandb", links=links, strict=strict)
    if logs:
        return logs
    raise InvalidValue(f"{source} holds no run of W&B: name a folder offline-run-…, or the folder wandb that holds it")


@dataclass
class _Found:
    """What the whole log says of a run."""

    run: Message | None = None
    exit: Message | None = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    #: the step at which each table that is replaced was logged last
    replaced: dict[str, int] = field(default_factory=dict)
    last: float | None = None


class _Run:
    """One run, read twice: what its end says of it stands before its rows."""

    def __init__(self, log: SourceFile, options: ImportOptions, problems: Problems) -> None:
        self._log, self._problems = log, problems
        self._artifacts = Artifacts(log, options.staging)
        self._kept_as_text: dict[str, int] = {}
        self._found = self._scan()
        self._key = str(log)
        labels = self._found.config.get("_wandb", {})
        self._media = Media(log, labels if isinstance(labels, dict) else {})

    def records(self) -> Iterator[Record]:
        """Yield what is known of the run, then its history in order."""
        yield self._about()
        for message in read_log(self._log):
            history = message.message(HISTORY)
            if history is not None:
                values: dict[str, Any] = {}
                set_items(values, history, ITEMS)
                step = history.message(STEP)
                for record in self._logged(values, 0 if step is None else step.number(1)):
                    yield replace(record, time=_stamp(values))
        for kind, count in self._kept_as_text.items():
            warn(
                f"{self._log}: {count} values of W&B's type {kind!r} are kept as JSON text in the history; their files "
                f"are not taken",
                ConversionWarning,
            )

    def _scan(self) -> _Found:
        found = _Found()
        for message in read_log(self._log):
            run = message.message(RUN)
            if run is not None:
                found.run = run
                set_items(found.config, run.message(4), 1, 2)
            set_items(found.config, message.message(CONFIG), 1, 2)
            set_items(found.summary, message.message(SUMMARY), ITEMS, REMOVED)
            found.exit = message.message(EXIT) or found.exit
            self._artifacts.add(message.message(ARTIFACT))
            history = message.message(HISTORY)
            if history is not None:
                self._note(found, history)
        if found.run is None:
            raise CorruptData(f"{self._log}: the log ends before it says which run it is of")
        return found

    def _note(self, found: _Found, history: Message) -> None:
        values: dict[str, Any] = {}
        set_items(values, history, ITEMS)
        stamp = _stamp(values)
        found.last = found.last if stamp is None else stamp / 1e6
        step = history.message(STEP)
        for name, value in _flat(values, ()):
            if isinstance(value, dict) and value.get("_type") in TABLES and value.get("log_mode") == "MUTABLE":
                found.replaced[name] = 0 if step is None else step.number(1)

    def _about(self) -> About:
        found = self._found
        assert found.run is not None  # noqa: S101  # else the scan raises
        run, started = found.run, found.run.message(17)
        begin = None if started is None else _time(started.number(1) + started.number(2) / 1e9)
        code = None if found.exit is None else found.exit.number(1)
        return About(
            run=self._key,
            run_id=run.text(1) or None,
            name=run.text(8) or run.text(1) or None,
            project=run.text(3) or None,
            group=run.text(6) or None,
            job_type=run.text(7) or None,
            notes=run.text(9) or None,
            tags=tuple(run.texts(10)),
            config={key: value for key, value in found.config.items() if key != "_wandb"},
            summary=_without_media({key: value for key, value in found.summary.items() if not key.startswith("_")}),
            state="killed" if code is None else "failed" if code else "finished",
            started=None if begin is None else begin.isoformat(timespec="microseconds"),
            finished=self._end(begin),
        )

    def _end(self, begin: datetime | None) -> str | None:
        runtime = None if self._found.exit is None else self._found.exit.number(2)
        ends = [] if self._found.last is None else [_time(self._found.last)]
        ends += [] if begin is None or runtime is None else [_time(begin.timestamp() + runtime)]
        return max(ends).isoformat(timespec="microseconds") if ends else None

    def _logged(self, values: dict[str, Any], step: int) -> Iterator[Block | Scalars]:
        scalars: dict[str, Any] = {}
        for name, value in _flat(values, ()):
            kind = value.get("_type") if isinstance(value, dict) else None
            if kind in (IMAGE, IMAGES):
                yield from self._images(name, value, step)
            elif kind in TABLES:
                yield from self._table(name, value, step)
            elif (histogram := _histogram(value)) is not None:
                scalars[name] = histogram
            elif value is not None:
                if kind is not None:
                    self._kept_as_text[str(kind)] = self._kept_as_text.get(str(kind), 0) + 1
                scalars[name] = value if kind is None else _text(value)
        if scalars:
            yield Scalars(scalars, step, self._key)

    def _images(self, name: str, value: dict[str, Any], step: int) -> Iterator[Block]:
        rows: list[list[Any]] = []
        for number, item in enumerate(self._media.items(value)):
            try:
                rows.append([self._media.image(name, item), number])
            except MasklError as error:
                self._problems.bad(self._log, number, prefixed(error, f"step {step}, {name!r}"))
        yield Block(name, ["image", "index"], rows, step, str(self._log), [row[1] for row in rows], run=self._key)

    def _table(self, name: str, value: dict[str, Any], step: int) -> Iterator[Block]:
        if self._found.replaced.get(name, step) != step:
            return  # logged again later, which replaced this
        where = f"{self._log}, step {step}, {name!r}"
        try:
            table = read_table(self._artifacts, value, self._media)
        except MasklError as error:
            self._problems.bad(where, None, error)
            return
        for start in range(0, max(len(table.rows), 1), ROWS):
            rows, numbers = [], []
            for number, row in enumerate(table.rows[start : start + ROWS], start):
                try:
                    rows.append(table.values(row, number))
                    numbers.append(number)
                except MasklError as error:
                    self._problems.bad(where, number, error)
            yield Block(name, table.columns, rows, step, where, numbers, table.types, self._key)


def _flat(values: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield each value that the user logged under the joined names of its keys."""
    for key, value in values.items():
        if not above and key.startswith("_"):
            continue
        path = (*above, key)
        if isinstance(value, dict) and "_type" not in value:
            yield from _flat(value, path)
        else:
            yield "/".join(path), value


def _without_media(values: dict[str, Any]) -> dict[str, Any]:
    """Return a summary without images and tables, which are in the tables here; its histograms are maskl's."""
    made: dict[str, Any] = {}
    for key, value in values.items():
        if (histogram := _histogram(value)) is not None:
            made[key] = plain(histogram, key)
        elif not isinstance(value, dict) or (value.get("_type") is not None and value["_type"] not in MEDIA):
            made[key] = value
        elif "_type" not in value and (inner := _without_media(value)):
            made[key] = inner
    return made


def _histogram(value: Any) -> Histogram | None:
    """Return the histogram that W&B's JSON stands for; None where it stands for none."""
    if not isinstance(value, dict) or value.get("_type") != "histogram":
        return None
    try:
        return Histogram(np_histogram=(value.get("values"), value.get("bins")))
    except (InvalidType, InvalidValue):
        return None


def _stamp(values: dict[str, Any]) -> int | None:
    """Return when values were logged, in microseconds since 1970."""
    stamp = values.get("_timestamp")
    return round(stamp * 1e6) if isinstance(stamp, int | float) and abs(stamp) < YEAR_9999 else None


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise CorruptData(f"a time {seconds} seconds from 1970 is none: {error}") from error


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


FORMAT: Final = Format("wandb", read=read, sniff=sniff, heeds=("staging", "follow_links"))

"""One run of W&B, of one transaction log or of several: what is said of it, its history, artifacts and files."""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from operator import itemgetter
from typing import Any, Final

from maskl.formats.wandb._artifacts import FILES, Artifacts
from maskl.formats.wandb._log_file import Message, read_log, set_items
from maskl.formats.wandb._media import KEPT, KEPT_LISTS, SHOWN, Media, as_described, histogram_of
from maskl.formats.wandb._tables import read_table
from maskl.interchange.options import ImportOptions
from maskl.interchange.problems import Problems
from maskl.interchange.records import WRONG, About, Block, Item, Record, RunFiles, Scalars
from maskl.interchange.source_files import SourceFile, found, walk
from maskl.runs.config import plain
from maskl_storage.errors import (
    ConversionWarning,
    CorruptData,
    InvalidValue,
    MasklError,
    NotStoredWarning,
    prefixed,
    warn,
)

__all__ = ["RUN", "Part", "Run"]

#: numbers of the fields of a record, as W&B's protocol has them
HISTORY, SUMMARY, CONFIG, NAMES, ARTIFACT, RUN, EXIT = 2, 3, 5, 6, 8, 17, 18
#: of history and summary records: what is set, and what is removed or the step
ITEMS, REMOVED, STEP = 1, 2, 2
#: types of values in the history that are read; others are kept as JSON text
IMAGE: Final = "image-file"
IMAGES: Final = "images/separated"
TABLES: Final = ("table-file", "incremental-table-file")
MEDIA: Final = (IMAGE, IMAGES, *TABLES, *KEPT, *KEPT_LISTS)
#: seconds from 1970 to the last moment that there is a date for
YEAR_9999: Final = 253_402_300_799
#: rows of a table that are logged at a time
ROWS: Final = 64

#: a step, the number of the log, the values by their joined names, and when they were logged
Row = tuple[int, int, dict[str, Any], int | None]


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


class Part:
    """What one log has of a run; it is read twice, since what its end says of the run stands before its rows.

    Parameters
    ----------
    log : SourceFile
        The log.
    options : ImportOptions
    problems : Problems
        Is told of records that cannot be read.
    """

    def __init__(self, log: SourceFile, options: ImportOptions, problems: Problems) -> None:
        self.log, self._problems = log, problems
        self.artifacts = Artifacts(log, options.staging)
        self.found = _Found()
        for number, message in enumerate(read_log(log, partial(problems.bad, log, None))):
            try:
                self._scan(message)
            except WRONG as error:
                problems.bad(f"{log}, record {number}", None, error)
        labels = self.found.config.get("_wandb", {})
        with as_described():
            self.media = Media(log, labels if isinstance(labels, dict) else {})
        if self.found.run is None:
            raise CorruptData("the log ends before it says which run it is of")
        self.begin: datetime | None = None
        self.end: datetime | None = None
        try:
            self.begin, self.end = self._times()
        except WRONG as error:
            problems.bad(log, None, error)

    def _scan(self, message: Message) -> None:
        found = self.found
        run = message.message(RUN)
        if run is not None:
            found.run = run
            set_items(found.config, run.message(4), 1, 2)
        set_items(found.config, message.message(CONFIG), 1, 2)
        set_items(found.summary, message.message(SUMMARY), ITEMS, REMOVED)
        found.exit = message.message(EXIT) or found.exit
        self.artifacts.add(message.message(ARTIFACT))
        self.artifacts.note_files(message.message(NAMES))
        history = message.message(HISTORY)
        if history is not None:
            step, values, stamp = _row(history)
            found.last = found.last if stamp is None else stamp / 1e6
            for name, value in values.items():
                if isinstance(value, dict) and value.get("_type") in TABLES and value.get("log_mode") == "MUTABLE":
                    found.replaced[name] = step

    def rows(self, number: int) -> Iterator[Row]:
        """Yield the rows of the history in order; those that cannot be read were said to be bad."""
        for message in read_log(self.log, lambda _error: None):
            try:
                history = message.message(HISTORY)
                if history is None:
                    continue
                step, values, stamp = _row(history)
            except WRONG:
                continue
            yield step, number, values, stamp

    @property
    def run(self) -> Message:
        """What the log says of the run."""
        assert self.found.run is not None  # noqa: S101  # else there is no part
        return self.found.run

    def _times(self) -> tuple[datetime | None, datetime | None]:
        """Return when the run was started, and when it ended or the last was logged."""
        started, last, code = self.run.message(17), self.found.last, self.found.exit
        begin = None if started is None else _time(started.number(1) + started.number(2) / 1e9)
        ends = [] if last is None else [_time(last)]
        ends += [] if begin is None or code is None else [_time(begin.timestamp() + code.number(2))]
        return begin, max(ends, default=None)


class Run:
    """One run.

    Parameters
    ----------
    parts : list of Part
        Its logs, in order of time. Of what several say, the last counts; values that several logged at one step are
        one row of the history, in which the last of a name counts too, as W&B's server joins rows of a step.
    problems : Problems
    """

    def __init__(self, parts: list[Part], problems: Problems) -> None:
        self._parts, self._problems = parts, problems
        self._key = str(parts[0].log)
        self._kept_as_text: Counter[str] = Counter()
        self._replaced = {
            name: (number, step) for number, p in enumerate(parts) for name, step in p.found.replaced.items()
        }

    def records(self) -> Iterator[Record]:
        """Yield what is known of the run, its history in order of steps, its artifacts, and its files."""
        try:
            about = self._about()
        except WRONG as error:
            self._problems.bad(self._key, None, error)
            return
        yield about
        for step, values, stamp in self._history():
            for record in self._logged(values, step):
                yield replace(record, time=stamp)
        for part in self._parts:
            yield from self._versions(part)
            yield from self._files(part)
        for kind, count in self._kept_as_text.items():
            warn(
                f"{self._key}: {count} values of W&B's type {kind!r:.60} are kept as W&B describes them; their files "
                f"are not taken",
                ConversionWarning,
            )

    def _history(self) -> Iterator[tuple[int, dict[str, tuple[int, Any]], int | None]]:
        """Yield step, values with the number of their log, and time of each row."""
        rows = heapq.merge(*(part.rows(number) for number, part in enumerate(self._parts)), key=itemgetter(0, 1))
        if len(self._parts) == 1:
            for step, number, values, stamp in rows:
                yield step, {name: (number, value) for name, value in values.items()}, stamp
            return
        for step, some in itertools.groupby(rows, key=itemgetter(0)):
            joined: dict[str, tuple[int, Any]] = {}
            last = None
            for _, number, values, stamp in some:
                joined |= {name: (number, value) for name, value in values.items()}
                last = last if stamp is None else stamp
            yield step, joined, last

    def _about(self) -> About:
        last = self._parts[-1]
        config: dict[str, Any] = {}
        summary: dict[str, Any] = {}
        for part in self._parts:
            config |= part.found.config
            summary |= part.found.summary
        code = None if last.found.exit is None else last.found.exit.number(1)
        begins = [part.begin for part in self._parts if part.begin is not None]
        end = last.end
        tags = next((texts for part in reversed(self._parts) if (texts := part.run.texts(10))), [])
        return About(
            run=self._key,
            run_id=self._said(1),
            name=self._said(8) or self._said(1),
            project=self._said(3),
            group=self._said(6),
            job_type=self._said(7),
            notes=self._said(9),
            tags=tuple(tags),
            config={key: value for key, value in config.items() if key != "_wandb"},
            summary=_without_media({key: value for key, value in summary.items() if not key.startswith("_")}),
            state="killed" if code is None else "failed" if code else "finished",
            started=min(begins).isoformat(timespec="microseconds") if begins else None,
            finished=None if end is None else end.isoformat(timespec="microseconds"),
        )

    def _said(self, number: int) -> str | None:
        """Return what the last log that says anything says under a number."""
        return next((text for part in reversed(self._parts) if (text := part.run.text(number))), None)

    # --- the history ------------------------------------------------------------------------------

    def _logged(self, values: dict[str, tuple[int, Any]], step: int) -> Iterator[Block | Scalars]:
        scalars: dict[str, Any] = {}
        for name, (number, value) in values.items():
            part = self._parts[number]
            kind = str(value["_type"]) if isinstance(value, dict) and value.get("_type") is not None else None
            if kind in (IMAGE, IMAGES):
                yield from self._images(part, name, value, step)
            elif kind in TABLES:
                if self._replaced.get(name, (number, step)) == (number, step):  # else it was logged again later
                    yield from self._table(part, name, value, step)
            elif kind in KEPT or kind in KEPT_LISTS:
                try:
                    with as_described():
                        scalars[name] = part.media.kept(value)
                except WRONG as error:
                    self._problems.bad(_where(part, step, name), None, error)
            elif (histogram := histogram_of(value)) is not None:
                scalars[name] = histogram
            elif value is not None:
                if kind is not None:
                    self._kept_as_text[kind] += 1
                scalars[name] = value if kind is None else json.dumps(value, ensure_ascii=False)
        if scalars:
            logs = dict.fromkeys(str(self._parts[number].log) for number, _ in values.values())
            yield Scalars(scalars, step, self._key, file=f"{', '.join(logs)}, step {step}")

    def _images(self, part: Part, name: str, value: dict[str, Any], step: int) -> Iterator[Block]:
        rows: list[list[Any]] = []
        for number, item in enumerate(part.media.items(value)):
            try:
                with as_described():
                    rows.append([part.media.image(name, item), number])
            except WRONG as error:
                placed = prefixed(error, f"step {step}, {name!r}") if isinstance(error, MasklError) else error
                self._problems.bad(part.log, number, placed)
        yield Block(name, ["image", "index"], rows, step, str(part.log), [row[1] for row in rows], run=self._key)

    def _table(self, part: Part, name: str, value: dict[str, Any], step: int) -> Iterator[Block]:
        where = _where(part, step, name)
        try:
            with as_described():
                table = read_table(part.artifacts, value, part.media)
                types = table.types
        except WRONG as error:
            self._problems.bad(where, None, error)
            return
        for start in range(0, max(len(table.rows), 1), ROWS):
            rows, numbers = [], []
            for number, row in enumerate(table.rows[start : start + ROWS], start):
                try:
                    with as_described():
                        rows.append(table.values(row, number))
                    numbers.append(number)
                except WRONG as error:
                    self._problems.bad(where, number, error)
            yield Block(name, table.columns, rows, step, where, numbers, types, self._key)
        self._kept_as_text.update(table.unknown)

    # --- artifacts and files ----------------------------------------------------------------------

    def _versions(self, part: Part) -> Iterator[Record]:
        for number in range(len(part.artifacts)):
            try:
                version = part.artifacts.version(number, self._key)
            except WRONG as error:
                self._problems.bad(f"{part.log}, artifact {number}", None, error)
            else:
                yield version

    def _files(self, part: Part) -> Iterator[Record]:
        """Yield the files that lie in the run's folder beside its media, as W&B uploads them."""
        log = part.log
        root, above = (log.folder, "/".join((*log.parts[:-1], FILES))) if log.parts else (log.folder.parent, FILES)
        items: list[Item] = []
        odd: list[InvalidValue] = []
        try:
            for file in walk(root, above, links=log.links, linked=lambda _, error: odd.append(error)):
                path = file.relative.removeprefix(f"{above}/")
                if path.startswith(SHOWN) or path in part.media.elsewhere:
                    continue
                try:
                    items.append(Item(path, partial(_itself, found(root, file.path, links=log.links))))
                except InvalidValue as error:
                    odd.append(error)
        except WRONG as error:
            self._problems.bad(log, None, error)
        if odd:
            warn(
                f"{log}: {len(odd)} of the run's files are links, or no files, and are left out; the first: {odd[0]}",
                NotStoredWarning,
            )
        if items:
            yield RunFiles(self._key, items, str(log))


def _itself(file: SourceFile) -> SourceFile:
    return file


def _where(part: Part, step: int, name: str) -> str:
    return f"{part.log}, step {step}, {name!r}"


def _row(history: Message) -> tuple[int, dict[str, Any], int | None]:
    """Return the step of a record of the history, its values by their joined names, and when they were logged."""
    values: dict[str, Any] = {}
    set_items(values, history, ITEMS)
    said, step = history.message(STEP), values.get("_step")
    if said is not None:
        step = said.number(1)
    elif type(step) is not int:  # where W&B before 0.19 flushes the last row at the end, this alone says the step
        step = 0
    return step, dict(_flat(values, ())), _stamp(values)


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
    """Return a summary without media and tables, which are what the history comes to; its histograms are maskl's."""
    made: dict[str, Any] = {}
    for key, value in values.items():
        if (histogram := histogram_of(value)) is not None:
            made[key] = plain(histogram, key)
        elif not isinstance(value, dict) or (value.get("_type") is not None and value["_type"] not in MEDIA):
            made[key] = value
        elif "_type" not in value and (inner := _without_media(value)):
            made[key] = inner
    return made


def _stamp(values: dict[str, Any]) -> int | None:
    """Return when values were logged, in microseconds since 1970."""
    stamp = values.get("_timestamp")
    return round(stamp * 1e6) if isinstance(stamp, int | float) and abs(stamp) < YEAR_9999 else None


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise CorruptData(f"a time {seconds} seconds from 1970 is none: {error}") from error

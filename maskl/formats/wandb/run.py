"""W&B's offline runs: the folders of a run, with the staging folder of its artifacts, become a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from maskl.formats.wandb._history import RUN, Part, Run
from maskl.formats.wandb._log_file import Message, read_log
from maskl.interchange.format import Format
from maskl.interchange.options import ImportOptions
from maskl.interchange.problems import Problems
from maskl.interchange.records import WRONG, Record
from maskl.interchange.source_files import SourceFile, matching, named
from maskl_storage.errors import CorruptData, InvalidValue, MasklError

__all__ = ["FORMAT", "read", "sniff"]

#: what a run's project and id are, and the time and the path of one of its logs
Key = tuple[str, str]
Place = tuple[tuple[int, int], str]


def sniff(source: Path) -> bool:
    """Whether this is a run's folder of W&B, one of such folders, or a transaction log."""
    try:
        return bool(_logs(source, links=False))
    except InvalidValue:
        return False


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Read every run of a folder; several folders of one run, of a job that was resumed, are one run in order of time.

    What cannot be read of a log, a file or a run is one of the ``problems``, and the others are read.
    """
    runs: dict[Key, list[tuple[Place, SourceFile]]] = {}

    def linked(path: str, error: InvalidValue) -> None:
        problems.bad(path, None, error)

    for log in _logs(source, links=options.follow_links, linked=linked):
        try:
            message = _begin(log, problems)
            began = message.message(17)
            when = (0, 0) if began is None else (began.number(1), began.number(2))
            # a run without an id is nobody's continuation
            runs.setdefault((message.text(3), message.text(1) or str(log)), []).append(((when, str(log)), log))
        except WRONG as error:
            problems.bad(log, None, error)
    for logs in sorted((sorted(found, key=lambda one: one[0]) for found in runs.values()), key=lambda some: some[0][0]):
        parts = []
        for _, log in logs:
            try:
                parts.append(Part(log, options, problems))
            except WRONG as error:
                problems.bad(log, None, error)
        if parts:
            yield from Run(parts, problems).records()


def _logs(source: Path, *, links: bool, linked: Callable[[str, InvalidValue], None] | None = None) -> list[SourceFile]:
    if source.is_file() and source.suffix == ".wandb":
        return [named(source)]
    # latest-run, which is a link to one of the others, is none of these
    patterns = ("*.wandb", "*run-*/*.wandb", "wandb/*run-*/*.wandb")
    logs = matching(source, *patterns, links=links, strict=linked is not None, linked=linked)
    if logs:
        return logs
    raise InvalidValue(f"{source} holds no run of W&B: name a folder offline-run-…, or the folder wandb that holds it")


def _begin(log: SourceFile, problems: Problems) -> Message:
    """Return the record that says which run a log is of."""

    def bad(error: MasklError) -> None:
        if not problems.skip:  # else it is noted when all of the log is read
            raise error

    for message in read_log(log, bad):
        run = message.message(RUN)
        if run is not None:
            return run
    raise CorruptData("the log ends before it says which run it is of")


FORMAT: Final = Format("wandb", read=read, sniff=sniff, heeds=("staging", "follow_links"), holds_copies=True)

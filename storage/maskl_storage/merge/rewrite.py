"""Several seals of one run as one: fewer files, and the answer to every question stays what it was.

A merge is one commit. It writes new parts beside those there are, then a seal that replaces the sources; what
it replaced is removed later, by :mod:`maskl_storage.merge.leftovers`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import pyarrow as pa

from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import damaged_seals, live_seals, with_parts, write_seal
from maskl_storage.disk.hashes import check_parts
from maskl_storage.disk.local import Folder
from maskl_storage.disk.parquet import BLOB_ROW_GROUP, DEFAULT_ROW_GROUP, ROW_GROUP, PartWriter, open_part, row_group_of
from maskl_storage.format.document import is_newer
from maskl_storage.format.paths import FILE_KINDS, KINDS, PIXEL_SCORES, part_path
from maskl_storage.format.schemas import FIXED, FORMED, column_types
from maskl_storage.format.seals import Part, Seal
from maskl_storage.format.union_names import UnionNames
from maskl_storage.images.digests import Digests
from maskl_storage.images.writer import GROUP_BYTES
from maskl_storage.merge._forms import Form, form_of, join, together
from maskl_storage.merge._scores import latest_scores
from maskl_storage.merge._streams import merged

__all__ = ["FAN_IN", "Counted", "Take", "lanes", "merge", "mergeable", "plan_merge"]

#: seals of a level that become one of the next
FAN_IN: Final = 8
#: seals that are merged at a time, which is the number of files that are open
AT_ONCE: Final = 2 * FAN_IN
#: bytes that a merged part holds at most, and those from which a part may stand as it is
PART_BYTES: Final = 1 << 30
STANDS_BYTES: Final = 32 << 20
#: what a part that stands is of all the run's parts of its kind: so few of them are left, and each is written
#: again only while the run is small
SHARE: Final = 16
#: bytes of a row group of rows with blobs, at most
BLOB_BYTES: Final = 64 << 20

#: a live seal and those of its parts that count
Counted = tuple[Seal, tuple[Part, ...]]
#: returns the first of so many numbers that no seal or part of the writer has or will have
Take = Callable[[int], int]


@dataclass(slots=True)
class _Job:
    """Parts of one kind and table that become one; a single part stays where it is."""

    kind: str
    table: str | None
    parts: list[Part]
    forms: list[Form] = field(default_factory=list)


def lanes(found: Iterable[Counted]) -> list[list[Counted]]:
    """Return the seals that one seal could replace, those of a lane in order.

    A seal has one generation and one version. One none of whose tables' rows count may stand in any generation. Seals
    that say which files there are, and those of scores of a table, are merged with their like alone.
    """
    by_lane: dict[tuple[str, int | None], list[Counted]] = {}
    apart: dict[tuple[str, int, str | None], list[Counted]] = {}
    for seal, parts in found:
        if is_newer(seal.version):  # it may hold what is not known here
            continue
        of_files = any(part.kind in FILE_KINDS for part in parts)
        scored = next((part.table for part in parts if part.kind == PIXEL_SCORES), None)
        if of_files or scored is not None:
            place = (seal.version, 0 if of_files else seal.generation, scored)
            apart.setdefault(place, []).append((seal, parts))
        else:
            generation = seal.generation if any(part.table is not None for part in parts) else None
            by_lane.setdefault((seal.version, generation), []).append((seal, parts))
    for (version, generation), loose in list(by_lane.items()):
        hosts = sorted(lane for lane in by_lane if lane[0] == version and lane[1] is not None)
        if generation is None and hosts:
            by_lane[hosts[0]] = sorted(by_lane[hosts[0]] + loose, key=lambda counted: counted[0].place)
            del by_lane[version, None]
    return [*by_lane.values(), *apart.values()]


def plan_merge(found: Iterable[Counted]) -> list[Counted] | None:
    """Return the seals of a writer that it should merge now: eight of a level, or None.

    Parameters
    ----------
    found : iterable of (Seal, parts)
        The writer's live seals with the parts that count, in order.
    """
    for lane in lanes(found):
        for level in sorted({seal.level for seal, _ in lane}):
            stretch: list[Counted] = []
            for counted in [*lane, None]:
                if counted is not None and counted[0].level <= level:
                    stretch.append(counted)
                elif sum(seal.level == level for seal, _ in stretch) >= FAN_IN:
                    return stretch
                else:
                    stretch = []
    return None


def mergeable(layout: Layout, run_id: str, writers: Collection[int] | None = None) -> list[Counted]:
    """Return the live seals of a run, of these writers or of all, with the parts that count.

    There are none where a seal of the run is damaged: which of the others it replaces nobody knows.
    """
    if damaged_seals(layout.files, layout.seal_cache, run_id):
        return []
    found = with_parts(live_seals(layout.files, layout.seal_cache, run_id))
    return [(seal, parts) for seal, parts in found if writers is None or seal.writer in writers]


def merge(
    layout: Layout,
    sources: Sequence[Counted],
    writer: int,
    take: Take,
    *,
    images: Callable[[pa.Table], pa.Table] | None = None,
    part_bytes: int = PART_BYTES,
) -> Seal:
    """Replace seals of one lane of a run by one seal, and return it.

    Parameters
    ----------
    layout : Layout
        The store.
    sources : sequence of (Seal, parts)
        Live seals of one run, and their parts that count; the others' rows are dropped.
    writer : int
        The writer in whose name the new seal stands: this process's own, or one that is dead and locked.
    take : callable
        Takes a count and returns the first of so many numbers that are free for seals and parts of the writer.
    images : callable, optional
        Takes rows of images and returns those that are kept; every images part is written again then.
    part_bytes : int, optional
        How large a merged part may become.
    """
    run_id = sources[0][0].run_id
    jobs = _jobs(layout, sources, part_bytes)
    written: dict[tuple[str, str | None], int] = {}
    numbers = []
    for job in jobs:
        place = (job.kind, job.table)
        stands = len(job.parts) == 1 and not (images is not None and job.kind == "images")
        numbers.append(None if stands else written.get(place, 0))
        if not stands:
            written[place] = written.get(place, 0) + 1
    number = take(max([1, *written.values()]))
    parts: list[Part] = []
    new: list[str] = []
    seen = Digests()
    seal: Seal | None = None
    try:
        for job, offset in zip(jobs, numbers, strict=True):
            if offset is None:
                parts += job.parts
                continue
            path = part_path(job.kind, run_id, job.table, writer, number + offset)
            new.append(path)
            part = _write(layout.files, path, job, images, seen)
            if part.rows or job.kind != "images":
                parts.append(part)
            else:
                layout.files.remove(new.pop())
        seal = _seal(layout, sources, writer, number, parts)
        write_seal(layout.files, seal)
    except BaseException:
        if seal is None or not layout.files.exists(seal.path):  # once it is there, what it names is the store's
            for path in new:
                layout.files.remove(path)
        raise
    return seal


def _seal(layout: Layout, sources: Sequence[Counted], writer: int, number: int, parts: Sequence[Part]) -> Seal:
    seals = [seal for seal, _ in sources]
    generations = {seal.generation for seal, counted in sources if any(part.table is not None for part in counted)}
    # what a source replaced is dead as long as a seal says so
    before = [path for seal in seals for path in seal.replaces if layout.files.exists(path)]
    return Seal(
        run_id=seals[0].run_id,
        writer=writer,
        seal=number,
        parts=tuple(parts),
        generation=max(generations, default=0),
        replaces=tuple(dict.fromkeys([*(seal.path for seal in seals), *before])),
        version=seals[0].version,
        level=max(seal.level for seal in seals) + 1,
        first=min(seal.place for seal in seals),
    )


# --- which parts become one ---------------------------------------------------------------------


def _jobs(layout: Layout, sources: Sequence[Counted], part_bytes: int) -> list[_Job]:
    """Return what to do with the parts, in the order in which the seal names them."""
    listing = layout.listing()
    run_id = sources[0][0].run_id
    found: dict[tuple[str, str | None], list[Part]] = {}
    for _, counted in sources:
        for part in counted:
            found.setdefault((part.kind, part.table), []).append(part)
    jobs: list[_Job] = []
    for kind, table in sorted(found, key=lambda place: (place[1] or "", KINDS.index(place[0]))):
        total = sum(sealed.part.bytes for sealed in listing.of(kind, table, run_id))
        stands = min(part_bytes, max(STANDS_BYTES, total // SHARE))
        parts = found[kind, table]
        if kind == "rows":
            disputed = UnionNames.of((sealed.run_id, sealed.part) for sealed in listing.of("rows", table)).disputed
            jobs += _rows_jobs(layout.files, table, parts, disputed, (stands, part_bytes))
        else:
            known = {column_types(schema) for schema in _schemas(kind)}
            sizes = [part.bytes if part.columns in known else None for part in parts]
            jobs += [_Job(kind, table, [parts[at] for at in pack]) for pack in _packs(sizes, stands, part_bytes)]
    return jobs


def _rows_jobs(
    files: Folder, table: str | None, parts: Sequence[Part], disputed: Collection[str], sizes: tuple[int, int]
) -> Iterator[_Job]:
    forms = [form_of(files, part) for part in parts]
    strange = [_Job("rows", table, [part]) for part, form in zip(parts, forms, strict=True) if form is None]
    known = [(part, form) for part, form in zip(parts, forms, strict=True) if form is not None]
    yield from strange
    for _, places in together([form for _, form in known], disputed) if known else ():
        members = [known[place] for place in places]
        for pack in _packs([part.bytes for part, _ in members], *sizes):
            yield _Job("rows", table, [members[at][0] for at in pack], [members[at][1] for at in pack])


def _packs(sizes: Sequence[int | None], stands: int, most: int) -> list[list[int]]:
    """Return which neighbours become one part; what is large, or has no size, stays by itself."""
    packs: list[list[int]] = []
    room = -1
    for at, size in enumerate(sizes):
        if size is None or size >= stands:
            packs.append([at])
            room = -1
        elif size <= room:
            packs[-1].append(at)
            room -= size
        else:
            packs.append([at])
            room = most - size
    return packs


# --- writing ------------------------------------------------------------------------------------


def _write(files: Folder, path: str, job: _Job, images: Callable[[pa.Table], pa.Table] | None, seen: Digests) -> Part:
    check_parts(files, job.parts)
    if job.kind == "images":
        return _write_part(
            files, path, FIXED["images"], _images(files, job.parts, images, seen), partial(_cut, size=None)
        )
    if job.kind == "rows":
        form = join(job.forms)
        blocks = merged(files, job.parts, "rows", lambda number, table: form.adapt(table, job.forms[number]))
        return _write_part(files, path, form.schema, blocks, _cut_rows)
    if job.kind in FILE_KINDS:
        blocks = _one_after_another(files, job.parts)
        return _write_part(files, path, FIXED[job.kind], blocks, partial(_cut, size=DEFAULT_ROW_GROUP))
    columns = {part.columns for part in job.parts}
    schema = next(schema for schema in _schemas(job.kind) if column_types(schema) in columns)
    blocks = merged(files, job.parts, job.kind, lambda _, table: _as_in(schema, table))
    if job.kind == PIXEL_SCORES:
        blocks = latest_scores(blocks)
    return _write_part(files, path, schema, blocks, partial(_cut, size=DEFAULT_ROW_GROUP))


def _schemas(kind: str) -> list[pa.Schema]:
    """Return the schemas that parts of a kind may have; the first of them holds what all others do."""
    return [FORMED, FIXED[kind]] if kind == "history" else [FIXED[kind]]


def _as_in(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """Return rows with all columns of a schema: those that they lack are NULL."""
    for name in schema.names:
        if name not in table.column_names:
            table = table.append_column(schema.field(name), pa.nulls(table.num_rows, schema.field(name).type))
    return table


def _one_after_another(files: Folder, parts: Sequence[Part]) -> Iterator[pa.Table]:
    """Yield the rows of parts as they stand."""
    for part in parts:
        with open_part(files, part) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)


def _write_part(
    files: Folder,
    path: str,
    schema: pa.Schema,
    blocks: Iterator[pa.Table],
    cut: Callable[[Iterator[pa.Table]], Iterator[pa.Table]],
) -> Part:
    writer = PartWriter(files, path, schema)
    try:
        rows = 0
        for group in cut(blocks):
            writer.write(group.cast(schema))
            rows += group.num_rows
        if not rows:
            writer.write(schema.empty_table())
        return writer.finish()
    except BaseException:
        writer.abandon()
        raise


def _cut(blocks: Iterator[pa.Table], size: int | None) -> Iterator[pa.Table]:
    """Yield row groups of so many rows, or of so many bytes as images have."""
    waiting: list[pa.Table] = []
    count = weight = 0
    for block in blocks:
        waiting.append(block)
        count += block.num_rows
        weight += block.nbytes
        if size is None and weight >= GROUP_BYTES:
            yield pa.concat_tables(waiting)
            waiting, count, weight = [], 0, 0
        while size is not None and count >= size:
            table = _one(waiting)
            yield table.slice(0, size)
            waiting, count = [table.slice(size)], count - size
    if count:
        yield _one(waiting)


def _cut_rows(blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield row groups of rows as the writer of rows makes them."""
    waiting: list[pa.Table] = []
    count = weight = 0
    for block in blocks:
        waiting.append(block)
        count += block.num_rows
        weight += block.nbytes
        if count >= ROW_GROUP or weight >= BLOB_BYTES or (_has_blobs(block) and count >= BLOB_ROW_GROUP):
            table = _one(waiting)
            size = max(1, min(row_group_of(table), BLOB_BYTES * count // weight)) if weight else ROW_GROUP
            while table.num_rows >= size:
                yield table.slice(0, size)
                table = table.slice(size)
            waiting, count, weight = [table], table.num_rows, table.nbytes
    if count:
        table = _one(waiting)
        size = row_group_of(table)
        for start in range(0, table.num_rows, size):
            yield table.slice(start, size)


def _has_blobs(table: pa.Table) -> bool:
    return any(pa.types.is_binary(kind) for kind in table.schema.types)


def _one(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries()


def _images(
    files: Folder, parts: Sequence[Part], keep: Callable[[pa.Table], pa.Table] | None, seen: Digests
) -> Iterator[pa.Table]:
    """Yield the images of parts, each digest once."""
    for part in parts:
        with open_part(files, part) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                fresh = []
                for digest in table["digest"].to_pylist():
                    fresh.append(digest not in seen)
                    seen.update([digest])
                if not all(fresh):
                    table = table.filter(pa.array(fresh))
                if keep is not None:
                    table = keep(table)
                if table.num_rows:
                    yield table

"""What the footer of a Parquet file says of its column chunks.

Arrow's own objects for that end the process where a footer contradicts itself, since they raise where nothing catches:
files come from somebody else. So the footer is read here; values are left to Arrow, which raises what can be caught.
Format: "Parquet file format", Apache Parquet.
"""

from __future__ import annotations

import io
from typing import IO, Any, Final, NamedTuple

import pyarrow.parquet as pq

from maskl_storage.disk.thrift import Wanted, read_struct
from maskl_storage.errors import CorruptData

__all__ = ["BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY", "FOOTER_END", "ChunkInfo", "chunks_of"]

#: types of values, and Arrow's names of codecs, as Parquet numbers them
BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY = 6, 7
CODECS: Final = {0: "uncompressed", 1: "snappy", 2: "gzip", 4: "brotli", 5: "lz4", 6: "zstd", 7: "lz4_raw"}
#: a footer's row groups; their columns; what is said of each: type, path, codec, values, size, where pages begin
_WANTED: Final[Wanted] = {4: {1: {3: dict.fromkeys((1, 3, 4, 5, 7, 9, 11))}}}
#: bytes behind a footer: its size, and how each file ends
FOOTER_END: Final = 8


class ChunkInfo(NamedTuple):
    """What is said of a column of a row group.

    Parameters
    ----------
    name : str
        The names that lead to it, with dots between them.
    type : int
        Of its values.
    codec : str
        How pages are compressed, as Arrow calls it; empty where it is not known.
    values, size : int
        How many values there are, and how many bytes they take as they are stored.
    start : int
        Where its first page begins.
    """

    name: str
    type: int
    codec: str
    values: int
    size: int
    start: int


def chunks_of(file: IO[bytes], metadata: pq.FileMetaData) -> list[list[ChunkInfo]]:
    """Return what is said of each column of each row group, by the numbers of the row group and of the leaf.

    Raises
    ------
    CorruptData
        The footer contradicts itself.

    Examples
    --------
    >>> import pyarrow as pa
    >>> file = io.BytesIO()
    >>> pq.write_table(pa.table({"a": [1, 2, 3]}), file)
    >>> ((chunk,),) = chunks_of(file, pq.read_metadata(file))
    >>> chunk.name, chunk.values, chunk.codec
    ('a', 3, 'snappy')
    """
    end = file.seek(0, io.SEEK_END) - FOOTER_END
    file.seek(max(0, end))
    size = int.from_bytes(file.read(4), "little")
    file.seek(max(0, end - size))
    data = file.read(size)
    try:
        footer, _ = read_struct(data, 0, _WANTED)
        groups = [[_chunk(column) for column in group[1]] for group in footer.get(4, [])]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise CorruptData("the footer contradicts itself: a column of it is not described") from error
    if len(groups) != metadata.num_row_groups or any(len(group) != metadata.num_columns for group in groups):
        raise CorruptData("the footer contradicts itself: its row groups have not the columns of its schema")
    return groups


def _chunk(column: dict[int, Any]) -> ChunkInfo:
    said = column[3]
    if not isinstance(said, dict):
        raise TypeError("what is said of a column")
    kind, codec, values, size, start = numbers = tuple(said[field] for field in (1, 4, 5, 7, 9))
    dictionary = said.get(11)
    if not all(type(number) is int for number in (*numbers, 0 if dictionary is None else dictionary)):
        raise TypeError("a number of a column")
    if min(values, size, start) < 0:
        raise ValueError("a number of a column below 0")
    if dictionary is not None and 0 < dictionary < start:
        start = dictionary
    name = b".".join(said[3]).decode("utf-8", "replace")
    return ChunkInfo(name, kind, CODECS.get(codec, ""), values, size, start)

"""Parts are written whole or not at all, and what failed writes nothing into what comes after it."""

from __future__ import annotations

import errno
import gc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskl_storage.disk.local import Folder
from maskl_storage.disk.parquet import write_part

TABLE = pa.table({"_row": pa.array(range(50), pa.int64()), "text": ["글"] * 50, "blob": [b"x" * 99] * 50})
PATH = "rows/table_name=t/run_id=r/0-0.parquet"


@pytest.mark.parametrize(
    ("owner", "name"), [(Folder, "raw_reader"), (pa, "OSFile"), (pq, "ParquetWriter"), (Folder, "rename")]
)
@pytest.mark.parametrize("raised", [OSError(errno.EMFILE, "Too many open files"), KeyboardInterrupt(), MemoryError()])
def test_a_part_that_failed_is_gone_before_the_next_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, raised: BaseException
) -> None:
    def fails(*arguments: Any, **options: Any) -> Any:
        raise raised

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails)
        with pytest.raises(type(raised)) as caught:  # it keeps the frames, and so what was half made
            write_part(Folder(tmp_path), PATH, TABLE)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    part = write_part(Folder(tmp_path), PATH, TABLE)
    written = (tmp_path / PATH).read_bytes()
    del caught
    gc.collect()
    assert (tmp_path / PATH).read_bytes() == written
    assert (len(written), pq.read_table(tmp_path / PATH).num_rows) == (part.bytes, 50)

"""Small sources that claim to be large, as large as they may be met: what an import of each takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.formats.read.bombs import BOMBS, imported_alone
from tests.formats.read.hostile import nothing_imported

pytestmark = pytest.mark.durability

#: bytes that an import of any small source takes at most
MOST = 1_500_000_000


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_claims_more_than_it_is_takes_bounded_memory(tmp_path: Path, bomb: str) -> None:
    case = BOMBS[bomb]
    source = tmp_path / "source"
    source.mkdir()
    case.build(source, case.real)
    with nothing_imported(source) as target:
        done = imported_alone(source, case.format, target)
    assert done.code == 2, done.error[-2000:]
    assert re.search(case.words, done.error)
    assert "Traceback" not in done.error
    assert done.peak <= MOST

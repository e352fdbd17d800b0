"""``maskl.sql`` of many stores."""

from __future__ import annotations

import threading
from pathlib import Path

import maskl
from maskl.reading.store import KEPT, _opened


def test_of_many_stores_the_last_are_kept_and_what_the_others_returned_is_fetched_all_the_same(tmp_path: Path) -> None:
    count = 3 * KEPT
    for number in range(count):
        with maskl.init(dir=tmp_path / str(number)) as run:
            run.log({"loss": number})
    relations = [maskl.sql("SELECT value FROM history", dir=tmp_path / str(number)) for number in range(count)]
    kept = [root.parent for _, root in _opened]
    assert kept[-KEPT:] == [tmp_path / str(number) for number in range(count - KEPT, count)]
    assert len(kept) == KEPT
    maskl.sql("SELECT 1", dir=tmp_path / str(count - KEPT))
    assert [root.parent.name for _, root in _opened][-1] == str(count - KEPT)
    assert [relation.fetchall() for relation in relations] == [[(float(number),)] for number in range(count)]


def test_threads_that_ask_at_once_each_get_an_answer(tmp_path: Path) -> None:
    for number in range(2 * KEPT):
        with maskl.init(dir=tmp_path / str(number)) as run:
            run.log({"loss": number})
    answers: dict[int, object] = {}

    def ask(first: int) -> None:
        for number in range(first, 2 * KEPT, 4):
            answers[number] = maskl.sql("SELECT value FROM history", dir=tmp_path / str(number)).fetchall()

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: [(float(number),)] for number in range(2 * KEPT)}

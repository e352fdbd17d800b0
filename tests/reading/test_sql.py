"""``maskl.sql`` of many stores."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

import maskl
from maskl.reading.questions import KEPT, _opened
from maskl_storage.catalog.layout import Layout
from maskl_storage.query.database import Database


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


@pytest.mark.filterwarnings("ignore::maskl.errors.ClassMapWarning")
def test_a_store_stays_open_until_it_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    whole = Database.__init__

    def counted(self: Database, layout: Layout, *rest: Any, **options: Any) -> None:
        opened.append(layout.root)
        whole(self, layout, *rest, **options)

    monkeypatch.setattr(Database, "__init__", counted)
    query = "SELECT run_name, value FROM history ORDER BY ALL"

    def ask(**options: Any) -> list[Any]:
        return maskl.sql(query, dir=tmp_path, **options).fetchall()

    def log(value: float) -> list[Any]:
        with maskl.init(dir=tmp_path, id=f"실행 {value}", name=f"이름 {value}") as run:
            run.log({"loss": value})
        return [(f"이름 {value}", value)]

    wanted = log(0.5)
    assert [ask() for _ in range(3)] == [wanted] * 3
    assert len(opened) == 1
    assert ask(class_map={"a": "b"}) == wanted  # of other settings it has another connection, and keeps both
    assert ask() == wanted
    assert len(opened) == 2
    wanted += log(1.5)
    assert [ask() for _ in range(2)] == [wanted] * 2
    maskl.open(tmp_path).delete("실행 0.5")
    assert ask() == wanted[1:]
    shutil.rmtree(tmp_path / "maskl-store")
    with pytest.raises(maskl.errors.StoreNotFound):
        ask()
    assert log(2.5) == ask()  # another store at the same place

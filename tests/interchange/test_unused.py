"""Files of a source that nobody opened, and what else an import says that it left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maskl.interchange.problems import KINDS, Problems
from maskl.interchange.source_files import begins_with, found, named, noting, open_file
from maskl.interchange.unused import ENDINGS, unused_files


def lay(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def left(source: Path, *read: str, images: str | None = None, links: bool = False) -> list[str]:
    """Return what is said of a source after some of its files were read."""
    with noting() as opened:
        for name in read:
            open_file(found(source, source / name, links=links)).close()
    return unused_files(source, opened, images, links=links)


def test_files_are_counted_by_their_endings_the_most_frequent_first(tmp_path: Path) -> None:
    source = lay(tmp_path, "a.png", "그림/b.png", "c/d/E.PNG", "notes", "x.txt", "y.txt")
    assert left(source, "a.png") == [
        "files *.png: 2, such as c/d/E.PNG",
        "files *.txt: 2, such as x.txt",
        "files without an ending: 1, such as notes",
    ]
    assert left(source, "a.png", "그림/b.png", "c/d/E.PNG", "notes", "x.txt", "y.txt") == []


def test_what_is_hidden_and_what_a_store_holds_is_not_looked_at(tmp_path: Path) -> None:
    source = lay(tmp_path, "a.png", ".git/config", ".DS_Store", "maskl-store/rows/part.parquet", "in/maskl-store/x")
    assert left(source, "a.png") == []


def test_a_source_of_which_nothing_was_opened_that_is_noted_says_nothing(tmp_path: Path) -> None:
    """A format from outside may open its files by itself."""
    assert left(lay(tmp_path, "a.png")) == []


def test_a_glance_is_no_use(tmp_path: Path) -> None:
    source = lay(tmp_path, "a.png", "b.json")
    with noting() as opened:
        open_file(named(source / "a.png")).close()
        assert begins_with(named(source / "b.json"), b"b.json")
    assert unused_files(source, opened, None, links=False) == ["files *.json: 1, such as b.json"]
    with noting() as opened:
        pass
    open_file(named(source / "a.png")).close()  # after the end
    assert not opened.paths


def test_more_endings_than_are_told_apart(tmp_path: Path) -> None:
    source = lay(tmp_path, "read.png", *(f"{number}.e{number}" for number in range(ENDINGS + 3)))
    lines = left(source, "read.png")
    assert len(lines) == ENDINGS + 1
    assert lines[-1].startswith("files of other endings: 3, such as ")


def test_beside_a_file_only_folders_that_others_were_read_from_are_looked_at(tmp_path: Path) -> None:
    lay(tmp_path, "any.json", "any.txt", "images/a.png", "images/b.png", "images/deep/c.png", "other/d.png")
    with noting() as opened:
        open_file(named(tmp_path / "any.json")).close()
        open_file(found(tmp_path, tmp_path / "images/a.png", links=False)).close()
    source = tmp_path / "any.json"
    assert unused_files(source, opened, None, links=False) == [f"files *.png: 1, such as {tmp_path / 'images/b.png'}"]
    far = lay(tmp_path / "elsewhere", "in/x.png", "in/y.png")
    with noting() as opened:
        open_file(named(source)).close()
        open_file(found(far, far / "in/x.png", links=False)).close()
    lay(tmp_path / "more", "any.json")
    assert unused_files(tmp_path / "more/any.json", opened, None, links=False) == []
    lines = unused_files(tmp_path / "more/any.json", opened, str(far), links=False)
    assert lines == [f"files *.png: 1, such as {far / 'in/y.png'}"]


def test_links_are_followed_where_the_import_follows_them(tmp_path: Path) -> None:
    source = lay(tmp_path / "source", "a.png")
    lay(tmp_path / "other", "b.png")
    (source / "more").symlink_to(tmp_path / "other")
    assert left(source, "a.png") == []
    assert left(source, "a.png", links=True) == ["files *.png: 1, such as more/b.png"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that this user may not list")
def test_a_folder_that_nobody_may_list_ends_no_import(tmp_path: Path) -> None:
    source = lay(tmp_path, "a.png", "lost/b.png")
    (source / "lost").chmod(0)
    try:
        assert left(source, "a.png") == []
    finally:
        (source / "lost").chmod(0o700)


def test_a_folder_that_is_gone_ends_no_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from maskl.interchange import unused

    def walk(*_: object, **__: object) -> object:
        raise PermissionError("no")

    source = lay(tmp_path, "a.png", "b.png")
    monkeypatch.setattr(unused, "walk", walk)
    assert left(source, "a.png") == []


def test_what_is_left_out_is_counted_by_kind_with_its_first_example() -> None:
    problems = Problems()
    problems.left("images", "a.png")
    problems.left("masks", "m.png", 3, warned=True)
    problems.left("images", "b.png")
    assert problems.lines() == ["images: 2, such as a.png", "masks: 3, such as m.png"]
    assert problems.lines(warned=True) == ["masks: 3, such as m.png"]
    assert problems.lines(warned=False) == ["images: 2, such as a.png"]
    for number in range(KINDS + 50):
        problems.left(f"kind {number}", "x" * 1000)
    assert len(problems.lines()) == KINDS + 1
    assert problems.lines()[-1].startswith("others: 52, such as xxx")
    assert max(map(len, problems.lines())) < 300
    assert problems.count == 0

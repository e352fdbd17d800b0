"""What is finished gets its name in one step: a file or a folder, alone or several, or nothing changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from maskl_storage.disk.atomic import beside, is_taken, move, move_all
from maskl_storage.disk.local import Folder, OpenFolder

pytestmark = pytest.mark.once


def made(path: Path, text: str, *, folder: bool = False) -> Path:
    """Make a file, or a folder with a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        path.mkdir()
    (path / "inside" if folder else path).write_text(text)
    return path


def held(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("replace", [False, True])
def test_a_name_that_is_free_is_given(tmp_path: Path, folder: bool, replace: bool) -> None:
    move(made(tmp_path / "new", "new", folder=folder), tmp_path / "target", replace=replace)
    assert held(tmp_path) == {"target/inside" if folder else "target": "new"}


@pytest.mark.parametrize("folder", [False, True])
def test_an_empty_folder_gives_way(tmp_path: Path, folder: bool) -> None:
    (tmp_path / "target").mkdir()
    assert not is_taken(tmp_path / "target")
    move(made(tmp_path / "new", "new", folder=folder), tmp_path / "target")
    assert held(tmp_path) == {"target/inside" if folder else "target": "new"}


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("old", ["file", "folder", "link", "dangling"])
def test_what_has_the_name_gives_way_only_where_it_may(tmp_path: Path, new: bool, old: str) -> None:
    target, other = tmp_path / "target", made(tmp_path / "elsewhere" / "other", "other")
    if old in ("file", "folder"):
        made(target, "old", folder=old == "folder")
    else:
        target.symlink_to(other if old == "link" else tmp_path / "nowhere")
    source = made(tmp_path / "new", "new", folder=new)
    before = held(tmp_path)
    assert is_taken(target)
    with pytest.raises(FileExistsError) as raised:
        move(source, target)
    assert raised.value.filename == str(target)
    assert held(tmp_path) == before
    move(source, target, replace=True)
    assert held(tmp_path) == {"target/inside" if new else "target": "new", "elsewhere/other": "other"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "target"]


def failing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let nothing get this name."""
    real = os.rename

    def rename(source: Any, target: Any) -> None:
        if Path(target).name == name and Path(source).name.startswith("new"):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)


@pytest.mark.parametrize("folder", [False, True])
def test_what_was_there_is_back_where_the_new_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    made(tmp_path / "target", "old", folder=folder)
    source = made(tmp_path / "new", "new")
    before = held(tmp_path)
    failing(monkeypatch, "target")
    with pytest.raises(OSError, match="No space"):
        move(source, tmp_path / "target", replace=True)
    assert held(tmp_path) == before


@pytest.mark.parametrize("why", ["taken", "failing", "stopped"])
def test_all_of_several_get_their_names_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    sources = [made(tmp_path / f"new{number}", str(number), folder=number == 1) for number in range(4)]
    pairs = [(source.name, f"in/{source.name[3:]}/target") for source in sources]
    files = Folder(tmp_path)
    expected: type[BaseException] = OSError
    if why == "taken":
        made(tmp_path / pairs[2][1], "old")
        expected = FileExistsError
    elif why == "failing":
        real = OpenFolder.rename
        monkeypatch.setattr(
            OpenFolder, "rename", lambda *given: real(*given) if given[1] != "new2" else os.stat(tmp_path / "gone")
        )
    before = held(tmp_path)

    def some() -> Any:
        for number, pair in enumerate(pairs):
            if why == "stopped" and number == 2:
                raise KeyboardInterrupt
            yield pair

    with pytest.raises(KeyboardInterrupt if why == "stopped" else expected):
        move_all(some(), files, files)
    assert held(tmp_path) == before
    monkeypatch.undo()
    if why == "taken":
        (tmp_path / pairs[2][1]).unlink()
    move_all(pairs, files, files)
    assert held(tmp_path) == {"in/0/target": "0", "in/1/target/inside": "1", "in/2/target": "2", "in/3/target": "3"}


@pytest.mark.parametrize("name", ["out", "x" * 255, "폴" * 85])
def test_a_path_beside_another_can_be_made(tmp_path: Path, name: str) -> None:
    target = made(tmp_path / name, "old")
    paths = {beside(target), beside(target)}
    assert len(paths) == 2
    for path in paths:
        assert path.parent == tmp_path
        assert path.name.endswith(".tmp")
        made(path, "new")
        move(path, target, replace=True)
    assert held(tmp_path) == {name: "new"}

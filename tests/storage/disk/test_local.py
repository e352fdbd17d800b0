"""Files of a store are reached in one place, which follows no link, and opens nothing but regular files."""

from __future__ import annotations

import ast
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maskl_storage.disk import local
from maskl_storage.disk.local import Folder
from maskl_storage.errors import CorruptData
from tests.conftest import traces_in

ROOT = Path(__file__).parents[3]

pytestmark = [pytest.mark.once, pytest.mark.skipif(os.name != "posix", reason="no links to make")]


@pytest.fixture(params=[True, False], ids=["at", "by path"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A folder with a file, and one beside it that nothing may touch; with and without what the system offers."""
    monkeypatch.setattr(local, "AT", request.param and local.AT)
    (tmp_path / "outside" / "below").mkdir(parents=True)
    (tmp_path / "outside" / "file").write_text("a secret")
    (tmp_path / "outside" / "below" / "file").write_text("a secret")
    (tmp_path / "store" / "in").mkdir(parents=True)
    (tmp_path / "store" / "in" / "file").write_text("mine")
    return Folder(tmp_path / "store")


def link(path: Path) -> None:
    path.symlink_to(path.parents[1 if path.parent.name == "store" else 2] / "outside" / "file")


def folder_link(path: Path) -> None:
    path.symlink_to(path.parents[1 if path.parent.name == "store" else 2] / "outside" / "below")


def dangling(path: Path) -> None:
    path.symlink_to(path.parents[1 if path.parent.name == "store" else 2] / "outside" / "new")


def listening(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.chdir(here)


#: what may bear the name of a file, and what errors call it
OBSTACLES: dict[str, tuple[Callable[[Path], None], str]] = {
    "link": (link, "a link"),
    "link to a folder": (folder_link, "a link"),
    "dangling link": (dangling, "a link"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "a link"),
    "link in a circle": (lambda path: path.symlink_to(path), "a link"),
    "FIFO": (lambda path: os.mkfifo(path), "a FIFO"),
    "socket": (listening, "a socket"),
    "folder": (lambda path: path.mkdir(), "a folder"),
}

#: everything that takes the path of a file
OF_FILES: dict[str, Callable[[Folder, str], object]] = {
    "stat": Folder.stat,
    "read": Folder.read,
    "reader": Folder.reader,
    "raw_reader": Folder.raw_reader,
    "raw_writer": Folder.raw_writer,
    "checked": Folder.checked,
    "open": lambda files, path: files.open(path, os.O_RDWR | os.O_CREAT),
}


@pytest.mark.parametrize("call", OF_FILES)
@pytest.mark.parametrize("what", OBSTACLES)
def test_what_is_no_file_is_refused_and_named(store: Folder, tmp_path: Path, what: str, call: str) -> None:
    make, word = OBSTACLES[what]
    make(store.root / "in" / "x")
    before = traces_in(tmp_path / "outside")
    with pytest.raises(CorruptData, match=f"^in/x: a file is needed; it is {word}: .*put a file in its place"):
        OF_FILES[call](store, "in/x")
    assert list(store.refused(["in/x", "in/file", "in/nothing"])) == ["in/x"]
    assert store.exists("in/x")
    assert traces_in(tmp_path / "outside") == before


#: everything that goes through folders
THROUGH: dict[str, Callable[[Folder], object]] = {
    **{name: (lambda files, call=call: call(files, "x/file")) for name, call in OF_FILES.items()},
    "write": lambda files: files.write("x/file", b"new"),
    "create": lambda files: files.create("x/new"),
    "create_anew": lambda files: files.create_anew("x/file"),
    "rename": lambda files: files.rename("x/file", "x/other"),
    "rename in": lambda files: files.rename("in/file", "x/file"),
    "rename out": lambda files: files.rename("x/file", "in/file"),
    "move": lambda files: files.move("in/file", files, "x/new"),
    "remove": lambda files: files.remove("x/file"),
    "remove_folder": lambda files: files.remove_folder("x/below"),
    "remove_tree": lambda files: files.remove_tree("x/below"),
    "make_folder": lambda files: files.make_folder("x/made"),
    "make_folder itself": lambda files: files.make_folder("x"),
    "nameless": lambda files: files.nameless("x"),
    "names": lambda files: files.names("x"),
    "sync_folder": lambda files: files.sync_folder("x"),
}


@pytest.mark.parametrize("call", THROUGH)
@pytest.mark.parametrize("what", ["link", "link to a folder", "dangling link", "FIFO", "file"])
def test_no_way_leads_through_what_is_no_folder(store: Folder, tmp_path: Path, what: str, call: str) -> None:
    make = OBSTACLES[what][0] if what in OBSTACLES else Path.touch
    make(store.root / "x")  # type: ignore[operator]  # each takes a path
    if what == "link to a folder":
        (tmp_path / "outside" / "below" / "below").mkdir()
    before = traces_in(tmp_path)
    with pytest.raises(CorruptData, match=r"^x: a folder is needed; it is a "):
        THROUGH[call](store)
    assert list(store.refused(["x/file"])) == ["x/file"]
    assert not store.exists("x/file")
    assert traces_in(tmp_path) == before


@pytest.mark.parametrize("what", OBSTACLES)
def test_what_is_written_takes_the_place_of_a_link_and_nothing_else(store: Folder, tmp_path: Path, what: str) -> None:
    OBSTACLES[what][0](store.root / "in" / "x")
    OBSTACLES[what][0](store.root / "in" / f".y.{os.getpid()}.tmp")  # the name that the file has while it is written
    before = traces_in(tmp_path / "outside")
    if what == "folder":
        with pytest.raises(OSError, match="directory"):
            store.write("in/x", b"new")
    else:
        store.write("in/x", b"new")
        store.write("in/y", b"new")
        assert (store.read("in/x"), store.read("in/y")) == (b"new", b"new")
        store.create_anew("in/x").write_bytes(b"newer")
        assert store.read("in/x") == b"newer"
    assert traces_in(tmp_path / "outside") == before


@pytest.mark.parametrize("what", OBSTACLES)
def test_what_is_removed_is_the_link(store: Folder, tmp_path: Path, what: str) -> None:
    OBSTACLES[what][0](store.root / "in" / "x")
    before = traces_in(tmp_path / "outside")
    if what != "folder":
        store.remove("in/x")
        assert store.names("in") == ["file"]
        OBSTACLES[what][0](store.root / "in" / "x")
    store.remove_tree("in")
    assert traces_in(tmp_path / "outside") == before
    assert not store.exists("in")


def test_lists_do_not_lead_outside(store: Folder, tmp_path: Path) -> None:
    for what in OBSTACLES:
        OBSTACLES[what][0](store.root / what)
        OBSTACLES[what][0](store.root / "in" / f"{what}\n")
    told: list[tuple[str, str]] = []
    assert store.glob("*/file", lambda path, problem: told.append((path, problem))) == ["in/file"]
    assert {path for path, _ in told} == OBSTACLES.keys() - {"folder"}
    assert store.glob("in/*") == sorted(["in/file", *(f"in/{what}\n" for what in OBSTACLES)])
    assert store.glob("in/F*O") == store.glob("in/FIFO") == []  # names match whole
    told = []
    assert list(store.walk(lambda path, problem: told.append((path, problem)))) == ["in/file"]
    assert len(told) == 2 * (len(OBSTACLES) - 1)
    assert all(problem.startswith("it is a ") for _, problem in told)


def test_the_root_may_be_a_link(store: Folder, tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(store.root)
    assert Folder(tmp_path / "other").read("in/file") == b"mine"


@pytest.mark.parametrize(
    "path", ["", "/", "in//file", "in/../in/file", "./in/file", "../outside/file", "in/fi\0le", "/etc"]
)
def test_a_path_of_a_store_is_made_of_names(store: Folder, path: str) -> None:
    with pytest.raises((CorruptData, IndexError)):
        store.read(path)


def test_what_is_not_there_is_said_with_its_path(store: Folder) -> None:
    for call in (store.read, store.stat, store.names):
        for path in ("in/none", "none/file"):
            if call != store.names:
                with pytest.raises(FileNotFoundError) as raised:
                    call(path)
                assert raised.value.filename == str(store.root / path.replace("none/file", "none"))
    assert store.names("none") == store.glob("none/*") == []
    store.remove("none/file")


# --- nobody else does so ------------------------------------------------------------------------

#: where files are opened by themselves, and why
OWN: dict[str, str] = {
    "storage/maskl_storage/disk/local.py": "the place itself",
    "storage/maskl_storage/disk/_opened.py": "the place itself",
    "storage/maskl_storage/disk/atomic.py": "what lies outside of stores: exports and pages",
}
#: calls elsewhere that touch no file of a store
ALLOWED: dict[str, str] = {
    "catalog/layout.py: path.exists": "where a store may be",
    "catalog/layout.py: given.exists": "where a store may be",
    "catalog/layout.py: found.is_dir": "what is above the store's own directory",
    "catalog/layout.py: root.mkdir": "the store's own directory",
    "importing/_destination.py: parent.exists": "what is above the store",
    "catalog/listing.py: entry.stat": "an entry of an open folder, without following links",
    "disk/parquet.py: os.open": "the null device",
    "disk/scratch.py: tempfile.mkdtemp": "a folder outside of stores",
    "disk/scratch.py: shutil.rmtree": "a folder outside of stores",
    "disk/scratch.py: tempfile.gettempdir": "a folder outside of stores",
    "query/worker.py: open": "what Linux says of this process, and the null device",
    "query/worker.py: io.FileIO": "the input of this process",
    "query/views.py: .read_text": "SQL that comes with the package",
}
#: modules of maskl that touch files of a store
WATCHED = ("maskl/runs/start.py", "maskl/runs/run.py", "maskl/runs/active.py", "maskl/tables/_spool.py")
WATCHED += ("maskl/importing/_destination.py", "maskl/interchange/selection.py", "maskl/reading/store.py")
WATCHED += ("maskl/reading/table.py", "maskl/cli/_upkeep.py")
#: what a path does to what it leads to
METHODS = {
    *("open", "read_bytes", "read_text", "write_bytes", "write_text", "touch", "mkdir", "rmdir", "unlink", "rename"),
    *("exists", "is_file", "is_dir", "is_symlink", "stat", "lstat", "iterdir", "glob", "rglob", "walk", "symlink_to"),
}
#: whose methods of these names are no paths'
FOLDERS = {"files", "_files", "folder", "below", "seals", "into", "other", "maps", "made", "PILImage", "pillow"}
FOLDERS |= {"file", "lock", "maskl"}
#: functions that take a path, and what makes a path of a store fit to be given to them
BY_PATH = {"ParquetFile", "read_table", "read_schema", "read_metadata", "memory_map", "OSFile", "open_file"}
FIT = {"checked", "create_anew", "BufferReader"}
MODULES = {"os", "shutil", "tempfile", "io"}
HARMLESS = {"getpid", "fsync", "fstat", "ftruncate", "lseek", "write", "pread", "pwrite", "close", "dup", "dup2"}
HARMLESS |= {"fspath", "fsencode", "strerror", "register_at_fork", "BytesIO", "cpu_count", "get", "lexists"}
HARMLESS |= {"copyfileobj", "get_terminal_size", "TemporaryFile", "StringIO", "read", "_exit"}


def name_of(node: ast.expr) -> str:
    """Return the last name of an expression: of ``self._layout.files``, that is ``files``."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def touching(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the calls that touch a file by its path."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id == "open" and not (node.args and _opens(node.args[0])):
            yield node.lineno, "open"
        if isinstance(called, ast.Attribute):
            owner = name_of(called.value)
            if called.attr in BY_PATH and not any(name_of(inner.func) in FIT for inner in _calls(node.args[:1])):
                yield node.lineno, called.attr
            elif called.attr not in HARMLESS if owner in MODULES else called.attr in METHODS and owner not in FOLDERS:
                yield node.lineno, f"{owner}.{called.attr}"


def _calls(nodes: list[ast.expr]) -> Iterator[ast.Call]:
    for node in nodes:
        yield from (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))


def _opens(argument: ast.expr) -> bool:
    return any(isinstance(inner, ast.Call) for inner in ast.walk(argument))


@pytest.mark.once
def test_nobody_else_touches_files_of_a_store() -> None:
    found = []
    modules = [*sorted((ROOT / "storage" / "maskl_storage").rglob("*.py")), *(ROOT / name for name in WATCHED)]
    for path in modules:
        name = path.relative_to(ROOT).as_posix()
        if name not in OWN:
            tree, short = ast.parse(path.read_text("utf-8")), "/".join(path.parts[-2:])
            found += [(f"{short}: {what}", line) for line, what in touching(tree)]
    assert not [one for one in found if one[0] not in ALLOWED]
    assert {what for what, _ in found} == ALLOWED.keys()


@pytest.mark.parametrize(
    "text",
    [
        *("open(path)", "path.open()", "(root / p).read_bytes()", "layout.root.glob('*')", "os.open(p, 0)"),
        *("os.scandir(p)", "shutil.rmtree(p)", "pq.ParquetFile(path)", "pq.read_schema(root / p)", "pa.OSFile(p)"),
    ],
)
def test_the_search_finds_what_touches_a_file(text: str) -> None:
    assert list(touching(ast.parse(text)))

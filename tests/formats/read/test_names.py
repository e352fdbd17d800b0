"""Every name of a file that any source holds, with every way of meaning it badly: refused before anything is opened."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import socket
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import maskl
from maskl.errors import CorruptData, InvalidValue, MasklError
from maskl.formats import BUILT_IN, WRITE_ONLY
from maskl.formats.wandb import _log_file as log_file
from maskl.importing.importer import import_dataset
from maskl.interchange import untrusted
from maskl_storage.masks.png import array_png
from tests.formats.read.hostile import nothing_imported, save
from tests.formats.read.test_hostile import png
from tests.formats.read.wandb_logs import ENDED, field, history, log_of, started

pytestmark = pytest.mark.once

#: what may not be opened while a test says so: paths, or the last part of one
forbidden: set[str] = set()


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    listed = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_DIRECTORY  # a folder alone
    if event == "open" and forbidden and not listed and isinstance(arguments[0], str | bytes | os.PathLike):
        path = os.fsdecode(arguments[0])
        assert not {path, os.path.basename(path)} & forbidden, f"{path} was opened"


sys.addaudithook(_watch)


@dataclass(frozen=True)
class Place:
    """A place in a format where a name of a file stands.

    ``build(source, name, good)`` writes a source that is right but for the name, which counts from ``folder``,
    and the bytes of a file that is right there.
    """

    format: str
    folder: str
    build: Callable[[Path, Any], None]
    #: what a file of that name should hold
    good: bytes = png(3, 2)
    #: whether the text can hold anything but a string, and half of a surrogate pair
    json: bool = True
    #: whether the guard's own words say what is wrong
    said: bool = True


# --- sources ------------------------------------------------------------------------------------


def coco(source: Path, **bodies: Any) -> dict[str, Any]:
    save(source / "images" / "0.png", np.zeros((2, 3, 3)))
    image = {"id": 0, "file_name": "0.png", "width": 3, "height": 2}
    body = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    return body | bodies


def colors() -> bytes:
    """Return a PNG of 3 × 2 pixels of no segment."""
    return array_png(np.zeros((2, 3, 3), np.uint8))


def coco_rle(source: Path, name: Any) -> None:
    body = coco(source)
    body["images"][0]["file_name"] = name
    body["annotations"] = [{"image_id": 0, "category_id": 1, "segmentation": {"size": [2, 3], "counts": [1, 4, 1]}}]
    (source / "annotations.json").write_text(json.dumps(body))


def coco_panoptic(source: Path, name: Any, key: str = "annotations") -> None:
    save(source / "panoptic" / "0.png", np.zeros((2, 3, 3)))
    body = coco(source)
    body["annotations"] = [{"image_id": 0, "file_name": "0.png", "segments_info": []}]
    body[key][0]["file_name"] = name
    (source / "panoptic.json").write_text(json.dumps(body))


def image_folder(source: Path, name: Any, key: str = "file_name") -> None:
    save(source / "0.png", np.zeros((2, 3, 3)))
    save(source / "mask.png", np.zeros((2, 3)))
    line = {"file_name": "0.png", "mask_file_name": "mask.png"} | {key: name}
    (source / "metadata.jsonl").write_text(json.dumps(line))


def rows(name: Any) -> pa.Table:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table({"image": pa.array([{"bytes": None, "path": name}], kind)})


def parquet(source: Path, name: Any) -> None:
    source.mkdir(exist_ok=True)
    pq.write_table(rows(name), source / "a.parquet")


def arrow(source: Path, name: Any, file: str = "a.arrow") -> None:
    source.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_stream(source / file, rows(name).schema) as writer:
        writer.write_table(rows(name))


def huggingface(source: Path, name: Any) -> None:
    parquet(source, name)
    table = pq.read_table(source / "a.parquet")
    features = {"info": {"features": {"image": {"_type": "Image"}}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), source / "a.parquet")


def saved(source: Path, name: Any) -> None:
    source.mkdir(exist_ok=True)
    (source / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))


def saved_split(source: Path, name: Any) -> None:
    source.mkdir(exist_ok=True)
    (source / "dataset_dict.json").write_text(json.dumps({"splits": [name]}))


def stream() -> bytes:
    sink = io.BytesIO()
    table = pa.table({"a": [1]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def wandb(source: Path, *records: bytes) -> None:
    (source / "files").mkdir(parents=True, exist_ok=True)
    (source / "files" / "own.png").write_bytes(png(3, 2))
    (source / "run-r.wandb").write_bytes(log_of(started(), *records, ENDED))


def wandb_media(source: Path, name: Any, wrap: Callable[[Any], Mapping[str, Any]] | None = None) -> None:
    value = {"_type": "image-file", "path": name} if wrap is None else wrap(name)
    wandb(source, history(0, {"img": value}))


def image_with(key: str, layer: Callable[[Any], Any]) -> Callable[[Any], Mapping[str, Any]]:
    return lambda name: {"_type": "image-file", "path": "own.png", key: {"k": layer(name)}}


TABLE = json.dumps({"columns": ["a"], "data": [[1]]}).encode()


def artifact(manifest: bytes) -> bytes:
    return field(8, field(4, "run_table") + field(12, manifest) + field(15, "client"))


def wandb_artifact(source: Path, name: Any) -> None:
    digest = base64.b64encode(hashlib.md5(TABLE).digest()).decode()
    entry = field(1, "t.table.json") + field(2, digest) + field(6, name)
    value = {"_type": "table-file", "artifact_path": "wandb-client-artifact://client/t.table.json"}
    wandb(source, artifact(field(4, entry)), history(0, {"t": value}))
    (source / "artifacts" / "staging").mkdir(parents=True, exist_ok=True)


def wandb_manifest(source: Path, name: Any) -> None:
    wandb(source, artifact(field(5, name)), history(0, {"a": 1}))
    (source / "artifacts" / "staging" / "artifact_manifests").mkdir(parents=True, exist_ok=True)


def manifest(entry: Mapping[str, Any] = {"path": "t", "digest": "x"}) -> bytes:  # is not changed
    return gzip.compress(json.dumps(entry).encode() + b"\n")


STAGING = "artifacts/staging"
PLACES = {
    "coco-rle": Place("coco-rle", "images", coco_rle),
    "coco-panoptic's image": Place("coco-panoptic", "images", lambda s, n: coco_panoptic(s, n, "images")),
    "coco-panoptic's PNG": Place("coco-panoptic", "panoptic", coco_panoptic, colors()),
    "png's image": Place("png", "", image_folder),
    "png's mask": Place("png", "", lambda s, n: image_folder(s, n, "mask_file_name")),
    "parquet": Place("parquet", "", parquet, json=False),
    "arrow": Place("arrow", "", arrow, json=False),
    "huggingface": Place("huggingface", "", huggingface, json=False),
    "huggingface's shards": Place("huggingface", "", saved, stream()),
    "huggingface's splits": Place("huggingface", "", saved_split, said=False),
    "wandb's media": Place("wandb", "files", wandb_media),
    "wandb's lists": Place(
        "wandb", "files", lambda s, n: wandb_media(s, n, lambda n: {"_type": "images/separated", "filenames": [n]})
    ),
    "wandb's masks": Place(
        "wandb", "files", lambda s, n: wandb_media(s, n, image_with("masks", lambda n: {"path": n}))
    ),
    "wandb's boxes": Place(
        "wandb",
        "files",
        lambda s, n: wandb_media(s, n, image_with("boxes", lambda n: {"path": n})),
        json.dumps({"box_data": []}).encode(),
    ),
    "wandb's artifacts": Place("wandb", STAGING, wandb_artifact, TABLE, json=False, said=False),
    "wandb's lists of files": Place(
        "wandb", f"{STAGING}/artifact_manifests", wandb_manifest, manifest(), json=False, said=False
    ),
}


def test_every_format_that_names_files_is_here() -> None:
    """Cityscapes and folders hold no names: their files are found, and tested below."""
    assert {place.format for place in PLACES.values()} == set(BUILT_IN) - {"cityscapes", "folders", *WRITE_ONLY}


# --- names --------------------------------------------------------------------------------------


def pipe(folder: Path, secret: Path) -> str:
    os.mkfifo(folder / "pipe.png")
    return "pipe.png"


def listening(folder: Path, secret: Path) -> str:
    here = Path.cwd()
    os.chdir(folder)  # an address has 108 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.png")
    finally:
        os.chdir(here)
    return "socket.png"


def link(name: str, to: Callable[[Path], Path | str]) -> Callable[[Path, Path], str]:
    def build(folder: Path, secret: Path) -> str:
        (folder / name).symlink_to(to(secret))
        return name

    return build


def linked_folder(folder: Path, secret: Path) -> str:
    (folder / "linked").symlink_to(secret.parent)
    return "linked/secret.png"


def large(folder: Path, secret: Path) -> str:
    with (folder / "large.png").open("wb") as file:
        file.truncate(untrusted.MAX_BYTES + 1)  # a hole, which takes no room
    return "large.png"


def folder_itself(folder: Path, secret: Path) -> str:
    (folder / "folder.png").mkdir()
    return "folder.png"


LEADS, NAME, LINK = "leads out of", "a file's name is needed", "through a link"
#: how to make each, and what is said of it
HOSTILE: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "absolute": (lambda folder, secret: str(secret), LEADS),
    "above": (lambda folder, secret: os.path.relpath(secret, folder), LEADS),
    "above by a folder that is not there": (lambda folder, secret: f"a/../{os.path.relpath(secret, folder)}", LEADS),
    "above in Windows": (lambda folder, secret: os.path.relpath(secret, folder).replace("/", "\\"), LEADS),
    "a drive": (lambda folder, secret: "C:\\secret.png", LEADS),
    "a drive's folder": (lambda folder, secret: "c:secret.png", LEADS),
    "a network's": (lambda folder, secret: "\\\\host\\share\\secret.png", LEADS),
    "a pipe": (pipe, "is a named pipe"),
    "a socket": (listening, "is a socket"),
    "a device": (link("device.png", lambda _: "/dev/zero"), LINK),
    "a circle of links": (link("loop.png", lambda _: "loop.png"), LINK),
    "too large": (large, f"files of up to {untrusted.MAX_PICTURE:,} are read"),
    "too long": (lambda folder, secret: "a" * 300, "cannot be followed"),
    "longer than any path": (lambda folder, secret: "a/" * 500_000, "cannot be followed"),
    "a line's end": (lambda folder, secret: "a\nb.png", NAME),
    "an escape": (lambda folder, secret: "\x1b[2J.png", NAME),
    "a NUL": (lambda folder, secret: "a\0.png", NAME),
    "C1": (lambda folder, secret: "a\x9b.png", NAME),
    "half a pair": (lambda folder, secret: "\ud800.png", NAME),
    "nothing": (lambda folder, secret: "", NAME),
    "a number": (lambda folder, secret: 5, NAME),
    "a list": (lambda folder, secret: ["secret.png"], NAME),
    "a dot": (lambda folder, secret: ".", "there is no file"),
    "a folder": (folder_itself, "there is no file"),
    "a file's file": (lambda folder, secret: "good.png/a.png", "there is no file"),
    "missing": (lambda folder, secret: "none.png", "there is no file"),
}
#: these are followed where the user says so
LINKS = {
    "a link": link("link.png", lambda secret: secret),
    "a link's folder": linked_folder,
}
NOT_TEXT = ("half a pair", "a number", "a list")
NOT_OPENED = {"secret.png", "pipe.png", "socket.png", "device.png", "link.png"}


@pytest.fixture(autouse=True)
def _nothing_forbidden_later() -> Iterator[None]:
    yield
    forbidden.clear()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder outside of every source, and a file in it that would be right."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "secret.png"


def built(place: Place, tmp_path: Path, secret: Path, name: Callable[[Path, Path], Any]) -> Path:
    """Build a source that names a file, and forbid to open what is not its own."""
    source = tmp_path / "source"
    secret.write_bytes(place.good)
    place.build(source, "good.png")  # for its folders
    folder = source / place.folder
    (folder / "good.png").write_bytes(place.good)
    place.build(source, name(folder, secret))
    forbidden.update(NOT_OPENED)
    return source


def cases() -> Iterator[tuple[str, str]]:
    """Return every name in every place, but for what the place cannot hold, or what is right there."""
    for where, place in PLACES.items():
        for hostile in HOSTILE:
            right = {
                "too large": where == "huggingface's shards",  # they are read in pieces
                "nothing": where == "wandb's lists of files",  # most artifacts have no list
            }
            if not right.get(hostile) and (place.json or hostile not in NOT_TEXT):
                yield where, hostile


@pytest.mark.parametrize(("where", "hostile"), list(cases()))
def test_a_name_that_is_meant_badly_is_refused(tmp_path: Path, secret: Path, where: str, hostile: str) -> None:
    place, (name, words) = PLACES[where], HOSTILE[hostile]
    source = built(place, tmp_path, secret, name)
    with nothing_imported(source) as target, pytest.raises(MasklError) as caught:
        import_dataset(source, place.format, dir=target)
    if place.said and not (where == "huggingface's shards" and hostile in NOT_TEXT[1:]):
        assert words in str(caught.value)


@pytest.mark.parametrize("hostile", LINKS)
@pytest.mark.parametrize("where", [where for where in PLACES if where != "huggingface's splits"])  # a split is a folder
def test_links_are_followed_only_where_the_user_says_so(tmp_path: Path, secret: Path, where: str, hostile: str) -> None:
    place = PLACES[where]
    source = built(place, tmp_path, secret, LINKS[hostile])
    staged = hostile == "a link's folder" and where.startswith(("wandb's artifacts", "wandb's lists of files"))
    with nothing_imported(source) as target, pytest.raises(MasklError, match="staging" if staged else LINK) as caught:
        import_dataset(source, place.format, dir=target)
    assert staged or ("--follow-links" in str(caught.value) and str(secret.parent) in str(caught.value))
    forbidden.clear()
    if not staged:  # of a path in the log the last part alone counts
        found = import_dataset(source, place.format, dir=tmp_path / "imported", follow_links=True)
        assert len(found.runs) == 1


@pytest.mark.parametrize("where", PLACES)
def test_a_name_that_is_meant_well_is_taken(tmp_path: Path, secret: Path, where: str) -> None:
    place = PLACES[where]
    if where == "huggingface's splits":
        (tmp_path / "source").mkdir()
        saved(tmp_path / "source" / "good", "good.arrow")
        (tmp_path / "source" / "good" / "good.arrow").write_bytes(stream())
        saved_split(tmp_path / "source", "good")
        assert import_dataset(tmp_path / "source", place.format, dir=tmp_path / "imported").rows == {"good": 1}
        return
    source = built(place, tmp_path, secret, lambda folder, secret: "good.png")
    assert len(import_dataset(source, place.format, dir=tmp_path / "imported").runs) == 1
    place.build(source, f".{os.sep}good.png")
    assert len(import_dataset(source, place.format, dir=tmp_path / "again").runs) == 1


# --- files that are found, not named ------------------------------------------------------------


def cityscapes(source: Path) -> Path:
    name = "val/bern/bern_000003_000000"
    save(source / "leftImg8bit" / f"{name}_leftImg8bit.png", np.zeros((2, 3, 3)))
    return save(source / "gtFine" / f"{name}_gtFine_labelIds.png", np.zeros((2, 3)))


def folders(source: Path) -> Path:
    save(source / "images" / "a.png", np.zeros((2, 3, 3)))
    return save(source / "masks" / "a.png", np.zeros((2, 3)))


def with_file(build: Callable[[Path, Any], None], file: str) -> Callable[[Path], Path]:
    def source_of(source: Path) -> Path:
        build(source, "good.png")
        folder = source / "images" if (source / "images").is_dir() else source
        (folder / "good.png").write_bytes(png(3, 2))
        if not (source / file).exists():
            (source / file).write_text("[]")
        return source / file

    return source_of


#: how to make a source, of which the file that is returned is replaced
FOUND: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "cityscapes' masks": ("cityscapes", cityscapes),
    "cityscapes' images": ("cityscapes", lambda s: s / os.path.relpath(cityscapes(s), s).replace(
        "gtFine_labelIds", "leftImg8bit").replace("gtFine", "leftImg8bit")),
    "cityscapes' classes": ("cityscapes", lambda s: cityscapes(s) and with_file(lambda *_: None, "classes.json")(s)),
    "masks of folders": ("folders", folders),
    "images of folders": ("folders", lambda s: folders(s) and s / "images" / "a.png"),
    "classes of folders": ("folders", lambda s: folders(s) and with_file(lambda *_: None, "classes.json")(s)),
    "png's lines": ("png", with_file(image_folder, "metadata.jsonl")),
    "png's classes": ("png", with_file(image_folder, "classes.json")),
    "coco's JSON": ("coco-rle", with_file(coco_rle, "annotations.json")),
    "wandb's log": ("wandb", with_file(wandb_media, "run-r.wandb")),
}  # fmt: skip


KINDS = ("link", "pipe", "socket", "device", "loop", "large")
#: a log is read in pieces, however large it is
REPLACED = [(where, kind) for where in FOUND for kind in KINDS if (where, kind) != ("wandb's log", "large")]


@pytest.mark.parametrize(("where", "kind"), REPLACED)
def test_a_file_that_is_found_and_is_none_is_refused(tmp_path: Path, secret: Path, where: str, kind: str) -> None:
    format_, build = FOUND[where]
    source = tmp_path / "source"
    path = build(source)
    forbidden.clear()
    if kind == "link":
        path.rename(secret)
        path.symlink_to(secret)
    else:
        path.unlink()
        make = {"pipe": pipe, "socket": listening, "large": large}.get(kind)
        if make is not None:
            (path.parent / make(path.parent, secret)).rename(path)
        else:
            path.symlink_to("/dev/zero" if kind == "device" else path.name)
    if kind != "large":
        forbidden.update({str(path), "secret.png"})
    # a source whose first file is none is not one of the format, which is an error too
    with nothing_imported(source) as target, pytest.raises(MasklError):
        import_dataset(source, format_, dir=target)


@pytest.mark.parametrize("where", ["coco-rle", "coco-panoptic's PNG", "wandb's media"])
def test_the_folder_that_names_count_from_is_no_link_out_of_the_source(
    tmp_path: Path, secret: Path, where: str
) -> None:
    place = PLACES[where]
    source = built(place, tmp_path, secret, lambda folder, secret: "secret.png")
    folder = source / place.folder
    folder.rename(tmp_path / "moved")
    folder.symlink_to(secret.parent)
    with nothing_imported(source) as target, pytest.raises(InvalidValue, match=LINK):
        import_dataset(source, place.format, dir=target)


def test_a_folder_of_images_that_the_user_names_may_be_a_link(tmp_path: Path) -> None:
    coco_rle(tmp_path / "source", "0.png")
    (tmp_path / "source" / "images").rename(tmp_path / "elsewhere")
    (tmp_path / "source" / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidValue, match=r"through a link.*; name the folder of the images with --images"):
        import_dataset(tmp_path / "source", dir=tmp_path / "imported")
    found = import_dataset(tmp_path / "source", images=tmp_path / "source" / "images", dir=tmp_path / "imported")
    assert found.rows == {"source": 1}


def test_a_file_that_the_user_names_may_be_a_pipe(tmp_path: Path) -> None:
    """A shell hands ``<(command)`` on as one."""
    folders(tmp_path / "source")
    os.mkfifo(tmp_path / "classes")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit((tmp_path / "classes").write_text, '{"0": "road"}')
        import_dataset(tmp_path / "source", classes=tmp_path / "classes", dir=tmp_path / "imported")
        writing.result()
    (row,) = maskl.open(tmp_path / "imported").table("source")
    assert row["image"].masks["ground_truth"].class_labels == {0: "road"}


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "loop", "folder"])
@pytest.mark.parametrize("name", ["x.json", "x.wandb", "x.parquet", "x.arrow", "metadata.jsonl", "state.json"])
def test_no_format_opens_what_is_no_file_to_see_whether_a_source_is_its_own(
    tmp_path: Path, secret: Path, name: str, kind: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    path = source / name
    if kind in ("pipe", "socket"):
        (source / {"pipe": pipe, "socket": listening}[kind](source, secret)).rename(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else name)
    forbidden.add(name)
    with nothing_imported(source) as target, pytest.raises(MasklError):
        import_dataset(source, dir=target)


# --- W&B's staging folder -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder",
    ["home", "home/staging", "home/artifacts", "home/artifacts/staging/deeper", "source/artifacts/staging/../../files"],
)
def test_artifacts_are_read_from_a_staging_folder_alone(tmp_path: Path, folder: str) -> None:
    there = tmp_path / folder
    (tmp_path / "source" / STAGING).mkdir(parents=True)
    (tmp_path / "source" / "files").mkdir()
    there.mkdir(parents=True, exist_ok=True)
    (there / "secret.png").write_bytes(TABLE)
    wandb_artifact(tmp_path / "source", str(there / "secret.png"))
    forbidden.add("secret.png")
    with nothing_imported(tmp_path / "source") as target, pytest.raises(InvalidValue, match="--staging"):
        import_dataset(tmp_path / "source", dir=target)


@pytest.mark.parametrize("place", ["wandb's artifacts", "wandb's lists of files"])
def test_a_staging_folder_that_is_a_link_elsewhere_is_none(tmp_path: Path, secret: Path, place: str) -> None:
    where = PLACES[place]
    source = built(where, tmp_path, secret, lambda folder, secret: "secret.png")
    (source / STAGING).rename(tmp_path / "moved")
    (source / STAGING).symlink_to(secret.parent)
    (secret.parent / "artifact_manifests").mkdir()
    secret.rename(secret.parent / where.folder.removeprefix(STAGING).strip("/") / "secret.png")
    with nothing_imported(source) as target, pytest.raises(InvalidValue, match=LINK):
        import_dataset(source, dir=target)


@pytest.mark.parametrize("place", ["wandb's artifacts", "wandb's lists of files"])
def test_where_the_log_says_is_no_reason_to_read_there(
    tmp_path: Path, secret: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = PLACES[place]
    there = tmp_path / "home" / where.folder / "good.png"
    there.parent.mkdir(parents=True)
    there.write_bytes(where.good)
    for name in (str(there), os.path.relpath(there, tmp_path / "source")):
        where.build(tmp_path / "source", name)
        forbidden.add("good.png")
        with nothing_imported(tmp_path / "source") as target, pytest.raises(InvalidValue, match="--staging"):
            import_dataset(tmp_path / "source", dir=target)
        forbidden.clear()
    # it is where W&B of whoever imports keeps its data
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "home"))
    assert len(import_dataset(tmp_path / "source", dir=tmp_path / "imported").runs) == 1
    monkeypatch.delenv("WANDB_DATA_DIR")
    windows = "C:\\Users\\me\\" + where.folder.replace("/", "\\") + "\\good.png"
    where.build(tmp_path / "source", windows)
    with pytest.raises(InvalidValue, match="--staging"):
        import_dataset(tmp_path / "source", dir=tmp_path / "again")
    staging = tmp_path / "home" / STAGING
    assert len(import_dataset(tmp_path / "source", staging=staging, dir=tmp_path / "again").runs) == 1


# --- what unpacks to more -----------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """A limit that a test can exceed."""
    monkeypatch.setattr(untrusted, "MAX_BYTES", 1 << 18)
    monkeypatch.setattr(untrusted, "MAX_UNPACKED", 1 << 18)
    monkeypatch.setattr(log_file, "MAX_LINE", 1 << 18)
    return 1 << 18


def test_a_list_of_files_that_is_a_bomb(tmp_path: Path, small: int) -> None:
    path = tmp_path / "source" / STAGING / "artifact_manifests" / "good.gz"
    wandb_manifest(tmp_path / "source", "good.gz")
    path.write_bytes(gzip.compress(bytes(small + 1)))
    with nothing_imported(tmp_path / "source") as target, pytest.raises(InvalidValue, match="holds more than 262,144"):
        import_dataset(tmp_path / "source", dir=target)
    for torn in (b"no gzip", manifest()[:-4], gzip.compress(b"{"), gzip.compress(b"5\n"), gzip.compress(b"[" * 99_999)):
        path.write_bytes(torn)
        with nothing_imported(tmp_path / "source") as target, pytest.raises(CorruptData, match=r"good\.gz"):
            import_dataset(tmp_path / "source", dir=target)


def zipped(body: bytes, *, method: int = zipfile.ZIP_DEFLATED, said: int | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("a.npy", body)
    data = bytearray(buffer.getvalue())
    if said is not None:  # another size than it has, in the central directory, which is the one that is believed
        at = data.rindex(b"PK\1\2") + 24
        data[at : at + 4] = said.to_bytes(4, "little")
    return bytes(data)


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"shape": shape, "fortran_order": False, "descr": descr})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (zipped(npy(np.zeros(1 << 16))), InvalidValue, "holds more than 262,144 bytes"),
        (zipped(npy(np.zeros(1 << 16)), said=1000), CorruptData, "cannot be read"),
        (zipped(npy(np.zeros(9)), method=zipfile.ZIP_BZIP2), CorruptData, "as NumPy compresses none"),
        (zipped(npy(np.zeros(9)), method=zipfile.ZIP_LZMA), CorruptData, "as NumPy compresses none"),
        (zipped(header((1 << 60,))), CorruptData, "cannot be read"),
        (zipped(header((1 << 20, 1 << 20))), CorruptData, "cannot be read"),
        (zipped(header((1,), "|O")), CorruptData, "cannot be read"),
        (zipped(b"no array"), CorruptData, "cannot be read"),
        (b"no archive", CorruptData, "cannot be read"),
        (zipped(npy(np.zeros(9)))[:40], CorruptData, "cannot be read"),
    ],
    ids=["bomb", "lying bomb", "bzip2", "lzma", "claims", "claims 2-d", "pickled", "text", "no archive", "torn"],
)
def test_arrays_that_unpack_to_more(small: int, data: bytes, error: type[MasklError], words: str) -> None:
    with pytest.raises(error, match=words):
        untrusted.packed_array(data, "a", "the file")


def test_arrays_that_are_meant_well(small: int) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        found = untrusted.packed_array(zipped(npy(np.arange(6).reshape(2, 3)), method=method), "a", "the file")
        assert found.tolist() == [[0, 1, 2], [3, 4, 5]]
    # very many arrays of nothing are a view, and no list of as many
    assert len(untrusted.packed_array(zipped(header((1 << 40, 0))), "a", "the file")) == 1 << 40
    with pytest.raises(CorruptData, match="'b'"):
        untrusted.packed_array(zipped(npy(np.zeros(1))), "b", "the file")


def test_a_record_of_the_log_that_is_too_large(tmp_path: Path, small: int) -> None:
    wandb(tmp_path / "source", history(0, {"text": "a" * small}))
    with nothing_imported(tmp_path / "source") as target, pytest.raises(InvalidValue, match="more than 262,144 bytes"):
        import_dataset(tmp_path / "source", dir=target)


def test_a_file_that_grows_while_it_is_read(tmp_path: Path, small: int) -> None:
    path = tmp_path / "endless"
    path.write_bytes(b"a")
    with path.open("rb", buffering=0) as file:
        path.write_bytes(bytes(small + 1))  # more than what was seen before
        with pytest.raises(InvalidValue, match="holds more than"):
            untrusted._whole(file, path, small, 1)
    path.write_bytes(bytes(small))
    assert len(untrusted.read_file(path)) == small


# --- pictures that run other programs -----------------------------------------------------------

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 3 2\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("where", ["coco-rle", "coco-panoptic's PNG", "png's image", "png's mask", "wandb's media"])
def test_what_pillow_would_hand_to_another_program_is_refused(tmp_path: Path, secret: Path, where: str) -> None:
    place = PLACES[where]
    source = built(place, tmp_path, secret, lambda folder, secret: "good.png")
    (source / place.folder / "good.png").write_bytes(EPS)
    with nothing_imported(source) as target, pytest.raises(InvalidValue, match="format eps, which is not taken"):
        import_dataset(source, place.format, dir=target)

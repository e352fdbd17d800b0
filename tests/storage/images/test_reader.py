"""Images by digest: from their place in a part, from an index that stays small."""

from __future__ import annotations

import random
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maskl
from maskl_storage import ImageBytes, Layout, RunInfo, Store, Writer
from maskl_storage.catalog.listing import Listing, Sealed, write_seal
from maskl_storage.disk.local import Folder
from maskl_storage.disk.parquet import PartWriter
from maskl_storage.errors import NotFound
from maskl_storage.format.paths import part_path
from maskl_storage.format.schemas import FIXED
from maskl_storage.format.seals import Part, Seal
from maskl_storage.images import reader as images_module
from maskl_storage.images.reader import ImageReader
from maskl_storage.images.writer import images_table

Digest = Callable[[int], str]


def digest_of(number: int) -> str:
    return random.Random(number).randbytes(32).hex()


def image_of(number: int, digest: str | None = None) -> ImageBytes:
    return ImageBytes(digest or digest_of(number), "png", "RGB", 4, 3, f"image {number} ".encode() * (number % 5))


def part_of(root: Path, seal: int, images: list[ImageBytes], rows: int = 3) -> Sealed:
    path = part_path("images", "run", None, 0, seal)
    writer = PartWriter(Folder(root), path, FIXED["images"])
    writer.write(images_table(images), rows)
    return Sealed(writer.finish(), "run", None, 0, "1.1.0")


def reader_of(root: Path, *parts: list[ImageBytes]) -> ImageReader:
    return ImageReader(
        Folder(root), Listing((), tuple(part_of(root, number, images) for number, images in enumerate(parts)))
    )


@given(counts=st.lists(st.integers(0, 12), max_size=4), rows=st.integers(1, 5), order=st.randoms(use_true_random=False))
def test_every_image_is_found_by_its_digest(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], rows: int, order: random.Random
) -> None:
    root = tmp_path_factory.mktemp("store")
    made = iter(range(100))
    images = [[image_of(next(made)) for _ in range(count)] for count in counts]
    sealed = tuple(part_of(root, number, some, rows) for number, some in enumerate(images))
    reader = ImageReader(Folder(root), Listing((), sealed))
    every = [image for some in images for image in some]
    order.shuffle(every)
    for image in every + every[::-1]:
        assert reader.read(image.digest) == image.data
    with pytest.raises(NotFound, match="holds no image with digest"):
        reader.read(digest_of(1000))
    for image in every:
        assert reader.read(image.digest) == image.data


def test_digests_of_other_forms_and_equal_beginnings(tmp_path: Path) -> None:
    near = ["0" * 64, "0" * 63 + "1", "0" * 16 + "f" * 48, "f" * 64, "0" * 15 + "1" + "0" * 48]
    odd = ["00", "", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "나무" * 32, "0" * 64 + "\n"]
    images = [image_of(number, digest) for number, digest in enumerate(near + odd, 1)]
    images[len(near) + 1] = ImageBytes("", "png", "L", 1, 1, b"empty")
    reader = reader_of(tmp_path, images[::2], images[1::2])
    for image in images:
        assert reader.read(image.digest) == image.data
    for digest in ("1" * 64, "0" * 62, "x", "0 0", "ff" * 31 + "f0"):
        with pytest.raises(NotFound):
            reader.read(digest)


def test_an_image_that_two_parts_hold_is_read_from_either(tmp_path: Path) -> None:
    image = image_of(3)
    reader = reader_of(tmp_path, [image_of(1), image], [image, image_of(2)], [image])
    assert [reader.read(digest_of(number)) for number in (3, 2, 1, 3)] == [
        image_of(number).data for number in (3, 2, 1, 3)
    ]


@pytest.mark.parametrize("options", [{"compression": "zstd"}, {"use_dictionary": True}, {"data_page_version": "2.0"}])
def test_images_in_another_layout_are_read_by_pyarrow(tmp_path: Path, options: dict[str, str]) -> None:
    images = [image_of(number) for number in range(1, 9)]
    sealed = part_of(tmp_path, 0, images)
    path = tmp_path / sealed.part.path
    pq.write_table(pq.ParquetFile(path).read(), path, row_group_size=3, **{"compression": "none"} | options)
    part = Part(sealed.part.path, path.stat().st_size, 8, sealed.part.blake3, sealed.part.columns)
    reader = ImageReader(Folder(tmp_path), Listing((), (Sealed(part, "run", None, 0, "1.1.0"),)))
    for image in images:
        assert reader.read(image.digest) == image.data
    assert reader._starts.get((0, 0)) is None


def test_parts_are_indexed_when_they_are_needed(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, *([image_of(number)] for number in range(1, 5)))
    assert reader._waiting == 4
    reader.read(digest_of(4))  # the latest part first
    assert reader._waiting == 3
    reader.read(digest_of(2))
    assert (reader._waiting, len(reader._indexes)) == (1, 3)
    reader.read(digest_of(1))
    assert (reader._waiting, len(reader._indexes)) == (0, 1)


def test_the_index_of_many_images_is_small_and_made_at_once(tmp_path: Path) -> None:
    count = 100_000
    digests = np.random.default_rng(0).integers(0, 256, (count, 32), np.uint8)
    texts = [bytes(digest).hex() for digest in digests]
    names = FIXED["images"].names
    columns = {
        "digest": texts,
        "format": ["png"] * count,
        "mode": ["L"] * count,
        "width": [1] * count,
        "height": [1] * count,
        "bytes": [b"%d" % number for number in range(count)],
    }
    path = part_path("images", "run", None, 0, 0)
    writer = PartWriter(Folder(tmp_path), path, FIXED["images"])
    writer.write(pa.table([columns[name] for name in names], schema=FIXED["images"]), 2000)
    sealed = Sealed(writer.finish(), "run", None, 0, "1.1.0")
    reader = ImageReader(Folder(tmp_path), Listing((), (sealed,)))
    tracemalloc.start()
    try:
        assert reader.read(texts[7]) == b"7"
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 60 * count
    for number in range(0, count, 997):
        assert reader.read(texts[number]) == b"%d" % number
    assert sys.getsizeof(reader._starts.get((0, 0)) or 0) < 20_000


@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    rows=st.integers(1, 5),
    picked=st.lists(st.none() | st.integers(0, 47), max_size=60),
    kept=st.sampled_from([1, 1 << 20]),
)
def test_a_column_of_digests_gives_the_images(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], rows: int, picked: list[int | None], kept: int
) -> None:
    root = tmp_path_factory.mktemp("store")
    made = iter(range(48))
    images = [[image_of(next(made)) for _ in range(count)] for count in counts]
    sealed = tuple(part_of(root, number, some, rows) for number, some in enumerate(images))
    every = [image for some in images for image in some]
    chosen = [None if number is None else every[number % len(every)] for number in picked]
    texts = [None if image is None else image.digest for image in chosen]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images_module, "GROUPS_BYTES", kept)
        reader = ImageReader(Folder(root), Listing((), sealed))
    expected = [None if image is None else image.data for image in chosen]
    assert reader.column(pa.array(texts, pa.string())).to_pylist() == expected
    assert reader.column(pa.chunked_array([pa.array(texts, pa.string())] * 2)).to_pylist() == expected * 2
    with pytest.raises(NotFound, match="no image with digest " + digest_of(1000)):
        reader.column(pa.array([every[0].digest, digest_of(1000)]))
    assert [reader.read(image.digest) for image in every] == [image.data for image in every]


def test_neighbouring_images_are_handed_on_without_a_copy(tmp_path: Path) -> None:
    images = [image_of(number) for number in range(1, 13)]
    reader = reader_of(tmp_path, images)
    found = reader.column(pa.array([image.digest for image in images[:3]]))
    assert [chunk.offset for chunk in reader.column(pa.array([image.digest for image in images[1:3]])).chunks] == [1]
    (whole,) = found.chunks
    held = reader._groups.get((0, 0))
    assert held is not None
    assert whole.buffers()[2].address == held.buffers()[2].address
    (alone,) = reader.column(pa.array([images[0].digest])).chunks  # a view of one would keep three in memory
    assert alone.buffers()[2].address != held.buffers()[2].address


def test_columns_are_read_on_when_the_files_are_removed(tmp_path: Path) -> None:
    images = [image_of(number) for number in range(1, 9)]
    sealed = [part_of(tmp_path, number, images[number::2]) for number in range(2)]
    reader = ImageReader(Folder(tmp_path), Listing((), tuple(sealed)))
    late = ImageReader(Folder(tmp_path), Listing((), tuple(sealed)))
    digests = pa.array([image.digest for image in images])
    assert late.read(images[0].digest) == images[0].data
    assert reader.column(digests[:1]).to_pylist() == [images[0].data]
    for part in sealed:
        (tmp_path / part.part.path).unlink()
    assert reader.column(digests).to_pylist() == [image.data for image in images]
    with pytest.raises(NotFound):
        late.column(digests)


def test_threads_share_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskl_storage.disk.mapped.MOST", 1)
    monkeypatch.setattr(images_module, "STARTS_BYTES", 600)
    images = [image_of(number) for number in range(200)]
    reader = reader_of(tmp_path, *(images[start : start + 20] for start in range(0, 200, 20)))

    def read(seed: int) -> bool:
        order = random.Random(seed).sample(images, len(images))
        return all(reader.read(image.digest) == image.data for image in order)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(16)))


def test_a_store_finds_images_that_were_added_or_merged(store_dir: Path) -> None:
    writer = Writer(Layout.create(store_dir), RunInfo("run", "run"))
    store = Store(store_dir)
    for number in range(1, 4):
        writer.add_image(image_of(number))
        writer.seal()
        assert store.image(digest_of(number)) == image_of(number).data
    with pytest.raises(NotFound):
        store.image(digest_of(9))
    first = store._listing.of("images")[0]
    again = part_of(store_dir, 50, [image_of(1)])  # as two writers do that log an image at once
    write_seal(Folder(store_dir), Seal("run", 0, 50, (again.part,)))
    (store_dir / first.part.path).unlink()
    assert store._images is not None
    for file in store._images._files:
        file.file.close()
    assert store.image(digest_of(1)) == image_of(1).data
    writer.close()


def test_reading_an_image_does_not_look_at_the_store_again(store_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with maskl.init(dir=store_dir) as run:
        run.log({"t": maskl.Table(["image"], [[maskl.Image(np.full((2, 2, 3), n, np.uint8))] for n in range(4)])})
    store = maskl.open(store_dir)
    rows = store.table("t")
    assert np.asarray(rows[0]["image"].image).max() == 0
    monkeypatch.setattr(store, "refresh", lambda: pytest.fail("the store was listed again"))
    assert [int(np.asarray(row["image"].image).max()) for row in rows] == [0, 1, 2, 3]

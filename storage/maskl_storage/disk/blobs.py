"""Bytes that stand in files by their hash: written while they are hashed, however large, and read back checked."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from typing import IO, Final

from blake3 import blake3

from maskl_storage.disk.local import Folder, folder_of, write_all
from maskl_storage.errors import CorruptData, NotFound
from maskl_storage.format.paths import BLOBS, blob_path, unfinished_name

__all__ = ["copy_to", "fetch_blob", "hash_blob", "hash_of", "move_blob", "open_blob", "put_blob"]

BLOCK: Final = 1 << 20


def hash_of(source: IO[bytes], into: Callable[[bytes], object] = lambda _block: None) -> tuple[str, int]:
    """Return the BLAKE3, 64 hexadecimal digits, and the size of what a file holds from here on.

    Parameters
    ----------
    source : file
        Is read a block at a time, so that a block is in memory, however large it is.
    into : callable, optional
        Takes each block.
    """
    hasher, size = blake3(), 0
    while block := source.read(BLOCK):
        hasher.update(block)
        size += len(block)
        into(block)
    return hasher.hexdigest(), size


def put_blob(files: Folder, source: IO[bytes], *, sync: bool = False) -> tuple[str, int]:
    """Store what a file holds from here on, and return its BLAKE3, 64 hexadecimal digits, and its size in bytes.

    It is whole under its name or not there at all.
    """
    files.make_folder(BLOBS, sync=sync)
    temporary = f"{BLOBS}/{unfinished_name(secrets.token_hex(8), os.getpid())}"
    try:
        with open(files.create(temporary), "wb", buffering=0) as file:
            digest, size = hash_of(source, lambda block: write_all(file.fileno(), block))
        path = blob_path(digest)
        files.make_folder(folder_of(path), sync=sync)
        files.rename(temporary, path, sync=sync)
    finally:
        files.remove(temporary)
    return digest, size


def move_blob(made: Folder, path: str, into: Folder, digest: str) -> None:
    """Have bytes that stand in another store, on the same file system, be a blob here, whether it is there or not.

    What is there already may be on its way out, so that it is replaced as :func:`put_blob` does.
    """
    target = blob_path(digest)
    into.make_folder(folder_of(target))
    temporary = f"{BLOBS}/{unfinished_name(secrets.token_hex(8), os.getpid())}"
    made.move(path, into, temporary)
    into.rename(temporary, target)


@contextlib.contextmanager
def open_blob(files: Folder, digest: str) -> Iterator[IO[bytes]]:
    """Open the bytes of a BLAKE3 for reading.

    Raises
    ------
    NotFound
        The store does not hold them.
    """
    try:
        file = files.raw_reader(blob_path(digest))
    except FileNotFoundError as error:
        raise NotFound(f"{files.root} does not hold the bytes of {digest}") from error
    with file:
        yield file


def hash_blob(files: Folder, digest: str) -> tuple[str, int]:
    """Return the BLAKE3 and the size of what stands under a BLAKE3; NotFound where nothing does."""
    with open_blob(files, digest) as file:
        return hash_of(file)


def fetch_blob(files: Folder, digest: str, into: Folder, path: str) -> int:
    """Write the bytes of a BLAKE3 to a file in another folder, whole or not at all, and return how many they are.

    Raises
    ------
    NotFound
        The store does not hold them.
    CorruptData
        They are others; or what leads to the file is a link, or something else that is no folder.
    """
    with open_blob(files, digest) as source:
        return copy_to(source, into, path, digest, blob_path(digest))


def copy_to(source: IO[bytes], into: Folder, path: str, digest: str | None, where: str) -> int:
    """Write what a file holds to one in a folder, whole or not at all, and return how many bytes that is.

    Raises
    ------
    CorruptData
        ``digest`` is given, and is not the BLAKE3 of what the file, which is called ``where``, holds.
    """
    above = folder_of(path)
    into.make_folder(above)
    temporary = f"{above}/" * bool(above) + unfinished_name(secrets.token_hex(8), os.getpid())
    try:
        with open(into.create(temporary), "wb", buffering=0) as file:
            found, size = hash_of(source, lambda block: write_all(file.fileno(), block))
        if found != (digest or found):
            raise CorruptData(f"{where}: its BLAKE3 is not {digest}: its bytes were altered")
        into.rename(temporary, path)
    finally:
        into.remove(temporary)
    return size

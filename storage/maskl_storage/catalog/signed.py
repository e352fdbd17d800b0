"""JSON files of a store with a checksum as their last key."""

from __future__ import annotations

from blake3 import blake3

from maskl_storage.disk.local import Folder
from maskl_storage.format.document import check_size

__all__ = ["checksum_holds", "read_document", "signed", "write_json"]


def read_document(files: Folder, path: str) -> bytes:
    """Return the bytes of a JSON document, or raise CorruptData for one that is larger than any, before it is read."""
    check_size(files.stat(path).st_size, path)
    return files.read(path)


def write_json(files: Folder, path: str, text: str, *, sync: bool = False) -> None:
    """Write an object as JSON, whole or not at all, with its checksum as the last key."""
    files.write(path, signed(text), sync=sync)


def signed(text: str) -> bytes:
    """Return the text of a JSON object with the key ``blake3``: the BLAKE3 of all bytes before its own digits.

    Examples
    --------
    >>> signed('{"a": 1}')[:32]
    b'{"a": 1, "blake3": "8b35f8c1cdf4'
    """
    head = f'{text.removesuffix("}")}, "blake3": "'.encode()
    return head + blake3(head).hexdigest().encode() + b'"}'


def checksum_holds(data: bytes) -> bool | None:
    """Whether the checksum of a JSON text is right; None where it has none.

    Examples
    --------
    >>> checksum_holds(signed('{"a": 1}')), checksum_holds(signed('{"a": 1}').replace(b"1", b"2", 1))
    (True, False)
    """
    head, digits = data[:-66], data[-66:]
    if not head.endswith(b', "blake3": "'):
        return None
    return digits == blake3(head).hexdigest().encode() + b'"}'

"""The JSON files of a store, checked one by one: checksum, keys, types, and that each says what its path says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from maskl_storage.catalog.signed import checksum_holds, read_document
from maskl_storage.disk.local import Folder, name_of
from maskl_storage.errors import MasklError
from maskl_storage.format.descriptions import KEYS, REQUIRED, field_problems
from maskl_storage.format.document import STORE_FILE, check_version, is_newer, parse_store, read_object
from maskl_storage.format.paths import is_document, run_of, seal_pattern, writer_pattern
from maskl_storage.format.seals import Seal, parse_seal, place_problems
from maskl_storage.verify._faults import Fault

__all__ = ["check_documents", "read_seals"]

STORE_KEYS: Final = {"format", "version", "blake3"}
SEAL_KEYS: Final = {
    *("version", "run_id", "writer", "seal", "generation", "parts", "replaces", "level", "place", "blake3")
}
PART_KEYS: Final = {"path", "bytes", "rows", "blake3", "columns"}


def check_documents(files: Folder) -> list[Fault]:
    """Return what is wrong with ``maskl.json`` and with the writers' files."""
    faults = list(_check(files, STORE_FILE, lambda data: _store(data)))
    for name in files.glob(writer_pattern()):
        faults += _check(files, name, lambda data, name=name: _run(data, name))  # type: ignore[misc]  # bound here
    return faults


def read_seals(files: Folder) -> tuple[dict[str, Seal], list[Fault]]:
    """Return the seals that can be read, by path, and what is wrong with them and with the others."""
    seals: dict[str, Seal] = {}
    faults: list[Fault] = []
    for name in files.glob(seal_pattern()):
        if is_document(name_of(name)):
            faults += _check(files, name, lambda data, name=name: _seal(data, name, seals))  # type: ignore[misc]  # bound here
    return seals, faults


def _check(files: Folder, name: str, look: Callable[[bytes], Iterator[str]]) -> list[Fault]:
    try:
        data = read_document(files, name)
        faults = [] if checksum_holds(data) is not False else [Fault(name, "its checksum does not match")]
        return faults + [Fault(name, problem) for problem in look(data)]
    except FileNotFoundError:  # removed since it was listed
        return []
    except (MasklError, OSError, UnicodeDecodeError) as error:
        return [Fault(name, str(error).removeprefix(f"{name}: "))]


def _store(data: bytes) -> Iterator[str]:
    version = parse_store(data, STORE_FILE)
    yield from _unknown(read_object(data, STORE_FILE), STORE_KEYS, version)


def _run(data: bytes, name: str) -> Iterator[str]:
    if not data:  # a writer claims its number with an empty file, which is filled a moment later
        return
    body = read_object(data, name)
    version = check_version(body.get("version"), name)
    yield from _unknown(body, set(KEYS), version)
    yield from field_problems({**dict.fromkeys(REQUIRED), **body})
    run_id = run_of(name)
    if body.get("run_id") != run_id:
        yield f"run_id: {run_id!r} is needed, by its path; got {body.get('run_id')!r:.60}"


def _seal(data: bytes, name: str, seals: dict[str, Seal]) -> Iterator[str]:
    seal = parse_seal(data, name)
    seals[name] = seal
    body = read_object(data, name)
    yield from _unknown(body, SEAL_KEYS, seal.version)
    for index, part in enumerate(body["parts"]):
        yield from (f"parts[{index}].{problem}" for problem in _unknown(part, PART_KEYS, seal.version))
    yield from place_problems(seal, name)


def _unknown(body: Mapping[str, Any], known: set[str], version: str) -> Iterator[str]:
    """Yield the keys that a version that is known here has not."""
    if not is_newer(version):
        yield from (f"{key!r:.40} is no key of version {version}" for key in body if key not in known)

"""Kept media: bytes with a type, which stand in a store by their hash."""

from __future__ import annotations

import io
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final

from maskl.annotations.sink import sink
from maskl_storage.disk.blobs import hash_of, open_blob, put_blob
from maskl_storage.disk.local import Folder
from maskl_storage.disk.scratch import scratch
from maskl_storage.errors import (
    CorruptData,
    InvalidType,
    InvalidValue,
    NotFound,
    NotStoredWarning,
    StateError,
    StorageError,
    warn,
)
from maskl_storage.format.document import is_count
from maskl_storage.format.json_values import Form, register_form
from maskl_storage.format.names import check_text
from maskl_storage.lazy import LazyModule

if TYPE_CHECKING:
    import maskl_storage.write.files as files
    import maskl_storage.write.writer as writers
else:
    # who reads media writes none
    files, writers = LazyModule("maskl_storage.write.files"), LazyModule("maskl_storage.write.writer")

__all__ = ["Content", "Given", "Media", "given"]

#: what a file holds, where it is, or what makes its content where somebody wants it
Content = bytes | Path | Callable[[], bytes]
#: a file's content, and what its name ends in
Given = tuple[Content, str | None]

_DIGEST: Final = re.compile("[0-9a-f]{64}")
_FORMAT: Final = re.compile("[a-z0-9][a-z0-9.+-]{0,15}")
#: what no name of a file is made of
_NO_NAME: Final = re.compile(r"[^\w.-]+")
#: bytes of the longest part of a name that is taken from what a value is logged as
_LONGEST: Final = 100
#: formats with a dot
_LONG: Final = ("pts.json", "plotly.json", "bokeh.json")
#: how files of some formats begin
_BEGINS: Final = {
    b"RIFF": "wav",
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"ID3": "mp3",
    b"GIF8": "gif",
    b"\x1a\x45\xdf\xa3": "webm",
    b"glTF": "glb",
}


class _Held:
    """Where the bytes of a value are: in a store or a scratch folder, by their BLAKE3."""

    def __init__(
        self,
        folder: Folder | None = None,
        writer: writers.Writer | None = None,
        *,
        staged: bool = False,
        discarded: bool = False,
    ) -> None:
        self.folder, self.writer, self.staged, self.discarded = folder, writer, staged, discarded


#: what is read back, by what it says that it is
_CLASSES: Final[dict[str, type[Media]]] = {}


class Media:
    """Bytes with a type, such as a sound or a page, which are kept as they are and never rendered.

    :class:`maskl.Html`, :class:`maskl.Audio` and their like make one. It is logged by itself, in a list, in a dict,
    or in a table's cell, and comes back from there.

    Notes
    -----
    Its bytes go into the store when it is made, if a run is active; else they wait in a temporary folder until it is
    logged. Two are equal if their bytes, types, formats and captions are.
    """

    #: what it is, such as ``"html"``
    kind: ClassVar[str] = "file"

    def __init_subclass__(cls) -> None:
        _CLASSES.setdefault(cls.kind, cls)  # a user's own class of a kind is read back as that kind

    def _take(self, content: Content, form: str | None, caption: Any = None) -> None:
        """Keep what a file holds, and note its format and caption."""
        if caption is not None and not isinstance(caption, str):
            raise InvalidType(f"a caption must be a string; got {caption!r:.60}")
        self._type = self.kind
        self._format = form if form and _FORMAT.fullmatch(form) else None
        self._caption = None if caption is None else check_text(str(caption), "a caption")
        if sink.discards:  # nothing of it is looked at; no other value is called so
            self._digest, self._size, self._held = secrets.token_hex(32), 0, _Held(discarded=True)
            return
        if callable(content):
            content = content()
        if isinstance(content, Path):
            if not content.exists():
                raise NotFound(f"there is no file {str(content)!r} to keep as {type(self).__name__}")
            if not content.is_file():
                raise InvalidValue(f"{str(content)!r} is no regular file, which a {type(self).__name__} is made of")
        if not self._put_at_once(content):
            self._stage(content)

    def _put_at_once(self, content: bytes | Path) -> bool:
        """Store bytes where a run is active that takes them, and return whether it did."""
        writer = sink.writer
        if writer is None or not isinstance(writer, writers.Writer) or writer.closed or writer.forked:
            return False
        try:
            with _opened(content) as source:
                self._digest, self._size = files.FileWriter(writer).put(source)
        except (StorageError, StateError):  # log() says so, if it can store them no more than this
            return False
        self._held = _Held(writer.layout.files, writer)
        return True

    def _stage(self, content: bytes | Path) -> None:
        held = _Held(staged=True)
        held.folder = Folder(scratch(held))
        with _opened(content) as source:
            self._digest, self._size = put_blob(held.folder, source)
        self._held = held

    @property
    def type(self) -> str:
        """What it is: ``html``, ``audio``, ``video``, ``object3D``, ``molecule``, ``plotly`` or ``bokeh``."""
        return self._type

    @property
    def format(self) -> str | None:
        """What its file's name ends in, such as ``wav``; None where that is not known."""
        return self._format

    @property
    def caption(self) -> str | None:
        """The text that belongs to it."""
        return self._caption

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._size

    @property
    def digest(self) -> str:
        """BLAKE3 of its bytes, 64 hexadecimal digits; random where it was made in a disabled run."""
        return self._digest

    @property
    def data(self) -> bytes:
        """Its bytes; see :meth:`read`."""
        return self.read()

    def read(self) -> bytes:
        """Return its bytes, from the store that it was read from, or where they wait.

        Raises
        ------
        NotFound
            They are not there, or it came from JSON text alone, which names no store.
        StateError
            It was made while a disabled run was active, which keeps nothing.
        CorruptData
            They are not those that were kept.
        """
        with open_blob(self._source(), self._digest) as file:
            found = file.read()
        if hash_of(io.BytesIO(found))[0] != self._digest:
            raise CorruptData(f"the bytes of {self!r} are not those that were kept: its BLAKE3 is another")
        return found

    def _source(self) -> Folder:
        if self._held.discarded:
            raise StateError(
                f"this {type(self).__name__} was made in a disabled run, which keeps nothing: make it anew"
            )
        if self._held.folder is None:
            raise NotFound(f"{self!r} was read without its store: maskl.open() gives it with its bytes")
        return self._held.folder

    def put(self, writer: writers.Writer) -> bool:
        """Have its bytes in the store of a writer, and return whether they are; a warning says where they are gone."""
        if self._held.writer is writer:
            return True
        try:
            with open_blob(self._source(), self._digest) as file:
                digest, _ = files.FileWriter(writer).put(file)
        except NotFound as error:
            warn(f"the bytes of {self!r} are not stored: {error}", NotStoredWarning)
            return False
        if digest != self._digest:
            raise CorruptData(f"the bytes of {self!r} are not those that were kept: its BLAKE3 is another")
        self._held.folder, self._held.writer, self._held.staged = writer.layout.files, writer, False
        return True

    def path(self, name: str, step: int) -> str:
        """Return what its file is called in a run where it is logged so."""
        above, inside = _safe(self._type), _safe(name)
        return f"media/{above}/{inside}_{step}_{self._digest[:8]}.{self._format or 'bin'}"

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Media) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, str, str | None, str | None]:
        return self._digest, self._type, self._format, self._caption

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: the bytes too where they wait, since their folder is this process's."""
        waits = self.read() if self._held.staged else None
        return {**vars(self), "_held": _Held(self._held.folder, discarded=self._held.discarded), "_waits": waits}

    def __setstate__(self, state: dict[str, Any]) -> None:
        waits = state.pop("_waits")
        vars(self).update(state)
        if waits is not None:
            self._stage(waits)

    def __repr__(self) -> str:
        form = f", {self._format}" if self._format else ""
        caption = f", {self._caption!r:.40}" if self._caption else ""
        return f"<{type(self).__name__} {self._type}{form}{caption}, {self._size} bytes>"


def given(data: Any) -> Given | None:
    """Return what a path, bytes or a file that is open hold, or None where it is none of these."""
    if isinstance(data, str | os.PathLike):
        path = Path(os.fsdecode(data))
        return path, _ending(path.name)
    if isinstance(data, bytes | bytearray | memoryview):
        found = bytes(data)
        return found, _begun(found)
    if not hasattr(data, "read"):
        return None
    if hasattr(data, "seek"):
        data.seek(0)
    content = data.read()
    found = content.encode() if isinstance(content, str) else bytes(content)
    name = getattr(data, "name", None)
    return found, (_ending(name) if isinstance(name, str) else None) or _begun(found)


def _ending(name: str) -> str | None:
    lower = name.lower()
    long = next((form for form in _LONG if lower.endswith(f".{form}")), None)
    return long or lower.rpartition(".")[2] if "." in lower else None


def _begun(content: bytes) -> str | None:
    if content[4:8] == b"ftyp":
        return "mp4"
    return next((form for begin, form in _BEGINS.items() if content.startswith(begin)), None)


def _opened(content: bytes | Path) -> IO[bytes]:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def _safe(name: str) -> str:
    """Return a name as one that a file can have in every system."""
    short = _NO_NAME.sub("-", name).encode()[:_LONGEST].decode(errors="ignore")
    return short.strip(".") or "media"


# --- in JSON text -----------------------------------------------------------------------------------


def _plain(media: Media) -> dict[str, Any]:
    found: dict[str, Any] = {"$media": media.digest, "type": media.type, "size": media.size}
    more = {"format": media.format, "caption": media.caption}
    return found | {key: value for key, value in more.items() if value is not None}


def _of_plain(found: Mapping[str, Any]) -> Media:
    digest, kind, size = found["$media"], found["type"], found["size"]
    form, caption = found.get("format"), found.get("caption")
    texts = [digest, kind, *(text for text in (form, caption) if text is not None)]
    if not all(isinstance(text, str) for text in texts) or not _DIGEST.fullmatch(digest) or not is_count(size):
        raise InvalidValue(f"kept media have a BLAKE3, a type and a size; got {dict(found)!r:.120}")
    media = object.__new__(_CLASSES.get(kind, Media))
    media._type, media._digest, media._size = kind, digest, size
    media._format, media._caption = form if form and _FORMAT.fullmatch(form) else None, caption
    media._held = _Held()
    return media


def _placed(media: Media, store: Folder | Mapping[str, Media]) -> Media:
    """Have a value find its bytes in a store, or where another one of the same bytes has them."""
    if isinstance(store, Folder):
        media._held = _Held(store)
    elif media.digest in store:
        media._held = store[media.digest]._held
    return media


register_form(Form("$media", Media, _plain, _of_plain, whole=True, placed=_placed))

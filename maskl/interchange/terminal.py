"""Standard output and error as the command line uses them: the one place that lets text through to a terminal."""

from __future__ import annotations

import io
from typing import Any, TextIO

from maskl_storage.format.visible import visible

__all__ = ["Terminal", "bare", "exact"]


class Terminal(io.TextIOBase):
    r"""A stream that shows whatever is written to it: control and format characters as escapes, lines as lines.

    Parameters
    ----------
    stream : text stream
        Where it goes; :func:`bare` gives it to those that steer the terminal themselves.

    Examples
    --------
    >>> stream = io.StringIO()
    >>> print("a\x1b[31m", "b", sep="\n", file=Terminal(stream))
    >>> print(stream.getvalue(), end="")
    a\x1b[31m
    b
    """

    def __init__(self, stream: TextIO) -> None:
        self.bare = stream

    def write(self, text: str) -> int:
        """Write text, every character of which shows."""
        self.bare.write(visible(text, keep="\n\t"))
        return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        self.bare.flush()

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return self.bare.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the stream."""
        return self.bare.fileno()

    def writable(self) -> bool:
        """Whether it can be written to: always."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]  # what print() and rich ask a stream for
        """The encoding of the stream."""
        return self.bare.encoding or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]  # as above
        """What the stream does with characters that its encoding lacks."""
        return self.bare.errors


def bare(stream: Any) -> Any:
    """Return the stream itself, for who has made all text visible and draws with sequences of its own."""
    return stream.bare if isinstance(stream, Terminal) else stream


def exact(stream: Any) -> Any:
    """Return where output for programs goes: as it is, unless it is a terminal that a person looks at."""
    return stream if stream.isatty() else bare(stream)

"""Pieces of HTML: texts that stand for themselves, colours, and pictures that need no file."""

from __future__ import annotations

import base64
import html
import re
from typing import Final

from maskl.drawing.overlay import RGB

__all__ = ["data_uri", "escape", "hex_color"]

#: what HTML cannot hold: controls other than tab and line feed, halves of surrogate pairs, noncharacters
UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def escape(text: str) -> str:
    """Return a text that stands for itself, in an element or a quoted attribute.

    Examples
    --------
    >>> escape('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text))


def hex_color(color: RGB) -> str:
    """Return a colour as CSS has it.

    Examples
    --------
    >>> hex_color((64, 128, 255))
    '#4080ff'
    """
    return "#{:02x}{:02x}{:02x}".format(*color)


def data_uri(data: bytes, media_type: str) -> str:
    """Return a URI that holds the data itself.

    Examples
    --------
    >>> data_uri(b"abc", "image/png")
    'data:image/png;base64,YWJj'
    """
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"

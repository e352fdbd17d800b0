"""Text as people may be shown it: what would steer a terminal, or hide or turn around other text, is spelled out.

Names and messages of a store are whatever somebody logged. Standard library only.
"""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["visible"]

#: control and format characters, halves of surrogate pairs, and separators of lines and paragraphs
STEERING: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
#: what joins letters of some scripts, and the parts of an emoji
JOINERS: Final = "\u200c\u200d"
#: below these are letters that nothing joins
JOINED: Final = "\u0300"


def visible(text: str, keep: str = "") -> str:
    r"""Return text with an escape such as ``\x1b`` in place of each character that would not show as itself.

    Parameters
    ----------
    text : str
        Any text.
    keep : str, optional
        Characters that stay, such as line breaks between lines that were made visible one by one.

    Examples
    --------
    >>> print(visible("한글 é"), visible("a\x1b]0;b\x07\n"), visible("\u202egnp.exe"))
    한글 é a\x1b]0;b\x07\n \u202egnp.exe
    """
    if text.isprintable():
        return text
    pieces = []
    before = ""
    for character in text:
        joins = character in JOINERS and before >= JOINED
        if character in keep or joins or unicodedata.category(character) not in STEERING:
            pieces.append(character)
        else:
            pieces.append(character.encode("unicode_escape").decode())
        before = character
    return "".join(pieces)

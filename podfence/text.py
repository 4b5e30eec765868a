"""Text from the API made harmless for a terminal.

Rule: every name, label and message that came from outside passes through :func:`printable`
before it is printed. What it returns moves no cursor, changes no colour, starts no line and does
not turn the writing direction, and two different texts stay different.
"""

from __future__ import annotations

import unicodedata

_HARMLESS_CATEGORIES = frozenset("LMNPS")
"""Letters, marks, numbers, punctuation, symbols; what is left are separators and control, format,
surrogate and unassigned characters."""


def printable(text: str) -> str:
    """``text`` with every character that could act on the terminal as a visible ``\\x1b`` escape.

    Escaped are control characters, line and paragraph separators, unusual spaces, bidirectional
    and other invisible format characters, surrogates, unassigned code points, and the backslash
    itself.
    """
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character == " " or unicodedata.category(character)[0] in _HARMLESS_CATEGORIES:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

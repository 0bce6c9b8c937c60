"""Text of any origin in one line: what would end the line, or steer a terminal, as escapes.

Names come from corpora and file systems, which allow line ends, tabs and the control characters
that terminals obey. `escaped` is for files that are read again, `printable` for people.
"""

from __future__ import annotations

import re
import unicodedata

_SHORT = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_LONG = {escape: sign for sign, escape in _SHORT.items()}
_ESCAPE = re.compile(r"\\(?:[\\tnr]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_ALWAYS = {"Cc", "Cs", "Zl", "Zp"}
"""Control characters, halves of characters, separators of lines and paragraphs."""
_DIRECTIONS = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They turn the text around them, which then reads as something else."""


def escaped(text: str) -> str:
    """Returns a text that fits into a field of a line: `unescaped` gives the text again."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(_SHORT.get(sign) or _shown(sign) for sign in text)


def unescaped(text: str) -> str:
    """Returns the text that `escaped` was given."""
    return _ESCAPE.sub(lambda found: _LONG.get(found[0]) or chr(int(found[0][2:], 16)), text)


def printable(text: str) -> str:
    """Returns a text for a terminal: lines stay, other control characters become escapes."""
    return "".join(sign if sign in "\n\t" else _shown(sign) for sign in text)


def _shown(sign: str) -> str:
    if sign.isascii() and sign.isprintable():
        return sign
    if unicodedata.category(sign) not in _ALWAYS and sign not in _DIRECTIONS:
        return sign
    code = ord(sign)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

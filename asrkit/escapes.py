"""Text of any origin in one line: line ends and control characters are escaped.

Names come from corpora and file systems, which allow line ends, tabs and control characters that
change what a terminal does. `escaped` is for files that are read again, `printable` for people.
"""

from __future__ import annotations

import re
import unicodedata

_SHORT = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_LONG = {escape: sign for sign, escape in _SHORT.items()}
_ESCAPE = re.compile(r"\\(?:[\\tnr]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_ALWAYS = {"Cc", "Cs", "Zl", "Zp"}
"""Control characters, surrogates, separators of lines and paragraphs."""
_DIRECTIONS = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They reverse the text around them, which then reads differently."""


def escaped(text: str) -> str:
    """Returns a text that fits into a field of a line; `unescaped` undoes it."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(_SHORT.get(sign) or _shown(sign) for sign in text)


def unescaped(text: str) -> str:
    """Undoes `escaped`."""
    return _ESCAPE.sub(lambda found: _LONG.get(found[0]) or chr(int(found[0][2:], 16)), text)


def printable(text: str) -> str:
    """Returns a text for a terminal: line ends stay, other control characters are escaped."""
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

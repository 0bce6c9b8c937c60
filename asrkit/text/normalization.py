"""Whitespace in transcripts, texts for language models and references, before words are split.

Any Unicode space separates words: no-break and ideographic spaces, tabs, line and paragraph
separators. Invisible characters are dropped. Letters keep their case and Unicode form.
"""

from __future__ import annotations

UNSEEN = dict.fromkeys(
    [
        0x00AD,  # soft hyphen
        0x200B,  # zero width space
        0x2060,  # word joiner
        0xFEFF,  # byte order mark, or zero width no-break space
        *(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # directions
    ]
)
"""Joiners (U+200C, U+200D) are not among them: they distinguish words of Persian and Hindi."""


def normalized(text: str) -> str:
    """Returns a text with single spaces between words, and without invisible characters."""
    if not text.isascii():
        text = text.translate(UNSEEN)
    return " ".join(text.split())

"""Markdown: tables, folded text, and names that may hold any character."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

# Underscores and dots inside words are plain; at the ends of a word they are marks.
_MARKS = re.compile(r"[\\`*\[\]<>|#&~!]|(?<!\w)_|_(?!\w)|^[-+=]|^\d+(?=[.)])")
_UNPRINTABLE = re.compile(r"^ +| +$|(?<= ) +|[^\S ]|[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")


def escaped(name: str) -> str:
    """Returns Markdown that shows a name, in one line, whatever characters it has."""
    marked = _MARKS.sub(lambda found: _entities(found[0]), name)
    return _UNPRINTABLE.sub(lambda found: _entities(found[0]), marked)


def unescaped(markdown: str) -> str:
    """Returns the name that `escaped` made Markdown of, or that was written with backslashes."""
    plain = _ESCAPED.sub(r"\1", markdown)
    return re.sub(r"&#(\d{1,7});", lambda found: chr(int(found[1])), plain)


def _entities(text: str) -> str:
    return "".join(f"&#{ord(character)};" for character in text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table whose columns are aligned in the source, too."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    cells = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def cells_of(line: str) -> list[str]:
    """Returns the cells of a line of a table."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def fenced(text: str) -> str:
    """Returns a text as it is, in a block whose fence the text does not have."""
    longest = max((len(found) for found in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text}\n{fence}\n"


def folded(title: str, text: str) -> str:
    """Returns lines that are shown once their title is clicked on."""
    return f"<details><summary>{title}</summary>\n\n{fenced(text)}\n</details>\n"


def picture(title: str, path: str) -> str:
    """Returns Markdown of a picture, whose path may have any characters."""
    return f"![{escaped(title)}]({quote(path, errors='surrogateescape')})\n"


def outside_blocks(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yields lines and whether each is outside of code blocks, where `#` is a heading."""
    fence = ""
    for line in lines:
        found = _FENCE.match(line)
        if fence:
            closes = found is not None and found[1].startswith(fence)
            yield line, False
            fence = "" if closes else fence
        else:
            yield line, found is None
            fence = found[1] if found else ""

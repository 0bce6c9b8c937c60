"""A report as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from asrkit.reports.parts import Cells, Code, Heading, Paragraph, Part, Picture, Points

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1em 0 }
th, td { padding: .25em .7em; border-bottom: 1px solid #ccc }
th, td { text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
tr.real td { font-weight: bold; color: #b3261e }
tbody tr:hover { background: #f3f3f3 }
pre { background: #f3f3f3; padding: .7em; overflow-x: auto }
img { max-width: 100% }
.wide { overflow-x: auto }
"""


def as_page(title: str, parts: Sequence[Part]) -> str:
    """Returns a report in HTML; pictures become parts of the page.

    Args:
        title: Of the page.
        parts: In their order.
    """
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = "".join(_SHOWN[type(part)](part) for part in parts)
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _heading(part: Heading) -> str:
    return f"<h{part.level - 1}>{escape(part.text)}</h{part.level - 1}>"


def _paragraph(part: Paragraph) -> str:
    return f"<p>{escape(' '.join(part.sentences))}</p>"


def _table(part: Cells) -> str:
    header = "".join(f"<th>{escape(cell)}</th>" for cell in part.header)
    rows = "".join(
        f'<tr class="{"real" if number in part.strong else ""}">'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for number, row in enumerate(part.rows)
    )
    table = f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _code(part: Code) -> str:
    lines = "\n".join(part.lines)
    return f"<pre>{escape(lines)}</pre>"


def _points(part: Points) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in part.lines) + "</ul>"


def _picture(part: Picture) -> str:
    data = base64.b64encode(part.file.read_bytes()).decode("ascii")
    return f'<img alt="{escape(part.title)}" src="data:image/png;base64,{data}">'


_SHOWN: Mapping[type, Callable[[Any], str]] = {
    Heading: _heading,
    Paragraph: _paragraph,
    Cells: _table,
    Code: _code,
    Points: _points,
    Picture: _picture,
}

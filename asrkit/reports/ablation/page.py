"""The results of a study as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from asrkit.reports.ablation.cells import (
    EXPLAINED,
    Cells,
    applied_table,
    epochs_table,
    main_table,
)
from asrkit.reports.ablation.numbers import RowNumbers, reading

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


def page(
    title: str,
    rows: Sequence[RowNumbers],
    sets: Sequence[str],
    epochs: Sequence[int],
    commands: Sequence[str],
    forest: Path | None,
) -> str:
    """Returns the results of a study in HTML; arguments as those of `section`.

    Args:
        title: Of the page.
        rows: The base first, then the variants.
        sets: Those that were decoded.
        epochs: After which they were.
        commands: That made the numbers.
        forest: The file of the plot, which becomes a part of the page, if there is one.
    """
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{escape(EXPLAINED)}</p>"]
    for name in sets:
        told = " ".join(reading(rows, (name, epochs[-1])))
        parts += [f"<h2>{escape(name)}</h2>", f"<p>{escape(told)}</p>"]
        parts.append(_table(main_table(rows, name, epochs)))
        if epochs[1:]:
            parts.append(_table(epochs_table(rows, name, epochs)))
    if forest is not None:
        data = base64.b64encode(forest.read_bytes()).decode("ascii")
        parts.append(f'<img alt="forest plot" src="data:image/png;base64,{data}">')
    parts += _notes(rows)
    parts.append("<h2>Changes</h2>")
    parts += [_change(row) for row in rows[1:]]
    measured = applied_table(rows)
    if measured.header[1:]:
        parts += ["<h2>What was applied</h2>", _table(measured)]
    parts += ["<h2>Commands</h2>", f"<pre>{escape(chr(10).join(commands))}</pre>"]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
    )


def _table(cells: Cells) -> str:
    header = "".join(f"<th>{escape(cell)}</th>" for cell in cells.header)
    rows = "".join(
        f'<tr class="{"real" if number in cells.strong else ""}">'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for number, row in enumerate(cells.rows)
    )
    table = f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _notes(rows: Sequence[RowNumbers]) -> list[str]:
    lines = [
        f"<li>{escape(row.name)}: {escape(text)}</li>"
        for row in rows
        for text in (*row.notes, *row.missing)
    ]
    return ["<h2>Notes</h2>", f"<ul>{''.join(lines)}</ul>"] if lines else []


def _change(row: RowNumbers) -> str:
    changes = escape("\n".join(row.changes))
    return f"<h3>{escape(row.name)}</h3><p>{escape(row.remark)}</p><pre>{changes}</pre>"

"""What the report of a study says, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkit.reports.ablation.cells import (
    EXPLAINED,
    SCORES_EXPLAINED,
    SEARCHES_EXPLAINED,
    applied_alike,
    applied_table,
    epochs_table,
    main_table,
    scores_table,
    searches_gains,
    searches_table,
)
from asrkit.reports.ablation.numbers import Place, RowNumbers, reading
from asrkit.reports.parts import Code, Heading, Paragraph, Part, Picture, Points


@dataclass(frozen=True)
class Decoded:
    """What the rows of a study were decoded with.

    Args:
        sets: Names of the sets.
        epochs: After which of them, in order; rows are compared after the last.
        searches: Names of the searches.
    """

    sets: Sequence[str]
    epochs: Sequence[int]
    searches: Sequence[str]

    def places(self) -> list[Place]:
        """Returns all that has an error rate in each row."""
        return [
            Place(name, epoch, search)
            for name in self.sets
            for search in self.searches
            for epoch in self.epochs
        ]

    def last(self) -> list[Place]:
        """Returns where rows are compared."""
        return [place for place in self.places() if place.epoch == self.epochs[-1]]


def contents(
    title: str,
    rows: Sequence[RowNumbers],
    decoded: Decoded,
    commands: Sequence[str],
    forest: Path | None,
    before: Sequence[Part] = (),
) -> list[Part]:
    """Returns the parts of a study's report.

    Args:
        title: Of the report.
        rows: The base first, then the variants.
        decoded: What they were decoded with.
        commands: That made the numbers.
        forest: The file of the plot, if there is one.
        before: What is told before the numbers of rows.
    """
    parts: list[Part] = [Heading(title, 2), Code(commands), *before]
    if rows and decoded.sets:
        parts.append(Paragraph([EXPLAINED]))
        for name in decoded.sets:
            parts += _of_set(rows, decoded, name)
    elif rows:
        parts += [Paragraph([SCORES_EXPLAINED]), scores_table(rows)]
    if forest is not None:
        parts.append(Picture(f"{title}: differences to the base", forest))
    return [*parts, *_notes(rows), *_changes(rows), *_applied(rows)]


def _of_set(rows: Sequence[RowNumbers], decoded: Decoded, name: str) -> list[Part]:
    """Returns the tables of a set: of all searches together where there are several, then each."""
    parts: list[Part] = [Heading(name)]
    several = len(decoded.searches) > 1
    if several:
        parts.append(Paragraph([SEARCHES_EXPLAINED.format(first=decoded.searches[0])]))
        parts.append(searches_table(rows, name, decoded.epochs[-1], decoded.searches))
        parts.append(searches_gains(rows, name, decoded.epochs[-1], decoded.searches))
    for search in decoded.searches:
        last = Place(name, decoded.epochs[-1], search)
        parts += [Heading(f"{name}, {search}", 4)] if several else []
        parts += [Paragraph(reading(rows, last)), main_table(rows, last, decoded.epochs)]
        if decoded.epochs[1:]:
            parts.append(epochs_table(rows, last, decoded.epochs))
    return parts


def _notes(rows: Sequence[RowNumbers]) -> list[Part]:
    """Returns what must be known of rows: what is missing, and what was never applied."""
    lines = [f"{row.name}: {text}" for row in rows for text in (*row.notes, *row.missing)]
    return [Heading("Notes"), Points(lines)] if lines else []


def _changes(rows: Sequence[RowNumbers]) -> list[Part]:
    lines = []
    for row in rows[1:]:
        lines.append(f"{row.name}: {row.remark}" if row.remark else f"{row.name}:")
        lines += [f"  {line}" for line in row.changes]
    return [Heading("Changes"), Code(lines)] if lines else []


def _applied(rows: Sequence[RowNumbers]) -> list[Part]:
    measured, alike = applied_table(rows), applied_alike(rows)
    if not measured.header[1:] and not alike:
        return []
    said = ["Shares over all epochs of the first seed, as they were measured."]
    said += [f"Alike in all rows: {', '.join(alike)}."] if alike else []
    table = [measured] if measured.header[1:] else []
    return [Heading("What was applied"), Paragraph(said), *table]

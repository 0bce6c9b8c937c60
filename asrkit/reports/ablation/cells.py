"""The tables of an ablation study as plain cells, which Markdown and HTML show as they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrkit.reports.ablation.numbers import LEVEL, Place, Rate, RowNumbers

NONE = "–"
EXPLAINED = (
    "WER in percent with its 95 % bootstrap interval over utterances, the mean where a row has "
    "several seeds; ± is the standard deviation over seeds. Differences are those to the base on "
    "the same utterances, with the seeds that both have, and a 95 % interval. P(noise) is how "
    "often chance alone would give such a difference: an exact two-sided sign-flip test over "
    "utterances; P(Holm) is the same, corrected for the number of rows. Neither knows of the "
    "chance that another seed brings: compare a difference with ± as well. Hours are the mean time "
    "of all training steps."
)


@dataclass(frozen=True)
class Cells:
    """A table.

    Args:
        header: Its columns.
        rows: Their cells.
        strong: Numbers of the rows whose difference is real.
    """

    header: list[str]
    rows: list[list[str]]
    strong: list[int]


def main_table(rows: Sequence[RowNumbers], set_name: str, epochs: Sequence[int]) -> Cells:
    """Returns the table of a set: a row for each variant, WER by epoch, the last one compared."""
    last: Place = (set_name, epochs[-1])
    header = ["row", "parameters", "hours", "seeds"]
    header += [f"WER, epoch {epoch}" for epoch in epochs]
    header += ["95 %", "difference", "95 %", "P(noise)", "P(Holm)"]
    found = [_row(row, set_name, epochs, row.rates.get(last)) for row in rows]
    return Cells(header, found, [i for i, row in enumerate(rows) if is_real(row.rates.get(last))])


def is_real(rate: Rate | None) -> bool:
    """Returns whether a row differs from the base after the correction."""
    return rate is not None and rate.versus is not None and rate.versus.corrected < LEVEL


def _row(row: RowNumbers, set_name: str, epochs: Sequence[int], last: Rate | None) -> list[str]:
    hours = list(row.hours.values())
    cells = [
        row.name,
        f"{row.parameters / 1e6:.2f} M",
        f"{sum(hours) / len(hours):.2f}" if hours else NONE,
        str(len(last.by_seed)) if last is not None else NONE,
        *(wer_text(row.rates.get((set_name, epoch))) for epoch in epochs),
        NONE if last is None else f"{last.low:.2f} – {last.high:.2f}",
    ]
    versus = None if last is None else last.versus
    if versus is None:
        return [*cells, NONE, NONE, NONE, NONE]
    return [
        *cells,
        f"{versus.difference:+.2f}",
        f"{versus.interval.low:+.2f} – {versus.interval.high:+.2f}",
        f"{versus.noise:.4f}",
        f"{versus.corrected:.4f}",
    ]


def wer_text(rate: Rate | None) -> str:
    """Returns a word error rate, with its deviation over seeds if there is one."""
    if rate is None:
        return NONE
    return f"{rate.wer:.2f}" + ("" if rate.deviation is None else f" ± {rate.deviation:.2f}")


def epochs_table(rows: Sequence[RowNumbers], set_name: str, epochs: Sequence[int]) -> Cells:
    """Returns the differences to the base after each epoch but the last, with both P."""
    header = ["row"]
    for epoch in epochs[:-1]:
        header += [f"difference, epoch {epoch}", "P(noise)", "P(Holm)"]
    found = []
    for row in rows:
        cells = [row.name]
        for epoch in epochs[:-1]:
            rate = row.rates.get((set_name, epoch))
            versus = None if rate is None else rate.versus
            cells += (
                [NONE] * 3
                if versus is None
                else [
                    f"{versus.difference:+.2f}",
                    f"{versus.noise:.4f}",
                    f"{versus.corrected:.4f}",
                ]
            )
        found.append(cells)
    return Cells(header, found, [])


def applied_table(rows: Sequence[RowNumbers]) -> Cells:
    """Returns what augmentation and regularisation really did, as shares, by row."""
    names = sorted({name for row in rows for name in row.applied})
    found = [
        [row.name, *(f"{row.applied[n]:.4f}" if n in row.applied else NONE for n in names)]
        for row in rows
    ]
    return Cells(["row", *names], found, [])

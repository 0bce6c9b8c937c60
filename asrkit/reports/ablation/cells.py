"""The tables of an ablation study as plain cells, which Markdown and HTML show as they do."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

from asrkit.reports.ablation.numbers import (
    LEVEL,
    Place,
    Rate,
    RowNumbers,
    Versus,
    share_text,
    shares_differ,
)
from asrkit.reports.parts import Cells

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
SEARCHES_EXPLAINED = (
    "First all searches together, in columns, with 95 % intervals. A star: it differs from the "
    "base with the same search by more than the choice of utterances explains, P(Holm) being "
    "corrected for all rows and searches. The second table has what each search differs from "
    "{first} with the same weights; there, the correction is for all cells of the table."
)

SCORES_EXPLAINED = (
    "Nothing was decoded. The score is what trainings are judged by on their dev set, lower is "
    "better: a loss, unless the spec names another; the mean where a row has several seeds, with "
    "± its standard deviation. What changes the loss itself changes it, too."
)


def main_table(rows: Sequence[RowNumbers], last: Place, epochs: Sequence[int]) -> Cells:
    """Returns the table of a set and search: a row for each variant, WER by epoch.

    Args:
        rows: The base first, then the variants.
        last: Where they are compared.
        epochs: All that were decoded.
    """
    header = ["row", "parameters", "hours", "seeds"]
    header += [f"WER, epoch {epoch}" for epoch in epochs]
    header += ["95 %", "difference", "95 %", "P(noise)", "P(Holm)"]
    found = [_row(row, last, epochs) for row in rows]
    return Cells(header, found, [i for i, row in enumerate(rows) if is_real(row.rates.get(last))])


def is_real(rate: Rate | None) -> bool:
    """Returns whether a row differs from the base after the correction."""
    return rate is not None and rate.versus is not None and rate.versus.corrected < LEVEL


def _row(row: RowNumbers, last: Place, epochs: Sequence[int]) -> list[str]:
    hours, rate = list(row.hours.values()), row.rates.get(last)
    cells = [
        row.name,
        f"{row.parameters / 1e6:.2f} M",
        f"{sum(hours) / len(hours):.2f}" if hours else NONE,
        str(len(rate.by_seed)) if rate is not None else NONE,
        *(wer_text(row.rates.get(last.after(epoch))) for epoch in epochs),
        NONE if rate is None else f"{rate.low:.2f} – {rate.high:.2f}",
    ]
    versus = None if rate is None else rate.versus
    if versus is None:
        return [*cells, NONE, NONE, NONE, NONE]
    interval = f"{versus.interval.low:+.2f} – {versus.interval.high:+.2f}"
    difference, *chances = _versus_cells(versus)
    return [*cells, difference, interval, *chances]


def _versus_cells(versus: Versus | None) -> list[str]:
    """Returns a difference with both probabilities that it is noise."""
    if versus is None:
        return [NONE, NONE, NONE]
    return [f"{versus.difference:+.2f}", f"{versus.noise:.4f}", f"{versus.corrected:.4f}"]


def wer_text(rate: Rate | None) -> str:
    """Returns a word error rate, with its deviation over seeds if there is one."""
    if rate is None:
        return NONE
    return f"{rate.wer:.2f}" + ("" if rate.deviation is None else f" ± {rate.deviation:.2f}")


def epochs_table(rows: Sequence[RowNumbers], last: Place, epochs: Sequence[int]) -> Cells:
    """Returns the differences to the base after each epoch but the last, with both P."""
    header = ["row"]
    for epoch in epochs[:-1]:
        header += [f"difference, epoch {epoch}", "P(noise)", "P(Holm)"]
    found = []
    for row in rows:
        cells = [row.name]
        for epoch in epochs[:-1]:
            rate = row.rates.get(last.after(epoch))
            cells += _versus_cells(None if rate is None else rate.versus)
        found.append(cells)
    return Cells(header, found)


def searches_table(
    rows: Sequence[RowNumbers], set_name: str, epoch: int, searches: Sequence[str]
) -> Cells:
    """Returns the word error rates of all rows with all searches, with intervals."""
    found = []
    for row in rows:
        rates = [row.rates.get(Place(set_name, epoch, search)) for search in searches]
        found.append([row.name, *map(_rate_cell, rates)])
    return Cells(["row", *searches], found)


def _rate_cell(rate: Rate | None) -> str:
    if rate is None:
        return NONE
    return f"{wer_text(rate)}{'*' if is_real(rate) else ''} ({rate.low:.2f} – {rate.high:.2f})"


def searches_gains(
    rows: Sequence[RowNumbers], set_name: str, epoch: int, searches: Sequence[str]
) -> Cells:
    """Returns what searches differ from the first one, with the same weights."""
    header = ["row"]
    for search in searches[1:]:
        header += [f"{search} – {searches[0]}", "P(noise)", "P(Holm)"]
    found = []
    for row in rows:
        cells = [row.name]
        for search in searches[1:]:
            rate = row.rates.get(Place(set_name, epoch, search))
            cells += _versus_cells(None if rate is None else rate.versus_first)
        found.append(cells)
    return Cells(header, found)


def scores_table(rows: Sequence[RowNumbers]) -> Cells:
    """Returns what trainings are judged by, a row for each variant."""
    found = []
    for row in rows:
        hours, scores = list(row.hours.values()), list(row.scores.values())
        spread = f" ± {stdev(scores):.4f}" if scores[1:] else ""
        found.append(
            [
                row.name,
                f"{row.parameters / 1e6:.2f} M",
                f"{fmean(hours):.2f}" if hours else NONE,
                str(len(scores)),
                f"{fmean(scores):.4f}{spread}" if scores else NONE,
            ]
        )
    return Cells(["row", "parameters", "hours", "seeds", "score"], found)


def applied_table(rows: Sequence[RowNumbers]) -> Cells:
    """Returns what augmentation and regularisation really did, by row, where it is not the same."""
    known = sorted({name for row in rows for name in row.applied})
    names = [name for name in known if not _is_alike(rows, name)]
    found = [
        [row.name, *(share_text(row.applied[n]) if n in row.applied else NONE for n in names)]
        for row in rows
    ]
    return Cells(["row", *names], found)


def applied_alike(rows: Sequence[RowNumbers]) -> list[str]:
    """Returns what was applied alike in all rows, with its share in the first that was trained."""
    first = next((row.applied for row in rows if row.applied), {})
    return [f"{name} {share_text(share)}" for name, share in first.items() if _is_alike(rows, name)]


def _is_alike(rows: Sequence[RowNumbers], name: str) -> bool:
    """Returns whether a share is the same in all rows that were trained, but for chance."""
    shares = [row.applied.get(name) for row in rows if row.applied]
    return not any(shares_differ(shares[0], share) for share in shares)

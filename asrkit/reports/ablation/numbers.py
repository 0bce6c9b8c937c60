"""The numbers of an ablation study: error rates of rows, and what chance does to their differences.

Rows and base are compared on the same utterances and with the same seeds: where a row has several,
an utterance's errors are those of all its seeds together.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from asrkit.errors import UserError
from asrkit.scoring.edits import Errors
from asrkit.scoring.significance import (
    Interval,
    bootstrap_interval,
    difference_interval,
    holm,
    sign_flip,
)

Scored = Mapping[int, Mapping[str, Errors]]
"""The errors of each utterance, by seed."""
LEVEL = 0.05
"""Corrected probabilities below this are called real."""
BY_CHANCE = 0.1
"""Shares that differ by no more than this share of the larger one are called equal."""


@dataclass(frozen=True)
class Place:
    """Where rows are compared.

    Args:
        set_name: What was decoded.
        epoch: With the weights after it.
        search: By this search.
    """

    set_name: str
    epoch: int
    search: str

    def after(self, epoch: int) -> Place:
        """Returns the same set and search after another epoch."""
        return replace(self, epoch=epoch)

    def __str__(self) -> str:
        return f"{self.set_name}, epoch {self.epoch}, {self.search}"


@dataclass(frozen=True)
class Versus:
    """A row against another, such as the base, with the seeds that both have.

    Args:
        difference: Of the word error rates, the row's minus the other's.
        interval: 95 % of it.
        noise: How often chance alone gives such a difference.
        corrected: The same, corrected for the number of comparisons.
        seeds: How many seeds are compared.
    """

    difference: float
    interval: Interval
    noise: float
    corrected: float
    seeds: int


@dataclass(frozen=True)
class Rate:
    """The word error rate of a row, in percent.

    Args:
        wer: Mean over seeds.
        low: Lower end of the 95 % interval from resampling utterances.
        high: Its upper end.
        by_seed: The rate with each seed.
        versus: Against the base; none for the base itself, or where that has no rate.
        versus_first: Against the first search with the same weights; none for that one itself.
    """

    wer: float
    low: float
    high: float
    by_seed: dict[int, float]
    versus: Versus | None = None
    versus_first: Versus | None = None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None for one seed."""
        rates = list(self.by_seed.values())
        return statistics.stdev(rates) if len(rates) > 1 else None


@dataclass(frozen=True)
class RowNumbers:
    """A variant, or the base, with all that is reported of it.

    Args:
        name: Of the variant.
        remark: What it is.
        changes: A line for each key that it changes.
        parameters: Of its model.
        hours: Of training, by seed.
        scores: What trainings are judged by after their last epoch so far, by seed.
        rates: By set, epoch and search; those that are there.
        missing: What is not there, and why.
        notes: What must be known of it: a change that was not applied.
        applied: What augmentation and regularisation did, as shares, by name.
    """

    name: str
    remark: str
    changes: list[str]
    parameters: int
    hours: dict[int, float] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)
    rates: dict[Place, Rate] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    applied: dict[str, float] = field(default_factory=dict)


def rate_of(scored: Scored, base: Scored | None = None, first: Scored | None = None) -> Rate:
    """Returns the word error rate of a row, and how it differs from others.

    Args:
        scored: Errors of the row.
        base: Errors of the base on the same utterances, if there are any.
        first: Errors of the same row with the first search.

    Raises:
        UserError: If they are of other utterances or references.
    """
    by_seed = {seed: sum(found.values(), Errors()).rate for seed, found in scored.items()}
    low, high = bootstrap_interval(_together(scored, sorted(scored)))
    against = [None if not other else _versus(*_paired(scored, other)) for other in (base, first)]
    return Rate(statistics.fmean(by_seed.values()), low, high, by_seed, *against)


def _paired(scored: Scored, base: Scored) -> tuple[list[Errors], list[Errors], int]:
    """Returns what is compared: errors of row and base by utterance, and of how many seeds.

    These are the seeds that both have; of a row that has none of them, as one whose change is the
    seed, its first and the base's first.
    """
    common = sorted(scored.keys() & base.keys())
    ours, theirs = (common, common) if common else ([min(scored)], [min(base)])
    if sorted(scored[ours[0]]) != sorted(base[theirs[0]]):
        raise UserError("rows and base were scored on other utterances; decode them again")
    return _together(scored, ours), _together(base, theirs), len(ours)


def _versus(ours: Sequence[Errors], theirs: Sequence[Errors], seeds: int) -> Versus:
    if any(a.words != b.words for a, b in zip(ours, theirs, strict=True)):
        raise UserError("rows and base were scored against other references; score them again")
    difference = sum(ours, Errors()).rate - sum(theirs, Errors()).rate
    noise = sign_flip(a.total - b.total for a, b in zip(ours, theirs, strict=True))
    return Versus(difference, difference_interval(ours, theirs), noise, noise, seeds)


def _together(scored: Scored, seeds: Sequence[int]) -> list[Errors]:
    """Returns the errors of each utterance, those of all seeds added up."""
    names = sorted(scored[seeds[0]])
    for seed in seeds:
        if sorted(scored[seed]) != names:
            raise UserError(
                f"seeds {seeds[0]} and {seed} were scored on other utterances; decode again"
            )
    return [sum((scored[seed][name] for seed in seeds), Errors()) for name in names]


def corrected(rows: Sequence[RowNumbers]) -> list[RowNumbers]:
    """Returns rows whose probabilities of noise are corrected for how many comparisons there are.

    Rows and searches are corrected together that have the same set and epoch; comparisons with the
    base, and those with the first search.
    """
    found = [replace(row, rates=dict(row.rates)) for row in rows]
    tables = {(place.set_name, place.epoch) for row in rows for place in row.rates}
    for table in tables:
        cells = [
            (row, place)
            for row in found
            for place in row.rates
            if (place.set_name, place.epoch) == table
        ]
        _correct(cells, "versus")
        _correct(cells, "versus_first")
    return found


def _correct(cells: Sequence[tuple[RowNumbers, Place]], name: str) -> None:
    """Corrects what some rates have as `name`, together."""
    tested = [(row, place, getattr(row.rates[place], name)) for row, place in cells]
    tested = [(row, place, versus) for row, place, versus in tested if versus is not None]
    right = holm([versus.noise for _, _, versus in tested])
    for (row, place, versus), value in zip(tested, right, strict=True):
        changed = {name: replace(versus, corrected=value)}
        row.rates[place] = replace(row.rates[place], **changed)


def reading(rows: Sequence[RowNumbers], place: Place) -> list[str]:
    """Returns what the numbers of one set, epoch and search say, a sentence each."""
    compared = {
        row.name: row.rates[place].versus
        for row in rows
        if place in row.rates and row.rates[place].versus is not None
    }
    real = {n: v for n, v in compared.items() if v is not None and v.corrected < LEVEL}
    alone = [n for n, v in compared.items() if v is not None and v.noise < LEVEL and n not in real]
    lines = [
        f"Of {len(compared)} rows that are compared with the base, {len(real)} differ from it by "
        f"more than the choice of utterances explains (corrected P(noise) below {LEVEL:g})"
        + (": " + ", ".join(f"{n} ({v.difference:+.2f})" for n, v in real.items()) if real else "")
        + "."
    ]
    if alone:
        lines.append(
            f"{', '.join(alone)} would count as different if it were the only row: "
            f"with {len(compared)} rows, that is what chance gives."
        )
    spread = [
        (row.name, deviation)
        for row in rows
        if place in row.rates and (deviation := row.rates[place].deviation) is not None
    ]
    if spread:
        told = ", ".join(f"{deviation:.2f} ({name})" for name, deviation in spread)
        lines.append(f"Another seed alone gives a standard deviation of {told}.")
    base = rows[0].rates[place].deviation if place in rows[0].rates else None
    weak = [
        row.name
        for row in rows
        if row.name in real and base is not None and _within_seeds(row.rates[place], base)
    ]
    if weak:
        lines.append(
            f"{', '.join(weak)}: one seed, and less than twice the base's deviation away; another "
            "seed may be all that is different."
        )
    return lines


def _within_seeds(rate: Rate, deviation: float) -> bool:
    """Returns whether a rate of one seed differs by less than another seed often does."""
    versus = rate.versus
    return versus is not None and len(rate.by_seed) == 1 and abs(versus.difference) < 2 * deviation


def share_text(share: float) -> str:
    """Returns a share with four decimals, or with two digits where it is too small for these."""
    return f"{share:.4f}" if share == 0.0 or abs(share) >= 1e-3 else f"{share:.1e}"


def shares_differ(one: float | None, other: float | None) -> bool:
    """Returns whether two trainings applied something clearly differently; None: not at all."""
    if one is None or other is None:
        return one is not other
    return abs(one - other) > BY_CHANCE * max(one, other)

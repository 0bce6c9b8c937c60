"""Word and character error rates, with their uncertainty."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import kaldialign
import numpy as np
from numpy.typing import NDArray

from asrkit.errors import UserError
from asrkit.files import write_lines

EMPTY = "*"
"""Stands where one of two aligned texts has no word."""
RESAMPLINGS = 10_000
AT_ONCE = 100
"""Resampled sets that are held in memory together."""


@dataclass(frozen=True)
class Errors:
    """Edit operations of some texts, and the number of reference words."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    words: int = 0

    @property
    def total(self) -> int:
        """All edit operations."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference word in percent; 0 for two empty texts."""
        if not self.words:
            return 100.0 if self.total else 0.0
        return 100.0 * self.total / self.words

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.words + other.words,
        )


class Aligned(NamedTuple):
    """Pairs of reference and recognised words, with EMPTY in the gaps, and their errors."""

    errors: Errors
    pairs: list[tuple[str, str]]


Aligner = Callable[[Sequence[dict[str, Any]]], list[Aligned]]
"""Aligns the best hypotheses of the lines of an n-best file."""


@dataclass(frozen=True)
class Comparison:
    """How likely a difference to another system is real.

    Args:
        other: The other system's rate in percent.
        difference: Ours minus theirs.
        probability_better: Share of the resampled sets on which ours is lower.
        probability_of_noise: Two-sided: how often mere chance would give such a difference.
    """

    other: float
    difference: float
    probability_better: float
    probability_of_noise: float


@dataclass(frozen=True)
class Score:
    """The errors of a set.

    Args:
        wer: Word error rate in percent.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
        cer: Character error rate in percent.
        errors: Word errors.
        utterances: Number of utterances.
        wrong_utterances: How many of them have an error.
        against: Comparison with another run on the same set.
        parts: Title, group, rate, errors and segments of each category of an STM file.
        missing: Segments of an STM file that were not decoded: all their words count as deleted.
        scorer: What counted the errors.
    """

    wer: float
    low: float
    high: float
    cer: float
    errors: Errors
    utterances: int
    wrong_utterances: int
    against: Comparison | None = None
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: int = 0
    scorer: str = "asrkit"


def align(reference: Sequence[str], found: Sequence[str]) -> list[tuple[str, str]]:
    """Returns a cheapest alignment of two token sequences, with EMPTY in the gaps."""
    # Tokens are numbered, so that no token can be mistaken for the gap.
    ids: dict[str, int] = {}
    numbered = [
        [ids.setdefault(token, len(ids) + 1) for token in text] for text in (reference, found)
    ]
    tokens = {number: token for token, number in ids.items()} | {0: EMPTY}
    pairs = kaldialign.align(numbered[0], numbered[1], 0)
    return [(tokens[a], tokens[b]) for a, b in pairs]


def count_errors(reference: Sequence[str], found: Sequence[str]) -> Errors:
    """Returns the fewest edit operations between two token sequences."""
    ids: dict[str, int] = {}
    numbered = [[ids.setdefault(token, len(ids)) for token in text] for text in (reference, found)]
    counts = kaldialign.edit_distance(numbered[0], numbered[1])
    return Errors(counts["sub"], counts["del"], counts["ins"], len(reference))


def bootstrap_interval(errors: Sequence[Errors]) -> tuple[float, float]:
    """Returns the 95 % interval of the rate, resampling utterances.

    Source: Bisani and Ney 2004, section 3.
    """
    low, high = np.percentile(_resampled_rates(errors)[0], [2.5, 97.5])
    return float(low), float(high)


def paired_test(ours: Sequence[Errors], theirs: Sequence[Errors]) -> Comparison:
    """Compares two systems on the same utterances, in the same order.

    Source: Bisani and Ney 2004, section 4; the two-sided probability is twice the smaller side.

    Raises:
        ValueError: If the numbers of utterances differ.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} utterances can't be compared with {len(theirs)}")
    mine, other = _resampled_rates(ours, theirs)
    differences = mine - other
    better = float((differences < 0).mean() + 0.5 * (differences == 0).mean())
    rates = sum(ours, Errors()).rate, sum(theirs, Errors()).rate
    return Comparison(rates[1], rates[0] - rates[1], better, 2 * min(better, 1 - better))


def _resampled_rates(*systems: Sequence[Errors]) -> NDArray[np.float64]:
    """Returns the rates of each system on the same resampled sets, (systems, RESAMPLINGS)."""
    totals = np.array([[e.total for e in errors] for errors in systems], dtype=np.float64)
    words = np.array([[e.words for e in errors] for errors in systems], dtype=np.float64)
    count = len(systems[0])
    random = np.random.default_rng(20)
    rates = []
    for _ in range(RESAMPLINGS // AT_ONCE):
        # How often each utterance occurs in each of the sets: (N, AT_ONCE).
        occurs = random.multinomial(count, np.full(count, 1 / count), size=AT_ONCE).T
        rates.append(100.0 * (totals @ occurs) / np.maximum(words @ occurs, 1))
    return np.concatenate(rates, axis=1)


def read_nbest(path: Path) -> list[dict[str, Any]]:
    """Returns the lines of an n-best file.

    Raises:
        UserError: If it is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; decode the set first")
    try:
        # Transcripts may hold other characters that `splitlines` takes for ends of lines.
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is no n-best file: {error}") from error


def align_words(lines: Sequence[dict[str, Any]]) -> list[Aligned]:
    """Aligns with the references of the n-best file, by the fewest edit operations."""
    return [
        Aligned(word_errors(line), align(line["reference"].split(), line["text"].split()))
        for line in lines
    ]


def score_run(
    nbest: Path, out: Path, against: Path | None = None, aligner: Aligner = align_words
) -> Score:
    """Scores the best hypotheses of a set.

    Writes score.json, utterances.tsv, speakers.tsv and aligned.txt.

    Args:
        nbest: The n-best file.
        out: Folder to write to.
        against: N-best file of another system for the same set.
        aligner: Counts word errors.

    Raises:
        UserError: If a file is missing, empty, or the sets differ.
    """
    lines = read_nbest(nbest)
    if not lines:
        raise UserError(f"{nbest} has no utterances")
    aligned = aligner(lines)
    words = [errors for errors, _ in aligned]
    characters = [count_errors(_joined(line["reference"]), _joined(line["text"])) for line in lines]
    low, high = bootstrap_interval(words)
    total = sum(words, Errors())
    score = Score(
        wer=total.rate,
        low=low,
        high=high,
        cer=sum(characters, Errors()).rate,
        errors=total,
        utterances=len(lines),
        wrong_utterances=sum(1 for e in words if e.total),
        against=None if against is None else compare(nbest, against, aligner),
    )
    write_lines(out / "score.json", [json.dumps(asdict(score), indent=2)])
    write_lines(out / "utterances.tsv", _utterance_rows(lines, words))
    write_lines(out / "speakers.tsv", _speaker_rows(lines, words))
    write_lines(out / "aligned.txt", _aligned(lines, aligned))
    (out / "segments.tsv").unlink(missing_ok=True)  # of another scoring, by the rules of Hub5
    return score


def compare(nbest: Path, other: Path, aligner: Aligner = align_words) -> Comparison:
    """Compares the best hypotheses of two systems for the same set.

    Raises:
        UserError: If a file is missing, or the files have other utterances.
    """
    lines = read_nbest(nbest)
    theirs = {line["id"]: line for line in read_nbest(other)}
    missing = [line["id"] for line in lines if line["id"] not in theirs]
    if missing or len(theirs) != len(lines):
        raise UserError(
            f"{other} has other utterances than {nbest}"
            + (f", no {missing[0]} for one" if missing else f": {len(theirs)}, not {len(lines)}")
        )
    ours, others = aligner(lines), aligner([theirs[line["id"]] for line in lines])
    return paired_test([errors for errors, _ in ours], [errors for errors, _ in others])


def word_errors(line: dict[str, Any]) -> Errors:
    """Returns the word errors of one line of an n-best file."""
    return count_errors(line["reference"].split(), line["text"].split())


def _joined(text: str) -> list[str]:
    return list(" ".join(text.split()))


def _row(name: str, errors: Errors) -> str:
    parts = (errors.words, errors.substitutions, errors.deletions, errors.insertions)
    return "\t".join([name, f"{errors.rate:.2f}", *map(str, parts)])


_HEADER = "\twer\twords\tsubstitutions\tdeletions\tinsertions"


def _utterance_rows(lines: list[dict[str, Any]], errors: list[Errors]) -> list[str]:
    rows = [_row(line["id"], e) for line, e in zip(lines, errors, strict=True)]
    return ["utterance" + _HEADER, *rows]


def _speaker_rows(lines: list[dict[str, Any]], errors: list[Errors]) -> list[str]:
    speakers: dict[str, Errors] = defaultdict(Errors)
    for line, e in zip(lines, errors, strict=True):
        speakers[line["speaker"]] = speakers[line["speaker"]] + e
    ranked = sorted(speakers.items(), key=lambda item: (-item[1].rate, item[0]))
    return ["speaker" + _HEADER, *(_row(name, e) for name, e in ranked)]


def _aligned(lines: list[dict[str, Any]], aligned: list[Aligned]) -> list[str]:
    """Returns reference over hypothesis for every utterance, with a mark under errors."""
    rows = []
    for line, (e, pairs) in zip(lines, aligned, strict=True):
        widths = [max(len(a), len(b)) for a, b in pairs]
        marks = ["" if a == b else "^" for a, b in pairs]
        rows.append(f"{line['id']}  ({e.total} errors in {e.words} words)")
        for title, row in (
            ("REF", [a for a, _ in pairs]),
            ("HYP", [b for _, b in pairs]),
            ("   ", marks),
        ):
            cells = [word.ljust(width) for word, width in zip(row, widths, strict=True)]
            rows.append(f"{title} {' '.join(cells)}".rstrip())
        rows.append("")
    return rows

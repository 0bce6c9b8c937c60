"""Interpolated modified Kneser-Ney estimation of n-gram models.

Every n-gram is discounted, with three discounts per order for counts of 1, 2 and more. The
probability mass that a history gains in this way is distributed in proportion to the next lower
order. Lower orders are not estimated from counts but from *continuation counts*, the number of
distinct words before an n-gram, as they only matter where the longer history was not seen.

N-grams of order k are kept as arrays sorted by (prefix, last word), where the prefix is the row of
the first k - 1 words in the order below; so counting means sorting and summing integers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from asrkit.errors import UserError
from asrkit.lm.corpus import BEGIN_ID, END_ID, UNKNOWN_ID, Corpus
from asrkit.lm.tables import LOG_ZERO, Bools, Floats, Ints, Ngrams, SmallFloats, SmallInts, Table

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts where they can't be estimated from a text; those of KenLM's --discount_fallback."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Discounts:
    """The discounts of one order.

    Args:
        values: For counts 1, 2, and 3 or more.
        problem: Why they could not be estimated from the text; empty if they were.
    """

    values: tuple[float, float, float]
    problem: str = ""

    def of(self, counts: Ints) -> Floats:
        """Returns the discount of each count (N,)."""
        return np.array([0.0, *self.values])[np.minimum(counts, 3)]


@dataclass(frozen=True)
class Estimate:
    """An estimated model, and the discounts of each order."""

    ngrams: Ngrams
    discounts: list[Discounts]


@dataclass(frozen=True)
class _Counts:
    """The N n-grams of one order k.

    Args:
        prefix: (N,) rows of the first k - 1 words in the order below.
        suffix: (N,) rows of the last k - 1 words in the order below.
        word: (N,) last words.
        begins: (N,) whether the first word is `<s>`.
        seen: (N,) counts in the text.
        adjusted: (N,) counts that probabilities are estimated from.
    """

    prefix: SmallInts
    suffix: SmallInts
    word: SmallInts
    begins: Bools
    seen: Ints
    adjusted: Ints


def estimate(corpus: Corpus, order: int, prune: Sequence[int] = ()) -> Estimate:
    """Estimates an interpolated modified Kneser-Ney model.

    `<s>` is never predicted. `<unk>` and words of the vocabulary that don't occur in the corpus
    get their share of the uniform distribution that unigrams back off to. N-grams that begin with
    `<s>` keep their counts in every order, as nothing can come before them.

    Args:
        corpus: The text.
        order: Number of words of the longest n-grams.
        prune: For each order, the count up to which n-grams are left out; the last one applies to
            all higher orders. Empty to keep everything.

    Raises:
        UserError: If the order is below 1, or the thresholds decrease.

    Source: Chen & Goodman, "An empirical study of smoothing techniques for language modeling"
    (1998/1999), modified Kneser-Ney smoothing; Heafield et al. 2013, "Scalable modified Kneser-Ney
    language model estimation", for sentence ends, unigrams and pruning.
    """
    if order < 1:
        raise UserError(f"the order of an n-gram model must be at least 1, got {order}")
    thresholds = prune_thresholds(prune, order)
    counts = _adjusted(count(corpus, order))
    discounts = [modified_discounts(c.adjusted, k) for k, c in enumerate(counts, start=1)]
    kept = [
        c.seen > limit if limit else c.seen >= 0
        for c, limit in zip(counts, thresholds, strict=True)
    ]
    kept[0][[UNKNOWN_ID, BEGIN_ID, END_ID]] = True
    probs, backoffs = _interpolated(counts, discounts, kept)
    return Estimate(Ngrams(corpus.symbols, _tables(counts, kept, probs, backoffs)), discounts)


def prune_thresholds(prune: Sequence[int], order: int) -> list[int]:
    """Returns a threshold for each order.

    Raises:
        UserError: If they decrease, are negative, or are too many; an n-gram needs its prefix.
    """
    given = list(prune) or [0]
    if len(given) > order or given != sorted(given) or given[0] < 0:
        raise UserError(
            f"pruning thresholds {given}: expected at most {order} numbers (one for each order, "
            "unigrams first), not negative and never decreasing, such as 0 0 1"
        )
    return given + given[-1:] * (order - len(given))


def count(corpus: Corpus, order: int) -> list[_Counts]:
    """Counts the n-grams of every order up to `order`, sentence by sentence."""
    tokens, size = corpus.tokens, len(corpus.symbols)
    words = np.arange(size, dtype=np.int32)
    none = np.zeros(size, dtype=np.int32)
    seen = np.bincount(tokens, minlength=size)
    seen[BEGIN_ID] = 0  # it is never predicted
    levels = [_Counts(none, none, words, words == BEGIN_ID, seen, seen)]
    rows = tokens.copy()  # of the n-gram that begins at each position
    places = np.arange(len(tokens), dtype=np.int64)
    for k in range(2, order + 1):
        places = places[tokens[places + (k - 2)] != END_ID]
        # One integer for each n-gram of the text; sorting puts equal ones next to each other.
        keys = rows[places].astype(np.int64) * size + tokens[places + (k - 1)]
        sorting = np.argsort(keys, kind="stable")
        keys = keys[sorting]
        first = np.ones(len(keys), dtype=np.bool_)
        np.not_equal(keys[1:], keys[:-1], out=first[1:])
        begin = np.flatnonzero(first)
        seen = np.diff(begin, append=len(keys))
        keys = keys[begin]
        suffix = rows[places[sorting[begin]] + 1]
        prefix, word = (keys // size).astype(np.int32), (keys % size).astype(np.int32)
        rows[places[sorting]] = np.cumsum(first, dtype=np.int32) - 1
        levels.append(_Counts(prefix, suffix, word, levels[-1].begins[prefix], seen, seen))
    return levels


def _adjusted(levels: list[_Counts]) -> list[_Counts]:
    """Replaces the counts of all but the highest order by continuation counts."""
    result = []
    for level, above in zip(levels, [*levels[1:], None], strict=True):
        adjusted = level.seen
        if above is not None:
            continuations = np.bincount(above.suffix, minlength=len(level.seen))
            adjusted = np.where(level.begins, level.seen, continuations)
        result.append(replace(level, adjusted=adjusted))
    return result


def modified_discounts(adjusted: Ints, order: int) -> Discounts:
    """Returns the discounts of one order, from the numbers of n-grams with counts 1, 2, 3 and 4.

    Args:
        adjusted: (N,) counts.
        order: For the message.

    Returns:
        The discounts; where they can't be estimated, `FALLBACK`, with a warning.

    Source: Chen & Goodman 1998, equation 26.
    """
    n1, n2, n3, n4 = (int((adjusted == c).sum()) for c in (1, 2, 3, 4))
    if not (n1 and n2 and n3):
        problem = f"no {order}-gram has an adjusted count of {1 if not n1 else 2 if not n2 else 3}"
    else:
        share = n1 / (n1 + 2 * n2)
        values = (1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3)
        if min(values) > 0:
            return Discounts(values)
        problem = "the estimated discounts are not positive: {:.3g}, {:.3g}, {:.3g}".format(*values)
    log.warning(
        "%d-grams: %s (%d, %d, %d and %d n-grams have adjusted counts 1, 2, 3 and 4), so "
        "Kneser-Ney discounts can't be estimated; %s, %s and %s are used instead. This is "
            "usual for "
        "low orders of small units (characters, BPE); with words, the text is small or repetitive",
        order, problem, n1, n2, n3, n4, *FALLBACK,
    )  # fmt: skip
    return Discounts(FALLBACK, problem)


def _interpolated(
    counts: list[_Counts], discounts: list[Discounts], kept: list[Bools]
) -> tuple[list[Floats], list[Floats]]:
    """Returns the probabilities of each order, and the back-off weights of all but the last.

    The weight of a history is the mass that discounting and pruning took from the words after it.
    """
    predicted = int(kept[0].sum()) - 1  # all but <s>
    lower: Floats = np.array([1.0 / predicted])
    probs, weights = [], []
    for level, discount, keep in zip(counts, discounts, kept, strict=True):
        taken = np.where(keep, discount.of(level.adjusted), level.adjusted)
        total = _sums(level.prefix, level.adjusted, len(lower))
        saved = _sums(level.prefix, taken, len(lower))
        weight = np.divide(saved, total, out=np.ones_like(total), where=total > 0)
        left = (level.adjusted - taken) / total[level.prefix]
        lower = left + weight[level.prefix] * lower[level.suffix]
        probs.append(lower)
        weights.append(weight)
    probs[0][BEGIN_ID] = 0.0
    return probs, weights[1:]


def _sums(rows: SmallInts, values: Ints | Floats, size: int) -> Floats:
    """Returns the sum of the values (N,) of each row (size,); N may be 0."""
    # For an empty array NumPy returns integer counts, whatever the weights are.
    return np.bincount(rows, weights=values, minlength=size).astype(np.float64)


def _tables(
    counts: list[_Counts], kept: list[Bools], probs: list[Floats], weights: list[Floats]
) -> list[Table]:
    words = counts[0].word[:, None]
    tables = []
    for k, (level, keep) in enumerate(zip(counts, kept, strict=True)):
        if k:
            words = np.concatenate([words[level.prefix], level.word[:, None]], axis=1)
        weight = weights[k] if k < len(weights) else np.ones_like(probs[k])
        log_probs, log_backoffs = _log10(probs[k][keep]), _log10(weight[keep])
        tables.append(Table(words[keep], log_probs, log_backoffs))
    return tables


def _log10(values: Floats) -> SmallFloats:
    logs = np.full(values.shape, LOG_ZERO)
    np.log10(values, out=logs, where=values > 0)
    rounded: SmallFloats = np.minimum(logs, 0.0).astype(np.float32)
    return rounded

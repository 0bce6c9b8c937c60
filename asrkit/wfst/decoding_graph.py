"""HCLG: what a search walks, from HMM states to words; and TLG, the same for CTC.

Source: Mohri et al. 2008, section 3; the order of steps, the disambiguation symbols and the removal
of loops until the end are those of kaldi-asr/kaldi, `egs/wsj/s5/utils/mkgraph.sh`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from asrkit.errors import UserError
from asrkit.lm.tables import Ngrams
from asrkit.wfst.ctc import token_graph
from asrkit.wfst.grammar import grammar
from asrkit.wfst.graph import Graph, from_openfst, to_openfst
from asrkit.wfst.hmm import (
    StateTying,
    TransitionCosts,
    chains_of,
    hmm_graph,
    relabelled,
    with_loops,
    without,
)
from asrkit.wfst.lexicon import Pronunciation, Silence, lexicon_graph
from asrkit.wfst.openfst import openfst

BYTES_PER_NGRAM, SECONDS_PER_NGRAM = 3200, 1.5e-4
"""Peak memory and time of building a graph of tied triphones: 7.5 GB and 330 s were measured with
81,000 words and 2.3 M n-grams, 7.0 GB and 265 s with 20,000 words and 3.0 M n-grams."""

log = logging.getLogger(__name__)


def decoding_graph(
    ngrams: Ngrams,
    words: Sequence[str],
    pronunciations: Sequence[Pronunciation],
    num_phones: int,
    tying: StateTying,
    costs: TransitionCosts,
    silence: Silence | None,
) -> Graph:
    """Returns HCLG: it reads HMM states (label s + 1) and writes words (label w + 1).

    Args:
        ngrams: The language model.
        words: All words; those without a pronunciation can't be recognised.
        pronunciations: Of words by their labels.
        num_phones: How many phones there are.
        tying: The states of phones in context.
        costs: Of the HMMs' moves.
        silence: What may be heard around words.

    Raises:
        UserError: If OpenFst can't determinise it.
    """
    kaldifst = openfst()

    backoff = len(words) + 1
    lexicon = lexicon_graph(pronunciations, num_phones, backoff, silence)
    composed = _composed(lexicon.graph, grammar(ngrams, _said(words, pronunciations), backoff))
    _optimise(composed, "L and G")
    if tying.width == 1:
        phones = range(1, num_phones + 1)
        windows = [[], *([p] for p in phones), *([-s] for s in lexicon.disambiguation)]
    else:
        composed, windows = kaldifst.compose_context(
            lexicon.disambiguation, tying.width, tying.width // 2, composed
        )
    chains = chains_of(windows, tying)
    context = relabelled(from_openfst(composed), chains.of_label)
    del composed
    graph = _composed(hmm_graph(chains, costs), context)
    del context
    _optimise(graph, "H, C, L and G")
    return with_loops(from_openfst(graph), costs.loop, len(costs.loop))


def ctc_graph(
    ngrams: Ngrams, words: Sequence[str], pronunciations: Sequence[Pronunciation], num_labels: int
) -> Graph:
    """Returns TLG: it reads symbols of frames (label v + 1, blank V + 1) and writes words.

    Args:
        ngrams: The language model.
        words: All words; those without a pronunciation can't be recognised.
        pronunciations: Of words by their labels, in labels v + 1 of the CTC output.
        num_labels: V.

    Raises:
        UserError: If OpenFst can't determinise it.
    """
    backoff = len(words) + 1
    lexicon = lexicon_graph(pronunciations, num_labels, backoff)
    composed = _composed(lexicon.graph, grammar(ngrams, _said(words, pronunciations), backoff))
    _optimise(composed, "L and G")
    tokens = token_graph(num_labels, lexicon.disambiguation)
    graph = from_openfst(_composed(tokens, from_openfst(composed)))
    return without(graph, num_labels + 1)


def _said(words: Sequence[str], pronunciations: Sequence[Pronunciation]) -> list[str]:
    """Returns the words, empty where there is no pronunciation."""
    said = {p.word for p in pronunciations}
    return [word if label in said else "" for label, word in enumerate(words, start=1)]


def memory_needed(ngrams: Ngrams) -> float:
    """Returns about how many bytes building a graph takes at its peak."""
    return 100e6 + BYTES_PER_NGRAM * sum(map(len, ngrams.tables))


def seconds_needed(ngrams: Ngrams) -> float:
    """Returns about how long building a graph takes, on one core."""
    return 2.0 + SECONDS_PER_NGRAM * sum(map(len, ngrams.tables))


def _composed(first: Graph, second: Graph) -> Any:
    """Returns the composition of two graphs, the labels between them sorted."""
    kaldifst = openfst()

    left, right = to_openfst(first), to_openfst(second)
    kaldifst.arcsort(left, "olabel")
    kaldifst.arcsort(right, "ilabel")
    return kaldifst.StdVectorFst(kaldifst.compose(left, right))


def _optimise(fst: Any, what: str) -> None:
    """Determinises a composition without epsilons, in the log semiring, and minimises it."""
    kaldifst = openfst()

    if fst.start < 0:
        raise UserError(f"the graph of {what} is empty: no word of the language model can be said")
    try:
        partial = kaldifst.determinize_star(fst, use_log=True)
    except RuntimeError as error:
        raise UserError(f"the graph of {what} can't be determinised: {error}") from error
    if partial:
        raise UserError(f"the graph of {what} could be determinised in part only")
    kaldifst.minimize_encoded(fst)
    log.info("%s: %s states", what, f"{fst.num_states:,}")

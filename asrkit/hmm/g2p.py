"""Pronounces words by their spelling: an n-gram model of pairs of letters and phones.

Words of a lexicon are divided into pairs of a letter and its phones; the n-gram model tells which
pairs follow which. A new word is said by the most likely sequence of pairs that spells it.

Source: Bisani & Ney, "Joint-sequence models for grapheme-to-phoneme conversion" (2008), with the
estimation of Novak et al. 2012 (align first, then count n-grams).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asrkit.errors import UserError
from asrkit.hmm.letter_phones import divide
from asrkit.hmm.lexicon import Lexicon, Pronunciation
from asrkit.lm.arpa import read_arpa, write_arpa
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate
from asrkit.lm.tables import BEGIN, END, UNKNOWN, Ngrams
from asrkit.wfst.grammar import grammar
from asrkit.wfst.graph import EPSILON, to_openfst
from asrkit.wfst.openfst import openfst

ORDER = 7
TIMES = 10
"""So many times as many paths are looked at as variants are wanted: several say the same."""

log = logging.getLogger(__name__)


class G2p:
    """Pronounces words.

    Args:
        ngrams: A model of pairs, each written as its letter, a colon, and its phones with `_` in
            between.

    Raises:
        UserError: If kaldifst is not installed, or a symbol is not such a pair.
    """

    def __init__(self, ngrams: Ngrams) -> None:
        self.ngrams = ngrams
        pairs = [symbol for symbol in ngrams.symbols if symbol not in (UNKNOWN, BEGIN, END)]
        wrong = [pair for pair in pairs if pair[1:2] != ":"]
        if wrong:
            raise UserError(
                f"{wrong[0]!r} is not a pair of a letter and phones: is this a G2P model?"
            )
        self._phones = [()] + [tuple(p for p in pair[2:].split("_") if p) for pair in pairs]
        self.letters = {x: i for i, x in enumerate(sorted({pair[0] for pair in pairs}), start=1)}
        acceptor = grammar(ngrams, pairs, len(pairs) + 1)
        read = np.array([EPSILON, *(self.letters[pair[0]] for pair in pairs), EPSILON], np.int32)
        graph = replace(acceptor, inputs=read[acceptor.inputs])
        self._kaldifst, self._fst = openfst(), to_openfst(graph)
        self._kaldifst.arcsort(self._fst, "ilabel")

    def pronounce(self, word: str, variants: int = 1) -> list[Pronunciation]:
        """Returns the likeliest pronunciations of a word; none where a letter is unknown.

        Args:
            word: The word.
            variants: How many at most; their probabilities are relative to the best, which has 1.
        """
        labels = [self.letters.get(letter, 0) for letter in word]
        if not labels or 0 in labels:
            return []
        spelt = self._kaldifst.make_linear_acceptor(labels)
        paths = self._kaldifst.compose(spelt, self._fst)
        wanted = 1 if variants == 1 else TIMES * variants
        found: dict[tuple[str, ...], float] = {}
        for cost, pairs in sorted(self._paths(paths, wanted)):
            said = tuple(phone for pair in pairs for phone in self._phones[pair])
            if said and len(found) < variants:
                found.setdefault(said, cost)
        best = min(found.values(), default=0.0)
        return [Pronunciation(said, math.exp(best - cost)) for said, cost in found.items()]

    def _paths(self, fst: Any, count: int) -> list[tuple[float, list[int]]]:
        best = self._kaldifst.shortest_path(fst, n=count)
        linear = [best] if count == 1 else self._kaldifst.convert_nbest_to_vector(best)
        found = [self._kaldifst.get_linear_symbol_sequence(path) for path in linear]
        return [(float(weight.value), pairs) for _, _, pairs, weight in found]

    def lexicon(self, words: Iterable[str], variants: int = 1) -> dict[str, list[Pronunciation]]:
        """Returns the pronunciations of words; those that can't be pronounced are left out.

        Args:
            words: The words.
            variants: How many of each at most.
        """
        found = {word: self.pronounce(word, variants) for word in words}
        return {word: said for word, said in found.items() if said}

    def write(self, path: Path) -> None:
        """Writes the model as an ARPA file."""
        write_arpa(self.ngrams, path)


def read_g2p(path: Path) -> G2p:
    """Returns the model of an ARPA file that `G2p.write` wrote.

    Raises:
        UserError: If it is missing or no such model.
    """
    return G2p(read_arpa(path))


def train_g2p(lexicon: Lexicon, order: int = ORDER) -> G2p:
    """Returns a model of the spelling of a lexicon.

    Args:
        lexicon: Words and their pronunciations, all of them alike.
        order: Pairs of the longest n-grams.

    Raises:
        UserError: If no word has at most two phones per letter.
    """
    entries = [(word, one.phones) for word, found in lexicon.items() for one in found]
    divided = divide(entries)
    if divided.left_out:
        log.info(
            "%d of %d pronunciations have more than two phones per letter and are left out",
            divided.left_out,
            len(entries),
        )
    if not divided.words:
        raise UserError(
            f"no word of {lexicon.source} has at most two phones per letter: a G2P model can't be "
            "trained"
        )
    pairs = [[f"{x}:{'_'.join(phones)}" for x, phones in word] for word in divided.words]
    return G2p(estimate(index_sentences(pairs), order).ngrams)

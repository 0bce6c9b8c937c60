"""Decoding graphs of CTC of phones: a lexicon, and a language model of words."""

from __future__ import annotations

from collections.abc import Sequence

from asrkit.errors import UserError
from asrkit.hmm.lexicon import Lexicon
from asrkit.lm.tables import Ngrams
from asrkit.wfst.decoding_graph import ctc_graph
from asrkit.wfst.hybrid import WordGraph, words_of
from asrkit.wfst.lexicon import Pronunciation


def phone_graph(ngrams: Ngrams, lexicon: Lexicon, phones: Sequence[str]) -> WordGraph:
    """Returns TLG: it reads phones (phone k is label k + 1) and blank, K + 1, and writes words.

    Args:
        ngrams: The language model; words without pronunciation are left out.
        lexicon: How words are pronounced; there is no silence, which is heard as blank.
        phones: The K phones.

    Raises:
        UserError: If the lexicon has another phone, or none of the model's words.
    """
    words, left_out = words_of(ngrams, lexicon)
    numbers = {name: number for number, name in enumerate(phones, start=1)}
    lacking = {p: w for w in words for v in lexicon[w] for p in v.phones if p not in numbers}
    if lacking:
        phone, word = next(iter(lacking.items()))
        raise UserError(
            f"{word!r} is pronounced with {phone}, which the head lacks; it has "
            f"{', '.join(phones)}: use a lexicon with these phones alone"
        )
    said = [
        Pronunciation(label, tuple(numbers[phone] for phone in variant.phones), variant.cost)
        for label, word in enumerate(words, start=1)
        for variant in lexicon[word]
    ]
    return WordGraph(ctc_graph(ngrams, words, said, len(phones)), words, left_out)

"""How well language models predict text: sums of log-probabilities, and perplexities from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch.nn.utils.rnn import pad_sequence

from asrkit.lm.ngram import NgramModel
from asrkit.lm.tables import BEGIN, END, UNKNOWN, Ngrams
from asrkit.text.vocabulary import Vocabulary

SENTENCES = 1024
"""Sentences that are scored at a time."""


@dataclass(frozen=True)
class Prediction:
    """Scores of some sentences; sentence ends count as tokens.

    Args:
        sentences: Number of sentences.
        tokens: Number of tokens, including sentence ends.
        log_prob: Sum of their natural log-probabilities.
        unknown: Number of tokens that are out of vocabulary.
        unknown_log_prob: Their part of `log_prob`.
    """

    sentences: int = 0
    tokens: int = 0
    log_prob: float = 0.0
    unknown: int = 0
    unknown_log_prob: float = 0.0

    def __add__(self, other: Prediction) -> Prediction:
        return Prediction(
            self.sentences + other.sentences,
            self.tokens + other.tokens,
            self.log_prob + other.log_prob,
            self.unknown + other.unknown,
            self.unknown_log_prob + other.unknown_log_prob,
        )

    @property
    def per_token(self) -> float:
        """Perplexity per token, including those out of vocabulary."""
        return math.exp(-self.log_prob / self.tokens)

    @property
    def per_known_token(self) -> float:
        """Perplexity per token, for tokens in the vocabulary only."""
        known = self.log_prob - self.unknown_log_prob
        return math.exp(-known / (self.tokens - self.unknown))

    def per_word(self, words: int) -> float:
        """Perplexity per word, with which models of different units can be compared.

        Args:
            words: Number of words of the sentences; sentence ends are added here.
        """
        return math.exp(-self.log_prob / (words + self.sentences))


def predict(ngrams: Ngrams, sentences: Iterable[Sequence[str]]) -> Prediction:
    """Scores sentences; words that are not in the model are scored as `<unk>`.

    Args:
        ngrams: The model; it needs a unigram `<unk>`.
        sentences: The words, or label symbols, of each sentence.
    """
    symbols = [symbol for symbol in ngrams.symbols if symbol not in (BEGIN, END)]
    vocabulary = Vocabulary(symbols, UNKNOWN)
    model = NgramModel(ngrams, vocabulary)
    stream = iter(sentences)
    total = Prediction()
    while part := list(islice(stream, SENTENCES)):
        total += _predict(model, vocabulary, part)
    return total


def _predict(
    model: NgramModel, vocabulary: Vocabulary, sentences: list[Sequence[str]]
) -> Prediction:
    labels = [torch.tensor(list(_labels(vocabulary, s)), dtype=torch.int64) for s in sentences]
    lengths = torch.tensor([len(label) for label in labels])
    padded = pad_sequence(labels, batch_first=True, padding_value=model.eos)
    log_probs = model.sentence_log_probs(padded, lengths).double()
    unknown = padded == (-1 if vocabulary.unknown is None else vocabulary.unknown)
    return Prediction(
        len(sentences),
        int(lengths.sum()) + len(sentences),
        float(log_probs.sum()),
        int(unknown.sum()),
        float(log_probs[:, :-1][unknown].sum()),
    )


def _labels(vocabulary: Vocabulary, sentence: Sequence[str]) -> Iterator[int]:
    for symbol in sentence:
        label = vocabulary.id_of(symbol)
        assert label is not None, "the vocabulary has an unknown symbol"
        yield label

"""`asrkit ngram`: estimates an n-gram model on transcripts and text files, and its perplexity."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asrkit.data.manifests import open_set
from asrkit.data_folder import DataFolder
from asrkit.errors import UserError
from asrkit.files import read_lines
from asrkit.lm.arpa import write_arpa
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import Estimate, estimate
from asrkit.lm.perplexity import Prediction, predict
from asrkit.text.normalization import normalized
from asrkit.text.tokenizers import (
    CharacterTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
)

Units = Literal["bpe", "unigram", "characters", "words"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DevReport:
    """Perplexity on a set: what the model gave, words in all, and words it can't make."""

    prediction: Prediction
    words: int
    unknown_words: int
    left_out: int

    def lines(self) -> list[str]:
        """Returns the report as text."""
        p = self.prediction
        return [
            f"dev: {p.sentences} sentences, {self.words} words, {p.tokens} tokens with their ends, "
            f"{self.unknown_words} words out of vocabulary, {self.left_out} sentences left out",
            f"dev: perplexity {p.per_token:.2f} per token ({p.per_known_token:.2f} without "
            f"<unk>), {p.per_word(self.words):.2f} per word",
        ]


@dataclass(frozen=True)
class OrderReport:
    """How many n-grams of an order there are, and their discounts."""

    order: int
    ngrams: int
    discounts: list[float]


@dataclass(frozen=True)
class NgramReport:
    """The file of a new model, its n-grams, its text's size, and its quality on a dev set."""

    path: Path
    orders: list[OrderReport]
    sentences: int
    tokens: int
    left_out: int
    dev: DevReport | None

    def lines(self) -> list[str]:
        """Returns the report as text."""
        text = f"{self.path}: {self.sentences} sentences, {self.tokens} tokens with their ends"
        return [text, *(self.dev.lines() if self.dev else [])]


def ngram(
    data: Path,
    sets: Sequence[str],
    texts: Sequence[Path],
    order: int,
    units: Units,
    name: str,
    tokenizer: str | None = None,
    prune: Sequence[int] = (),
    dev: str | None = None,
) -> NgramReport:
    """Writes DIR/lm/NAME.arpa.gz, estimated on the transcripts of sets and on text files.

    Args:
        data: Data folder, with manifests/ and text/.
        sets: Whose transcripts are used.
        texts: Files with a sentence on each line, plain or compressed (.gz, .xz).
        order: Words of the longest n-grams.
        units: What the model is over.
        name: Of the model.
        tokenizer: Name of the tokenizer file in text/; that of the units if null. Words need none:
            if null, the vocabulary is every word of the text.
        prune: See `asrkit.lm.kneser_ney.estimate`.
        dev: Set to measure the perplexity on.

    Raises:
        UserError: If there is no text, or a file or set is missing.
    """
    if not sets and not texts:
        raise UserError("an n-gram model needs text: name a set (--set) or a text file (--text)")
    splitter = Splitter(units, _tokenizer(units, DataFolder(data).text, tokenizer))
    corpus = index_sentences(splitter.split(all_texts(data, sets, texts)), splitter.vocabulary)
    if splitter.left_out:
        log.warning(splitter.complaint())
    result = estimate(corpus, order, prune)
    path = write_arpa(result.ngrams, DataFolder(data).ngram(name))
    report = _measure(result, data, dev, splitter.fresh()) if dev else None
    tokens = corpus.words + corpus.sentences
    return NgramReport(path, _orders(result), corpus.sentences, tokens, splitter.left_out, report)


def _orders(found: Estimate) -> list[OrderReport]:
    pairs = zip(found.ngrams.tables, found.discounts, strict=True)
    return [
        OrderReport(order, len(ngrams), [float(value) for value in discounts.values])
        for order, (ngrams, discounts) in enumerate(pairs, start=1)
    ]


class Splitter:
    """Splits texts into units; counts those that the tokenizer has no labels for.

    Args:
        units: What to split into.
        tokenizer: Splits into its labels; may be null for words.
    """

    def __init__(self, units: Units, tokenizer: Tokenizer | None) -> None:
        self.units, self.tokenizer = units, tokenizer
        self.vocabulary = tokenizer.vocabulary.symbols if tokenizer else None
        self.words = self.unknown_words = self.left_out = 0
        self._example = ""

    def fresh(self) -> Splitter:
        """Returns a splitter that has counted nothing."""
        return Splitter(self.units, self.tokenizer)

    def split(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Returns the units of each text, without those that have no labels."""
        for text in texts:
            words = normalized(text).split()
            if not words:
                continue
            if self.tokenizer is None or self.units == "words":
                self.words += len(words)
                yield words
            elif (units := self._labels(words, self.tokenizer)) is not None:
                self.words += len(words)
                yield units

    def _labels(self, words: list[str], tokenizer: Tokenizer) -> list[str] | None:
        text = " ".join(words)
        labels = tokenizer.encode_if_known(text)
        if labels is None:
            self.unknown_words += sum(bool(tokenizer.unknown_in(word)) for word in words)
            self.left_out += 1
            self._example = self._example or text
            return None
        return [tokenizer.vocabulary.symbols[label] for label in labels]

    def complaint(self) -> str:
        """Says what was left out."""
        assert self.tokenizer is not None
        unknown = ", ".join(map(repr, self.tokenizer.unknown_in(self._example)[:5]))
        return (
            f"{self.left_out} sentences are left out, as the tokenizer has no labels for some of "
            f"their characters, such as {unknown} in {self._example[:60]!r}; normalise the text"
        )


def all_texts(data: Path, sets: Sequence[str], texts: Sequence[Path]) -> Iterator[str]:
    """Yields the transcripts of sets, and the lines of files."""
    for name in sets:
        for cut in open_set(data, [name]):
            yield from (segment.text for segment in cut.supervisions if segment.text)
    for path in texts:
        yield from read_lines(path)


def _tokenizer(units: Units, directory: Path, name: str | None) -> Tokenizer | None:
    if units == "words":
        return None if name is None else WordTokenizer(directory, name)
    if units == "characters":
        return CharacterTokenizer(directory, name or units)
    return SentencePieceTokenizer(directory, name or units)


def _measure(result: Estimate, data: Path, dev: str, splitter: Splitter) -> DevReport:
    prediction = predict(result.ngrams, splitter.split(all_texts(data, [dev], [])))
    if not prediction.sentences:
        raise UserError(f"set {dev} of {data} has no sentence that the model can score")
    unknown = prediction.unknown + splitter.unknown_words
    return DevReport(prediction, splitter.words, unknown, splitter.left_out)

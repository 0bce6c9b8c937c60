"""`asrkit perplexity`: how well a language model predicts the transcripts of a set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from asrkit.data.text import Sentences, TextData, encode_all, read_texts
from asrkit.experiment.interpolation import read_interpolation
from asrkit.experiment.runs import as_text_model, open_run
from asrkit.experiment.spec import available_device
from asrkit.lm.interpolation import InterpolationWeights, joined
from asrkit.lm.perplexity import Prediction
from asrkit.text.normalization import normalized


@dataclass(frozen=True)
class PerplexityReport:
    """How well a language model predicts a set; sentences without labels are left out.

    Args:
        set: Its name.
        per_word: Perplexity of a word.
        per_label: Perplexity of a label.
        sentences: How many there are.
        words: How many words they have.
        labels: How many labels they have, ends of sentences included.
        interpolated: With an n-gram model, if one was given.
    """

    set: str
    per_word: float
    per_label: float
    sentences: int
    words: int
    labels: int
    interpolated: InterpolationReport | None = None


@dataclass(frozen=True)
class InterpolationReport:
    """How well an n-gram model predicts the same words, and its interpolation with the other.

    Args:
        ngram_per_word: Perplexity of the n-gram model, for which unknown words are `<unk>`.
        ngram_per_known_word: The same without unknown words.
        unknown_words: Words that it does not know.
        per_word: Perplexity of the interpolation, in which unknown words have the neural model's
            share of probability alone.
        ngram_weight: The n-gram model's share, the best one for this set.
        neural_weight: The neural model's.
    """

    ngram_per_word: float
    ngram_per_known_word: float
    unknown_words: int
    per_word: float
    ngram_weight: float
    neural_weight: float


def perplexity(
    run: Path,
    data: Path,
    set_name: str,
    checkpoint: str = "average",
    arpa: Path | None = None,
) -> PerplexityReport:
    """Returns how well a trained language model predicts the transcripts of a set.

    Sentences that the vocabulary has no labels for are left out of both.

    Args:
        run: Its run folder.
        data: The data folder.
        set_name: The set.
        checkpoint: Of the run.
        arpa: An n-gram model of words to interpolate with, with the best weights for this set.

    Raises:
        UserError: If the run is not that of a language model, or no sentence is left.
    """
    opened = open_run(run, data)
    tokenizer = opened.tokenizer
    model = as_text_model(opened.model(checkpoint)[0], run)
    device = available_device()
    model.to(device)
    texts = list(read_texts(data, [set_name]))
    sentences: Sentences = encode_all(texts, tokenizer, f"set {set_name}")
    experiment = opened.experiment
    batches = TextData(sentences, experiment.sentences, experiment.seed, training=False)
    found = Prediction()
    with torch.inference_mode():
        for batch in batches.batches(1):
            part = model(batch.to(device))["loss"]
            found += Prediction(len(batch), part.count, -float(part.total))
    known = [text for text in texts if tokenizer.encode_if_known(text) is not None]
    words = sum(len(text.split()) for text in known)
    per_word, per_label = found.per_word(words), found.per_token
    both = None if arpa is None else _interpolated(run, checkpoint, arpa, known)
    return PerplexityReport(
        set_name, per_word, per_label, found.sentences, words, found.tokens, both
    )


def _interpolated(
    run: Path, checkpoint: str, arpa: Path, texts: Sequence[str]
) -> InterpolationReport:
    weights = InterpolationWeights()
    models = read_interpolation(arpa, run, checkpoint, weights, available_device())
    both = joined(models.scores([normalized(text) for text in texts]))
    best = both.best_weights()
    return InterpolationReport(
        ngram_per_word=math.exp(-both.ngram.mean()),
        ngram_per_known_word=math.exp(-both.ngram[~both.unknown].mean()),
        unknown_words=int(both.unknown.sum()),
        per_word=math.exp(-both.mixed(best).mean()),
        ngram_weight=round(best.ngram, 4),
        neural_weight=round(best.neural, 4),
    )

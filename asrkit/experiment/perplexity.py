"""`asrkit perplexity`: how well a language model predicts the transcripts of a set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from asrkit.data.text import Sentences, TextData, TextSettings, encode_all, read_texts
from asrkit.errors import UserError
from asrkit.experiment.spec import (
    available_device,
    load_into,
    make_tokenizer,
    open_run,
    require_vocabulary,
)
from asrkit.models.language_model import LanguageModel
from asrkit.training.checkpoints import load_weights, resolve


@dataclass(frozen=True)
class Prediction:
    """What a language model says of a text: the negative log-likelihood in nats, and counts.

    Args:
        total: Summed over everything predicted, ends of sentences included.
        tokens: Labels and ends of sentences.
        words: Words and ends of sentences.
    """

    total: float
    tokens: int
    words: int

    @property
    def per_token(self) -> float:
        """Perplexity per label, ends of sentences counted."""
        return math.exp(self.total / max(self.tokens, 1))

    @property
    def per_word(self) -> float:
        """Perplexity per word, ends of sentences counted."""
        return math.exp(self.total / max(self.words, 1))


def perplexity(run: Path, data: Path, set_name: str, checkpoint: str = "average") -> Prediction:
    """Returns what a trained language model says of the transcripts of a set.

    Raises:
        UserError: If the run is not that of a language model.
    """
    experiment, _ = open_run(run)
    tokenizer = make_tokenizer(experiment, data)
    require_vocabulary(run, tokenizer.vocabulary)
    model = experiment.model(vocabulary=tokenizer.vocabulary)
    settings = experiment.data
    if not isinstance(model, LanguageModel) or not isinstance(settings, TextSettings):
        raise UserError(f"{run} is the run of a {type(model).__name__}, no language model")
    path = resolve(run, checkpoint)
    load_into(model, load_weights(path), path)
    device = available_device()
    model.eval().to(device)
    texts = list(read_texts(data, [set_name]))
    sentences: Sentences = encode_all(texts, tokenizer, f"set {set_name}")
    batches = TextData(sentences, settings, experiment.seed, training=False)
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for batch in batches.batches(1):
            part = model(batch.to(device))["loss"]
            total += float(part.total)
            tokens += part.count
    words = sum(len(text.split()) + 1 for text in texts if text)
    return Prediction(total, tokens, words)

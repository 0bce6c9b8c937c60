"""`asrkit perplexity`: how well a language model predicts the transcripts of a set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from asrkit.data.text import Sentences, TextData, encode_all, read_texts
from asrkit.experiment.runs import as_text_model, open_run
from asrkit.experiment.spec import available_device
from asrkit.lm.perplexity import Prediction


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
    """

    set: str
    per_word: float
    per_label: float
    sentences: int
    words: int
    labels: int


def perplexity(
    run: Path, data: Path, set_name: str, checkpoint: str = "average"
) -> PerplexityReport:
    """Returns how well a trained language model predicts the transcripts of a set.

    Sentences that the vocabulary has no labels for are left out of both.

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
    known = (text for text in texts if tokenizer.encode_if_known(text) is not None)
    words = sum(len(text.split()) for text in known)
    per_word, per_label = found.per_word(words), found.per_token
    return PerplexityReport(set_name, per_word, per_label, found.sentences, words, found.tokens)

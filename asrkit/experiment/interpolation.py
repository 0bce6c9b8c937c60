"""Reads an n-gram model and a neural language model that are interpolated word by word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.experiment.runs import as_text_model, open_run
from asrkit.lm.arpa import read_arpa
from asrkit.lm.interpolation import Interpolation, InterpolationWeights
from asrkit.lm.word_scores import NgramWords, WordScores, scores_by_pieces
from asrkit.models.kinds import TextModel
from asrkit.text.tokenizers import SPACE, Tokenizer


@dataclass(frozen=True)
class OneSentence:
    """Stands for frames where a language model is asked about one sentence at a time."""

    lengths: Tensor


class NeuralWords:
    """A neural language model over pieces of words, asked about words.

    Args:
        run: Its run folder.
        checkpoint: Of that run.
        device: Where it is computed.

    Raises:
        UserError: If the run is that of something else, or its labels do not tell words apart.
    """

    def __init__(self, run: Path, checkpoint: str, device: torch.device) -> None:
        opened = open_run(run)
        self.run, self.tokenizer = run, opened.tokenizer
        self.model: TextModel = as_text_model(opened.model(checkpoint)[0], run).to(device)
        self.device = device
        self.begins = np.array([s.startswith(SPACE) for s in self.tokenizer.vocabulary.symbols])
        if not self.begins.any() or not self._spells(self.tokenizer):
            raise UserError(
                f"the labels of {run} do not tell where words begin; expected a language model of "
                "pieces of words, such as those of `asrkit tokenizer bpe`"
            )

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> WordScores:
        """Returns log-probabilities of the words of texts and of their ends."""
        none = torch.zeros(1, dtype=torch.int64, device=self.device)
        scorer = self.model.label_scorer(OneSentence(none))
        labels = [self.tokenizer.encode(text) for text in texts]
        return scores_by_pieces(scorer, labels, self.begins)

    @staticmethod
    def _spells(tokenizer: Tokenizer) -> bool:
        return all(SPACE not in symbol[1:] for symbol in tokenizer.vocabulary.symbols)


def read_interpolation(
    arpa: Path,
    run: Path,
    checkpoint: str,
    weights: InterpolationWeights,
    device: torch.device,
) -> Interpolation:
    """Returns both models.

    Args:
        arpa: The n-gram model of words.
        run: Run folder of the neural model.
        checkpoint: Of that run.
        weights: Their shares.
        device: Where they are computed.

    Raises:
        UserError: If one of them can't be used.
    """
    neural = NeuralWords(run, checkpoint, device)
    ngram = NgramWords(read_arpa(arpa), arpa)
    ngram.model.to(device)
    return Interpolation(ngram, neural, weights)

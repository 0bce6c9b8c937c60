"""How the outputs of a joiner become log-probabilities of blank and labels, and the way back.

Entry V of the outputs is blank's: one more class of the softmax, or the logit of a sigmoid that
decides whether there is a label at all. Both are written for a part of the cells, so that the
caller decides how many logits exist at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.config.registry import Registry
from asrkit.losses.softmax import pick_log_probs, put_gradient


class SymbolDistribution(ABC):
    """Log-probabilities of the symbols that a lattice needs, and the gradient by hand."""

    @abstractmethod
    def log_probs(self, logits: Tensor) -> Tensor:
        """Returns the log-probabilities (..., V + 1) of all symbols, blank last."""

    @abstractmethod
    def scores(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log-probabilities of blank and of the targets.

        Args:
            logits: (..., V + 1).
            targets: (K - 1, ...) label ids.

        Returns:
            (K, ...) log-probabilities, first blank's, and (...) the normaliser for `gradient`.
        """

    @abstractmethod
    def gradient(
        self, logits: Tensor, normaliser: Tensor, occupation: Tensor, targets: Tensor
    ) -> Tensor:
        """Returns the gradient of the negative sum of occupation times score; changes the logits.

        Args:
            logits: (..., V + 1), which become the result.
            normaliser: (...) as from `scores`.
            occupation: (K, ...) weight of each score, not negative.
            targets: (K - 1, ...) label ids.

        Returns:
            (..., V + 1).
        """


distributions: Registry[SymbolDistribution] = Registry("blank", SymbolDistribution)


@distributions.register("softmax")
class SoftmaxBlank(SymbolDistribution):
    """Blank is a class of the softmax, the last one."""

    def log_probs(self, logits: Tensor) -> Tensor:
        """Returns the log-softmax (..., V + 1)."""
        return logits.log_softmax(-1)

    def scores(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (K, ...) log-probabilities of blank and targets, and (...) the log-sum."""
        return pick_log_probs(logits, _with_blank(targets, logits.shape[-1] - 1))

    def gradient(
        self, logits: Tensor, normaliser: Tensor, occupation: Tensor, targets: Tensor
    ) -> Tensor:
        """Returns (..., V + 1): all occupation times the softmax, less what each class has."""
        symbols = _with_blank(targets, logits.shape[-1] - 1)
        put_gradient(logits, normaliser, occupation, symbols)
        return logits


@distributions.register("sigmoid")
class SigmoidBlank(SymbolDistribution):
    """A sigmoid of entry V, e, decides for a label against blank, a softmax of the others which.

    log p(blank) = log sigma(-e), log p(label) = log sigma(e) + log softmax(label).

    Args:
        label_smoothing: Probability that the gradient takes from the target and gives to the other
            V - 1 labels, in the softmax of the labels alone; the loss is the plain one.

    Source: Zeyer et al. 2020, "A new training pipeline for an improved neural transducer".
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing is {label_smoothing}; it must be in [0, 1)")
        self.label_smoothing = label_smoothing

    def log_probs(self, logits: Tensor) -> Tensor:
        """Returns (..., V + 1): labels' log-softmax plus that of emission; blank's log-sigmoid."""
        labels, emit = logits[..., :-1], logits[..., -1:]
        return torch.cat([labels.log_softmax(-1) + F.logsigmoid(emit), F.logsigmoid(-emit)], -1)

    def scores(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (K, ...) log-probabilities of blank and targets, (...) the labels' log-sum."""
        picked, normaliser = pick_log_probs(logits[..., :-1], targets)
        emit = logits[..., -1].to(picked.dtype)
        return torch.cat([F.logsigmoid(-emit)[None], picked + F.logsigmoid(emit)]), normaliser

    def gradient(
        self, logits: Tensor, normaliser: Tensor, occupation: Tensor, targets: Tensor
    ) -> Tensor:
        """Returns (..., V + 1)."""
        blank, emitted = occupation[0], occupation[1:].sum(0)
        probability = logits[..., -1].to(occupation.dtype).sigmoid()
        logits[..., -1] = blank * probability - emitted * (1 - probability)
        labels = logits[..., :-1]
        share = self.label_smoothing / max(labels.shape[-1] - 1, 1)
        put_gradient(labels, normaliser, occupation[1:], targets, share)
        return logits


def _with_blank(targets: Tensor, blank: int) -> Tensor:
    """Returns (K, ...) blank before the targets (K - 1, ...)."""
    return torch.cat([torch.full_like(targets[:1], blank), targets])

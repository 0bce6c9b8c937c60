"""Output distributions: from the logits of a joiner to log-probabilities of blank and labels.

Entry V of the logits is for blank: another class of the softmax, or the logit of a sigmoid that
decides between blank and label. Both compute values and gradients for a part of the cells, so that
the caller decides how many logits are held at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.config.registry import Registry
from asrkit.losses.softmax import pick_log_probs, put_gradient
from asrkit.nn.applied import Applied


class SymbolDistribution(ABC):
    """Log-probabilities of the symbols that a lattice needs, and the hand-written gradient."""

    @abstractmethod
    def log_probs(self, logits: Tensor) -> Tensor:
        """Returns the log-probabilities (..., V + 1) of all symbols, blank last."""

    @abstractmethod
    def scores(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log-probabilities of blank and of the targets.

        Args:
            logits: (..., V + 1).
            targets: (Y - 1, ...) label ids.

        Returns:
            (Y, ...) log-probabilities, blank first, and (...) the normaliser for `gradient`.
        """

    @abstractmethod
    def gradient(
        self, logits: Tensor, normaliser: Tensor, occupation: Tensor, targets: Tensor
    ) -> Tensor:
        """Returns the gradient of the negative sum of occupation times score; changes the logits.

        Args:
            logits: (..., V + 1), which become the result.
            normaliser: (...) as from `scores`.
            occupation: (Y, ...) weight of each score, not negative.
            targets: (Y - 1, ...) label ids.

        Returns:
            (..., V + 1).
        """


distributions: Registry[SymbolDistribution] = Registry("blank", SymbolDistribution)


@distributions.register("softmax")
class SoftmaxBlank(SymbolDistribution):
    """Blank is a class of the softmax, the last one.

    Args:
        label_smoothing: Probability that the gradient takes from each target, including blank, and
            gives to the V other symbols; the loss itself is not smoothed.

    Raises:
        ValueError: If label_smoothing is not in [0, 1).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = _checked(label_smoothing)
        self.applied = Applied()

    def log_probs(self, logits: Tensor) -> Tensor:
        """Returns the log-softmax (..., V + 1)."""
        return logits.log_softmax(-1)

    def scores(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (Y, ...) log-probabilities of blank and targets, and (...) the log-sum."""
        return pick_log_probs(logits, _with_blank(targets, logits.shape[-1] - 1))

    def gradient(
        self, logits: Tensor, normaliser: Tensor, occupation: Tensor, targets: Tensor
    ) -> Tensor:
        """Returns (..., V + 1): total occupation times the softmax, minus that of each class."""
        size = logits.shape[-1]
        weights, floor = _share_out(occupation, occupation, self.label_smoothing, size)
        _count(self.applied, occupation, weights, floor)
        put_gradient(logits, normaliser, weights, _with_blank(targets, size - 1), floor)
        return logits


@distributions.register("sigmoid")
class SigmoidBlank(SymbolDistribution):
    """A sigmoid of entry V, e, decides between label and blank; a softmax, which label.

    log p(blank) = log sigma(-e), log p(label) = log sigma(e) + log softmax(label).

    Args:
        label_smoothing: Probability that the gradient takes from each target and gives to others;
            the loss itself is not smoothed.
        smoothed: What is smoothed. `labels`: the softmax of the labels, so that a label gives to
            the V - 1 others, and blank nothing. `symbols`: all log-probabilities, so that labels
            and blank give to the V other symbols. `labels_and_emission`: the log-probabilities of
            labels, which also get a share of what blank has, although it keeps all of it.

    Raises:
        ValueError: If label_smoothing is not in [0, 1).

    Source: Zeyer et al. 2020, "A new training pipeline for an improved neural transducer"; for
        `smoothed`, the options `lsxx`, `ls` and `lsx` of rwth-i6/i6_experiments,
        users/zeyer/experiments/exp2022_07_21_transducer/exp_fs_base.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        smoothed: Literal["labels", "symbols", "labels_and_emission"] = "labels",
    ) -> None:
        self.label_smoothing, self.smoothed = _checked(label_smoothing), smoothed
        self.applied = Applied()

    def log_probs(self, logits: Tensor) -> Tensor:
        """Returns (..., V + 1): labels' log-softmax plus that of emission; blank's log-sigmoid."""
        labels, emit = logits[..., :-1], logits[..., -1:]
        return torch.cat([labels.log_softmax(-1) + F.logsigmoid(emit), F.logsigmoid(-emit)], -1)

    def scores(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (Y, ...) log-probabilities of blank and targets, (...) the labels' log-sum."""
        picked, normaliser = pick_log_probs(logits[..., :-1], targets)
        emit = logits[..., -1].to(picked.dtype)
        return torch.cat([F.logsigmoid(-emit)[None], picked + F.logsigmoid(emit)]), normaliser

    def gradient(
        self, logits: Tensor, normaliser: Tensor, occupation: Tensor, targets: Tensor
    ) -> Tensor:
        """Returns (..., V + 1)."""
        size = logits.shape[-1] - 1
        blank, labels = occupation[0], occupation[1:]
        if self.smoothed == "symbols":
            weights, floor = _share_out(occupation, occupation, self.label_smoothing, size + 1)
            _count(self.applied, occupation, weights, floor)
            blank, labels = weights[0] if floor is None else weights[0] + floor, weights[1:]
        else:
            of = labels if self.smoothed == "labels" else occupation
            given = labels
            labels, floor = _share_out(given, of, self.label_smoothing, size)
            _count(self.applied, given, labels, floor)
        emitted = labels.sum(0) if floor is None else labels.sum(0) + size * floor
        probability = logits[..., -1].to(occupation.dtype).sigmoid()
        logits[..., -1] = blank * probability - emitted * (1 - probability)
        put_gradient(logits[..., :-1], normaliser, labels, targets, floor)
        return logits


def _share_out(
    weights: Tensor, shared: Tensor, smoothing: float, classes: int
) -> tuple[Tensor, Tensor | None]:
    """Returns smoothed weights of the targets, and the weight that each class gets in addition.

    Args:
        weights: (Y, ...) of the targets.
        shared: (J, ...) weights that are shared among all classes.
        smoothing: Probability that goes from a target to the other classes.
        classes: Number of classes.

    Returns:
        (Y, ...) and (...), or None for no additional weight.
    """
    if not smoothing:
        return weights, None
    share = smoothing / max(classes - 1, 1)
    return (1 - classes * share) * weights, share * shared.sum(0)


def _count(applied: Applied, before: Tensor, after: Tensor, floor: Tensor | None) -> None:
    """Counts how much weight targets give away.

    Args:
        applied: Counts.
        before: (Y, ...) of the targets.
        after: (Y, ...) smoothed.
        floor: (...) that each class gets in addition; None if nothing is smoothed.
    """
    if floor is not None and applied.sampled:
        kept = (after + floor).minimum(before)
        applied.count("smoothed_probability", (before - kept).sum(), before.sum())


def _checked(share: float) -> float:
    if not 0.0 <= share < 1.0:
        raise ValueError(f"label_smoothing is {share}; it must be in [0, 1)")
    return share


def _with_blank(targets: Tensor, blank: int) -> Tensor:
    """Returns (Y, ...) blank before the targets (Y - 1, ...)."""
    return torch.cat([torch.full_like(targets[:1], blank), targets])

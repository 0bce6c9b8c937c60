"""What becomes of hypotheses that have ended, while others of the same utterance go on.

All of a step are compared by their scores after as many symbols, the end being one: that of an
ended hypothesis grows with the steps as its normalised score would be multiplied back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from asrkit.config.registry import Registry
from asrkit.scorers.interfaces import IMPOSSIBLE


@dataclass(frozen=True)
class Rivals:
    """The hypotheses of a step; IMPOSSIBLE where there is none.

    Args:
        live: (B, H') scores of those that go on, best first.
        ending: (B, H) scores of those that end now.
        ended: (B, E) scores of those that had ended, at this step.
        reachable: Returns (B, H'), the scores that live ones may reach at most, at this step.
        size: Size of the beam.
    """

    live: Tensor
    ending: Tensor
    ended: Tensor
    reachable: Callable[[], Tensor]
    size: int


@dataclass(frozen=True)
class Kept:
    """Which of them are kept: True; all where None.

    Args:
        ending: (B, H) of those that end now.
        live: (B, H') of those that go on.
        ended: (B, E) of those that had ended.
    """

    ending: Tensor
    live: Tensor | None = None
    ended: Tensor | None = None


class Ended(ABC):
    """A rule; `to_the_end` where the search goes on until no live hypothesis is left."""

    to_the_end: ClassVar[bool] = True

    @abstractmethod
    def keep(self, rivals: Rivals) -> Kept:
        """Returns which hypotheses of a step are kept."""

    def most(self, beam_size: int) -> int:
        """Returns how many ended hypotheses there are at most in the end."""
        return beam_size


ended_rules: Registry[Ended] = Registry("ended", Ended)


@ended_rules.register("aside")
@dataclass(frozen=True)
class EndedAside(Ended):
    """They compete with live ones once, when they end; the best of them say when to stop."""

    to_the_end: ClassVar[bool] = False

    def keep(self, rivals: Rivals) -> Kept:
        """Returns which hypotheses are among the best as they end."""
        return Kept(rivals.ending >= _edge(rivals.size, rivals.live, rivals.ending))


@ended_rules.register("in_beam")
@dataclass(frozen=True)
class EndedInBeam(Ended):
    """They stay in the beam, and take places of live ones; the search ends when all have ended.

    Args:
        total: Hypotheses of both kinds that are kept, of which at most a beam is new; a beam where
            null.

    Raises:
        ValueError: If there is no place for any.

    Source: `beam_search_v5` and, with a total, `beam_search_sep_ended` of rwth-i6/i6_experiments,
        users/zeyer/decoding/beam_search_torch. Here a hypothesis at the limit of labels has to end,
        with the score of its end.
    """

    total: int | None = None

    def __post_init__(self) -> None:
        if self.total is not None and self.total < 1:
            raise ValueError(f"total ({self.total}) must be at least 1, or null")

    def keep(self, rivals: Rivals) -> Kept:
        """Returns which hypotheses are among the best."""
        new = _edge(rivals.size, rivals.live, rivals.ending)  # (B, 1)
        live, ending = (x.masked_fill(x < new, IMPOSSIBLE) for x in (rivals.live, rivals.ending))
        edge = _edge(self.most(rivals.size), live, ending, rivals.ended)  # (B, 1)
        least = torch.maximum(edge, new)  # (B, 1)
        return Kept(rivals.ending >= least, rivals.live >= least, rivals.ended >= edge)

    def most(self, beam_size: int) -> int:
        """Returns how many ended hypotheses there are at most in the end."""
        return self.total or beam_size


@ended_rules.register("best")
@dataclass(frozen=True)
class EndedBest(Ended):
    """The best of them are kept apart, so that the beam is of live ones alone.

    The search ends when no live one is left: at the limit of labels, or once they are given up.

    Args:
        size: How many are kept.
        threshold: Live ones are given up that are so much worse than the best ended one; none where
            null.
        worst_threshold: The same, than the worst of the kept ones, once there are `size` of them.
        adaptive: Whether live ones are given up that can't pass the best ended one any more. They
            gain nothing but the rewards of labels, if no scorer rewards and no weight is negative.

    Raises:
        ValueError: If none is kept.

    Source: `beam_search_sep_ended_keep_v6` of rwth-i6/i6_experiments,
        users/zeyer/decoding/beam_search_torch.
    """

    size: int
    threshold: float | None = None
    worst_threshold: float | None = None
    adaptive: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size ({self.size}) of ended hypotheses must be at least 1")

    def keep(self, rivals: Rivals) -> Kept:
        """Returns which ended hypotheses are among the best, and which live ones may still be."""
        every = torch.cat([rivals.ending, rivals.ended], 1)  # (B, H + E)
        best = every.topk(min(self.size, every.shape[1]), 1).values  # (B, size)
        live = torch.ones_like(rivals.live, dtype=torch.bool)
        if self.threshold is not None:
            live &= rivals.live > best[:, :1] - self.threshold
        if self.worst_threshold is not None and best.shape[1] == self.size:
            live &= rivals.live > best[:, -1:] - self.worst_threshold
        if self.adaptive:
            live &= rivals.reachable() > best[:, :1]
        return Kept(rivals.ending >= best[:, -1:], live, rivals.ended >= best[:, -1:])

    def most(self, beam_size: int) -> int:
        """Returns how many ended hypotheses there are at most in the end."""
        return self.size


def _edge(size: int, *scores: Tensor) -> Tensor:
    """Returns the worst score (B, 1) of the best `size` in scores (B, ...)."""
    every = torch.cat(scores, 1)
    return every.topk(min(size, every.shape[1]), 1).values[:, -1:]

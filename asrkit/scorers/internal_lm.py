"""Ways to tell what a head that reads labels would say of them if it heard nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from asrkit.config.registry import Registry
from asrkit.scorers.loader import Loader, View
from asrkit.scorers.views import InternalLm, TrainedInternalLm


class Estimation(ABC):
    """A way to estimate the internal language model of a head."""

    @abstractmethod
    def view(self, loader: Loader) -> View:
        """Returns what makes the language model of the head."""


estimations: Registry[Estimation] = Registry("estimation", Estimation)


@estimations.register("zero_context")
@dataclass(frozen=True)
class ZeroContext(Estimation):
    """The head itself, its frames being zeros.

    Source: Variani et al. 2020; Meng et al. 2021, section 3.
    """

    def view(self, loader: Loader) -> View:
        """Returns the internal language model of a head."""
        return InternalLm


@estimations.register("mini_lstm")
@dataclass(frozen=True)
class MiniLstm(Estimation):
    """A small LSTM in the place of attention, trained on transcripts: a run of a `mini_lstm`.

    Args:
        run: Its run folder; it must have imported the decoded weights.
        checkpoint: Of that run.

    Source: Zeineldeen et al. 2021.
    """

    run: Path
    checkpoint: str = "average"

    def view(self, loader: Loader) -> View:
        """Returns the language model, which checks that the head is its own."""
        model = loader.language_model(self.run, self.checkpoint)
        return partial(TrainedInternalLm, model=model, where=str(self.run))

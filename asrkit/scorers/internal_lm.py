"""What a head that reads labels would say of them if it heard nothing: internal language models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from asrkit.config.registry import Registry
from asrkit.scorers.entries import OfHead, scorers
from asrkit.scorers.interfaces import EstimatedLm, InternalLmSource
from asrkit.scorers.loader import FoundHead, Loader
from asrkit.scorers.sources import Source, unfit


class Estimation(ABC):
    """A way to estimate the internal language model of a head."""

    @abstractmethod
    def source(self, found: FoundHead, loader: Loader) -> Source:
        """Returns the language model of the head.

        Raises:
            UnfitError: If the head has none.
        """


estimations: Registry[Estimation] = Registry("estimation", Estimation)


@estimations.register("zero_context")
@dataclass(frozen=True)
class ZeroContext(Estimation):
    """The head itself, its frames being zeros.

    Source: Variani et al. 2020; Meng et al. 2021, section 3.
    """

    def source(self, found: FoundHead, loader: Loader) -> Source:
        """Returns the internal language model of a head."""
        head = found.head
        if not isinstance(head, InternalLmSource):
            raise unfit(
                found.what,
                "reads no labels, and has no internal language model",
                "an attention or transducer head",
            )
        what = f"the internal language model of {found.what}"
        # It reads how many utterances there are, and no frames.
        inside = Source(what, labels=head.internal_lm, by_chunk=frozenset({"labels"}))
        return inside.reading(found.pick)


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

    def source(self, found: FoundHead, loader: Loader) -> Source:
        """Returns the language model, which must be that of this head."""
        model = loader.language_model(self.run, self.checkpoint)
        if not isinstance(model, EstimatedLm) or not model.stands_beside(found.head):
            raise unfit(
                str(self.run),
                f"is not the internal language model of {found.what}",
                "a mini_lstm whose decoder has the weights of this head: train it with the weights "
                "of the decoded checkpoint imported",
            )
        return Source.of(model, f"the mini-LSTM {self.run}")


@scorers.register("internal_lm")
@dataclass(frozen=True)
class InternalLmScorer(OfHead):
    """What a head that reads labels would say without hearing anything; its weight is negative.

    Args:
        weight: Factor of its log-probabilities.
        head: Name of the attention or transducer head.
        run: Run folder of another model with the same vocabulary.
        checkpoint: Of that run.
        eos: Whether it scores the end of the sentence, too.
        estimation: How that is found out.
    """

    head: str = "attention"
    eos: bool = True
    estimation: Estimation = ZeroContext()

    def find(self, name: str, loader: Loader) -> Source:
        """Returns the head's internal language model."""
        return self.estimation.source(self.found(name, loader), loader)

"""The entries of a search's `scorers`: what scores, and with which weight.

A search adds up weighted scores. A number stands for the head of that name; everything else is a
mapping with a `type`. Language models, internal language models (with a negative weight), other
models' heads and length rewards are scorers like any other.

Relative paths are meant from the current folder, else from the decoded run (`prior/ctc.json`), from
the folder that it is in (`lm-small`, a run beside it) or from the data folder (`lm/4gram.arpa.gz`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from asrkit.config.registry import Registry
from asrkit.scorers.frame_changes import AdjustedHead, FrameChanges
from asrkit.scorers.interfaces import ScoringHead
from asrkit.scorers.internal_lm import Estimation, ZeroContext
from asrkit.scorers.label_scorers import LengthReward, WithoutEos
from asrkit.scorers.loader import Loader, plain
from asrkit.scorers.views import Coverage, LostEos


class Scorer(ABC):
    """One entry of a search's scorers; implementations set `weight`, and `eos` if it is a choice.

    Where `eos` is false, the end of the sentence gets no score. `rewards` says whether scores may
    be positive, so that no search can tell from a hypothesis what it is still going to gain;
    `hears` whether they depend on the speech, so that they may choose labels for others to score.
    """

    weight: float
    eos: bool = True
    hears: ClassVar[bool] = False

    @property
    def rewards(self) -> bool:
        """Whether its scores may be positive."""
        return False

    def load(self, name: str, loader: Loader) -> ScoringHead:
        """Returns what scores; `name` is the entry's."""
        head = self.find(name, loader)
        return head if self.eos else WithoutEos(head, loader.vocabulary.eos)

    @abstractmethod
    def find(self, name: str, loader: Loader) -> ScoringHead:
        """Returns what scores, the end of the sentence included; `name` is the entry's."""

    def own_head(self, name: str) -> str | None:
        """Returns which head of the decoded model it uses, None for none."""
        return None


scorers: Registry[Scorer] = Registry("scorer", Scorer, default="head")


@dataclass(frozen=True)
class OfHead(Scorer):
    """An entry that uses a head of the decoded model or of another run's.

    Args:
        weight: Factor of its log-probabilities.
        head: Name of the head; the entry's name where null.
        run: Run folder of another model with the same vocabulary (system combination).
        checkpoint: Of that run.
    """

    weight: float
    head: str | None = None
    run: Path | None = None
    checkpoint: str = "average"

    def own_head(self, name: str) -> str | None:
        """Returns the head, unless it is another run's."""
        return None if self.run is not None else self.head or name


@scorers.register("head")
@dataclass(frozen=True)
class HeadScorer(OfHead):
    """A head of the model, or of another model.

    Args:
        weight: Factor of its log-probabilities.
        head: Name of the head; the entry's name where null.
        run: Run folder of another model with the same vocabulary (system combination).
        checkpoint: Of that run.
        eos: Whether it scores the end of the sentence, too.
    """

    hears: ClassVar[bool] = True
    eos: bool = True

    def find(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the head."""
        return loader.head(self.head or name, self.run, self.checkpoint)


@scorers.register("ctc")
@dataclass(frozen=True)
class CtcScorer(OfHead):
    """A CTC head whose frame probabilities are changed before the search.

    Args:
        weight: Factor of its log-probabilities.
        head: Name of the head; the entry's name where null.
        run: Run folder of another model with the same vocabulary (system combination).
        checkpoint: Of that run.
        prior: File of label priors, made by `asrkit prior`.
        prior_scale: Log-priors are subtracted with this factor; with 0 there need be no file.
        blank_penalty: Subtracted from blank's log-probability.
        blank_collapse: Of successive frames whose blank is more probable than this, one is kept,
            and none at the edges; null keeps all.
        mask_eos: Of heads that were trained with `eos: true`: whether blank gets the probability
            of eos; else that is lost.
    """

    hears: ClassVar[bool] = True
    prior: Path | None = None
    prior_scale: float | None = None
    blank_penalty: float = 0.0
    blank_collapse: float | None = None
    mask_eos: bool = True

    def __post_init__(self) -> None:
        if self.prior_scale and self.prior is None:
            raise ValueError(f"prior_scale ({self.prior_scale}) needs a prior: a file")
        if self.prior is not None and self.prior_scale is None:
            raise ValueError(f"prior ({self.prior}) needs a prior_scale: its factor")
        if self.blank_collapse is not None and not 0 < self.blank_collapse < 1:
            raise ValueError(f"blank_collapse ({self.blank_collapse}) must be between 0 and 1")

    @property
    def rewards(self) -> bool:
        """Whether blank is made more probable, and with it longer alignments."""
        return self.blank_penalty < 0

    def find(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the head with its changes."""
        prior = None
        if self.prior is not None and self.prior_scale:
            prior = self.prior_scale * loader.prior(self.prior, self.run, self.checkpoint)
        changes = FrameChanges(prior, self.blank_penalty, self.blank_collapse)
        view = plain if self.mask_eos else LostEos
        return AdjustedHead(
            loader.head(self.head or name, self.run, self.checkpoint, view), changes
        )


@scorers.register("language_model")
@dataclass(frozen=True)
class LanguageModelScorer(Scorer):
    """A language model over the same labels.

    One that was trained on the transcripts of the speech has a negative weight in the density
    ratio method.

    Args:
        weight: Factor of its log-probabilities.
        run: Its run folder.
        checkpoint: Of that run.
        eos: Whether it scores the end of the sentence, too.

    Source: McDermott et al. 2019 (density ratio).
    """

    weight: float
    run: Path
    checkpoint: str = "average"
    eos: bool = True

    def find(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the language model."""
        return loader.language_model(self.run, self.checkpoint)


@scorers.register("ngram")
@dataclass(frozen=True)
class NgramScorer(Scorer):
    """An n-gram model over the same labels, made by `asrkit ngram --units`.

    Args:
        weight: Factor of its log-probabilities.
        arpa: The file.
        eos: Whether it scores the end of the sentence, too.
    """

    weight: float
    arpa: Path
    eos: bool = True

    def find(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the n-gram model."""
        return loader.ngram(self.arpa)


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

    def find(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the head's internal language model."""
        return loader.head(self.head, self.run, self.checkpoint, self.estimation.view(loader))


@scorers.register("coverage")
@dataclass(frozen=True)
class CoverageScorer(OfHead):
    """Scores the frames that a hypothesis attended to, each once, however often it did.

    It keeps a search from leaving a part of the utterance out; going over one part again gains
    nothing. The decoder runs once more for it.

    Args:
        weight: Reward of a frame.
        head: Name of the attention head.
        run: Run folder of another model with the same vocabulary.
        checkpoint: Of that run.
        threshold: Attention from which on a frame counts, added up over the labels.
        eos: Whether frames that are first attended to at the end of the sentence count.

    Raises:
        ValueError: If the threshold is not positive.

    Source: Chorowski and Jaitly 2017, section 3: the number of frames j whose attention, added up
        over the labels i so far, is above the threshold, sum_j [sum_i a_ij > 0.5]; of several heads
        of attention, the mean over those of the last layer counts.
    """

    head: str = "attention"
    threshold: float = 0.5
    eos: bool = True

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"threshold ({self.threshold}) must be positive")

    @property
    def rewards(self) -> bool:
        """True: what it adds is positive."""
        return True

    def find(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the head's coverage."""
        view = partial(Coverage, threshold=self.threshold)
        return loader.head(self.head, self.run, self.checkpoint, view)


@scorers.register("length")
@dataclass(frozen=True)
class LengthScorer(Scorer):
    """Scores 1 for every label and 0 for the end.

    Args:
        weight: Reward of a label; negative for a penalty.
    """

    weight: float

    @property
    def rewards(self) -> bool:
        """True: what it adds is positive."""
        return True

    def find(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the reward."""
        return LengthReward(len(loader.vocabulary))

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
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from asrkit.config.registry import Registry
from asrkit.decoding.frames import AdjustedHead, FrameChanges
from asrkit.decoding.interfaces import (
    EncodedFrames,
    FrameScorer,
    LabelScorer,
    ScoringHead,
    State,
)
from asrkit.text.vocabulary import Vocabulary


class Loader(Protocol):
    """Finds what scorers are made of; `vocabulary` holds the labels of the search."""

    vocabulary: Vocabulary

    def head(self, name: str, run: Path | None, checkpoint: str) -> ScoringHead:
        """Returns a head of the decoded model, or of that of another run."""
        ...

    def internal_lm(self, name: str, run: Path | None, checkpoint: str) -> ScoringHead:
        """Returns a head that scores labels without frames, as its decoder learnt to."""
        ...

    def language_model(self, run: Path, checkpoint: str) -> ScoringHead:
        """Returns a trained language model."""
        ...

    def ngram(self, path: Path) -> ScoringHead:
        """Returns an n-gram model over the same labels, from an ARPA file."""
        ...

    def prior(self, path: Path, run: Path | None, checkpoint: str) -> Tensor:
        """Returns log-priors (V + 1,) that were estimated with the same weights."""
        ...


class Scorer(ABC):
    """One entry of a search's scorers; implementations set `weight`."""

    weight: float

    @abstractmethod
    def load(self, name: str, loader: Loader) -> ScoringHead:
        """Returns what scores; `name` is the entry's."""

    def own_head(self, name: str) -> str | None:
        """Returns which head of the decoded model it uses, None for none."""
        return None


scorers: Registry[Scorer] = Registry("scorer", Scorer, default="head")


@scorers.register("head")
@dataclass(frozen=True)
class HeadScorer(Scorer):
    """A head of the model, or of another model.

    Args:
        weight: Factor of its log-probabilities.
        head: Name of the head; the entry's name where null.
        run: Run folder of another model with the same vocabulary (system combination).
        checkpoint: Of that run.
        eos: Whether it scores the end of the sentence, too.
    """

    weight: float
    head: str | None = None
    run: Path | None = None
    checkpoint: str = "average"
    eos: bool = True

    def load(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the head."""
        head = loader.head(self.head or name, self.run, self.checkpoint)
        return head if self.eos else WithoutEos(head, loader.vocabulary.eos)

    def own_head(self, name: str) -> str | None:
        """Returns the head, unless it is another run's."""
        return None if self.run is not None else self.head or name


@scorers.register("ctc")
@dataclass(frozen=True)
class CtcScorer(Scorer):
    """A CTC head whose frame probabilities are changed before the search.

    Args:
        weight: Factor of its log-probabilities.
        head: Name of the head; the entry's name where null.
        run: Run folder of another model with the same vocabulary (system combination).
        checkpoint: Of that run.
        prior: File of label priors, made by `asrkit prior`.
        prior_scale: Log-priors are subtracted with this factor.
        blank_penalty: Subtracted from blank's log-probability.
        blank_collapse: Of successive frames whose blank is more probable than this, one is kept,
            and none at the edges; null keeps all.
    """

    weight: float
    head: str | None = None
    run: Path | None = None
    checkpoint: str = "average"
    prior: Path | None = None
    prior_scale: float = 0.0
    blank_penalty: float = 0.0
    blank_collapse: float | None = None

    def __post_init__(self) -> None:
        if self.prior_scale and self.prior is None:
            raise ValueError(f"prior_scale ({self.prior_scale}) needs a prior: a file")
        if self.blank_collapse is not None and not 0 < self.blank_collapse < 1:
            raise ValueError(f"blank_collapse ({self.blank_collapse}) must be between 0 and 1")

    def load(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the head with its changes."""
        prior = None
        if self.prior is not None:
            prior = self.prior_scale * loader.prior(self.prior, self.run, self.checkpoint)
        changes = FrameChanges(prior, self.blank_penalty, self.blank_collapse)
        return AdjustedHead(loader.head(self.head or name, self.run, self.checkpoint), changes)

    def own_head(self, name: str) -> str | None:
        """Returns the head, unless it is another run's."""
        return None if self.run is not None else self.head or name


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

    def load(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the language model."""
        model = loader.language_model(self.run, self.checkpoint)
        return model if self.eos else WithoutEos(model, loader.vocabulary.eos)


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

    def load(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the n-gram model."""
        model = loader.ngram(self.arpa)
        return model if self.eos else WithoutEos(model, loader.vocabulary.eos)


@scorers.register("internal_lm")
@dataclass(frozen=True)
class InternalLmScorer(Scorer):
    """What a head that reads labels would say without hearing anything; its weight is negative.

    Args:
        weight: Factor of its log-probabilities.
        head: Name of the attention or transducer head.
        run: Run folder of another model with the same vocabulary.
        checkpoint: Of that run.
        eos: Whether it scores the end of the sentence, too.

    Source: Variani et al. 2020; Meng et al. 2021, section 3 (zero context).
    """

    weight: float
    head: str = "attention"
    run: Path | None = None
    checkpoint: str = "average"
    eos: bool = True

    def load(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the head's internal language model."""
        head = loader.internal_lm(self.head, self.run, self.checkpoint)
        return head if self.eos else WithoutEos(head, loader.vocabulary.eos)

    def own_head(self, name: str) -> str | None:
        """Returns the head, unless it is another run's."""
        return None if self.run is not None else self.head


@scorers.register("length")
@dataclass(frozen=True)
class LengthScorer(Scorer):
    """Scores 1 for every label and 0 for the end.

    Args:
        weight: Reward of a label; negative for a penalty.
    """

    weight: float

    def load(self, name: str, loader: Loader) -> ScoringHead:
        """Returns the reward."""
        return LengthReward(len(loader.vocabulary))


class LengthReward:
    """A head that scores 1 for every label.

    Args:
        num_labels: V.
    """

    partial = True

    def __init__(self, num_labels: int, utterances: Tensor | None = None) -> None:
        self.num_labels = num_labels
        self.utterances = utterances

    def label_scorer(self, encoded: EncodedFrames) -> LabelScorer:
        """Returns the reward for these utterances."""
        return LengthReward(self.num_labels, torch.zeros_like(encoded.lengths))

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """There are no symbols of frames."""
        raise NotImplementedError("a length reward scores labels, not frames")

    def initial_state(self) -> State:
        """Returns nothing of interest, with leading axis B."""
        assert self.utterances is not None
        return self.utterances

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns 1 for labels and 0 for eos: (H, V + 1), or (H, C) of candidates."""
        if candidates is not None:
            return (candidates < self.num_labels).float()
        rewards = torch.ones(len(state), self.num_labels + 1, device=state.device)
        rewards[:, -1] = 0.0
        return rewards

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns nothing of interest, for as many hypotheses."""
        return state

    def subset(self, utterances: Tensor) -> LabelScorer:
        """Returns the reward for some of the utterances."""
        assert self.utterances is not None
        return LengthReward(self.num_labels, self.utterances[utterances])


class WithoutEos:
    """A head whose label scorer gives 0 for the end of sentence.

    Args:
        head: The head.
        eos: The id of end of sentence.
    """

    def __init__(self, head: ScoringHead, eos: int) -> None:
        self.head, self.eos = head, eos

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns the scorer, 0 for eos."""
        return _SilentAtEos(self.head.label_scorer(encoded), self.eos)

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """Returns the frames' scorer as it is: frames have no eos."""
        return self.head.frame_scorer(encoded)


class _SilentAtEos:
    def __init__(self, inner: LabelScorer, eos: int) -> None:
        self.inner, self.eos = inner, eos
        self.partial = inner.partial

    def initial_state(self) -> State:
        return self.inner.initial_state()

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        scores = self.inner.score(state, candidates)
        if candidates is not None:
            return scores.masked_fill(candidates == self.eos, 0.0)
        return torch.cat([scores[:, :-1], torch.zeros_like(scores[:, -1:])], dim=1)

    def advance(self, state: State, labels: Tensor) -> State:
        return self.inner.advance(state, labels)

    def subset(self, utterances: Tensor) -> LabelScorer:
        return _SilentAtEos(self.inner.subset(utterances), self.eos)

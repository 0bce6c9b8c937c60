"""The seam between models and search: sources of scores, scorers, and what a search returns.

A source is asked once per batch and gives what scores these utterances: a `LabelSource` scores
labels, a `FrameSource` frames, a `SymbolSource` the symbols of frames after labels. Heads of models
are sources of some kinds, language models are sources of labels.

Hypotheses of all utterances are scored together. They are ordered by utterance: with B
utterances and H hypotheses of all of them, row h belongs to utterance h // (H // B). (Searches
write (B, H) for H hypotheses of each.) A state is any nest of tuples, lists, dicts and tensors,
every tensor with leading axis H; what has an `index_select` of its own counts as a tensor. Only
the search picks survivors, by gathering along that axis; scorers never do. Where hypotheses move
at different times (time-synchronous search), it also joins states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from asrkit.lattice.topologies import Topology

State = Any
IMPOSSIBLE = -1e30
"""The logarithm of zero; finite, so that differences stay numbers. Sums of it and others are told
by being below IMPOSSIBLE / 2."""
Kind = Literal["labels", "frames", "states", "symbols", "graph", "lists", "sentences"]
"""What can be scored: next labels, the labels of frames by themselves, their tied states (or
phones), a frame's symbols after labels, paths through a graph, hypotheses that were found before,
or any whole ones."""
SentenceScores: TypeAlias = Callable[[Sequence[list[int]]], list[float]]
"""Returns log-probabilities of whole label sequences, their ends included."""


class LabelScorer(Protocol):
    """log p(next label | labels so far). Columns 0 .. V-1 are labels, column V is eos."""

    partial: bool
    """Whether scoring few candidates is much cheaper than all, as for CTC prefix scores."""

    def initial_state(self) -> State:
        """Returns the state of the B empty hypotheses; leading axis B."""
        ...

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns log-probabilities (H, V + 1), or (H, C) for candidate ids (H, C)."""
        ...

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after each hypothesis took one label (H,), never eos."""
        ...

    def subset(self, utterances: Tensor) -> LabelScorer:
        """Returns the scorer of some of the utterances (indices), as others have ended."""
        ...


@dataclass(frozen=True)
class FrameScores:
    """Log-probabilities of the frames' symbols: labels 0 .. V-1 and blank, column V.

    Args:
        log_probs: (B, T, V + 1).
        lengths: (B,) valid frames.
    """

    log_probs: Tensor
    lengths: Tensor


class SymbolScorer(Protocol):
    """log p(symbol of a frame | what was before it): labels 0 .. V-1 and blank, column V.

    What was before a frame are the labels so far, and to some scorers the symbols of all frames.
    A scorer belongs to a chunk of frames, or to whole utterances; states do not: those after the
    last frame of a chunk are those before the first frame of the next one's scorer.
    """

    @property
    def topology(self) -> Topology:
        """What may follow what."""
        ...

    @property
    def blank(self) -> int:
        """V, the id of blank."""
        ...

    @property
    def lengths(self) -> Tensor:
        """(B,) valid frames."""
        ...

    def initial_state(self) -> State:
        """Returns the state of the B empty hypotheses; leading axis B."""
        ...

    def enter(self, state: State, last: Tensor, frame: int) -> State:
        """Returns the states as a frame begins, before any of its symbols is scored.

        Args:
            state: Of all hypotheses, H / B of each utterance.
            last: (H,) the symbol before the frame; V, blank, where there is none.
            frame: Which; called once for each, in order.
        """
        ...

    def score(self, state: State, frame: int) -> Tensor:
        """Returns log-probabilities (H, V + 1) in a frame, anything where an utterance has none."""
        ...

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after one more label (H,); here H may be any number."""
        ...


class EncodedFrames(Protocol):
    """What an encoder gives; searches only hand it on to the heads."""

    @property
    def lengths(self) -> Tensor:
        """(B,) valid frames."""
        ...


@runtime_checkable
class LabelSource(Protocol):
    """Scores labels one after the other: attention and CTC heads, language models."""

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns the scorer of next labels for encoded utterances."""
        ...


@runtime_checkable
class FrameSource(Protocol):
    """Scores frames by themselves: a CTC head."""

    def frame_scores(self, encoded: Any) -> FrameScores:
        """Returns the scores of the frames of encoded utterances, or of a chunk of each."""
        ...


@runtime_checkable
class StateSource(Protocol):
    """Scores the tied states of an HMM in every frame of the features, or phones by CTC."""

    def state_scores(self, encoded: Any) -> FrameScores:
        """Returns scores (B, T, S) of all states: log p(x|s) or log p(s|x); no column is blank.

        Of phones, K of them and blank, the last one, in frames of the encoder: S is K + 1.
        """
        ...


@runtime_checkable
class SymbolSource(Protocol):
    """Scores a frame's symbols after the labels so far: a transducer head."""

    def symbol_scorer(self, encoded: Any) -> SymbolScorer:
        """Returns the scorer of symbols for encoded utterances, or for a chunk of each."""
        ...


@runtime_checkable
class ChunkSource(Protocol):
    """A source that can follow a stream.

    `by_chunk` are the kinds of scores for which whole utterances are not needed: of frames and
    symbols, where those of a chunk are what they are within the whole utterance, so that nothing
    looks at neighbours; of labels, where no frames are read. A source that doesn't say so is asked
    about whole utterances only.
    """

    by_chunk: frozenset[Kind]


@runtime_checkable
class EosFrameSource(Protocol):
    """A CTC head that may know eos, a label that its `frame_scores` has made part of blank."""

    eos: int | None
    """Its id; None where there is none."""

    def frames_without_eos(self, encoded: Any) -> FrameScores:
        """Returns the scores of frames where eos' probability is lost."""
        ...


class LabelAttention(Protocol):
    """How a decoder attends to the frames when it predicts a label, given the labels so far."""

    @property
    def num_labels(self) -> int:
        """V."""
        ...

    def initial_state(self) -> tuple[Tensor, State]:
        """Returns the attention (B, T) for the first labels, and the states of empty hypotheses."""
        ...

    def advance(self, state: State, labels: Tensor) -> tuple[Tensor, State]:
        """Returns the attention (H, T) for the label after one more (H,), and new states."""
        ...

    def subset(self, utterances: Tensor) -> LabelAttention:
        """Returns the attention of some of the utterances (indices)."""
        ...


@runtime_checkable
class AttentionSource(Protocol):
    """A head with attention to the frames."""

    def label_attention(self, encoded: Any) -> LabelAttention:
        """Returns how it attends; 0 beyond an utterance's frames."""
        ...


@runtime_checkable
class InternalLmSource(Protocol):
    """A head that has learnt which labels follow which, whatever is heard."""

    def internal_lm(self, encoded: Any) -> LabelScorer:
        """Returns the scorer of next labels, without the frames."""
        ...


@runtime_checkable
class EstimatedLm(Protocol):
    """A language model that was trained as the internal one of a certain head."""

    def stands_beside(self, head: object) -> bool:
        """Returns whether it is this head."""
        ...

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns the scorer of next labels."""
        ...


@dataclass(frozen=True)
class Hypothesis:
    """One entry of an n-best list.

    Args:
        labels: Label ids without bos, eos and blank.
        score: What the search ranked by.
        scores: The unweighted score of each scorer by name; what no weight scales, such as a
            reward of labels, is only in `score`.
    """

    labels: list[int]
    score: float
    scores: dict[str, float] = field(default_factory=dict)


def map_state(state: State, change: Callable[[Tensor], Tensor]) -> State:
    """Returns the nest with every tensor changed."""
    if isinstance(state, tuple):
        return tuple(map_state(part, change) for part in state)
    if isinstance(state, list):
        return [map_state(part, change) for part in state]
    if isinstance(state, dict):
        return {key: map_state(part, change) for key, part in state.items()}
    return state if state is None else change(state)


def select(state: State, rows: Tensor) -> State:
    """Returns the states of the given hypotheses: rows (H',) of the leading axis."""
    return map_state(state, lambda tensor: tensor.index_select(0, rows))


def join(first: State, second: State) -> State:
    """Returns the hypotheses of two states of the same scorer, the first's before the second's."""
    if isinstance(first, tuple):
        return tuple(join(a, b) for a, b in zip(first, second, strict=True))
    if isinstance(first, list):
        return [join(a, b) for a, b in zip(first, second, strict=True)]
    if isinstance(first, dict):
        return {key: join(part, second[key]) for key, part in first.items()}
    if first is None:
        return None
    return torch.cat([first, second]) if isinstance(first, Tensor) else first.join(second)

"""What a search asks for scores: a source, of labels, of frames, or of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from asrkit.errors import UserError
from asrkit.scorers.interfaces import (
    ChunkSource,
    FrameScores,
    FrameSource,
    Hypothesis,
    Kind,
    LabelScorer,
    LabelSource,
    SentenceScores,
    StateSource,
    SymbolScorer,
    SymbolSource,
)
from asrkit.wfst.graph_file import DecodingGraph

SCORED: dict[Kind, str] = {
    "labels": "labels",
    "frames": "frames",
    "states": "tied states or phones",
    "symbols": "frames after labels",
    "graph": "paths through a graph",
    "lists": "hypotheses that were found before",
    "sentences": "whole hypotheses",
}
WOULD_DO: dict[Kind, str] = {
    "labels": "an attention or CTC head, a language model, or a reward",
    "frames": "a CTC head",
    "states": "a head of tied states or phones, such as gaussian_mixtures, frame_cross_entropy or "
    "phone_ctc",
    "symbols": "a transducer head",
    "graph": "a scorer of type graph",
    "lists": "a scorer of type lists",
    "sentences": "a scorer of type interpolation",
}


class UnfitError(UserError):
    """Something is used as a scorer that has no such scores; the search says where."""


def unfit(what: str, lack: str, expected: str) -> UnfitError:
    """Returns the error of a scorer that can't be what it is used as.

    Args:
        what: What it is.
        lack: What is wrong with it.
        expected: What would do.
    """
    return UnfitError(f"{what} {lack}; expected {expected}")


@dataclass(frozen=True)
class Source:
    """What can be asked for scores of utterances; None where it has none of a kind.

    Args:
        what: What it is, for messages.
        labels: Gives the scorer of next labels for encoded utterances.
        frames: Gives the scores of the frames of encoded utterances.
        states: Gives the scores of the tied states in the frames of encoded utterances.
        symbols: Gives the scorer of frames' symbols after labels for encoded utterances.
        graph: The same for all utterances.
        lists: Gives what was found before in an utterance, by its name.
        sentences: Gives log-probabilities of whole hypotheses.
        by_chunk: Kinds of scores for which whole utterances are not needed.
    """

    what: str
    labels: Callable[[Any], LabelScorer] | None = None
    frames: Callable[[Any], FrameScores] | None = None
    states: Callable[[Any], FrameScores] | None = None
    symbols: Callable[[Any], SymbolScorer] | None = None
    graph: DecodingGraph | None = None
    lists: Callable[[str], list[Hypothesis]] | None = None
    sentences: SentenceScores | None = None
    by_chunk: frozenset[Kind] = frozenset()

    @classmethod
    def of(cls, thing: object, what: str | None = None) -> Source:
        """Returns all that something can be asked for."""
        if isinstance(thing, Source):
            return thing
        return cls(
            what or f"the {type(thing).__name__}",
            labels=thing.label_scorer if isinstance(thing, LabelSource) else None,
            frames=thing.frame_scores if isinstance(thing, FrameSource) else None,
            states=thing.state_scores if isinstance(thing, StateSource) else None,
            symbols=thing.symbol_scorer if isinstance(thing, SymbolSource) else None,
            by_chunk=thing.by_chunk if isinstance(thing, ChunkSource) else frozenset(),
        )

    def reading(self, pick: Callable[[Any], Any]) -> Source:
        """Returns the source that reads what `pick` takes of all that was encoded."""
        labels, frames, symbols = self.labels, self.frames, self.symbols
        states = self.states
        return replace(
            self,
            labels=labels and (lambda encoded: labels(pick(encoded))),
            frames=frames and (lambda encoded: frames(pick(encoded))),
            states=states and (lambda encoded: states(pick(encoded))),
            symbols=symbols and (lambda encoded: symbols(pick(encoded))),
        )

    def require(self, kind: Kind) -> None:
        """Checks that there are scores of a kind.

        Raises:
            UnfitError: If there are none.
        """
        if self._has(kind):
            return
        scored = " and ".join(words for other, words in SCORED.items() if self._has(other))
        raise unfit(self.what, f"scores {scored or 'nothing'}, not {SCORED[kind]}", WOULD_DO[kind])

    def _has(self, kind: Kind) -> bool:
        found: dict[Kind, object] = {
            "labels": self.labels,
            "frames": self.frames,
            "states": self.states,
            "symbols": self.symbols,
            "graph": self.graph,
            "lists": self.lists,
            "sentences": self.sentences,
        }
        return found[kind] is not None

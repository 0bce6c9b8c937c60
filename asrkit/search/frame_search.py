"""What searches over frames have in common: one scorer of frames, all others of labels; a stream.

They go over the frames in chunks of any size:

    state = search.begin(parts, encoded)
    search.step(state, chunk)  # as often as chunks come
    n_best_lists = search.end(state)

A whole utterance is one chunk. Of a stream, whose frames are not known when it begins, nothing may
need whole utterances: `refuse_whole` says what does.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar

from asrkit.errors import UserError
from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import EncodedFrames, Hypothesis, Kind
from asrkit.search.beam import Beam
from asrkit.search.label_states import LabelStates
from asrkit.search.parts import SearchParts
from asrkit.search.search import Search

State = TypeVar("State")
Strings: TypeAlias = Literal["labels", "words"]
"""Which hypotheses are recombined: those of the same labels, or those that spell the same words."""


class FrameSearch(Search, Generic[State]):
    """Goes from frame to frame; label scorers move where a hypothesis takes a label.

    Args:
        scorers: Weight, or more, of each scorer by name.
        frames: Which of the scorers gives the frames' symbols.
        setting: What the search calls that setting.

    Raises:
        ValueError: If that scorer is missing.
    """

    scored: ClassVar[Kind] = "frames"
    """What that scorer scores: frames by themselves, or after labels."""

    def __init__(
        self, scorers: Mapping[str, float | Scorer], frames: str, setting: str = "frames"
    ) -> None:
        super().__init__(scorers)
        if frames not in self.weights:
            names = ", ".join(self.weights)
            raise ValueError(f"{setting} ({frames}) must be one of the scorers: {names}")
        self.frames = frames

    @abstractmethod
    def begin(self, parts: SearchParts, encoded: EncodedFrames) -> State:
        """Returns the state before the first frame.

        Args:
            parts: What the search works with.
            encoded: What label scorers read: all frames of the utterances. Where none reads
                frames, only the number of lengths (B,) counts, and the first chunk will do.
        """

    @abstractmethod
    def step(self, state: State, encoded: EncodedFrames) -> None:
        """Searches the next frames.

        Args:
            state: That of the frames before; becomes that of the last of these.
            encoded: Any number of frames of the same B utterances; lengths (B,) count those that
                are valid here: fewer, or 0, in utterances that have ended.
        """

    @abstractmethod
    def end(self, state: State) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first, after the last frame."""

    def run(self, parts: SearchParts, encoded: EncodedFrames) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first."""
        state = self.begin(parts, encoded)
        self.step(state, encoded)
        return self.end(state)

    def kind_of(self, name: str) -> Kind:
        """Returns which kind of scores an entry is used for."""
        return self.scored if name == self.frames else "labels"

    def refuse_whole(self, parts: SearchParts) -> None:
        """Checks that the search can follow a stream.

        Raises:
            UserError: If a scorer needs whole utterances.
        """
        for name, source in parts.sources.items():
            if self.kind_of(name) not in source.by_chunk:
                raise UserError(
                    f"scorer {name!r}: {source.what} needs whole utterances, which a stream has "
                    "not; expected scorers whose frames don't depend on later ones, and of labels "
                    "only what reads no frames, such as language models"
                )


@dataclass
class BeamState:
    """Where a search with a beam is.

    Args:
        parts: What it works with.
        labels: What label scorers say of the hypotheses.
        beam: The hypotheses.
    """

    parts: SearchParts
    labels: LabelStates
    beam: Beam


class BeamedSearch(FrameSearch[State]):
    """A search over frames that keeps the best hypotheses.

    Args:
        scorers: Weight, or more, of each scorer by name.
        beam_size: Hypotheses per utterance.
        frames: Which of the scorers gives the frames' symbols.
        setting: What the search calls that setting.

    Raises:
        ValueError: If that scorer is missing, or the beam is empty.
    """

    def __init__(
        self,
        scorers: Mapping[str, float | Scorer],
        beam_size: int,
        frames: str,
        setting: str = "frames",
    ) -> None:
        super().__init__(scorers, frames, setting)
        if beam_size < 1:
            raise ValueError(f"beam_size ({beam_size}) must be at least 1")
        self.beam_size = beam_size

    def label_states(self, parts: SearchParts, encoded: EncodedFrames) -> LabelStates:
        """Returns what all other scorers say of the empty hypotheses."""
        names = [name for name in parts.weights if name != self.frames]
        scorers = parts.label_scorers(encoded, names)
        return LabelStates(scorers, parts.weights, encoded.lengths, parts.timed)


def first_beam(parts: SearchParts, encoded: EncodedFrames, strings: Strings) -> Beam:
    """Returns the empty hypotheses of utterances, the same where labels or words are."""
    lengths = encoded.lengths
    words = parts.word_strings(lengths.device) if strings == "words" else None
    return Beam.first(lengths, strings=words)


def beam_of_beginnings(num_labels: int, per_string: int = 2) -> int:
    """Returns how many hypotheses of a sequence's beginnings a step over a frame may have.

    Args:
        num_labels: Labels of the sequence.
        per_string: How many hypotheses of one label string there may be before it: what ends in
            a label and what ends in blank, or one for both.
    """
    # Each can take a blank, the last label again, or the next one.
    return 3 * per_string * (num_labels + 1)

"""What searches over frames have in common: one scorer of frame symbols, all others of labels."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import EncodedFrames, ScoringHead
from asrkit.search.label_states import LabelStates
from asrkit.search.search import Search


class FrameSearch(Search):
    """Goes from frame to frame; label scorers move where a hypothesis takes a label.

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
        super().__init__(scorers)
        if frames not in self.weights:
            names = ", ".join(self.weights)
            raise ValueError(f"{setting} ({frames}) must be one of the scorers: {names}")
        if beam_size < 1:
            raise ValueError(f"beam_size ({beam_size}) must be at least 1")
        self.beam_size, self.frames = beam_size, frames

    def label_states(
        self, heads: Mapping[str, ScoringHead], encoded: EncodedFrames, frame: Tensor
    ) -> LabelStates:
        """Returns what all other scorers say of the empty hypotheses; frame (B, V + 1) is any."""
        names = [name for name in self.weights if name != self.frames]
        scorers = {name: self.head(heads, name).label_scorer(encoded) for name in names}
        return LabelStates(scorers, self.weights, frame, self.timed)


def beam_of_beginnings(num_labels: int, per_string: int = 2) -> int:
    """Returns how many hypotheses of a sequence's beginnings a step over a frame may have.

    Args:
        num_labels: Labels of the sequence.
        per_string: How many hypotheses of one label string there may be before it: what ends in
            a label and what ends in blank, or one for both.
    """
    # Each can take a blank, the last label again, or the next one.
    return 3 * per_string * (num_labels + 1)

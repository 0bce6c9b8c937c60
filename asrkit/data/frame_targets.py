"""What given alignments hold: a symbol of some outputs for each frame, or symbols in order.

Alignments of text have labels and blank, those of a hybrid model tied states. There is a symbol for
each frame of the encoder, or for each frame of the features, whatever the encoder makes of them. Of
phones, it may be enough to know in which order they are said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

from torch import Tensor

from asrkit.errors import UserError
from asrkit.lattice.alignments import AlignedLabels, aligned_labels
from asrkit.text.outputs import OutputFields, Outputs

Rate = Literal["encoder", "features", "sequence"]

PADDING = -1
"""The symbol of frames that an utterance does not have."""


@dataclass(frozen=True)
class FrameTargets:
    """The symbols of frames that `asrkit align` finds, or that a head is trained on.

    Args:
        outputs: Whose symbols they are.
        labels_repeat: Whether equal labels in a row are one label, as in CTC.
        rate: What has one symbol each: frames of the encoder, or of the features; in a sequence,
            symbols have no frames of their own.
    """

    outputs: Outputs
    labels_repeat: bool = False
    rate: Rate = "encoder"

    @property
    def spell_text(self) -> bool:
        """Whether they tell the labels of the text."""
        return self.outputs.num_labels > 0

    def count(self, feature_frames: Tensor, encoder_frames: Tensor) -> Tensor:
        """Returns how many symbols utterances have, at most in a sequence, of their frames (B,)."""
        return feature_frames if self.rate == "features" else encoder_frames

    def labels_of(self, symbols: Tensor) -> AlignedLabels:
        """Returns the labels that symbols (B, N) spell; none where they don't tell the text."""
        # Whatever is not a label stands between labels, as blank does.
        other = self.outputs.num_labels
        return aligned_labels(symbols.clamp(max=other), other, self.labels_repeat)

    def fields(self) -> TargetFields:
        """Returns what files say of them."""
        return TargetFields(outputs=self.outputs.fields(), rate=self.rate)

    def told(self) -> str:
        """Returns what they are, in a few words, for messages."""
        if self.rate == "sequence":
            return f"{self.outputs.told()}, in the order in which they are said"
        frame = {"encoder": "encoder frame", "features": "feature frame"}[self.rate]
        repeated = " (equal ones in a row are one)" if self.labels_repeat else ""
        return f"{self.outputs.told()}{repeated}, one for each {frame}"


class TargetFields(TypedDict):
    """What a file says of the symbols that it holds."""

    outputs: OutputFields
    rate: Rate


def targets_of(fields: TargetFields, where: str) -> FrameTargets:
    """Returns what a file holds.

    Args:
        fields: What it says.
        where: Its name, for messages.

    Raises:
        UserError: If that can't be.
    """
    try:
        return FrameTargets(Outputs.of_fields(fields["outputs"]), rate=fields["rate"])
    except ValueError as error:
        raise UserError(f"{where} is damaged: {error}; write it again") from error


def every(symbols: Tensor, step: int, frames: int) -> Tensor:
    """Returns the targets (B, T) of frames that are `step` times as long as those of symbols.

    Args:
        symbols: (B, N) with padding.
        step: The first symbol of each frame's is taken.
        frames: T; frames beyond the symbols get padding.
    """
    taken = symbols[:, ::step][:, :frames]
    padded = symbols.new_full((len(symbols), frames), PADDING)
    padded[:, : taken.shape[1]] = taken
    return padded

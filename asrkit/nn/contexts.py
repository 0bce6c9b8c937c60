"""What the frames of an encoder see of each other, in training and after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from asrkit.nn.chunks import Chunking
from asrkit.nn.masking import SequenceContext
from asrkit.nn.spans import FullSpan, Span

Blocks = Callable[[Tensor, SequenceContext], dict[int, Tensor]]
"""Returns the outputs (B, T, D) of blocks by number, for frames (B, T, D)."""


@dataclass(frozen=True)
class EncoderContext:
    """What the frames of an encoder see of each other.

    Args:
        span: How far self-attention may look.
        training_chunks: How the frames after the frontend are cut for the blocks in training, which
            then see one chunk at a time, convolutions too; whole utterances where null.

    Raises:
        ValueError: If chunks overlap.
    """

    span: Span = FullSpan()
    training_chunks: Chunking | None = None

    def __post_init__(self) -> None:
        chunks = self.training_chunks
        if chunks is not None and chunks.stride < chunks.size:
            raise ValueError(
                f"training_chunks of the encoder are joined again, so that they can't overlap: got "
                f"step {chunks.step} for size {chunks.size}; expected step: null"
            )

    def apply(
        self, blocks: Blocks, frames: Tensor, lengths: Tensor, training: bool
    ) -> dict[int, Tensor]:
        """Returns the outputs of blocks by number, for frames (B, T, D) with lengths (B,)."""
        if not training or self.training_chunks is None:
            return self._whole(blocks, frames, lengths, training)
        chunks = self.training_chunks.of(lengths)
        outputs = self._whole(blocks, chunks.cut(frames), chunks.lengths, training)
        return {number: chunks.join(each, frames.shape[1]) for number, each in outputs.items()}

    def _whole(
        self, blocks: Blocks, frames: Tensor, lengths: Tensor, training: bool
    ) -> dict[int, Tensor]:
        span = self.span.at(training)
        return blocks(frames, span.context(lengths, frames.shape[1]))

    def check(self, layers: nn.Module) -> None:
        """Refuses parts that would show the future to a causal encoder.

        Raises:
            ValueError: If the span is causal and a gate or norm needs all frames.
        """
        self.span.check(layers)

"""Spans: which frames self-attention may see, decided once per forward pass of the encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.nn.gates import Gate
from asrkit.nn.masking import SequenceContext, length_mask
from asrkit.nn.norms import Norm


class Span:
    """Decides which frames may attend to which."""

    causal = False

    def at(self, training: bool) -> Span:
        """Returns the span to use in training, or outside of it."""
        return self

    def allowed(self, num_frames: int, device: torch.device) -> Tensor | None:
        """Returns (T, T), True where row may attend to column, or None for everywhere."""
        return None

    def context(self, lengths: Tensor, num_frames: int) -> SequenceContext:
        """Returns masks for a batch with the given valid lengths (B,) and T frames."""
        mask = length_mask(lengths, num_frames)
        attention = mask[:, None, :]  # (B, 1, T): every frame may attend to all valid frames
        allowed = self.allowed(num_frames, lengths.device)
        if allowed is not None:
            # A padding frame attends to itself: a softmax over nothing would be NaN.
            own = torch.eye(num_frames, dtype=torch.bool, device=lengths.device)
            attention = (attention & allowed) | own
        return SequenceContext(mask=mask, attention=attention, causal=self.causal)

    def check(self, layers: nn.Module) -> None:
        """Refuses parts that would show the future to a causal encoder.

        Raises:
            ValueError: If the span is causal and a gate or norm needs all frames.
        """
        for name, part in layers.named_modules() if self.causal else ():
            if isinstance(part, Norm | Gate) and part.sees_all_frames:
                raise ValueError(
                    f"the span sees no future, but {type(part).__name__} at {name} needs all "
                    "frames of an utterance; use span: full, or another gate or norm"
                )


spans: Registry[Span] = Registry("span", Span)


@spans.register("full")
class FullSpan(Span):
    """Every frame sees the whole utterance."""


@spans.register("past")
class PastSpan(Span):
    """Self-attention sees a frame and those before it; convolutions see both sides."""

    def allowed(self, num_frames: int, device: torch.device) -> Tensor:
        """Returns the lower triangle (T, T)."""
        return torch.ones(num_frames, num_frames, dtype=torch.bool, device=device).tril()


@spans.register("causal")
class CausalSpan(PastSpan):
    """Every frame sees itself and the frames before it; convolutions are causal, too."""

    causal = True


@spans.register("chunked")
class ChunkedSpan(Span):
    """Frames see their own chunk and some chunks before it; convolutions are causal.

    Args:
        chunk_size: Frames per chunk.
        left_chunks: Number of chunks that a frame sees before its own; -1 for all.

    Raises:
        ValueError: If the chunk size is not positive.
    """

    causal = True

    def __init__(self, chunk_size: int, left_chunks: int = -1) -> None:
        if chunk_size < 1:
            raise ValueError(f"chunk_size ({chunk_size}) must be at least 1")
        self.chunk_size = chunk_size
        self.left_chunks = left_chunks

    def allowed(self, num_frames: int, device: torch.device) -> Tensor:
        """Returns (T, T), True from each frame to its own chunk and the chunks before it."""
        chunk = torch.arange(num_frames, device=device) // self.chunk_size
        distance = chunk[:, None] - chunk[None, :]
        seen = distance >= 0
        return seen if self.left_chunks < 0 else seen & (distance <= self.left_chunks)


@spans.register("window")
class WindowSpan(Span):
    """Frames see their neighbours; convolutions are not restricted.

    Args:
        size: Number of frames that each frame sees, itself in the middle; one more to the left
            where even.

    Raises:
        ValueError: If the size is not positive.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size ({size}) must be at least 1")
        self.size = size

    def allowed(self, num_frames: int, device: torch.device) -> Tensor:
        """Returns (T, T), True near the diagonal."""
        places = torch.arange(num_frames, device=device)
        distance = places[None, :] - places[:, None]
        return (distance >= -(self.size // 2)) & (distance <= (self.size - 1) // 2)


@spans.register("training_only")
class TrainingSpan(Span):
    """Limits self-attention in training only; elsewhere every frame sees the whole utterance.

    Args:
        span: The span in training.

    Raises:
        ValueError: If it is causal: convolutions would be shifted compared with decoding.
    """

    def __init__(self, span: Span) -> None:
        if span.causal:
            raise ValueError(
                f"{type(span).__name__} shifts convolutions, which can't differ between training "
                "and decoding; expected a span that is not causal, such as window; for chunks see "
                "training_chunks of the encoder"
            )
        self.span = span

    def at(self, training: bool) -> Span:
        """Returns the limited span in training, the full one otherwise."""
        return self.span if training else FullSpan()

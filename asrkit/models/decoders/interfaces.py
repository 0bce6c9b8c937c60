"""Label decoders: the next label from the labels so far and the encoder's frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.scorers.interfaces import State


class LabelDecoder(nn.Module, ABC):
    """Scores next labels, for whole label sequences at once and step by step.

    A memory is what a decoder computes once from the frames: a nest of tensors with leading
    axis B, which is not repeated for each hypothesis.
    """

    @abstractmethod
    def forward(self, labels: Tensor, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Scores all next labels with teacher forcing.

        Args:
            labels: (B, L) bos and the labels.
            frames: (B, T, D), or None for a language model.
            mask: (B, T) True where a frame is valid; (B, 0) for a language model. Decoders that
                attend to frames also take (B, L, T), where each position sees frames of its own.

        Returns:
            (B, L, V + 1) unnormalised scores of the label after each position.
        """

    @abstractmethod
    def begin(self, frames: Tensor | None, mask: Tensor) -> Any:
        """Returns the memory of the utterances."""

    def without_frames(self, mask: Tensor) -> Any:
        """Returns the memory of utterances that are not heard: attention gives zeros."""
        return self.begin(None, mask)

    @abstractmethod
    def initial_state(self, memory: Any) -> State:
        """Returns the state before bos; leading axis B."""

    @abstractmethod
    def step(self, state: State, labels: Tensor, memory: Any) -> tuple[Tensor, State]:
        """Reads one label (H,) per hypothesis; returns log-probabilities (H, V + 1) and states."""


class AttendingDecoder(LabelDecoder):
    """A label decoder with attention to frames; without frames it may be a language model.

    Its context is what attention gives at one position: `context_dim` (C) numbers, all layers'
    together. Implementations also set `embedding_dim` (E).
    """

    embedding_dim: int
    context_dim: int

    def on_frames(self, state: State, memory: Any) -> State:
        """Returns the states (H, ...) of hypotheses that continue with other frames.

        Args:
            state: Theirs.
            memory: Of the other frames, with leading axis H.
        """
        return state

    @abstractmethod
    def attention_weights(self, labels: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """Returns the attention (B, L, T) of each position, averaged over heads, for pictures."""

    @abstractmethod
    def attention_step(self, state: State, labels: Tensor, memory: Any) -> tuple[Tensor, State]:
        """Reads one label (H,) per hypothesis; returns that attention (H, T) and states."""

    @abstractmethod
    def embed(self, labels: Tensor) -> Tensor:
        """Returns the embeddings (..., E) of labels (...), without their positions."""

    @abstractmethod
    def in_context(self, labels: Tensor, context: Tensor) -> Tensor:
        """Returns the scores of `forward` for labels (B, L), the context (B, L, C) being given."""

    @abstractmethod
    def step_in_context(
        self, state: State, labels: Tensor, context: Tensor
    ) -> tuple[Tensor, State]:
        """Returns what `step` does for labels (H,), the context (H, C) being given."""


@runtime_checkable
class LinearOutput(Protocol):
    """A label decoder whose last layer is linear, so that others can compute a part of its scores.

    `output` is that layer.
    """

    output: nn.Linear

    def hidden(self, labels: Tensor, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns what the output layer reads (B, L, D); the arguments are those of `forward`."""
        ...


decoders: Registry[LabelDecoder] = Registry(
    "decoder", LabelDecoder, late=("outputs", "encoder_dim")
)

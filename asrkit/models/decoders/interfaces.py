"""Label decoders: the next label from the labels so far and the encoder's frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.decoding.interfaces import State


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
            mask: (B, T) True where a frame is valid; (B, 0) for a language model.

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
    """A label decoder with attention to frames; without frames it may be a language model."""

    @abstractmethod
    def attention_weights(self, labels: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """Returns the attention (B, L, T) of each position, averaged over heads, for pictures."""

    @abstractmethod
    def attention_step(self, state: State, labels: Tensor, memory: Any) -> tuple[Tensor, State]:
        """Reads one label (H,) per hypothesis; returns that attention (H, T) and states."""


decoders: Registry[LabelDecoder] = Registry(
    "decoder", LabelDecoder, late=("vocabulary", "encoder_dim")
)

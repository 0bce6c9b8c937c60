"""A transducer's joiner, and what its losses share: products in parts, and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from asrkit.losses.symbols import SoftmaxBlank, SymbolDistribution

# Logits held at a time. On a CPU, 2^18 fit into the cache; a GPU needs many to be busy.
MAX_LOGITS = {"cpu": 2**18, "cuda": 2**26}


@dataclass(frozen=True)
class Joiner:
    """The last layers of a transducer: a linear layer of activation(encoder + prediction).

    Args:
        weight: (V + 1, J') of the output layer, blank last.
        bias: (V + 1,) of the output layer.
        distribution: What the V + 1 outputs mean.
        activation: (..., J) -> (..., J'); without parameters and deterministic: it runs twice.
        max_logits: How many logits are held at a time, but at least those of a frame; depends on
            the device where None.
    """

    weight: Tensor
    bias: Tensor
    distribution: SymbolDistribution = SoftmaxBlank()
    activation: Callable[[Tensor], Tensor] = torch.tanh
    max_logits: int | None = None


@dataclass(frozen=True)
class JoinerTensors:
    """The joiner's tensors in the dtype of the matrix products.

    Args:
        joiner: Distribution and activation.
        encoder: (..., J) projected frames.
        prediction: (..., J) projected states after labels.
        weight: (V + 1, J').
        bias: (V + 1,).
    """

    joiner: Joiner
    encoder: Tensor
    prediction: Tensor
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(
        cls, encoder: Tensor, prediction: Tensor, joiner: Joiner, dtype: torch.dtype | None = None
    ) -> JoinerTensors:
        """Returns the tensors in this dtype, or in the one that autocast or they ask for."""
        device = encoder.device.type
        if dtype is None and torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        dtype = dtype or torch.promote_types(encoder.dtype, prediction.dtype)
        tensors = (encoder, prediction, joiner.weight, joiner.bias)
        return cls(joiner, *(each.detach().to(dtype) for each in tensors))

    @property
    def exact_dtype(self) -> torch.dtype:
        """Returns the dtype of scores and sums: float32 at least."""
        return torch.promote_types(self.encoder.dtype, torch.float32)

    @property
    def cells_at_a_time(self) -> int:
        """Returns how many cells' logits are held at a time."""
        limit = self.joiner.max_logits or MAX_LOGITS.get(self.encoder.device.type, 2**22)
        return limit // len(self.weight)

    def products(self, hidden: Tensor) -> Tensor:
        """Returns logits (C, W, V + 1) of hidden (C, W, J'), in the dtype of the products."""
        logits = torch.addmm(self.bias, hidden.flatten(0, 1), self.weight.T)
        return logits.view(*hidden.shape[:2], -1)


@dataclass(frozen=True)
class JoinerGradients:
    """Gradients summed over parts, in at least float32; shapes are those of `JoinerTensors`."""

    encoder: Tensor
    prediction: Tensor
    weight: Tensor
    bias: Tensor

    @classmethod
    def zeros(cls, tensors: Sequence[Tensor], dtype: torch.dtype) -> JoinerGradients:
        """Returns zeros for encoder, prediction, weight and bias."""
        return cls(*(torch.zeros_like(each, dtype=dtype) for each in tensors))

    def add_output(
        self, inputs: JoinerTensors, hidden: Tensor, outputs: Tensor, factor: float = 1.0
    ) -> Tensor:
        """Adds the gradients of the output layer, scaled.

        Args:
            inputs: Its tensors.
            hidden: (C, W, J') what it read.
            outputs: (C, W, V + 1) gradients of its logits.
            factor: Of the sums.

        Returns:
            (C, W, J') gradients of hidden, not scaled.
        """
        rows, flat = hidden.flatten(0, 1), outputs.flatten(0, 1)  # (C · W, J'), (C · W, V + 1)
        self.bias.add_(flat.sum(0, dtype=self.bias.dtype), alpha=factor)
        flat = flat.to(rows.dtype)
        if self.weight.dtype == rows.dtype:
            self.weight.addmm_(flat.T, rows, alpha=factor)  # (V + 1, J')
        else:
            self.weight.add_(flat.T @ rows, alpha=factor)
        return (flat @ inputs.weight).view_as(hidden)

    def like(self, tensors: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yields the sums in the shapes and dtypes of encoder, prediction, weight and bias."""
        found = (self.encoder, self.prediction, self.weight, self.bias)
        for each, to in zip(found, tensors, strict=True):
            yield each.view_as(to).to(to.dtype)

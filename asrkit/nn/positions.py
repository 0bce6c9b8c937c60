"""Positional encodings of self-attention.

A positional encoding changes queries and keys, or adds a bias to the attention scores, or both.
K attention heads, C values per head.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.nn.dropout import Dropout

Layout = Literal["halves", "interleaved"]
"""Where sines and cosines of sinusoids are."""


class Position(nn.Module):
    """The positional encoding of one self-attention layer."""

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Changes (B, K, T, C) queries and keys.

        Returns:
            Queries, keys, and a bias (B, K, T, T) to add to the scores after they are scaled by
            C^-0.5, or None.
        """
        raise NotImplementedError


positions: Registry[Position] = Registry("position", Position, late=("num_heads", "head_dim"))


@positions.register("none")
class NoPosition(Position):
    """No positional encoding.

    Args:
        num_heads: K, not needed here.
        head_dim: C, not needed here.
    """

    def __init__(self, num_heads: int, head_dim: int) -> None:
        super().__init__()

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns queries and keys as they are, and no bias."""
        return query, key, None


@positions.register("transformer_xl")
class TransformerXLPosition(Position):
    """Transformer-XL: projected sinusoids of the distance, with two learned query biases.

    Args:
        num_heads: K.
        head_dim: C.
        dropout: Of the sinusoids.
        layout: Of the sinusoids: sines first and then cosines (halves), or in turn (interleaved),
            whose wavelengths differ a little.

    Source: Dai et al. 2019, section 3.3, extended to both directions as in Conformers.
    """

    def __init__(
        self, num_heads: int, head_dim: int, dropout: float = 0.0, layout: Layout = "halves"
    ) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.layout = num_heads, head_dim, layout
        dim = num_heads * head_dim
        self.projection = nn.Linear(dim, dim, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(num_heads, 1, head_dim))
        self.distance_bias = nn.Parameter(torch.zeros(num_heads, 1, head_dim))
        self.dropout = Dropout(dropout, shareable=False)

    def joined_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns the shapes that separate the heads."""
        heads, _, size = self.content_bias.shape
        return {"projection.weight": (heads, size, heads * size)}

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns queries with their content bias, keys, and scores of the distances."""
        num_frames = query.shape[2]
        distances = torch.arange(1 - num_frames, num_frames, device=query.device)
        table = self.dropout(sinusoids(distances, self.num_heads * self.head_dim, self.layout))
        # (2T-1, D) -> (K, C, 2T-1)
        projected = self.projection(table.to(query.dtype)).unflatten(1, (self.num_heads, -1))
        # Scaling the queries is cheaper than scaling the scores.
        scaled = (query + self.distance_bias) * self.head_dim**-0.5
        scores = scaled @ projected.permute(1, 2, 0)
        return query + self.content_bias, key, shift_distances(scores)


@positions.register("clipped_relative")
class ClippedRelativePosition(Position):
    """Learned embeddings of the clipped distance between frames, shared by all heads.

    Args:
        num_heads: K.
        head_dim: C.
        clip: Longest distance with an embedding of its own.
        dropout: Of the embeddings.
        dropped: Whether each embedding loses values, or each distance for itself: then those that
            have one embedding, because they are clipped, lose different values of it.

    Source: Shaw et al. 2018, equation 4 (keys only); with dropout of distances,
        `RelPosSelfAttention` of rwth-i6/returnn, returnn/frontend/attention.py.
    """

    def __init__(
        self,
        num_heads: int,
        head_dim: int,
        clip: int,
        dropout: float = 0.0,
        dropped: Literal["embeddings", "distances"] = "embeddings",
    ) -> None:
        super().__init__()
        self.dropped = dropped
        self.clip = clip
        self.table = nn.Parameter(torch.empty(2 * clip + 1, head_dim))
        nn.init.xavier_uniform_(self.table)
        self.dropout = Dropout(dropout, shareable=False)

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns queries and keys as they are, and scores of the distances."""
        num_frames = query.shape[2]
        distances = torch.arange(1 - num_frames, num_frames, device=query.device)
        rows = distances.clamp(-self.clip, self.clip) + self.clip
        if self.dropped == "embeddings":
            table = self.dropout(self.table)[rows]  # (2T-1, C)
        else:
            table = self.dropout(self.table[rows])  # (2T-1, C)
        table = table.to(query.dtype)
        return query, key, shift_distances((query * query.shape[3] ** -0.5) @ table.T)


@positions.register("rotary")
class RotaryPosition(Position):
    """Rotary positions: rotates queries and keys by angles proportional to their positions.

    Args:
        num_heads: K, not needed here.
        head_dim: C.
        base: Longest wavelength, in units of 2π frames.

    Raises:
        ValueError: If C is odd.

    Source: Su et al. 2021, section 3.4.2.
    """

    def __init__(self, num_heads: int, head_dim: int, base: float = 10000.0) -> None:
        super().__init__()
        if head_dim % 2:
            raise ValueError(
                f"rotary positions need an even number of values per head, got {head_dim}"
            )
        self.base = base

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns rotated queries and keys, and no bias."""
        return self._turn(query), self._turn(key), None

    def _turn(self, x: Tensor) -> Tensor:
        half = x.shape[3] // 2
        steps = torch.arange(half, device=x.device, dtype=torch.float32) / half
        frames = torch.arange(x.shape[2], device=x.device, dtype=torch.float32)
        angle = frames[:, None] * self.base**-steps  # (T, C/2)
        cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        first, second = x[..., :half], x[..., half:]
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=3)


def sinusoids(positions: Tensor, dim: int, layout: Layout = "halves") -> Tensor:
    """Returns (..., D) sines and cosines of positions (...).

    Args:
        positions: Any numbers.
        dim: D.
        layout: All sines, then all cosines, with wavelengths up to 10000 · 2π, as in tensor2tensor
            (halves); or a sine and a cosine in turn, with wavelengths of 10000^(2i/D) · 2π, as in
            the paper (interleaved).

    Source: Vaswani et al. 2017, section 3.5.
    """
    if layout == "interleaved":
        steps = torch.arange(0, dim, 2, device=positions.device, dtype=torch.float32)
        turning = positions.to(torch.float32)[..., None] * torch.exp(steps * -(math.log(1e4) / dim))
        return torch.stack([turning.sin(), turning.cos()], dim=-1).flatten(-2)[..., :dim]
    half = (dim + 1) // 2
    rates = torch.exp(
        torch.arange(half, device=positions.device, dtype=torch.float32)
        * (-math.log(10000.0) / max(half - 1, 1))
    )
    angles = positions.to(torch.float32)[..., None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[..., :dim]


def shift_distances(scores: Tensor) -> Tensor:
    """Converts scores by distance into scores by position, without copying them.

    Args:
        scores: (B, K, T, 2T-1), column T-1+d for the distance d = column - row.

    Returns:
        (B, K, T, T), query by key.
    """
    num_frames = scores.shape[2]
    if num_frames == 1:
        return scores
    # Row i needs columns T-1-i .. 2T-2-i: reading rows as one value shorter aligns these.
    flat = scores.flatten(2)[
        ..., num_frames - 1 : num_frames - 1 + num_frames * (2 * num_frames - 2)
    ]
    shifted: Tensor = flat.unflatten(2, (num_frames, 2 * num_frames - 2))[..., :num_frames]
    return shifted

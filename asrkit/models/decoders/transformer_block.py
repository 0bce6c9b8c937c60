"""The layers of a Transformer decoder: attention to the labels so far and to frames."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.models.decoders.past import Past
from asrkit.nn.activations import Activation
from asrkit.nn.applied import Applied
from asrkit.nn.attention import attend, attention_shapes, head_size
from asrkit.nn.dropout import Dropout

KeyValue = tuple[Tensor, Tensor]
"""Keys and values (B, K, T, C)."""


class DecoderBlock(nn.Module):
    """One decoder layer.

    Args:
        dim: D of the decoder.
        encoder_dim: D of the frames, or None where there are none.
        num_heads: K.
        hidden_dim: Of the feed-forward sublayer.
        dropout: Everywhere.
        activation: Of the feed-forward sublayer.
        norm_eps: Added to the variance in all norms.
    """

    def __init__(
        self,
        dim: int,
        encoder_dim: int | None,
        num_heads: int,
        hidden_dim: int,
        dropout: float,
        activation: Factory[Activation],
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.head_dim = head_size(dim, num_heads)
        self.attention_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.attention = CausalAttention(dim, num_heads, dropout)
        self.cross: CrossAttention | None = None
        if encoder_dim is not None:
            self.cross_norm = nn.LayerNorm(dim, eps=norm_eps)
            self.cross = CrossAttention(dim, encoder_dim, num_heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim, eps=norm_eps),
            nn.Linear(dim, hidden_dim),
            activation(),
            Dropout(dropout),
            nn.Linear(hidden_dim, dim),
        )
        self.dropout = Dropout(dropout)

    def memory(self, frames: Tensor | None) -> KeyValue | None:
        """Returns keys and values of the frames (B, T, D), or None for a layer without frames.

        Raises:
            ValueError: If there are frames but no layer that reads them, or the other way round.
        """
        if (self.cross is None) != (frames is None):
            raise ValueError("a decoder reads frames if, and only if, it has an encoder_dim")
        return None if self.cross is None or frames is None else self.cross.memory(frames)

    def forward(self, x: Tensor, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns (B, L, D) for (B, L, D)."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        key_value = self.memory(frames)
        if self.cross is not None and key_value is not None:
            x = x + self.dropout(self.cross(self.cross_norm(x), key_value, mask))
        return x + self.dropout(self.feed_forward(x))  # type: ignore[no-any-return]

    def step(
        self, x: Tensor, past: Past, key_value: KeyValue | None, mask: Tensor
    ) -> tuple[Tensor, Past]:
        """Returns (H, 1, D) for the newest position, and the grown past."""
        attended, past = self.attention.step(self.attention_norm(x), past)
        x = x + attended
        if self.cross is not None and key_value is not None:
            # (H, 1, D) -> (B, H / B, D): the hypotheses of an utterance share its keys
            grouped = self.cross_norm(x).view(len(mask), -1, x.shape[2])
            x = x + self.cross(grouped, key_value, mask).view(x.shape)
        return x + self.feed_forward(x), past

    def in_context(self, x: Tensor, context: Tensor) -> Tensor:
        """Returns (B, L, D) for (B, L, D) where attention to the frames gives the context."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        x = x + self.dropout(context)
        return x + self.dropout(self.feed_forward(x))  # type: ignore[no-any-return]

    def step_in_context(self, x: Tensor, past: Past, context: Tensor) -> tuple[Tensor, Past]:
        """Returns the same (H, 1, D) for the newest position, and the grown past."""
        attended, past = self.attention.step(self.attention_norm(x), past)
        x = x + attended + context
        return x + self.feed_forward(x), past

    def weights(self, x: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """Returns the attention (B, L, T) over the frames, averaged over heads.

        Raises:
            ValueError: If the layer reads no frames.
        """
        x = x + self.attention(self.attention_norm(x))
        return self._cross_weights(x, self.memory(frames), mask)

    def weights_step(
        self, x: Tensor, past: Past, key_value: KeyValue | None, mask: Tensor
    ) -> tuple[Tensor, Past]:
        """Returns the newest position's attention (H, T), averaged over heads, and the past.

        Raises:
            ValueError: If the layer reads no frames.
        """
        attended, past = self.attention.step(self.attention_norm(x), past)
        grouped = (x + attended).view(len(mask), -1, x.shape[2])
        return self._cross_weights(grouped, key_value, mask).flatten(0, 1), past

    def _cross_weights(self, x: Tensor, key_value: KeyValue | None, mask: Tensor) -> Tensor:
        if self.cross is None or key_value is None:
            raise ValueError("a layer without encoder_dim has no attention to frames")
        return self.cross.weights(self.cross_norm(x), key_value, mask)


class CausalAttention(nn.Module):
    """Self-attention of each position to itself and those before it."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout, self.applied = dropout, Applied()
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)

    def joined_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns how queries, keys, values and heads are joined."""
        return attention_shapes(self.output.in_features, self.num_heads)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (B, L, D) for (B, L, D)."""
        query, key, value = self._project(x)
        past = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        dropout = self.dropout if self.training else 0.0
        attended = attend(
            query, key, value, past, dropout_probability=dropout, applied=self.applied
        )
        return self.output(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def step(self, x: Tensor, past: Past) -> tuple[Tensor, Past]:
        """Returns (H, 1, D) for the newest position, and the past with it."""
        query, key_value = self.query_key_value(x).split([x.shape[2], 2 * x.shape[2]], dim=2)
        past = past.grown(key_value[:, 0].unflatten(1, (2, -1)))
        query = query.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        # (L, H, 2, D) -> (2, H, K, L, C)
        keys, values = past.stored.unflatten(3, (self.num_heads, -1)).permute(2, 1, 3, 0, 4)
        attended = F.scaled_dot_product_attention(query, keys, values, past.mask)
        return self.output(attended.transpose(1, 2).flatten(2)), past

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        projected = self.query_key_value(x).unflatten(2, (3, self.num_heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, K, L, C)
        return query, key, value


class CrossAttention(nn.Module):
    """Attention of label positions to the encoder's frames."""

    def __init__(self, dim: int, encoder_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout, self.applied = dropout, Applied()
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(encoder_dim, 2 * dim)
        self.output = nn.Linear(dim, dim)

    def joined_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns how keys, values and heads are joined."""
        dim, encoder_dim, heads = (
            self.output.in_features,
            self.key_value.in_features,
            self.num_heads,
        )
        size = dim // heads
        return {
            "query.weight": (heads, size, dim),
            "query.bias": (heads, size),
            "key_value.weight": (2, heads, size, encoder_dim),
            "key_value.bias": (2, heads, size),
            "output.weight": (dim, heads, size),
        }

    def memory(self, frames: Tensor) -> KeyValue:
        """Returns keys and values (B, K, T, C) of frames (B, T, D)."""
        projected = self.key_value(frames).unflatten(2, (2, self.num_heads, -1))
        key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
        return key, value

    def forward(self, x: Tensor, memory: KeyValue, mask: Tensor) -> Tensor:
        """Returns (B, L, D) for queries (B, L, D) and the mask of the frames: (B, T), (B, L, T)."""
        query = self.query(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        dropout = self.dropout if self.training else 0.0
        allowed = _for_heads(mask)
        attended = attend(
            query, *memory, allowed, dropout_probability=dropout, applied=self.applied
        )
        return self.output(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def weights(self, x: Tensor, memory: KeyValue, mask: Tensor) -> Tensor:
        """Returns the attention (B, L, T), averaged over heads."""
        query = self.query(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        scores = query @ memory[0].transpose(2, 3) * query.shape[3] ** -0.5
        weights: Tensor = scores.masked_fill(~_for_heads(mask), float("-inf")).softmax(3)
        return weights.mean(1)


def _for_heads(mask: Tensor) -> Tensor:
    """Returns (B, 1, 1 or L, T) of a mask (B, T) or (B, L, T)."""
    return mask[:, None, None] if mask.dim() == 2 else mask[:, None]

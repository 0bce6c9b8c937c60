"""The Transformer decoder, with teacher forcing in training and cached keys in search."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.decoding.interfaces import State
from asrkit.models.decoders.interfaces import AttendingDecoder, decoders
from asrkit.models.decoders.past import Past
from asrkit.nn.activations import Activation, ReLU
from asrkit.nn.attention import attend, attention_shapes
from asrkit.nn.dropout import Dropout
from asrkit.nn.positions import sinusoids
from asrkit.text.vocabulary import Vocabulary

KeyValue = tuple[Tensor, Tensor]
"""Keys and values (B, K, T, C)."""
Memory = tuple[list[KeyValue | None], Tensor]
"""Keys and values of the frames for each layer, None without frames; and the mask (B, T)."""


@decoders.register("transformer")
class TransformerDecoder(AttendingDecoder):
    """Causal self-attention, attention over the frames, feed-forward; norms before each.

    Without frames (`encoder_dim` None) it is a language model; only the mask (B, 0) then says how
    many utterances there are.

    Args:
        vocabulary: The V labels.
        encoder_dim: D of the frames, or None where there are none.
        dim: D of the decoder.
        num_layers: Number of blocks.
        num_heads: K.
        hidden_dim: Of the feed-forward sublayers.
        dropout: Everywhere.
        activation: Of the feed-forward sublayers.
        embedding_dim: Size of label embeddings, brought to D by a linear layer; D where null.
        position: What is added to embeddings; without, only the causal order tells positions.

    Raises:
        ValueError: If the heads do not divide D, or there is no layer.

    Source: Vaswani et al. 2017, with norms before the sublayers (Wang et al. 2019).
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        encoder_dim: int | None,
        dim: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        dropout: float = 0.1,
        activation: Factory[Activation] = ReLU,
        embedding_dim: int | None = None,
        position: Literal["sinusoidal", "none"] = "sinusoidal",
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"num_heads ({num_heads}) must divide dim ({dim})")
        if num_layers < 1:
            raise ValueError(f"num_layers ({num_layers}) must be at least 1")
        self.dim, self.embedding_dim, self.context_dim = dim, dim, num_layers * dim
        size = dim if embedding_dim is None else embedding_dim
        self.embedding = nn.Embedding(len(vocabulary) + 1, size)
        nn.init.normal_(self.embedding.weight, std=size**-0.5)
        self.widen = nn.Identity() if embedding_dim is None else nn.Linear(size, dim)
        self.position = position
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            DecoderBlock(dim, encoder_dim, num_heads, hidden_dim, dropout, activation)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, len(vocabulary) + 1)

    def forward(self, labels: Tensor, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns unnormalised scores (B, L, V + 1) of the label after each position."""
        x = self._embed(labels, torch.arange(labels.shape[1], device=labels.device))
        for block in self.blocks:
            x = block(x, frames, mask)
        scores: Tensor = self.output(self.norm(x))
        return scores

    def begin(self, frames: Tensor | None, mask: Tensor) -> Memory:
        """Returns keys and values of the frames for each layer, and the mask."""
        return [block.memory(frames) for block in self._blocks()], mask

    def without_frames(self, mask: Tensor) -> Memory:
        """Returns a memory whose attention gives zeros."""
        return [None] * len(self.blocks), mask

    def initial_state(self, memory: Memory) -> State:
        """Returns the empty past of each layer."""
        weight = self.embedding.weight
        return [Past.empty(weight.new_empty(0, len(memory[1]), 2, self.dim)) for _ in self.blocks]

    @torch.no_grad()
    def step(self, state: State, labels: Tensor, memory: Memory) -> tuple[Tensor, State]:
        """Returns log-probabilities (H, V + 1) after one more label (H,), and new states."""
        x, grown = self._through(state, labels, memory, len(state))
        return self._log_probs(x), grown

    @torch.no_grad()
    def attention_step(self, state: State, labels: Tensor, memory: Memory) -> tuple[Tensor, State]:
        """Returns the last layer's attention (H, T) after one more label (H,), and new states."""
        keys_values, mask = memory
        x, grown = self._through(state, labels, memory, len(state) - 1)
        weights, past = self._blocks()[-1].weights_step(x, state[-1], keys_values[-1], mask)
        return weights, [*grown, past]

    def attention_weights(self, labels: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """Returns the last layer's attention (B, L, T) over the frames, averaged over heads."""
        x = self._embed(labels, torch.arange(labels.shape[1], device=labels.device))
        *first, last = self._blocks()
        for block in first:
            x = block(x, frames, mask)
        return last.weights(x, frames, mask)

    def embed(self, labels: Tensor) -> Tensor:
        """Returns embeddings (..., D) of labels (...), without their positions."""
        scale = self.embedding.embedding_dim**0.5
        embedded: Tensor = self.widen(self.embedding(labels) * scale)
        return embedded

    def in_context(self, labels: Tensor, context: Tensor) -> Tensor:
        """Returns unnormalised scores (B, L, V + 1), given each layer's context (B, L, N D)."""
        x = self._embed(labels, torch.arange(labels.shape[1], device=labels.device))
        for block, attended in zip(self._blocks(), self._of_layers(context), strict=True):
            x = block.in_context(x, attended)
        scores: Tensor = self.output(self.norm(x))
        return scores

    @torch.no_grad()
    def step_in_context(
        self, state: State, labels: Tensor, context: Tensor
    ) -> tuple[Tensor, State]:
        """Returns log-probabilities (H, V + 1) and states, given each layer's context (H, N D)."""
        x = self._embed(labels[:, None], state[0].lengths[:, None])
        grown = []
        layers = zip(self._blocks(), state, self._of_layers(context[:, None]), strict=True)
        for block, past, attended in layers:
            x, past = block.step_in_context(x, past, attended)
            grown.append(past)
        return self._log_probs(x), grown

    def _of_layers(self, context: Tensor) -> tuple[Tensor, ...]:
        """Returns the part (..., D) of each layer."""
        parts: tuple[Tensor, ...] = context.unflatten(-1, (len(self.blocks), self.dim)).unbind(-2)
        return parts

    def _through(
        self, state: State, labels: Tensor, memory: Memory, layers: int
    ) -> tuple[Tensor, list[Past]]:
        """Returns (H, 1, D) for labels (H,) after some of the layers, and what those remember."""
        keys_values, mask = memory
        x = self._embed(labels[:, None], state[0].lengths[:, None])
        grown = []
        every = list(zip(self._blocks(), state, keys_values, strict=True))
        for block, past, key_value in every[:layers]:
            x, past = block.step(x, past, key_value, mask)
            grown.append(past)
        return x, grown

    def _log_probs(self, x: Tensor) -> Tensor:
        return torch.log_softmax(self.output(self.norm(x[:, 0])).float(), dim=1)

    def _embed(self, labels: Tensor, places: Tensor) -> Tensor:
        embedded = self.embed(labels)
        if self.position == "sinusoidal":
            embedded = embedded + sinusoids(places, self.dim).to(embedded.dtype)
        return self.dropout(embedded)  # type: ignore[no-any-return]

    def _blocks(self) -> list[DecoderBlock]:
        return [block for block in self.blocks if isinstance(block, DecoderBlock)]


class DecoderBlock(nn.Module):
    """One decoder layer.

    Args:
        dim: D of the decoder.
        encoder_dim: D of the frames, or None where there are none.
        num_heads: K.
        hidden_dim: Of the feed-forward sublayer.
        dropout: Everywhere.
        activation: Of the feed-forward sublayer.
    """

    def __init__(
        self,
        dim: int,
        encoder_dim: int | None,
        num_heads: int,
        hidden_dim: int,
        dropout: float,
        activation: Factory[Activation],
    ) -> None:
        super().__init__()
        self.head_dim = dim // num_heads
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = CausalAttention(dim, num_heads, dropout)
        self.cross: CrossAttention | None = None
        if encoder_dim is not None:
            self.cross_norm = nn.LayerNorm(dim)
            self.cross = CrossAttention(dim, encoder_dim, num_heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim),
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
        self.dropout = dropout
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
        attended = attend(query, key, value, past, dropout_probability=dropout)
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
        self.dropout = dropout
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
        """Returns (B, L, D) for queries (B, L, D) and the mask (B, T) of the frames."""
        query = self.query(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        dropout = self.dropout if self.training else 0.0
        attended = attend(query, *memory, mask[:, None, None], dropout_probability=dropout)
        return self.output(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def weights(self, x: Tensor, memory: KeyValue, mask: Tensor) -> Tensor:
        """Returns the attention (B, L, T), averaged over heads."""
        query = self.query(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        scores = query @ memory[0].transpose(2, 3) * query.shape[3] ** -0.5
        weights: Tensor = scores.masked_fill(~mask[:, None, None], float("-inf")).softmax(3)
        return weights.mean(1)

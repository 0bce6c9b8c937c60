"""The Transformer decoder, with teacher forcing in training and cached keys in search."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.models.decoders.interfaces import AttendingDecoder, decoders
from asrkit.models.decoders.past import Past
from asrkit.models.decoders.transformer_block import DecoderBlock, KeyValue
from asrkit.nn.activations import Activation, ReLU
from asrkit.nn.dropout import Dropout
from asrkit.nn.positions import Layout, sinusoids
from asrkit.scorers.interfaces import State
from asrkit.text.outputs import Outputs

Memory = tuple[list[KeyValue | None], Tensor]
"""Keys and values of the frames for each layer, None without frames; and the mask (B, T)."""


@decoders.register("transformer")
class TransformerDecoder(AttendingDecoder):
    """Causal self-attention, attention over the frames, feed-forward; norms before each.

    Without frames (`encoder_dim` None) it is a language model; only the mask (B, 0) then says how
    many utterances there are.

    Args:
        outputs: The V labels and end of sentence, which is read before the first label too.
        encoder_dim: D of the frames, or None where there are none.
        dim: D of the decoder.
        num_layers: Number of blocks.
        num_heads: K.
        hidden_dim: Of the feed-forward sublayers.
        dropout: Everywhere.
        activation: Of the feed-forward sublayers.
        embedding_dim: Size of label embeddings, brought to D by a linear layer; D where null.
        position: What is added to embeddings, sinusoids of either layout; without it, only the
            causal mask gives positions.
        position_first: Whether sinusoids are added to embeddings before the linear layer that
            brings these to D.
        norm_eps: Added to the variance in all norms.
        unused_outputs: How many outputs come after end of sentence that are never a label, but take
            probability: other toolkits also have blank in this softmax.
        widening: What brings embeddings to D: a linear layer, or one with a norm and ReLU.

    Raises:
        ValueError: If the heads do not divide D, there is no layer, or position_first or widening
            has nothing to do.

    Source: Vaswani et al. 2017, with norms before the sublayers (Wang et al. 2019); position_first:
        Irie et al. 2019, "Language modeling with deep Transformers", rwth-i6/returnn-experiments.
    """

    def __init__(
        self,
        outputs: Outputs,
        encoder_dim: int | None,
        dim: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        dropout: float = 0.1,
        activation: Factory[Activation] = ReLU,
        embedding_dim: int | None = None,
        position: Literal["sinusoidal", "interleaved", "none"] = "sinusoidal",
        norm_eps: float = 1e-5,
        unused_outputs: int = 0,
        position_first: bool = False,
        widening: Literal["linear", "normalized"] = "linear",
    ) -> None:
        super().__init__()
        if position_first and (embedding_dim is None or position == "none"):
            raise ValueError("position_first needs positions and an embedding_dim")
        self.num_outputs = len(outputs)
        if num_layers < 1:
            raise ValueError(f"num_layers ({num_layers}) must be at least 1")
        if widening == "normalized" and embedding_dim is None:
            raise ValueError("widening: normalized needs the embedding_dim that is widened")
        self.dim, self.embedding_dim, self.context_dim = dim, dim, num_layers * dim
        size = dim if embedding_dim is None else embedding_dim
        self.embedding = nn.Embedding(len(outputs) + unused_outputs, size)
        nn.init.normal_(self.embedding.weight, std=size**-0.5)
        self.widen: nn.Module = nn.Identity() if embedding_dim is None else nn.Linear(size, dim)
        if widening == "normalized":
            self.widen = nn.Sequential(nn.Linear(size, dim), nn.LayerNorm(dim), nn.ReLU())
        self.position, self.position_first = position, position_first
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            DecoderBlock(dim, encoder_dim, num_heads, hidden_dim, dropout, activation, norm_eps)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.output = nn.Linear(dim, len(outputs) + unused_outputs)

    def forward(self, labels: Tensor, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns unnormalised scores (B, L, V + 1) of the label after each position."""
        scores: Tensor = self.output(self.hidden(labels, frames, mask))
        return scores

    def hidden(self, labels: Tensor, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns what the output layer reads (B, L, D)."""
        x = self._embed(labels, torch.arange(labels.shape[1], device=labels.device))
        for block in self.blocks:
            x = block(x, frames, mask)
        normed: Tensor = self.norm(x)
        return normed

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
        embedded: Tensor = self.widen(self._narrow(labels))
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
        log_probs = torch.log_softmax(self.output(self.norm(x[:, 0])).float(), dim=1)
        return log_probs[:, : self.num_outputs]

    def _embed(self, labels: Tensor, places: Tensor) -> Tensor:
        if self.position_first:
            x: Tensor = self.dropout(self._placed(self._narrow(labels), places))
            return self.widen(x)  # type: ignore[no-any-return]
        return self.dropout(self._placed(self.embed(labels), places))  # type: ignore[no-any-return]

    def _narrow(self, labels: Tensor) -> Tensor:
        """Returns embeddings (..., E) as they are before the linear layer, scaled."""
        scale = self.embedding.embedding_dim**0.5
        embedded: Tensor = self.embedding(labels) * scale
        return embedded

    def _placed(self, embedded: Tensor, places: Tensor) -> Tensor:
        """Returns embeddings (..., E) with sinusoids of their places (...) added."""
        if self.position == "none":
            return embedded
        layout: Layout = "interleaved" if self.position == "interleaved" else "halves"
        return embedded + sinusoids(places, embedded.shape[-1], layout).to(embedded.dtype)

    def _blocks(self) -> list[DecoderBlock]:
        return [block for block in self.blocks if isinstance(block, DecoderBlock)]

"""Multi-head self-attention over frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.nn.applied import Applied
from asrkit.nn.dropout import dropout
from asrkit.nn.fused_attention import count_dropped_keys
from asrkit.nn.gates import Gate, IdentityGate
from asrkit.nn.masking import SequenceContext
from asrkit.nn.positions import NoPosition, Position
from asrkit.nn.query_key_norms import NoQueryKeyNorm, QueryKeyNorm
from asrkit.nn.score_gradients import PlainGradient, ScoreGradient, scale_gradient
from asrkit.nn.sublayers import Sublayer, sublayers


@dataclass(frozen=True)
class Projections:
    """The linear layers of self-attention: of queries, keys and values, and of the output.

    Args:
        bias: Whether they have biases.
        width: K · C, the size of all heads together; D where null.
        initial_scale: D times the variance of the initial query, key and value weights, which are
            uniform; 1 is Glorot's initialisation. PyTorch's default where null.

    Raises:
        ValueError: If the scale or the width is not positive.
    """

    bias: bool = True
    width: int | None = None
    initial_scale: float | None = None

    def __post_init__(self) -> None:
        if self.initial_scale is not None and self.initial_scale <= 0:
            raise ValueError(f"initial_scale ({self.initial_scale}) must be positive, or null")
        if self.width is not None and self.width < 1:
            raise ValueError(f"width ({self.width}) must be at least 1, or null")

    def size(self, dim: int) -> int:
        """Returns K · C for frames of D values."""
        return dim if self.width is None else self.width

    def query_key_value(self, dim: int) -> nn.Linear:
        """Returns the layer from D to queries, keys and values, one after the other."""
        layer = nn.Linear(dim, 3 * self.size(dim), bias=self.bias)
        if self.initial_scale is not None:
            bound = (3 * self.initial_scale / dim) ** 0.5
            nn.init.uniform_(layer.weight, -bound, bound)
        return layer

    def output(self, dim: int) -> nn.Linear:
        """Returns the layer from the attended values to D."""
        return nn.Linear(self.size(dim), dim, bias=self.bias)


def head_size(dim: int, num_heads: int) -> int:
    """Returns D / K, the size of each head.

    Raises:
        ValueError: If num_heads does not divide D.
    """
    if dim % num_heads:
        raise ValueError(f"num_heads ({num_heads}) must divide dim ({dim})")
    return dim // num_heads


@sublayers.register("self_attention")
class SelfAttention(Sublayer):
    """Multi-head self-attention: every frame attends to the frames that the span allows.

    Args:
        dim: D.
        num_heads: K.
        position: Positional encoding.
        dropout: Of the attention weights.
        projections: The linear layers.
        gate: Applied to the output.
        score_gradient: How the gradient of the scores is changed in training.
        share_dropout: Whether dropout hides the same frames from all queries and heads of a batch.
        query_key_norm: Of queries and keys, before positions.

    Raises:
        ValueError: If num_heads does not divide D, or the width of the projections.

    Source: Vaswani et al. 2017, section 3.2.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        position: Factory[Position] = NoPosition,
        dropout: float = 0.1,
        projections: Projections = Projections(),  # noqa: B008 - has no state
        gate: Factory[Gate] = IdentityGate,
        score_gradient: ScoreGradient = PlainGradient(),  # noqa: B008 - has no state
        share_dropout: bool = False,
        query_key_norm: Factory[QueryKeyNorm] = NoQueryKeyNorm,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout, self.share_dropout = dropout, share_dropout
        size = head_size(projections.size(dim), num_heads)
        self.query_key_value = projections.query_key_value(dim)
        self.query_key_norm = query_key_norm(head_dim=size)
        self.position = position(num_heads=num_heads, head_dim=size)
        self.output = projections.output(dim)
        self.gate = gate(dim=dim)
        self.score_gradient = score_gradient
        self.applied = Applied()

    def joined_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns the shapes that separate queries, keys, values and heads."""
        width, dim = self.output.in_features, self.output.out_features
        return attention_shapes(width, self.num_heads, dim)

    def forward(self, x: Tensor, context: SequenceContext) -> Tensor:
        """Returns the attention output (B, T, D)."""
        projected = self.query_key_value(x).unflatten(2, (3, self.num_heads, -1))
        # (B, T, 3, K, C) -> three of (B, K, T, C)
        query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
        query, key, bias = self.position(*self.query_key_norm(query, key))
        allowed = context.attention[:, None]  # (B, 1, T or 1, T)
        probability = self.dropout if self.training else 0.0
        factors = self.score_gradient.factors(x.shape[1], x.device) if self.training else None
        options = (bias, probability, factors, self.share_dropout, self.applied)
        attended = attend(query, key, value, allowed, *options)
        gathered = self.output(attended.transpose(1, 2).flatten(2))
        gated: Tensor = self.gate(gathered, context.mask)
        return gated


def attention_shapes(
    width: int, num_heads: int, dim: int | None = None
) -> dict[str, tuple[int, ...]]:
    """Returns the separate shapes of `query_key_value` (3, K, C, D) and `output` (D, K, C).

    Args:
        width: K · C.
        num_heads: K.
        dim: D; the width where None.
    """
    dim, size = width if dim is None else dim, width // num_heads
    return {
        "query_key_value.weight": (3, num_heads, size, dim),
        "query_key_value.bias": (3, num_heads, size),
        "output.weight": (dim, num_heads, size),
    }


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    allowed: Tensor,
    bias: Tensor | None = None,
    dropout_probability: float = 0.0,
    gradient_factors: Tensor | None = None,
    share_dropout: bool = False,
    applied: Applied | None = None,
) -> Tensor:
    """Returns the weighted sum of values for each query.

    Args:
        query: (B, K, L, C).
        key: (B, K, T, C).
        value: (B, K, T, C).
        allowed: Bool, True where a query may attend; broadcasts to (B, K, L, T).
        bias: (B, K, L, T) added to the scaled scores.
        dropout_probability: Of each attention weight.
        gradient_factors: (L, T) factors of the gradient of the scores; 1 where None.
        share_dropout: Whether all queries, heads and utterances lose the same keys.
        applied: Counts the weights that dropout sets to zero.

    Returns:
        (B, K, L, C).
    """
    # PyTorch's fused attention gives no access to its scores. On a CPU its dropout is slow, and so
    # are its MKL products where the bias is as large as the scores.
    slow = query.device.type == "cpu" and (dropout_probability or bias is not None)
    if slow or gradient_factors is not None or (share_dropout and dropout_probability):
        scores = (query * query.shape[3] ** -0.5) @ key.transpose(2, 3)
        if bias is not None:
            scores.add_(bias)  # in place: nothing needs the bare product in the backward pass
        if gradient_factors is not None:
            scores = scale_gradient(scores, gradient_factors)
        weights = scores.masked_fill_(~allowed, float("-inf")).softmax(3)
        mask_shape = [1, 1, 1, key.shape[2]] if share_dropout else None
        kept = dropout(weights, dropout_probability, mask_shape)
        if dropout_probability and applied is not None:
            applied.count_dropped(weights, kept)
        return kept @ value
    if dropout_probability and applied is not None:
        count_dropped_keys(query, key, allowed, dropout_probability, applied)
    mask = allowed if bias is None else bias.masked_fill(~allowed, float("-inf"))
    return F.scaled_dot_product_attention(query, key, value, mask, dropout_p=dropout_probability)

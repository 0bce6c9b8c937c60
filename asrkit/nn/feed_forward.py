"""The position-wise feed-forward sublayer, plain and gated."""

from __future__ import annotations

from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.nn.activations import Activation, Swish
from asrkit.nn.dropout import Dropout
from asrkit.nn.gates import Gate, IdentityGate
from asrkit.nn.masking import SequenceContext
from asrkit.nn.sublayers import Sublayer, sublayers


@sublayers.register("feed_forward")
class FeedForward(Sublayer):
    """Two linear layers with an activation between.

    Args:
        dim: D.
        hidden_dim: Size between the layers.
        activation: Between the layers.
        dropout: After the gate.
        gate: Of the hidden values, after the activation.
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        activation: Factory[Activation] = Swish,
        dropout: float = 0.1,
        gate: Factory[Gate] = IdentityGate,
    ) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, hidden_dim)
        self.activation = activation()
        self.gate = gate(dim=hidden_dim)
        self.dropout = Dropout(dropout)
        self.contract = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor, context: SequenceContext) -> Tensor:
        """Returns new frames (B, T, D)."""
        hidden = self.gate(self.activation(self.expand(x)), context.mask)
        result: Tensor = self.contract(self.dropout(hidden))
        return result


@sublayers.register("gated_feed_forward")
class GatedFeedForward(Sublayer):
    """A feed-forward sublayer whose hidden values are scaled by a second, activated projection.

    Args:
        dim: D.
        hidden_dim: Size between the layers.
        activation: Of the scaling half.
        dropout: After the product.

    Source: Shazeer 2020, equation 6.
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        activation: Factory[Activation] = Swish,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, 2 * hidden_dim)
        self.activation = activation()
        self.dropout = Dropout(dropout)
        self.contract = nn.Linear(hidden_dim, dim)

    def joined_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns how the two projections are joined."""
        hidden, dim = self.contract.in_features, self.expand.in_features
        return {"expand.weight": (2, hidden, dim), "expand.bias": (2, hidden)}

    def forward(self, x: Tensor, context: SequenceContext) -> Tensor:
        """Returns new frames (B, T, D)."""
        scale, value = self.expand(x).chunk(2, dim=2)
        result: Tensor = self.contract(self.dropout(self.activation(scale) * value))
        return result

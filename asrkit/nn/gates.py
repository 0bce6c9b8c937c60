"""Gates: they scale the output of a sublayer depending on the whole utterance."""

from __future__ import annotations

from torch import Tensor, nn

from asrkit.config.registry import Factory, Registry
from asrkit.nn.activations import Activation, Swish
from asrkit.nn.applied import Applied
from asrkit.nn.norms import masked_mean


class Gate(nn.Module):
    """Scales (B, T, D) with a mask (B, T).

    `sees_all_frames` is True if a frame's result depends on later frames, which causal spans
    can't allow.
    """

    sees_all_frames = False

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns gated frames (B, T, D)."""
        raise NotImplementedError


gates: Registry[Gate] = Registry("gate", Gate, late=("dim",))


@gates.register("identity")
class IdentityGate(Gate):
    """No gate.

    Args:
        dim: D, not needed here.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns the frames (B, T, D) as they are."""
        return x


@gates.register("without_effect")
class WithoutEffect(Gate):
    """A gate that is made but not used: its parameters count, and nothing depends on them.

    This is only meant for comparisons with systems that have such a gate by mistake.

    Args:
        dim: D.
        gate: What is made.

    Source: the squeeze-and-excitation of feed-forward modules in rwth-i6/i6_experiments,
        users/schupp/hybrid_hmm_nn, whose result no layer reads.
    """

    def __init__(self, dim: int, gate: Factory[Gate]) -> None:
        super().__init__()
        self.unused = gate(dim=dim)
        self.applied = Applied()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns the frames (B, T, D) as they are."""
        if self.training:
            self.applied.count("gated_frames", 0.0, mask.sum())
        return x


@gates.register("squeeze_excitation")
class SqueezeExcitation(Gate):
    """Squeeze-and-excitation: scales each of the D values by a function of the mean frame.

    Args:
        dim: D.
        bottleneck_dim: Size between the two linear layers.
        activation: Between the linear layers.
        output: Activation of the scale itself: `sigmoid`, or `swish` as in
            rwth-i6/i6_experiments, users/schupp/hybrid_hmm_nn.

    Source: Hu et al. 2018, section 3; the mean is over valid frames.
    """

    sees_all_frames = True

    def __init__(
        self,
        dim: int,
        bottleneck_dim: int,
        activation: Factory[Activation] = Swish,
        output: Factory[Activation] | None = None,
    ) -> None:
        super().__init__()
        self.squeeze = nn.Linear(dim, bottleneck_dim)
        self.activation = activation()
        self.excite = nn.Linear(bottleneck_dim, dim)
        self.output = nn.Sigmoid() if output is None else output()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns gated frames (B, T, D)."""
        hidden = self.activation(self.squeeze(masked_mean(x, mask)))
        scale: Tensor = self.output(self.excite(hidden))
        return x * scale.unsqueeze(1)

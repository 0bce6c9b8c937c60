"""What a transducer head leaves out before its joiner: cells that a cheap loss finds improbable."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.lattice.topologies import Topology
from asrkit.losses.pruning import Windows, best_windows, require_prunable
from asrkit.losses.trivial_joiner import trivial_joiner_loss
from asrkit.text.outputs import Outputs


class Pruning(nn.Module, ABC):
    """Chooses windows of label counts; implementations set `weight`, of their own loss."""

    weight: float

    @abstractmethod
    def forward(
        self, frames: Tensor, states: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor
    ) -> tuple[Tensor, Windows]:
        """Returns a cheap loss and what it finds worth a look.

        Args:
            frames: (B, T, D) of the encoder.
            states: (B, U + 1, P) of the predictor.
            labels: (B, U).
            lengths: (B,) valid frames.
            label_lengths: (B,).

        Returns:
            (B,) losses, infinite where the labels don't fit, and the windows.
        """


prunings: Registry[Pruning] = Registry(
    "pruning", Pruning, late=("frame_dim", "state_dim", "outputs", "topology")
)


@prunings.register("trivial_joiner")
class TrivialJoiner(Pruning):
    """Adds logits of frames and of label states; their full-sum loss says where alignments are.

    It learns along with the head. While it knows nothing yet its windows are at random places: a
    phase at the start of training can give the head's own loss a small weight and this one 1.

    Args:
        frame_dim: D, of the encoder.
        state_dim: P, of the predictor.
        outputs: The V labels and blank.
        topology: What may follow what in an alignment: RNN-T or RNA.
        range: W, how many label counts each frame keeps; 5 is that of the paper.
        weight: Of the cheap loss in the training objective; it must be learnt, so not 0.

    Raises:
        ValueError: If the topology can't be pruned, the range is below 2, or the weight is not
            positive.

    Source: Kuang et al. 2022, "Pruned RNN-T for fast, memory-efficient ASR training".
    """

    def __init__(
        self,
        frame_dim: int,
        state_dim: int,
        outputs: Outputs,
        topology: Topology,
        range: int,
        weight: float,
    ) -> None:
        super().__init__()
        require_prunable(topology, range)
        if weight <= 0:
            raise ValueError(
                f"weight ({weight}) must be above 0: without its loss the trivial joiner learns "
                "nothing, and prunes at random"
            )
        self.topology, self.range, self.weight = topology, range, weight
        self.frame_logits = nn.Linear(frame_dim, len(outputs), bias=False)
        self.state_logits = nn.Linear(state_dim, len(outputs))

    def forward(
        self, frames: Tensor, states: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor
    ) -> tuple[Tensor, Windows]:
        """Returns the losses (B,) of the trivial joiner and its best windows."""
        given = (lengths, label_lengths, self.topology)
        losses, occupation = trivial_joiner_loss(
            self.frame_logits(frames), self.state_logits(states), labels, *given
        )
        return losses, best_windows(occupation, *given, self.range)

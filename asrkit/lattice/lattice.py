"""The arcs of a batch of lattices, whatever they mean."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

INFINITY = float("inf")


@dataclass(frozen=True)
class Lattice:
    """The arcs of a batch of lattices.

    Args:
        arcs: (A, N, B, S) float64; [a, n, b, s] is the log-probability of the arc from state s
            before step n to state s + a after it, -inf where there is none.
        steps: (B,) arcs of each path.
        final: (B, S) True where a path may end.
    """

    arcs: Tensor
    steps: Tensor
    final: Tensor

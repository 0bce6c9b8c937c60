"""The loss within windows against the same from all logits."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.lattice.topologies import RnaTopology, RnntTopology, Topology
from asrkit.losses.full_sum import full_sum_loss
from asrkit.losses.joiner import Joiner
from asrkit.losses.joiner_loss import joiner_loss
from asrkit.losses.pruned_loss import pruned_joiner_loss
from asrkit.losses.pruning import Windows, best_windows
from asrkit.losses.symbols import SigmoidBlank, SoftmaxBlank, SymbolDistribution
from tests.losses.joiner_loss_test import all_scores, example, weighted

TOPOLOGIES = pytest.mark.parametrize("topology", [RnntTopology(), RnaTopology()])
DISTRIBUTIONS = pytest.mark.parametrize(
    "distribution", [SoftmaxBlank(), SigmoidBlank()], ids=["softmax", "sigmoid"]
)


def windows_of(topology: Topology, size: int) -> Windows:
    """Returns windows at random places for the example."""
    _, (_, lengths, label_lengths) = example()
    torch.manual_seed(5)
    return best_windows(torch.rand(2, 4, 9, 5), lengths, label_lengths, topology, size)


def loss_of(
    tensors: list[Tensor],
    topology: Topology,
    windows: Windows,
    distribution: SymbolDistribution | None = None,
    max_logits: int | None = None,
    activation: Callable[[Tensor], Tensor] = torch.tanh,
) -> Tensor:
    """Returns (B,) losses of the example's labels."""
    encoder, prediction, weight, bias = tensors
    joiner = Joiner(weight, bias, distribution or SoftmaxBlank(), activation, max_logits)
    return pruned_joiner_loss(encoder, prediction, joiner, *example()[1], topology, windows)


def expected_loss(scores: Tensor, windows: Windows, topology: Topology) -> Tensor:
    """Returns (B,) losses from all scores."""
    start, counts = windows.start[:, :, None], torch.arange(scores.shape[3])
    inside = (counts >= start) & (counts < start + windows.size)
    return full_sum_loss(scores.masked_fill(~inside, -math.inf), *example()[1], topology)


@TOPOLOGIES
@DISTRIBUTIONS
@pytest.mark.parametrize(("size", "max_logits"), [(2, None), (3, 1), (3, 50), (5, None)])
def test_loss_and_gradient_are_those_without_the_other_cells(
    topology: Topology, distribution: SymbolDistribution, size: int, max_logits: int | None
) -> None:
    tensors, given = example()
    windows = windows_of(topology, size)
    assert windows.size == size
    scores = all_scores(tensors, given, topology, distribution)
    expected = expected_loss(scores, windows, topology)
    losses = loss_of(tensors, topology, windows, distribution, max_logits)
    assert losses.isinf().tolist() == [False, False, False, True]
    torch.testing.assert_close(losses, expected)
    with torch.no_grad():
        torch.testing.assert_close(loss_of(tensors, topology, windows, distribution), expected)
    wanted = torch.autograd.grad(weighted(expected), tensors)
    for found, right in zip(torch.autograd.grad(weighted(losses), tensors), wanted, strict=True):
        torch.testing.assert_close(found, right)


@TOPOLOGIES
@DISTRIBUTIONS
def test_wide_windows_give_the_loss_without_pruning(
    topology: Topology, distribution: SymbolDistribution
) -> None:
    tensors, given = example()
    joiner = Joiner(tensors[2], tensors[3], distribution)
    exact = joiner_loss(tensors[0], tensors[1], joiner, *given, topology)
    wanted = torch.autograd.grad(weighted(exact), tensors)
    losses = loss_of(tensors, topology, windows_of(topology, 9), distribution)
    torch.testing.assert_close(losses, exact)
    for found, right in zip(torch.autograd.grad(weighted(losses), tensors), wanted, strict=True):
        torch.testing.assert_close(found, right)


@TOPOLOGIES
def test_pruning_never_lowers_the_loss_nor_the_more_so_in_small_windows(topology: Topology) -> None:
    tensors, given = example()
    joiner = Joiner(tensors[2], tensors[3])
    with torch.no_grad():
        exact = joiner_loss(tensors[0], tensors[1], joiner, *given, topology)[:3]
        for size in (2, 3, 4):
            pruned = loss_of(tensors, topology, windows_of(topology, size))[:3]
            assert bool((pruned >= exact - 1e-12).all())
            assert float(pruned[0]) > float(exact[0])  # the only one with as many labels
            torch.testing.assert_close(pruned[given[2][:3] < size], exact[given[2][:3] < size])


@TOPOLOGIES
@DISTRIBUTIONS
def test_gradient_is_that_of_finite_differences(
    topology: Topology, distribution: SymbolDistribution
) -> None:
    windows = windows_of(topology, 3)

    def loss(*tensors: Tensor) -> Tensor:
        return loss_of(list(tensors), topology, windows, distribution, max_logits=40)[:3]

    assert torch.autograd.gradcheck(loss, example()[0], fast_mode=True)


@TOPOLOGIES
@DISTRIBUTIONS
def test_padding_has_no_say(topology: Topology, distribution: SymbolDistribution) -> None:
    tensors, given = example()
    windows = windows_of(topology, 3)
    losses = loss_of(tensors, topology, windows, distribution)
    expected = torch.autograd.grad(weighted(losses), tensors)
    dirty = [F.pad(each.detach(), (0, 0, 0, 2), value=math.nan) for each in tensors[:2]]
    for row in range(4):
        dirty[0][row, given[1][row] :] = math.nan
        dirty[1][row, given[2][row] + 1 :] = math.nan
    leaves = [*(each.requires_grad_() for each in dirty), *tensors[2:]]
    start = torch.cat([windows.start, windows.start[:, -1:].expand(-1, 2)], 1)
    joiner = Joiner(tensors[2], tensors[3], distribution)
    labels = F.pad(given[0], (0, 2), value=-7)
    inputs = (leaves[0], leaves[1], joiner, labels, given[1], given[2])
    found = pruned_joiner_loss(*inputs, topology, Windows(start, windows.size))
    torch.testing.assert_close(found, losses)
    gradients = torch.autograd.grad(weighted(found), leaves)
    for one, other in zip(gradients[:2], expected[:2], strict=True):
        torch.testing.assert_close(one, F.pad(other, (0, 0, 0, 2)))
    for one, other in zip(gradients[2:], expected[2:], strict=True):
        torch.testing.assert_close(one, other)


def test_half_precision_is_near_double() -> None:
    topology = RnntTopology()
    windows = windows_of(topology, 3)
    tensors, _ = example(torch.float32)
    exact = loss_of([each.detach().double() for each in tensors], topology, windows)[:3]
    with torch.autocast("cpu", torch.bfloat16):
        losses = loss_of(tensors, topology, windows)[:3]
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses.double(), exact, rtol=0.02, atol=0.1)
    found = torch.autograd.grad(losses.sum(), tensors)
    wanted = torch.autograd.grad(loss_of(tensors, topology, windows)[:3].sum(), tensors)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype
        assert float((one - other).norm() / other.norm()) < 0.05

"""The loss of a trivial joiner against the same from all logits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.lattice.cells import occupations
from asrkit.lattice.topologies import CtcTopology, RnaTopology, RnntTopology, Topology
from asrkit.losses.trivial_joiner import trivial_joiner_loss
from tests.losses.full_sum_test import BLANK, rna_paths, rnnt_paths, scores_of

BOTH = pytest.mark.parametrize("topology", [RnntTopology(), RnaTopology()])
LABELS = torch.tensor([[0, 1, 1, 4], [2, 2, 0, 9], [3, -1, 0, 0], [1, 2, 3, 4]])
LENGTHS, SIZES = torch.tensor([7, 5, 3, 0]), torch.tensor([4, 2, 0, 4])
V = 5


def example(scale: float = 1.0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Returns logits of frames and of states, for the labels; the last has no alignment."""
    torch.manual_seed(0)
    shapes = [(4, 7, V + 1), (4, 5, V + 1)]
    return [(scale * torch.randn(shape, dtype=dtype)).requires_grad_() for shape in shapes]


def by_all_logits(tensors: list[Tensor], topology: Topology) -> Tensor:
    """Returns (2, B, T, U + 1) scores."""
    return scores_of(tensors[0][:, :, None] + tensors[1][:, None], LABELS, SIZES, topology)


def loss_of(tensors: list[Tensor], topology: Topology) -> tuple[Tensor, Tensor]:
    return trivial_joiner_loss(tensors[0], tensors[1], LABELS, LENGTHS, SIZES, topology)


def weighted(losses: Tensor) -> Tensor:
    factors = torch.tensor([1.0, -0.5, 3.0, 2.0], dtype=losses.dtype)
    return (losses * factors).where(losses.isfinite(), 0.0).sum()


@pytest.mark.parametrize(
    ("topology", "paths"), [(RnntTopology(), rnnt_paths), (RnaTopology(), rna_paths)]
)
@pytest.mark.parametrize("labels", [(), (1,), (0, 0), (2, 1, 2)])
@pytest.mark.parametrize("frames", [1, 3, 4])
def test_loss_is_the_sum_over_alignments(
    topology: Topology, paths: object, labels: tuple[int, ...], frames: int
) -> None:
    torch.manual_seed(1)
    e, p = torch.randn(frames, V + 1).double(), torch.randn(len(labels) + 1, V + 1).double()
    log_probs = (e[:, None] + p[None]).log_softmax(2)
    total, cells = 0.0, torch.zeros(2, frames, len(labels) + 1).double()
    for path in paths(frames, labels):  # type: ignore[operator]
        score = math.exp(sum(float(log_probs[t, u, symbol]) for symbol, t, u in path))
        total += score
        for symbol, t, u in path:
            cells[int(symbol != BLANK), t, u] += score
    row, sizes = torch.tensor([labels], dtype=torch.int64), torch.tensor([len(labels)])
    given = (row.view(1, -1), torch.tensor([frames]), sizes, topology)
    loss, occupation = trivial_joiner_loss(e[None], p[None], *given)
    if total == 0.0:
        assert (float(loss), float(occupation.abs().max())) == (math.inf, 0.0)
        return
    assert float(loss) == pytest.approx(-math.log(total))
    torch.testing.assert_close(occupation[:, 0], cells / total)


@BOTH
@pytest.mark.parametrize("scale", [1.0, 2000.0], ids=["usual", "underflow"])
def test_matrix_products_and_all_logits_give_the_same(topology: Topology, scale: float) -> None:
    tensors = example(scale)
    scores = by_all_logits(tensors, topology)
    given = (LABELS, LENGTHS, SIZES, topology)
    expected, cells = occupations(scores.detach(), *given)
    losses, occupation = loss_of(tensors, topology)
    assert losses.isinf().tolist() == [False, False, False, True]
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(occupation, cells)
    factors = torch.tensor([1.0, -0.5, 3.0, 2.0])[:, None, None]
    surrogate = -(cells * factors * scores).where(cells > 0.0, 0.0).sum()
    wanted = torch.autograd.grad(surrogate, tensors)
    for found, right in zip(torch.autograd.grad(weighted(losses), tensors), wanted, strict=True):
        torch.testing.assert_close(found, right)


@BOTH
def test_single_precision_is_near_double(topology: Topology) -> None:
    for scale in (1.0, 30.0):  # in single precision, some of the latter's products are 0
        exact, rough = example(scale), example(scale)
        rough = [each.detach().float().requires_grad_() for each in exact]
        losses = [loss_of(each, topology)[0][:3] for each in (exact, rough)]
        torch.testing.assert_close(losses[1].double(), losses[0], rtol=1e-5, atol=1e-5)
        pairs = [
            torch.autograd.grad(loss.sum(), of)
            for loss, of in zip(losses, (exact, rough), strict=True)
        ]
        for one, other in zip(*pairs, strict=True):
            torch.testing.assert_close(other.double(), one, rtol=1e-3, atol=1e-4)


@BOTH
def test_gradient_is_that_of_finite_differences(topology: Topology) -> None:
    def loss(encoder: Tensor, prediction: Tensor) -> Tensor:
        return loss_of([encoder, prediction], topology)[0][:3]

    assert torch.autograd.gradcheck(loss, example(), fast_mode=True)


@BOTH
def test_padding_has_no_say(topology: Topology) -> None:
    tensors = example()
    losses, occupation = loss_of(tensors, topology)
    expected = torch.autograd.grad(weighted(losses), tensors)
    dirty = [F.pad(each.detach(), (0, 0, 0, 2), value=math.nan) for each in tensors]
    for row in range(4):
        dirty[0][row, LENGTHS[row] :] = math.nan
        dirty[1][row, SIZES[row] + 1 :] = math.nan
    dirty = [each.requires_grad_() for each in dirty]
    labels = F.pad(LABELS, (0, 2), value=-7)
    found, cells = trivial_joiner_loss(dirty[0], dirty[1], labels, LENGTHS, SIZES, topology)
    torch.testing.assert_close(found, losses)
    torch.testing.assert_close(cells, F.pad(occupation, (0, 2, 0, 2)))
    for one, other in zip(torch.autograd.grad(weighted(found), dirty), expected, strict=True):
        torch.testing.assert_close(one, F.pad(other, (0, 0, 0, 2)))


def test_ctc_is_refused() -> None:
    with pytest.raises(ValueError, match="CtcTopology"):
        loss_of(example(), CtcTopology())

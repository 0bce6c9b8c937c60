"""Kernels of Triton against PyTorch; `triton_test.py` starts this in a process of its own.

With TRITON_INTERPRET=1, which Triton reads when it is imported, they run on the CPU; else on the
GPU. There one may also start it by hand: pytest tests/losses/triton_cases.py.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import triton
from torch import Tensor

from asrkit.lattice import recursions as reference
from asrkit.lattice import triton_recursions
from asrkit.lattice.cells import valid_lattice
from asrkit.lattice.lattice import Lattice
from asrkit.lattice.topologies import CtcTopology, RnaTopology, RnntTopology, Topology
from asrkit.losses import dual_sums as dual_module
from asrkit.losses import joiner_loss as joiner_module
from asrkit.losses import mmi, softmax, triton_softmax
from asrkit.losses.dual_sums import dual_sums
from asrkit.losses.full_sum import full_sum_loss
from asrkit.losses.joiner import Joiner
from asrkit.losses.joiner_loss import joiner_loss
from asrkit.losses.mmi import denominator_sums
from asrkit.losses.mmi_graphs import ring
from asrkit.losses.symbols import SigmoidBlank, SoftmaxBlank, SymbolDistribution

DEVICE = "cpu" if triton.knobs.runtime.interpret else "cuda"
ALL = pytest.mark.parametrize(
    "topology", [RnntTopology(), RnaTopology(), CtcTopology()], ids=["rnnt", "rna", "ctc"]
)
Labels = tuple[Tensor, Tensor, Tensor]
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, about 1 / 0


def example(count: int) -> Labels:
    """Returns (5, count) labels with equal neighbours, padding, and what fits into no frames."""
    torch.manual_seed(0)
    labels = torch.tensor([[0, 1, 1, 5], [2, 2, 0, 9], [3, -1, 0, 0], [1, 2, 3, 4], [1, 1, 1, 1]])
    lengths, sizes = torch.tensor([6, 5, 3, 0, 4]), torch.tensor([4, 2, 0, 4, 4])
    return labels[:, :count], lengths, sizes.clamp(max=count)


def on_device(lattice: Lattice) -> Lattice:
    return Lattice(moved(lattice.arcs), moved(lattice.steps), moved(lattice.final))


def moved(tensor: Tensor) -> Tensor:
    return tensor.to(DEVICE)


def assert_same(found: Tensor, right: Tensor, tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(
        found.cpu(), right, atol=tolerance, rtol=tolerance, equal_nan=True, check_dtype=False
    )


@ALL
@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("frames", [0, 6])
def test_recursions_are_those_of_pytorch(topology: Topology, count: int, frames: int) -> None:
    labels, lengths, sizes = example(count)
    scores = torch.randn(topology.symbols, 5, frames, count + 1)
    given = (labels, lengths.clamp(max=frames), sizes)
    lattice = valid_lattice(scores, *given, topology)
    alpha, beta = triton_recursions.both_scores(on_device(lattice))
    assert_same(alpha, reference.forward_scores(lattice))
    assert_same(beta, reference.backward_scores(lattice))
    totals = reference.log_likelihoods(lattice, alpha.cpu())
    fits = topology.min_frames(labels, sizes) <= given[1]
    assert totals.isfinite().tolist() == fits.tolist()


@ALL
def test_one_utterance_and_many_states(topology: Topology) -> None:
    torch.manual_seed(1)
    given = (torch.randint(0, 2, (1, 70)), torch.tensor([8]), torch.tensor([5]))
    lattice = valid_lattice(torch.randn(topology.symbols, 1, 8, 71), *given, topology)
    alpha, beta = triton_recursions.both_scores(on_device(lattice))
    assert_same(alpha, reference.forward_scores(lattice))
    assert_same(beta, reference.backward_scores(lattice))


def test_long_sums_keep_their_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    given = (torch.randint(0, 4, (1, 20)), torch.tensor([50]), torch.tensor([20]))
    lattice = valid_lattice(20 * torch.randn(3, 1, 50, 21) - 500, *given, CtcTopology())
    totals, expected = reference.posteriors(lattice)
    assert float(totals) < -1e4  # float32 has three digits after the point here
    expected_alpha = reference.forward_scores(lattice)
    monkeypatch.setattr(reference, "triton_serves", lambda tensor: True)
    assert_same(reference.forward_scores(on_device(lattice)), expected_alpha)
    found = reference.posteriors(on_device(lattice))
    assert_same(found[0], totals, 1e-9)
    assert_same(found[1], expected, 2e-6)


def test_what_is_not_a_number_is_seen() -> None:
    labels, lengths, sizes = example(4)
    scores = torch.randn(2, 5, 6, 5)
    scores[0, 0, 3, 2] = math.nan
    lattice = valid_lattice(scores, labels, lengths, sizes, RnntTopology())
    alpha, beta = triton_recursions.both_scores(on_device(lattice))
    assert_same(alpha, reference.forward_scores(lattice))
    assert_same(beta, reference.backward_scores(lattice))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("histories", "batch"), [(3, 1), (21, 3), (40, 70)])
def test_sums_of_lf_mmi_are_those_of_the_cpu(
    histories: int, batch: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    given = ring(2 * (histories - 1))
    draw = np.random.default_rng(5)
    # More arcs from each history, some none, to some others and to itself.
    pairs = draw.choice(histories * (histories - 1), 2 * histories - 3, replace=False)
    sources, phones = np.divmod(np.unique(pairs).astype(np.int32), histories - 1)
    given = replace(
        given,
        sources=sources,
        targets=phones + 1,
        states=2 * phones,
        weights=draw.uniform(0.1, 0.4, len(phones)).astype(np.float32),
    )
    scores = 3 * torch.randn(batch, 5, given.num_states, dtype=dtype)
    lengths = torch.randint(1, 6, (batch,))
    totals, posteriors = denominator_sums(scores, lengths, given, 0.1)
    monkeypatch.setattr(mmi, "triton_serves", lambda tensor: True)
    found = denominator_sums(moved(scores), moved(lengths), given, 0.1)
    assert_same(found[0], totals, 1e-5)
    assert_same(found[1], posteriors, 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_of_smbr_are_those_of_the_cpu(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(6)
    exps, accuracy = torch.rand(2, 4, 40, 3, dtype=dtype)
    lengths = torch.tensor([4, 1, 3])
    expected = dual_sums(exps, accuracy, lengths, ring(40), 0.1)
    monkeypatch.setattr(dual_module, "triton_serves", lambda tensor: True)
    found = dual_sums(moved(exps), moved(accuracy), moved(lengths), ring(40), 0.1)
    for one, right in zip(found, expected, strict=True):
        assert_same(one, right, 1e-5)


# Classes of one, two and more blocks of columns; even rows and those cut from longer ones.
@pytest.mark.parametrize(("classes", "cut"), [(1, 0), (7, 0), (16, 1), (2049, 0), (4099, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_softmax_is_that_of_pytorch(classes: int, cut: int, dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    logits = (30 * torch.randn(2, 3, classes + cut)).to(dtype)
    targets = torch.randint(0, classes, (2, 1, 3)).expand(2, 2, 3)
    weights = torch.rand(2, 2, 3, dtype=torch.promote_types(dtype, torch.float32))
    weights[:, 0, 1] = 0.0
    exact = logits.to(weights.dtype)[..., :classes]
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    picked, normaliser = triton_softmax.pick_log_probs(moved(logits)[..., :classes], moved(targets))
    expected = softmax.picked_by_torch(exact, targets)
    assert picked.dtype == normaliser.dtype == weights.dtype
    assert_same(picked, expected[0], tolerance)
    assert_same(normaliser, expected[1], tolerance)
    if dtype == torch.bfloat16:
        tolerance = 0.01  # what the gradient is rounded to
    for share in (None, 0.3 / max(classes - 1, 1)):
        floor = None if share is None else share * weights.sum(0)
        place, wanted = moved(logits.clone()), exact.clone()
        part = place[..., :classes]
        lowest = None if floor is None else moved(floor)
        triton_softmax.put_gradient(part, normaliser, moved(weights), moved(targets), lowest)
        softmax.gradient_by_torch(wanted, expected[1], weights, targets, floor)
        assert_same(part, wanted, tolerance)
        assert torch.equal(place[..., classes:].cpu(), logits[..., classes:])
        assert float(place[0, 1, :classes].abs().max()) == 0.0  # without weight, exactly nothing


def test_impossible_classes_and_what_is_not_a_number() -> None:
    logits = torch.randn(4, 5000)
    logits[0, :2500] = -math.inf  # more than a block
    logits[1] = -math.inf
    logits[2, 4000] = math.nan
    targets = torch.tensor([[2600, 1, 1, 1], [1, 2, 2, 4999]])
    expected = softmax.picked_by_torch(logits, targets)[0]
    picked, _ = triton_softmax.pick_log_probs(moved(logits), moved(targets))
    assert expected.isnan().tolist() == [[False, True, True, False]] * 2
    assert_same(picked, expected, 1e-4)
    nothing = triton_softmax.pick_log_probs(moved(logits[:0]), moved(targets[:, :0]))
    assert [tuple(each.shape) for each in nothing] == [(2, 0), (0,)]


@ALL
@pytest.mark.parametrize(
    ("distribution", "dtype"),
    [(SoftmaxBlank(), torch.float32), (SigmoidBlank(0.1), torch.bfloat16)],
    ids=["softmax", "sigmoid"],
)
def test_loss_of_a_joiner_is_that_of_pytorch(
    topology: Topology,
    distribution: SymbolDistribution,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes = [(3, 4, 5), (3, 3, 5), (7, 5), (7,)]
    labels, lengths, sizes = (each[1:4] for each in example(2))
    lengths = lengths.clamp(max=4)
    tensors = [torch.randn(shape).to(dtype) for shape in shapes]

    def loss(leaves: list[Tensor], given: Labels) -> list[Tensor]:
        for leaf in leaves:
            leaf.requires_grad_()
        joiner = Joiner(leaves[2], leaves[3], distribution, max_logits=150)
        losses = joiner_loss(leaves[0], leaves[1], joiner, *given, topology)
        factors = torch.tensor([1.0, -0.5, 3.0], device=losses.device)
        finite = (losses * factors).where(losses.isfinite(), 0.0)
        return [losses.detach(), *torch.autograd.grad(finite.sum(), leaves)]

    expected = loss([each.clone() for each in tensors], (labels, lengths, sizes))
    assert expected[0].isinf().tolist() == [False, False, True]
    for module in (reference, softmax, joiner_module):
        monkeypatch.setattr(module, "triton_serves", lambda tensor: not tensor.requires_grad)
    given = (moved(labels), moved(lengths), moved(sizes))
    found = loss([moved(each.clone()) for each in tensors], given)
    tolerance = 1e-4 if dtype == torch.float32 else 0.03
    for one, right in zip(found, expected, strict=True):
        assert one.dtype == right.dtype
        assert_same(one, right, tolerance)


@pytest.mark.skipif(DEVICE == "cpu", reason="chooses kernels on a GPU only")
@ALL
def test_scores_on_the_gpu_have_derivatives(topology: Topology) -> None:
    labels, lengths, sizes = example(4)
    scores = torch.randn(topology.symbols, 5, 6, 5, requires_grad=True)
    there = scores.detach().to(DEVICE).requires_grad_()
    expected = full_sum_loss(scores, labels, lengths, sizes, topology)
    found = full_sum_loss(there, moved(labels), moved(lengths), moved(sizes), topology)
    assert_same(found.detach(), expected.detach(), 1e-4)
    expected.where(expected.isfinite(), 0.0).sum().backward()
    found.where(found.isfinite(), 0.0).sum().backward()
    assert there.grad is not None
    assert scores.grad is not None
    assert_same(there.grad, scores.grad, 1e-4)

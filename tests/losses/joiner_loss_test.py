"""The loss from a joiner's inputs against the same from all logits."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.lattice.cells import cell_targets
from asrkit.lattice.topologies import CtcTopology, RnaTopology, RnntTopology, Topology
from asrkit.lattice.viterbi import best_alignment
from asrkit.losses.blocks import blocks
from asrkit.losses.full_sum import full_sum_loss
from asrkit.losses.joiner import Joiner
from asrkit.losses.joiner_loss import joiner_alignment, joiner_loss
from asrkit.losses.symbols import SigmoidBlank, SoftmaxBlank, SymbolDistribution

ALL = pytest.mark.parametrize("topology", [RnntTopology(), RnaTopology(), CtcTopology()])
BOTH = pytest.mark.parametrize(
    "distribution", [SoftmaxBlank(), SigmoidBlank()], ids=["softmax", "sigmoid"]
)
VOCABULARY = 6
Labels = tuple[Tensor, Tensor, Tensor]


def example(dtype: torch.dtype = torch.float64, hidden: int = 5) -> tuple[list[Tensor], Labels]:
    """Returns encoder, prediction, weight, bias; labels and lengths, the last without alignment."""
    torch.manual_seed(0)
    shapes = [(4, 9, 5), (4, 5, 5), (VOCABULARY + 1, hidden), (VOCABULARY + 1,)]
    tensors = [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]
    labels = torch.tensor([[0, 1, 1, 5], [2, 2, 0, 9], [3, -1, 0, 0], [1, 2, 3, 4]])
    return tensors, (labels, torch.tensor([9, 5, 3, 0]), torch.tensor([4, 2, 0, 4]))


def all_scores(
    tensors: list[Tensor],
    given: Labels,
    topology: Topology,
    distribution: SymbolDistribution,
    activation: Callable[[Tensor], Tensor] = torch.tanh,
) -> Tensor:
    """Returns (K, B, T, U + 1) scores by way of all logits."""
    encoder, prediction, weight, bias = tensors
    logits = F.linear(activation(encoder[:, :, None] + prediction[:, None]), weight, bias)
    targets = cell_targets(given[0], given[2], topology)[:, :, None]
    return distribution.scores(logits, targets.expand(-1, *logits.shape[:3]))[0]


def losses_of(
    tensors: list[Tensor],
    given: Labels,
    topology: Topology,
    distribution: SymbolDistribution | None = None,
) -> Tensor:
    """Returns (B,) losses by blocks."""
    encoder, prediction, weight, bias = tensors
    joiner = Joiner(weight, bias, distribution or SoftmaxBlank())
    return joiner_loss(encoder, prediction, joiner, *given, topology)


def weighted(losses: Tensor) -> Tensor:
    """Returns a sum of the finite losses in which each has a weight of its own, one negative."""
    factors = torch.tensor([1.0, -0.5, 3.0, 2.0], dtype=losses.dtype)
    return (losses * factors).where(losses.isfinite(), 0.0).sum()


@ALL
@BOTH
@pytest.mark.parametrize("max_logits", [1, 7 * 6, 10**6])
def test_blocks_and_all_logits_give_the_same(
    topology: Topology, distribution: SymbolDistribution, max_logits: int
) -> None:
    tensors, given = example()
    expected = full_sum_loss(all_scores(tensors, given, topology, distribution), *given, topology)
    joiner = Joiner(tensors[2], tensors[3], distribution, max_logits=max_logits)
    losses = joiner_loss(tensors[0], tensors[1], joiner, *given, topology)
    assert losses.isinf().tolist() == [False, False, False, True]
    torch.testing.assert_close(losses, expected)
    with torch.no_grad():
        torch.testing.assert_close(
            joiner_loss(tensors[0], tensors[1], joiner, *given, topology), expected
        )
    wanted = torch.autograd.grad(weighted(expected), tensors)
    for found, right in zip(torch.autograd.grad(weighted(losses), tensors), wanted, strict=True):
        torch.testing.assert_close(found, right)


@ALL
@BOTH
def test_gradient_is_that_of_finite_differences(
    topology: Topology, distribution: SymbolDistribution
) -> None:
    tensors, given = example()

    def loss(encoder: Tensor, prediction: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        joiner = Joiner(weight, bias, distribution, max_logits=40)
        return joiner_loss(encoder, prediction, joiner, *given, topology)[:3]

    assert torch.autograd.gradcheck(loss, tensors)


def test_any_activation_will_do() -> None:
    def maxout(frames: Tensor) -> Tensor:
        return torch.maximum(frames[..., :2], frames[..., 2:4])

    tensors, given = example(hidden=2)
    topology = RnaTopology()
    scores = all_scores(tensors, given, topology, SoftmaxBlank(), maxout)
    joiner = Joiner(tensors[2], tensors[3], activation=maxout)
    losses = joiner_loss(tensors[0], tensors[1], joiner, *given, topology)
    wanted = torch.autograd.grad(weighted(full_sum_loss(scores, *given, topology)), tensors)
    for found, right in zip(torch.autograd.grad(weighted(losses), tensors), wanted, strict=True):
        torch.testing.assert_close(found, right)


@ALL
def test_alignment_is_that_from_all_logits(topology: Topology) -> None:
    tensors, given = example()
    scores = all_scores(tensors, given, topology, SoftmaxBlank())
    expected = best_alignment(scores, *given, topology, blank=VOCABULARY)
    joiner = Joiner(tensors[2], tensors[3])
    found = joiner_alignment(tensors[0], tensors[1], joiner, *given, topology)
    assert found.symbols.tolist() == expected.symbols.tolist()
    assert found.label_frames.tolist() == expected.label_frames.tolist()
    torch.testing.assert_close(found.log_probs, expected.log_probs)


@ALL
@BOTH
def test_padding_has_no_say(topology: Topology, distribution: SymbolDistribution) -> None:
    tensors, given = example()
    losses = losses_of(tensors, given, topology, distribution)
    expected = torch.autograd.grad(weighted(losses), tensors)
    encoder, prediction = (
        F.pad(each.detach(), (0, 0, 0, 2), value=math.nan) for each in tensors[:2]
    )
    for row in range(4):
        encoder[row, given[1][row] :] = math.nan
        prediction[row, given[2][row] + 1 :] = math.nan
    dirty = [encoder.requires_grad_(), prediction.requires_grad_(), *tensors[2:]]
    padded = (F.pad(given[0], (0, 2), value=-7), *given[1:])
    found = losses_of(dirty, padded, topology, distribution)
    torch.testing.assert_close(found, losses)
    gradients = list(torch.autograd.grad(weighted(found), dirty))
    assert float(gradients[0][:, 9:].abs().max()) == 0.0
    assert float(gradients[1][:, 5:].abs().max()) == 0.0
    gradients[:2] = [gradients[0][:, :9], gradients[1][:, :5]]
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_negligible_cells_are_left_out_without_a_trace() -> None:
    torch.manual_seed(0)
    tensors = [
        4 * torch.randn(1, 60, 8),
        4 * torch.randn(1, 21, 8),
        torch.randn(VOCABULARY + 1, 8),
        torch.randn(VOCABULARY + 1),
    ]
    given = (torch.randint(0, VOCABULARY, (1, 20)), torch.tensor([60]), torch.tensor([20]))
    gradients, counted = [], []

    class Counting(SoftmaxBlank):
        def gradient(self, logits: Tensor, *rest: Tensor, **named: Tensor) -> Tensor:
            counted.append(logits.shape[0] * logits.shape[1])
            return super().gradient(logits, *rest, **named)

    for dtype in (torch.float32, torch.float64):
        leaves = [each.to(dtype).requires_grad_() for each in tensors]
        joiner = Joiner(leaves[2], leaves[3], Counting(), max_logits=200)
        losses = joiner_loss(leaves[0], leaves[1], joiner, *given, RnntTopology())
        counted.clear()
        gradients.append(torch.autograd.grad(losses.sum(), leaves))
        if dtype == torch.float32:
            assert sum(counted) < 0.7 * 60 * 21
    for rough, exact in zip(*gradients, strict=True):
        torch.testing.assert_close(rough.double(), exact, atol=1e-4, rtol=1e-4)


def smooth(log_probs: Tensor, smoothing: float, excluded: int = 0) -> Tensor:
    """Returns the same log-probabilities; their gradient is smoothed, but for the last entries."""
    classes = log_probs.shape[-1] - excluded
    floor = smoothing / (classes - 1)

    def changed(gradient: Tensor) -> Tensor:
        total = gradient.abs().sum(-1, keepdim=True)
        result = (1 - classes * floor) * gradient - floor * total
        return torch.cat([result[..., :classes], gradient[..., classes:]], -1)

    log_probs.register_hook(changed)
    return log_probs


def smoothed_log_probs(logits: Tensor, kind: str, smoothing: float) -> Tensor:
    """Returns (..., V + 1) with the gradient that is asked for."""
    if kind == "softmax":
        return smooth(logits.log_softmax(-1), smoothing)
    labels, emit = logits[..., :-1].log_softmax(-1), logits[..., -1:]
    if kind == "labels":
        labels = smooth(labels, smoothing)
    log_probs = torch.cat([labels + F.logsigmoid(emit), F.logsigmoid(-emit)], -1)
    if kind == "labels":
        return log_probs
    return smooth(log_probs, smoothing, excluded=0 if kind == "symbols" else 1)


@ALL
@pytest.mark.parametrize(
    ("kind", "distribution"),
    [
        ("softmax", SoftmaxBlank(0.3)),
        ("labels", SigmoidBlank(0.3)),
        ("symbols", SigmoidBlank(0.3, "symbols")),
        ("labels_and_emission", SigmoidBlank(0.3, "labels_and_emission")),
    ],
)
def test_smoothing_takes_from_the_target_in_the_gradient_alone(
    topology: Topology, kind: str, distribution: SymbolDistribution
) -> None:
    tensors, given = example()
    losses = losses_of(tensors, given, topology, distribution)
    plain = SoftmaxBlank() if kind == "softmax" else SigmoidBlank()
    torch.testing.assert_close(losses, losses_of(tensors, given, topology, plain))
    # The same by hooks on log-probabilities, for which all logits exist.
    hidden = torch.tanh(tensors[0][:, :, None] + tensors[1][:, None])
    log_probs = smoothed_log_probs(F.linear(hidden, tensors[2], tensors[3]), kind, 0.3)
    targets = cell_targets(given[0], given[2], topology)[:, :, None].expand(-1, -1, 9, -1)
    picked = [log_probs.gather(3, each[..., None])[..., 0] for each in targets]
    expected = full_sum_loss(torch.stack([log_probs[..., -1], *picked]), *given, topology)
    wanted = torch.autograd.grad(expected[:3].sum(), tensors)
    for found, right in zip(torch.autograd.grad(losses[:3].sum(), tensors), wanted, strict=True):
        torch.testing.assert_close(found, right)


@pytest.mark.parametrize("make", [SoftmaxBlank, SigmoidBlank])
def test_impossible_smoothing_is_refused(make: Callable[[float], SymbolDistribution]) -> None:
    with pytest.raises(ValueError, match="label_smoothing is 1.0"):
        make(1.0)


@ALL
def test_bfloat16_and_autocast_sum_in_float32(topology: Topology) -> None:
    tensors, given = example(torch.float32)
    exact = losses_of(tensors, given, topology)
    expected = torch.autograd.grad(weighted(exact), tensors)
    with torch.autocast("cpu", torch.bfloat16):
        losses = losses_of(tensors, given, topology)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, exact, rtol=0.02, atol=0.05)
    found = torch.autograd.grad(weighted(losses), tensors)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert float((one - other).norm() / other.norm()) < 0.03


@ALL
def test_results_have_the_dtype_of_the_inputs_and_losses_float32(topology: Topology) -> None:
    tensors, given = example()
    halves = [each.detach().bfloat16().requires_grad_() for each in tensors]
    losses = losses_of(halves, given, topology)
    assert losses.dtype == torch.float32
    for gradient in torch.autograd.grad(weighted(losses), halves):
        assert gradient.dtype == torch.bfloat16


def test_both_passes_calculate_in_the_dtype_of_the_first() -> None:
    tensors, given = example(torch.float32)
    seen = []

    def activation(frames: Tensor) -> Tensor:
        seen.append((frames.dtype, torch.is_autocast_enabled("cpu")))
        return frames.tanh()

    def loss() -> Tensor:
        joiner = Joiner(tensors[2], tensors[3], activation=activation)
        return weighted(joiner_loss(tensors[0], tensors[1], joiner, *given, RnntTopology()))

    expected = torch.autograd.grad(loss(), tensors)
    exact = loss()
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(exact, tensors)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert set(seen) == {(torch.float32, False)}
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        rough = loss()
    torch.autograd.grad(rough, tensors)
    assert set(seen) == {(torch.bfloat16, False)}


def test_what_is_not_a_number_is_seen_in_loss_and_gradient() -> None:
    tensors, given = example()
    with torch.no_grad():
        tensors[0][1, 2, 0] = math.nan
    losses = losses_of(tensors, given, RnntTopology())
    assert losses.isnan().tolist() == [False, True, False, False]
    gradients = torch.autograd.grad(losses[:3].sum(), tensors)
    assert gradients[0].isnan().any(2).any(1).tolist() == [False, True, False, False]
    assert bool(gradients[2].isnan().any())


def test_second_derivatives_are_refused() -> None:
    tensors, given = example()
    losses = losses_of(tensors, given, RnntTopology())
    (first,) = torch.autograd.grad(losses[:3].sum(), tensors[0], create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        first.sum().backward()


def test_batches_without_frames_or_labels_have_losses() -> None:
    tensors, _ = example()
    nothing, zeros = torch.zeros(4, 0, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    for topology in (RnntTopology(), RnaTopology(), CtcTopology()):
        empty = [tensors[0][:, :0], tensors[1][:, :1], *tensors[2:]]
        assert losses_of(empty, (nothing, zeros, zeros), topology).tolist() == [0.0] * 4
        silent = [tensors[0], tensors[1][:, :1], *tensors[2:]]
        losses = losses_of(silent, (nothing, zeros + 9, zeros), topology)
        logits = F.linear(torch.tanh(tensors[0] + tensors[1][:, :1]), *tensors[2:])
        torch.testing.assert_close(losses, -logits.log_softmax(2)[..., -1].sum(1))


@pytest.mark.parametrize("max_cells", [1, 4, 7, 100])
def test_blocks_cover_the_band_once(max_cells: int) -> None:
    low = torch.tensor([[0, 0, 1, 2, 2], [3, 1, 9, 0, 9]])
    high = torch.tensor([[1, 2, 3, 3, 2], [3, 2, 0, 0, -1]])
    cells = torch.zeros(2, 5, 4, dtype=torch.int64)
    for block in blocks(low, high, max_cells):
        assert block.size <= max_cells or block.end == block.start + 1
        block.of(cells).add_(1)
    counts = torch.arange(4)
    band = (counts >= low[..., None]) & (counts <= high[..., None])
    assert bool((cells[band] == 1).all())
    assert int(cells.max()) == 1

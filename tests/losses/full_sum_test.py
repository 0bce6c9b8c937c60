"""The full-sum loss against the sum over all alignments, one by one, and against other software."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import pytest
import torch
import torchaudio
from torch import Tensor

from asrkit.lattice.cells import cell_targets
from asrkit.lattice.topologies import CtcTopology, RnaTopology, RnntTopology, Topology
from asrkit.lattice.viterbi import best_alignment
from asrkit.losses.ctc import ctc_loss
from asrkit.losses.full_sum import full_sum_loss
from asrkit.losses.symbols import SigmoidBlank, SoftmaxBlank, SymbolDistribution

# One path: its symbols, and for each the cell (t, u) that it is said in.
Path = list[tuple[int, int, int]]
BLANK = -1


def rnnt_paths(frames: int, labels: tuple[int, ...]) -> Iterator[Path]:
    """Yields all orders of T blanks and the labels that end with a blank."""
    for places in itertools.combinations(range(frames + len(labels) - 1), len(labels)):
        path, t, u = [], 0, 0
        for step in range(frames + len(labels)):
            path.append((labels[u] if step in places else BLANK, t, u))
            t, u = (t, u + 1) if step in places else (t + 1, u)
        yield path


def rna_paths(frames: int, labels: tuple[int, ...]) -> Iterator[Path]:
    """Yields all choices of frames for the labels."""
    for places in itertools.combinations(range(frames), len(labels)):
        before = [sum(place < t for place in places) for t in range(frames)]
        yield [(labels[before[t]] if t in places else BLANK, t, before[t]) for t in range(frames)]


def ctc_paths(frames: int, labels: tuple[int, ...]) -> Iterator[Path]:
    """Yields all sequences of symbols that collapse to the labels."""
    for symbols in itertools.product({BLANK, *labels}, repeat=frames):
        if tuple(s for s, _ in itertools.groupby(symbols) if s != BLANK) != labels:
            continue
        path: Path = []
        said = 0
        for t, symbol in enumerate(symbols):
            path.append((symbol, t, said))
            said += symbol not in (BLANK, symbols[t - 1] if t else BLANK)
        yield path


TOPOLOGIES: list[tuple[Topology, Callable[[int, tuple[int, ...]], Iterator[Path]]]] = [
    (RnntTopology(), rnnt_paths),
    (RnaTopology(), rna_paths),
    (CtcTopology(), ctc_paths),
]
ALL = pytest.mark.parametrize("topology", [t for t, _ in TOPOLOGIES])
WITH_PATHS = pytest.mark.parametrize(("topology", "paths"), TOPOLOGIES)


def scores_of(
    logits: Tensor,
    labels: Tensor,
    sizes: Tensor,
    topology: Topology,
    distribution: SymbolDistribution | None = None,
) -> Tensor:
    """Returns (K, B, T, U + 1) from logits (B, T, U + 1, V + 1), differentiably."""
    targets = cell_targets(labels, sizes, topology)[:, :, None].expand(-1, *logits.shape[:3])
    return (distribution or SoftmaxBlank()).scores(logits, targets)[0]


def lengths_of(frames: int, labels: Tensor) -> tuple[Tensor, Tensor]:
    return torch.full((len(labels),), frames), torch.full((len(labels),), labels.shape[1])


def said_in(path: Path, count: int) -> list[int]:
    """Returns the frame of each label: that of the symbol which raises u."""
    counts = [u for _, _, u in path[1:]] + [count]
    return [t for (_, t, u), after in zip(path, counts, strict=True) if after > u]


@WITH_PATHS
@pytest.mark.parametrize("frames", range(1, 6))
@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize("vocabulary", range(1, 5))
def test_loss_and_alignment_match_enumeration(
    topology: Topology,
    paths: Callable[[int, tuple[int, ...]], Iterator[Path]],
    frames: int,
    count: int,
    vocabulary: int,
) -> None:
    torch.manual_seed(0)
    names = list(itertools.product(range(vocabulary), repeat=count))
    labels = torch.tensor(names, dtype=torch.int64).view(len(names), count)
    logits = torch.randn(len(names), frames, count + 1, vocabulary + 1, dtype=torch.float64)
    given = (labels, *lengths_of(frames, labels), topology)
    scores = scores_of(logits, labels, given[2], topology)
    losses = full_sum_loss(scores, *given)
    best = best_alignment(scores, *given, blank=vocabulary)
    fits = topology.min_frames(labels, given[2]) <= given[1]
    for row, sequence in enumerate(names):
        table = logits[row].log_softmax(2).tolist()
        every = [(sum(table[t][u][s] for s, t, u in p), p) for p in paths(frames, sequence)]
        assert bool(fits[row]) == bool(every)
        if not every:
            assert [float(losses[row]), float(best.log_probs[row])] == [math.inf, -math.inf]
            assert set(best.symbols[row].tolist() + best.label_frames[row].tolist()) == {-1}
            continue
        total = math.fsum(math.exp(score) for score, _ in every)
        assert float(losses[row]) == pytest.approx(-math.log(total), abs=1e-6)
        score, path = max(every)
        assert float(best.log_probs[row]) == pytest.approx(score, abs=1e-6)
        assert best.symbols[row].tolist() == [s % (vocabulary + 1) for s, _, _ in path]
        assert best.label_frames[row].tolist() == said_in(path, count)


@WITH_PATHS
def test_band_is_what_paths_pass(
    topology: Topology, paths: Callable[[int, tuple[int, ...]], Iterator[Path]]
) -> None:
    sizes = torch.tensor([0, 1, 2, 3] * 4)
    lengths = torch.tensor([0, 1, 3, 5]).repeat_interleave(4)
    low, high = topology.band(6, lengths, sizes)
    for row, (frames, count) in enumerate(zip(lengths.tolist(), sizes.tolist(), strict=True)):
        if frames:
            every = paths(frames, tuple(range(count)))  # without equal neighbours
            passed = {(t, u) for path in every for _, t, u in path}
        else:
            passed = set()
        band = {(t, u) for t in range(6) for u in range(int(low[row, t]), int(high[row, t]) + 1)}
        assert band == passed


def example(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns logits (4, 6, 4, 5) and labels with lengths; the last utterance fits nowhere."""
    torch.manual_seed(1)
    logits = torch.randn(4, 6, 4, 5, dtype=dtype)
    labels = torch.tensor([[0, 1, 1], [2, 2, 0], [3, 0, 0], [1, 2, 3]])
    return logits, labels, torch.tensor([6, 4, 3, 0]), torch.tensor([3, 2, 0, 3])


@ALL
@pytest.mark.parametrize(
    "distribution", [SoftmaxBlank(), SigmoidBlank()], ids=["softmax", "sigmoid"]
)
def test_gradient_is_that_of_finite_differences(
    topology: Topology, distribution: SymbolDistribution
) -> None:
    logits, labels, lengths, sizes = example()

    def loss(logits: Tensor) -> Tensor:
        scores = scores_of(logits, labels, sizes, topology, distribution)
        losses = full_sum_loss(scores, labels, lengths, sizes, topology)
        return losses[:3]  # the infinite one has no differences

    assert torch.autograd.gradcheck(loss, logits.requires_grad_())


@ALL
def test_what_does_not_fit_is_infinite_and_has_no_gradient(topology: Topology) -> None:
    logits, labels, lengths, sizes = example()
    scores = scores_of(logits, labels, sizes, topology).detach().requires_grad_()
    losses = full_sum_loss(scores, labels, lengths, sizes, topology)
    assert losses.isinf().tolist() == [False, False, False, True]
    losses.sum().backward()
    assert scores.grad is not None
    assert bool(scores.grad.isfinite().all())
    assert float(scores.grad[:, 3].abs().max()) == 0.0


@ALL
def test_padding_has_no_say(topology: Topology) -> None:
    logits, labels, lengths, sizes = example()
    batch = scores_of(logits, labels, sizes, topology).detach()
    dirty = torch.nn.functional.pad(batch, (0, 2, 0, 3), value=math.nan)
    for row in range(3):
        dirty[:, row, lengths[row] :] = math.nan
        dirty[:, row, :, sizes[row] + 1 :] = math.nan
    dirty.requires_grad_()
    others = torch.nn.functional.pad(labels, (0, 2), value=-7)
    losses = full_sum_loss(dirty, others, lengths, sizes, topology)
    losses[:3].sum().backward()
    best = best_alignment(dirty, others, lengths, sizes, topology, blank=4)
    assert dirty.grad is not None
    for row in range(3):
        t, u = int(lengths[row]), int(sizes[row])
        alone = batch[:, row : row + 1, :t, : u + 1].clone().requires_grad_()
        given = (labels[row : row + 1, :u], lengths[row : row + 1], sizes[row : row + 1], topology)
        loss = full_sum_loss(alone, *given)
        (wanted,) = torch.autograd.grad(loss.sum(), alone)
        torch.testing.assert_close(losses[row], loss[0])
        torch.testing.assert_close(dirty.grad[:, row, :t, : u + 1], wanted[:, 0])
        rest = dirty.grad[:, row].clone()
        rest[:, :t, : u + 1] = 0.0
        assert float(rest.abs().max()) == 0.0
        single = best_alignment(alone, *given, blank=4)
        steps = single.symbols.shape[1]
        assert best.symbols[row, :steps].tolist() == single.symbols[0].tolist()
        assert set(best.symbols[row, steps:].tolist()) <= {-1}
        assert best.label_frames[row].tolist() == single.label_frames[0].tolist() + [-1] * (5 - u)


def test_rnnt_agrees_with_torchaudio() -> None:
    torch.manual_seed(2)
    frames, count, vocabulary = 40, 12, 20
    logits = torch.randn(3, frames, count + 1, vocabulary + 1, requires_grad=True)
    labels = torch.randint(0, vocabulary, (3, count))
    lengths, sizes = torch.tensor([40, 31, 9]), torch.tensor([12, 12, 3])
    expected = torchaudio.functional.rnnt_loss(
        logits, labels.int(), lengths.int(), sizes.int(), blank=vocabulary, reduction="none"
    )
    topology = RnntTopology()
    scores = scores_of(logits, labels, sizes, topology)
    losses = full_sum_loss(scores, labels, lengths, sizes, topology)
    torch.testing.assert_close(losses, expected, rtol=1e-6, atol=1e-4)
    wanted = torch.autograd.grad(expected.sum(), logits)[0]
    # Its gradients are sums in float32; ours differ from those in float64 by less than this.
    torch.testing.assert_close(
        torch.autograd.grad(losses.sum(), logits)[0], wanted, atol=2e-4, rtol=0
    )


def test_ctc_agrees_with_torch() -> None:
    torch.manual_seed(3)
    logits = torch.randn(3, 20, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 4, (3, 6))
    lengths, sizes = torch.tensor([20, 17, 4]), torch.tensor([6, 5, 0])
    log_probs = logits.log_softmax(2)
    expected, _ = ctc_loss(log_probs, lengths, labels, sizes)
    topology = CtcTopology()
    cells = logits[:, :, None].expand(-1, -1, labels.shape[1] + 1, -1)
    losses = full_sum_loss(
        scores_of(cells, labels, sizes, topology), labels, lengths, sizes, topology
    )
    torch.testing.assert_close(losses.float(), expected.float())
    wanted = torch.autograd.grad(expected.sum(), logits)[0]
    found = torch.autograd.grad(losses.sum(), logits)[0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@ALL
def test_long_utterances_keep_their_digits(topology: Topology) -> None:
    torch.manual_seed(4)
    labels = torch.randint(0, 4, (1, 100))
    given = (labels, torch.tensor([1000]), torch.tensor([100]), topology)
    exact = (20 * torch.randn(topology.symbols, 1, 1000, 101)).double().requires_grad_()
    rough = exact.detach().float().requires_grad_()
    full_sum_loss(exact, *given).sum().backward()
    full_sum_loss(rough, *given).sum().backward()
    assert exact.grad is not None
    assert rough.grad is not None
    torch.testing.assert_close(rough.grad.double(), exact.grad, atol=1e-6, rtol=0)
    # Each frame is left once, by a blank of RNN-T or any symbol of the others.
    leaving = exact.grad[:1] if isinstance(topology, RnntTopology) else exact.grad
    torch.testing.assert_close(leaving.sum((0, 3)), -torch.ones(1, 1000, dtype=torch.float64))


@ALL
def test_scores_in_bfloat16_are_summed_exactly(topology: Topology) -> None:
    logits, labels, lengths, sizes = example()
    rounded = scores_of(logits, labels, sizes, topology).bfloat16()
    given = (labels, lengths, sizes, topology)
    losses = full_sum_loss(rounded, *given)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, full_sum_loss(rounded.double(), *given).float())
    low, high = rounded.clone().requires_grad_(), rounded.double().requires_grad_()
    full_sum_loss(low, *given)[:3].sum().backward()
    full_sum_loss(high, *given)[:3].sum().backward()
    assert low.grad is not None
    assert low.grad.dtype == torch.bfloat16
    torch.testing.assert_close(low.grad.double(), high.grad, atol=4e-3, rtol=4e-3)

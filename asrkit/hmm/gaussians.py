"""Mixtures of Gaussians with diagonal covariances: scores of frames, and training by EM.

The Gaussians of all states stand in one table, sorted by state. The logarithm of a Gaussian is
linear in [x, x²], so the scores of many frames and Gaussians are one matrix product.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

VARIANCE_FLOOR = 1e-3
MIN_OCCUPANCY = 3.0
"""A Gaussian of fewer frames is left out."""
LEAST = 1e-3
"""Frames that a Gaussian without any is taken to have, so that its weight stays above 0."""
PERTURBATION = 0.01
"""Standard deviations by which the halves of a Gaussian move apart."""
SHARE_POWER = 0.25
"""States get Gaussians in proportion to their frames to this power."""


@dataclass(frozen=True)
class Mixtures:
    """The G Gaussians of S states.

    Args:
        offsets: (S + 1,) state s has the Gaussians offsets[s] .. offsets[s + 1] - 1.
        log_weights: (G,) logarithms of the weights, which sum to 1 in every state.
        means: (G, D).
        variances: (G, D).
    """

    offsets: Tensor
    log_weights: Tensor
    means: Tensor
    variances: Tensor

    @property
    def num_states(self) -> int:
        """S."""
        return len(self.offsets) - 1

    def __len__(self) -> int:
        """G."""
        return len(self.log_weights)

    @cached_property
    def factors(self) -> Tensor:
        """(G, 2 D) what [x, x²] is multiplied with."""
        return torch.cat([self.means / self.variances, -0.5 / self.variances], dim=1).float()

    @cached_property
    def constants(self) -> Tensor:
        """(G,) what is added, the logarithm of the weight in it."""
        scaled = self.means.square() / self.variances + self.variances.log() + math.log(2 * math.pi)
        return (self.log_weights - 0.5 * scaled.sum(1)).float()

    def log_likelihoods(self, frames: Tensor, states: Tensor | None = None) -> Tensor:
        """Returns log p(frame | state) (T, P).

        Args:
            frames: (T, D).
            states: (P,) which states; all of them where null.
        """
        if states is None:
            states = torch.arange(self.num_states, device=frames.device)
        sizes = self.offsets.diff()[states]
        # States of equally many Gaussians are scored together: (n, size, T) needs no padding.
        result = frames.new_empty(len(states), len(frames), dtype=torch.float32)
        powers = torch.cat([frames, frames.square()], dim=1).float().T.contiguous()  # (2 D, T)
        for size in sizes.unique().tolist():
            which = (sizes == size).nonzero()[:, 0]
            rows = (
                self.offsets[states[which], None] + torch.arange(size, device=frames.device)
            ).flatten()
            scores = torch.addmm(self.constants[rows, None], self.factors[rows], powers)
            if size > 1:
                scores = scores.view(len(which), size, len(frames)).logsumexp(1)
            result[which] = scores
        return result.T.contiguous()

    def log_joint(self, frames: Tensor, state: int) -> Tensor:
        """Returns log p(frame, Gaussian | state) (T, C) of frames (T, D)."""
        begin, end = self.offsets[state : state + 2].tolist()
        powers = torch.cat([frames, frames.square()], dim=1).float()
        return torch.addmm(self.constants[begin:end], powers, self.factors[begin:end].T)


@dataclass
class Statistics:
    """What frames say about the Gaussians that they were counted to.

    Args:
        counts: (G,) frames.
        sums: (G, D).
        squares: (G, D) sums of squares.
        log_likelihood: Of all frames, given their states.
        frames: How many.
    """

    counts: Tensor
    sums: Tensor
    squares: Tensor
    log_likelihood: float = 0.0
    frames: int = 0


@dataclass(frozen=True)
class SortedFrames:
    """Frames by state.

    Args:
        order: (T,) numbers of the frames, those of a state together.
        states: (P,) the states that occur.
        ends: (P + 1,) state p has order[ends[p]] .. order[ends[p + 1] - 1].
    """

    order: Tensor
    states: list[int]
    ends: list[int]


def sort_by_state(states: Tensor) -> SortedFrames:
    """Returns frames sorted by their states (T,); negative states are left out."""
    order = states.argsort(stable=True)
    order = order[states[order] >= 0]
    found, counts = states[order].unique_consecutive(return_counts=True)
    return SortedFrames(order, found.tolist(), [0, *counts.cumsum(0).tolist()])


def single_gaussians(frames: Tensor, states: Tensor, num_states: int) -> Mixtures:
    """Returns one Gaussian per state; a state without frames gets that of all frames.

    Args:
        frames: (T, D).
        states: (T,) the state of each frame; negative where it has none.
        num_states: S.
    """
    used = states >= 0
    chosen, values = states[used], frames[used].double()
    counts = torch.bincount(chosen, minlength=num_states).double()[:, None]
    zeros = values.new_zeros(num_states, values.shape[1])
    sums, squares = zeros.index_add(0, chosen, values), zeros.index_add(0, chosen, values.square())
    few = counts < MIN_OCCUPANCY
    mean = torch.where(few, values.mean(0), sums / counts.clamp(min=1))
    square = torch.where(few, values.square().mean(0), squares / counts.clamp(min=1))
    variance = (square - mean.square()).clamp(min=VARIANCE_FLOOR)
    offsets = torch.arange(num_states + 1)
    return Mixtures(offsets, torch.zeros(num_states), mean.float(), variance.float())


def accumulate(
    mixtures: Mixtures, frames: Tensor, by_state: SortedFrames, counted: Tensor | None = None
) -> Statistics:
    """Counts frames to the Gaussians of their states, by posterior probability.

    Args:
        mixtures: The model.
        frames: (T, D).
        by_state: Which frame belongs to which state.
        counted: (T, D) what sums are taken of, where that is not what is scored.
    """
    counted = frames if counted is None else counted
    size = mixtures.means.shape
    found = Statistics(
        torch.zeros(size[0], dtype=torch.float64),
        torch.zeros(size, dtype=torch.float64),
        torch.zeros(size, dtype=torch.float64),
    )
    offsets = mixtures.offsets.tolist()
    for place, state in enumerate(by_state.states):
        rows = by_state.order[by_state.ends[place] : by_state.ends[place + 1]]
        joint = mixtures.log_joint(frames[rows], state)
        total = joint.logsumexp(1, keepdim=True)
        posteriors = (joint - total).exp().T  # (C, T)
        own, chosen = slice(offsets[state], offsets[state + 1]), counted[rows]
        found.counts[own] += posteriors.sum(1)
        found.sums[own] += posteriors @ chosen
        found.squares[own] += posteriors @ chosen.square()
        found.log_likelihood += float(total.double().sum())
        found.frames += len(chosen)
    return found


def update(mixtures: Mixtures, found: Statistics, min_occupancy: float = MIN_OCCUPANCY) -> Mixtures:
    """Returns the mixtures that make the counted frames likeliest.

    Gaussians of few frames are left out; a state without others stays as it was.

    Args:
        mixtures: What the frames were counted with.
        found: The statistics.
        min_occupancy: Frames that a Gaussian must have; with 0 all stay.
    """
    owners = torch.repeat_interleave(mixtures.offsets.diff())
    totals = torch.zeros(mixtures.num_states, dtype=torch.float64)
    totals.index_add_(0, owners, found.counts)
    counts = found.counts[:, None].clamp(min=1e-10)
    mean = found.sums / counts
    variance = (found.squares / counts - mean.square()).clamp(min=VARIANCE_FLOOR)
    enough = found.counts >= min_occupancy
    most = torch.full_like(totals, -1).scatter_reduce(0, owners, found.counts, "amax")
    untouched = (most < min_occupancy)[owners]  # no Gaussian of the state has enough frames
    kept = enough | untouched
    weights = torch.where(
        untouched, mixtures.log_weights.double().exp(), found.counts.clamp(min=LEAST)
    )
    sums = torch.zeros_like(totals).index_add_(0, owners[kept], weights[kept])
    old = (untouched | (found.counts < 1))[:, None]  # less than a frame tells nothing
    sizes = torch.bincount(owners[kept], minlength=mixtures.num_states)
    return Mixtures(
        torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
        (weights[kept] / sums[owners[kept]]).log().float(),
        torch.where(old, mixtures.means.double(), mean)[kept].float(),
        torch.where(old, mixtures.variances.double(), variance)[kept].float(),
    )


def mixed_up(mixtures: Mixtures, counts: Tensor, total: int, min_frames: float = 20.0) -> Mixtures:
    """Returns mixtures of more Gaussians: the heaviest of a state are split in two.

    Args:
        mixtures: The model.
        counts: (S,) frames of each state.
        total: So many Gaussians are wanted; there may be fewer, where states have few frames.
        min_frames: A state has at most a Gaussian per so many frames.
    """
    sizes = _sizes(mixtures.offsets.diff().tolist(), counts.tolist(), total, min_frames)
    columns = [_split(mixtures, state, size) for state, size in enumerate(sizes)]
    log_weights, means, variances = (torch.cat(part) for part in zip(*columns, strict=True))
    offsets = torch.tensor([0, *sizes]).cumsum(0)
    return replace(
        mixtures, offsets=offsets, log_weights=log_weights, means=means, variances=variances
    )


def _sizes(sizes: list[int], counts: list[float], total: int, min_frames: float) -> list[int]:
    """Returns how many Gaussians each state gets; the state of most frames per Gaussian first."""

    def entry(state: int) -> tuple[float, int]:
        return -(counts[state] ** SHARE_POWER) / sizes[state], state

    heap = [entry(state) for state in range(len(sizes))]
    heapq.heapify(heap)
    missing = total - sum(sizes)
    while heap and missing > 0:
        state = heapq.heappop(heap)[1]
        if counts[state] >= min_frames * (sizes[state] + 1):
            sizes[state] += 1
            missing -= 1
            heapq.heappush(heap, entry(state))
    return sizes


def _split(mixtures: Mixtures, state: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns log weights, means and variances of a state, with `size` Gaussians."""
    begin, end = mixtures.offsets[state : state + 2].tolist()
    if size == end - begin:
        rows = slice(begin, end)
        return mixtures.log_weights[rows], mixtures.means[rows], mixtures.variances[rows]
    weights = mixtures.log_weights[begin:end].tolist()
    means, variances = list(mixtures.means[begin:end]), list(mixtures.variances[begin:end])
    while len(weights) < size:
        heaviest = max(range(len(weights)), key=weights.__getitem__)
        step = PERTURBATION * variances[heaviest].sqrt()
        weights[heaviest] -= math.log(2)
        weights.append(weights[heaviest])
        means.append(means[heaviest] + step)
        means[heaviest] = means[heaviest] - step
        variances.append(variances[heaviest])
    return torch.tensor(weights), torch.stack(means), torch.stack(variances)


@dataclass(frozen=True)
class Expectations:
    """What the Gaussians of their states say about T frames, weighted by posterior probability.

    Args:
        precisions: (T, D) expected inverse variances.
        targets: (T, D) expected means over variances.
    """

    precisions: Tensor
    targets: Tensor


def expectations(
    mixtures: Mixtures,
    frames: Tensor,
    by_state: SortedFrames,
    scored_by: Mixtures | None = None,
) -> Expectations:
    """Returns precisions and targets, in the order of `by_state.order`.

    Args:
        mixtures: The model.
        frames: (T, D), from which the posterior probabilities are.
        by_state: Which frame belongs to which state.
        scored_by: Give the posterior probabilities, if not the model; as many Gaussians.
    """
    scored_by = scored_by or mixtures
    inverse = 1 / mixtures.variances
    both = torch.cat([inverse, mixtures.means * inverse], dim=1)  # (G, 2 D)
    offsets, found = mixtures.offsets.tolist(), []
    for place, state in enumerate(by_state.states):
        chosen = frames[by_state.order[by_state.ends[place] : by_state.ends[place + 1]]]
        posteriors = scored_by.log_joint(chosen, state).softmax(1)  # (n, C)
        found.append(posteriors @ both[offsets[state] : offsets[state + 1]])
    precisions, targets = torch.cat(found).chunk(2, dim=1)
    return Expectations(precisions, targets)

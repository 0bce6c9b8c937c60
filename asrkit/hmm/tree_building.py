"""Grows decision trees: which phones are alike, which question gains most, until there are enough.

Frames of a phone in context are summed up as one Gaussian. The gain of a question is the rise of
the log-likelihood where both answers have a Gaussian of their own.

Source: Young, Odell & Woodland, "Tree-based state tying for high accuracy acoustic modelling"
(1994); questions from the data as in Kaldi (Povey et al. 2011, section 5).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from asrkit.hmm.questions import around
from asrkit.hmm.topology import HmmTopology, Phones
from asrkit.hmm.tree import Bools, Ints, Nodes, Tree

Doubles = npt.NDArray[np.float64]
FLOOR = 0.01
"""Least variance of the Gaussians that questions are judged by."""
MIN_FRAMES = 100.0
CHUNK = 1 << 16
"""Frames that are summed up at a time."""


@dataclass(frozen=True)
class ContextStatistics:
    """Frames of N states of phones in context.

    Args:
        contexts: (N, 4) left neighbour, phone, right neighbour, state.
        sums: (N, 1 + 2 D) number of frames, their sum and their sum of squares.
    """

    contexts: Ints
    sums: Doubles


@dataclass(frozen=True)
class Growth:
    """A tree and what growing it has gained.

    Args:
        tree: The tree.
        gain: Rise of the log-likelihood, of all frames together.
        gains: The rises one by one, in the order of splitting.
    """

    tree: Tree
    gain: float
    gains: list[float]


def context_statistics(contexts: Ints, frames: npt.NDArray[np.float32]) -> ContextStatistics:
    """Sums frames (T, D) up by their contexts (T, 4)."""
    base = int(contexts.max()) + 1
    keys = contexts @ (base ** np.arange(4)[::-1])
    found, places = np.unique(keys, return_inverse=True)
    sums = torch.zeros(len(found), 1 + 2 * frames.shape[1], dtype=torch.float64)
    parts = torch.from_numpy(frames).split(CHUNK), torch.from_numpy(places).split(CHUNK)
    for part, own in zip(*parts, strict=True):
        columns = [torch.ones(len(part), 1), part, part.square()]
        sums.index_add_(0, own, torch.cat(columns, dim=1).double())
    rows = np.stack([found // base**power % base for power in (3, 2, 1, 0)], axis=1)
    return ContextStatistics(rows, sums.numpy())


def log_likelihood(sums: Doubles) -> Doubles:
    """Returns the log-likelihood (...) of frames under their own Gaussian, but for a constant.

    Args:
        sums: (..., 1 + 2 D) number, sum, and sum of squares.
    """
    size = (sums.shape[-1] - 1) // 2
    counts = np.maximum(sums[..., :1], 1e-10)
    mean = sums[..., 1 : size + 1] / counts
    variance = np.maximum(sums[..., size + 1 :] / counts - mean**2, FLOOR)
    result: Doubles = -0.5 * sums[..., 0] * (np.log(variance).sum(-1) + size)
    return result


def questions_by_clustering(found: ContextStatistics, phones: Phones) -> list[list[int]]:
    """Returns sets of alike phones: all that appear while the closest clusters are joined.

    The sets of silence, noise and the utterance's edge are added.
    """
    ids = [phones.ids[name] for name in phones.speech]
    clusters = [([i], found.sums[found.contexts[:, 1] == i].sum(0)) for i in ids]
    clusters = [cluster for cluster in clusters if cluster[1][0] > 0]
    questions = [members for members, _ in clusters]
    while len(clusters) > 2:
        sums = np.stack([total for _, total in clusters])
        own = log_likelihood(sums)
        loss = own[:, None] + own - log_likelihood(sums[:, None] + sums)
        np.fill_diagonal(loss, np.inf)
        one, two = sorted(np.unravel_index(loss.argmin(), loss.shape))
        second, first = clusters.pop(int(two)), clusters.pop(int(one))
        clusters.append((sorted(first[0] + second[0]), first[1] + second[1]))
        questions.append(clusters[-1][0])
    return [*questions, *around(phones)]


@dataclass(frozen=True)
class _Split:
    """The best question of a leaf: the leaf's own rows that say yes."""

    gain: float
    key: int
    members: Bools
    answers: Bools


@dataclass(frozen=True)
class _Leaf:
    node: int
    rows: Ints


_Candidate = tuple[float, int, _Leaf, _Split]
"""-gain, number of the node, which decides between equal gains, and what is to be done."""


class TreeBuilder:
    """Grows the trees of all phones together: the best question of any leaf is next.

    Args:
        found: The frames.
        phones: The phones.
        topology: How many states they have.
        questions: Sets of phones that neighbours are asked for.
        min_frames: That both answers must have.
        apart: Whether every state of a phone has a tree of its own, and so tied states of its own.
    """

    def __init__(
        self,
        found: ContextStatistics,
        phones: Phones,
        topology: HmmTopology,
        questions: Sequence[Sequence[int]],
        min_frames: float = MIN_FRAMES,
        apart: bool = False,
    ) -> None:
        self.found, self.phones, self.topology = found, phones, topology
        self.apart = apart
        self.min_frames = min_frames
        self.most = max(topology.states, topology.silence_states)
        self.width = max(len(phones), self.most)
        self._asked = [_members(questions, self.width)] * 2
        self._asked.append(_members([[s] for s in range(topology.states)], self.width))
        self._keys: list[int] = []
        self._members: list[Bools] = []
        self._children: list[tuple[int, int]] = []

    def grow(self, num_states: int) -> Growth:
        """Returns a tree of so many tied states, or of fewer if no question is left."""
        roots, leaves = self._roots()
        count, gains = len(self._keys), list[float]()
        heap = list[_Candidate]()
        self._judge(leaves, heap)
        while heap and count < num_states:
            cost, _, leaf, split = heapq.heappop(heap)
            gains.append(-cost)
            count += 1
            self._judge(self._divided(leaf, split), heap)
        return Growth(Tree(self.phones, roots, self._nodes()), sum(gains), gains)

    def _roots(self) -> tuple[Ints, list[_Leaf]]:
        """Makes a root per phone or state of speech, and a leaf per state of silence and noise."""
        roots = np.full((len(self.phones), self.most), -1)
        leaves = []
        for phone, name in enumerate(self.phones.names[1:], start=1):
            states = self.topology.states_of(name)
            if phone in self.phones.independent:
                roots[phone, :states] = [self._new() for _ in range(states)]
                continue
            own = self.found.contexts[:, 1] == phone
            for some in [[s] for s in range(states)] if self.apart else [list(range(states))]:
                roots[phone, some] = self._new()
                rows = np.flatnonzero(own & np.isin(self.found.contexts[:, 3], some))
                leaves.append(_Leaf(int(roots[phone, some[0]]), rows))
        return roots, leaves

    def _new(self) -> int:
        self._keys.append(-1)
        self._members.append(np.zeros(self.width, np.bool_))
        self._children.append((-1, -1))
        return len(self._keys) - 1

    def _judge(self, leaves: Iterable[_Leaf], heap: list[_Candidate]) -> None:
        """Puts leaves with their best questions into the heap."""
        for leaf in leaves:
            split = self._best_split(leaf)
            if split:
                heapq.heappush(heap, (-split.gain, leaf.node, leaf, split))

    def _best_split(self, leaf: _Leaf) -> _Split | None:
        contexts, sums = self.found.contexts[leaf.rows], self.found.sums[leaf.rows]
        if sums[:, 0].sum() < 2 * self.min_frames:
            return None
        total = sums.sum(0)
        splits = [
            self._best(key, contexts[:, column], sums, total)
            for key, column in enumerate((0, 2, 3))  # the order of `KEYS`
        ]
        return max((s for s in splits if s), key=lambda split: split.gain, default=None)

    def _best(self, key: int, values: Ints, sums: Doubles, total: Doubles) -> _Split | None:
        """Returns the best question about one key, None where none divides the frames well."""
        of_value = (values == np.arange(self.width)[:, None]).astype(np.float64) @ sums
        yes = self._asked[key].astype(np.float64) @ of_value  # (questions, 1 + 2 D)
        no = total - yes
        gains = log_likelihood(yes) + log_likelihood(no) - log_likelihood(total)
        gains[np.minimum(yes[:, 0], no[:, 0]) < self.min_frames] = -np.inf
        best = int(gains.argmax())
        if gains[best] <= 0:
            return None
        members = self._asked[key][best]
        return _Split(float(gains[best]), key, members, members[values])

    def _divided(self, leaf: _Leaf, split: _Split) -> tuple[_Leaf, _Leaf]:
        yes, no = self._new(), self._new()
        self._keys[leaf.node], self._members[leaf.node] = split.key, split.members
        self._children[leaf.node] = (yes, no)
        return _Leaf(yes, leaf.rows[split.answers]), _Leaf(no, leaf.rows[~split.answers])

    def _nodes(self) -> Nodes:
        keys, children = np.array(self._keys), np.array(self._children)
        leaves = keys < 0
        tied = np.where(leaves, leaves.cumsum() - 1, -1)
        return Nodes(keys, np.stack(self._members), children[:, 0], children[:, 1], tied)


def _members(questions: Sequence[Sequence[int]], width: int) -> Bools:
    """Returns which values (Q, V) belong to each question."""
    result = np.zeros((len(questions), width), np.bool_)
    for row, values in zip(result, questions, strict=True):
        row[list(values)] = True
    return result

"""Tied states as LF-MMI has them, from the alignments of another model.

A phone has two states: its first frame, and all others, of which there may be none. Frames are
three times as long as those of features. Tied states ask for the phone before only, and those of
first frames are never those of others, so that states alone tell where phones begin.

Source: Povey et al. 2016, "Purely sequence-trained neural networks for ASR based on lattice-free
MMI"; Kaldi's chain topology and steps/nnet3/chain/build_tree.sh.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from asrkit.hmm.alignments import Alignment
from asrkit.hmm.graphs import Transitions
from asrkit.hmm.phone_ngram import PhoneNgram
from asrkit.hmm.topology import EDGE, Costs, HmmTopology, Phones
from asrkit.hmm.tree import Tree
from asrkit.hmm.tree_building import (
    MIN_FRAMES,
    ContextStatistics,
    TreeBuilder,
    context_statistics,
    questions_by_clustering,
)
from asrkit.losses.mmi_graphs import NONE, Denominator

HALF = math.log(2.0)
_COSTS = Costs(loop=HALF, forward=HALF, skip=HALF)
TOPOLOGY = HmmTopology(states=2, silence_states=2, speech=_COSTS, silence=_COSTS, noise=_COSTS)
"""Of all phones. Where all ways on cost the same they cost nothing: there is one in each frame."""
STEPS = 100
"""Frames over which the probabilities of histories are averaged that chunks begin in."""


def chain_alignment(found: Alignment, tree: Tree) -> Alignment:
    """Returns the same phones with the tied states of a tree of this topology."""
    positions = np.ones(len(found), np.int32)
    positions[found.starts] = 0
    left, phone, _, position = replace(found, positions=positions).contexts().T.astype(np.int64)
    states = tree.look_up(left, phone, np.full_like(left, EDGE), position)
    return replace(found, positions=positions, states=states.astype(np.int32))


def step_contexts(
    found: Alignment, step: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """Returns left neighbour, phone, edge and state (T', 4) of every `step`-th frame, and which.

    Every phone has its first frame among them, since none is shorter than they are apart.
    """
    frames = np.arange(0, len(found), step)
    positions = np.ones(len(found), np.int32)
    firsts = -(-found.starts // step) * step
    positions[firsts[firsts < len(found)]] = 0
    contexts = replace(found, positions=positions).contexts().astype(np.int64)
    contexts[:, 2] = EDGE
    return contexts[frames], frames


def chain_tree(
    phones: Phones,
    utterances: Iterable[tuple[Alignment, npt.NDArray[np.float32]]],
    num_states: int,
    step: int,
    min_frames: float = MIN_FRAMES,
) -> Tree:
    """Grows a tree of so many tied states, or of fewer where speech is short.

    Args:
        phones: The phones.
        utterances: Alignments and features (T, F).
        num_states: S.
        step: Frames of features in a frame.
        min_frames: Such frames that each tied state has at least.
    """
    contexts, frames = [], []
    for alignment, features in utterances:
        rows, places = step_contexts(alignment, step)
        contexts.append(rows)
        frames.append(features[places])
    found = context_statistics(np.concatenate(contexts), np.concatenate(frames))
    questions = questions_by_clustering(_by_phone(found), phones)
    builder = TreeBuilder(found, phones, TOPOLOGY, questions, min_frames, apart=True)
    return builder.grow(num_states).tree


def _by_phone(found: ContextStatistics) -> ContextStatistics:
    """Returns the statistics of phones, so that clustering them is quick."""
    phones, places = np.unique(found.contexts[:, 1], return_inverse=True)
    sums = np.zeros((len(phones), found.sums.shape[1]))
    np.add.at(sums, places, found.sums)
    contexts = np.zeros((len(phones), 4), np.int64)
    contexts[:, 1] = phones
    return ContextStatistics(contexts, sums)


def chain_transitions(tree: Tree) -> Transitions:
    """Returns what moves cost: the first frame's state can't be stayed in."""
    loops = np.full(tree.num_states, HALF, np.float32)
    loops[begins_of(tree)] = np.inf
    return Transitions(loops, np.full(tree.num_states, HALF, np.float32))


def begins_of(tree: Tree) -> npt.NDArray[np.bool_]:
    """Returns which tied states (S,) are those of phones' first frames."""
    result = np.zeros(tree.num_states, np.bool_)
    result[tree.leaves_of(0)] = True
    return result


def denominator_of(model: PhoneNgram, tree: Tree) -> Denominator:
    """Returns all that an n-gram model can say, in tied states."""
    befores, lasts = np.array([(EDGE, *history)[-2:] for history in model.histories]).T
    sources, phones, targets = (np.array([arc[i] for arc in model.arcs]) for i in range(3))
    chances = np.array([arc[3] for arc in model.arcs])
    firsts = tree.look_up(lasts[sources], phones, np.full_like(phones, EDGE), np.zeros_like(phones))
    said = np.flatnonzero(lasts != EDGE)
    stays = np.full(len(lasts), NONE)
    ones, edges = np.ones_like(said), np.full_like(said, EDGE)
    stays[said] = tree.look_up(befores[said], lasts[said], edges, ones)
    stay_weights = np.where(stays == NONE, 0.0, 0.5)
    weights = 0.5 * chances
    initial = _initial(sources, targets, weights, stay_weights)
    return Denominator(
        stays.astype(np.int32),
        stay_weights.astype(np.float32),
        initial.astype(np.float32),
        sources.astype(np.int32),
        targets.astype(np.int32),
        firsts.astype(np.int32),
        weights.astype(np.float32),
        tree.owners().astype(np.int32),
        begins_of(tree),
        np.stack([befores, lasts], axis=1).astype(np.int32),
    )


def _initial(
    sources: npt.NDArray[np.int64],
    targets: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    stay_weights: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Returns how probable histories are in the first frames of an utterance, averaged."""
    at = np.zeros(len(stay_weights))
    at[0] = 1.0
    total = np.zeros_like(at)
    for _ in range(STEPS):
        total += at / STEPS
        moved = np.bincount(targets, at[sources] * weights, len(at)) + at * stay_weights
        at = moved / moved.sum()
    return total

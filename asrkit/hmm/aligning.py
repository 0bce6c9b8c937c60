"""Aligns all utterances of a set with a model, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from asrkit.hmm.alignments import Alignment, alignment_of
from asrkit.hmm.graphs import GraphCompiler, state_graph
from asrkit.hmm.hmm_folder import Hmm
from asrkit.hmm.model import Model
from asrkit.hmm.speech import Utterance
from asrkit.hmm.viterbi import BEAM, Path, StateGraph, best_path_by_mixtures

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Aligned:
    """What aligning a set gave.

    Args:
        found: The alignments by name of the utterance.
        failed: Names of utterances that have no path.
        score: Sum of all paths' log-likelihoods, less their costs.
        frames: Of the utterances that have one.
    """

    found: dict[str, Alignment]
    failed: list[str]
    score: float
    frames: int

    @property
    def score_per_frame(self) -> float:
        """Mean of the paths' scores."""
        return self.score / max(self.frames, 1)


def align(
    utterances: Iterable[Utterance],
    frames: Tensor,
    model: Model,
    compiler: GraphCompiler,
    beam: float = BEAM,
    jobs: int = 1,
) -> Aligned:
    """Aligns utterances.

    Args:
        utterances: With their places in the frames.
        frames: (N, D) features of all of them.
        model: What they are scored by.
        compiler: Makes the graphs of their transcripts.
        beam: Of the search.
        jobs: Threads.
    """

    def one(utterance: Utterance) -> tuple[str, Alignment, float] | str:
        own = frames[utterance.begin : utterance.end]
        result = align_one(utterance.words, own, model, compiler, beam)
        return utterance.name if result is None else (utterance.name, *result)

    results = list(_mapped(one, list(utterances), jobs))
    done = [result for result in results if not isinstance(result, str)]
    return Aligned(
        {name: alignment for name, alignment, _ in done},
        [result for result in results if isinstance(result, str)],
        sum(score for _, _, score in done),
        sum(len(alignment) for _, alignment, _ in done),
    )


def align_one(
    words: Iterable[str], frames: Tensor, model: Model, compiler: GraphCompiler, beam: float = BEAM
) -> tuple[Alignment, float] | None:
    """Returns the alignment of one utterance and its score; None where it has no path.

    Args:
        words: The transcript.
        frames: (T, D) features.
        model: What they are scored by.
        compiler: Makes the graph.
        beam: Of the search.
    """
    phones = compiler.compile(list(words))
    expanded = model.state_graph(phones)
    path = best_path_by_mixtures(expanded.graph, model.mixtures, frames, beam)
    if path is None:
        return None
    return alignment_of(path.states, expanded, phones), path.score


def align_words(
    words: Iterable[str],
    search: Callable[[StateGraph], Path | None],
    hmm: Hmm,
    compiler: GraphCompiler,
) -> Alignment | None:
    """Returns the alignment of one utterance; None where it has no path.

    Args:
        words: The transcript.
        search: Finds the best path through a graph of tied states.
        hmm: What these states are.
        compiler: Makes the graph.

    Raises:
        UserError: If a word has no pronunciation.
    """
    phones = compiler.compile(list(words))
    expanded = state_graph(phones, hmm.topology, hmm.tree, hmm.transitions)
    path = search(expanded.graph)
    return None if path is None else alignment_of(path.states, expanded, phones)


def frame_states(utterances: Sequence[Utterance], found: Mapping[str, Alignment]) -> Tensor:
    """Returns the tied states (N,) of all frames, -1 where an utterance has no alignment."""
    result = torch.full((sum(map(len, utterances)),), -1)
    for one in utterances:
        if one.name in found:
            result[one.begin : one.end] = torch.from_numpy(found[one.name].states).long()
    return result


def _mapped(function: Callable[[Item], Result], items: list[Item], jobs: int) -> Iterable[Result]:
    if jobs <= 1:
        return map(function, items)
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(function, items))

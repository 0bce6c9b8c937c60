"""Transcripts for LF-MMI without alignments: as graphs, and said at random for phone n-grams."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from asrkit.errors import UserError
from asrkit.hmm.graphs import GraphCompiler, PhoneGraph
from asrkit.hmm.topology import SILENCE
from asrkit.losses.mmi_graphs import NONE, Denominator
from asrkit.losses.said_graphs import SaidGraph

_Place = tuple[int, int, int]
"""A node of the graph of phones, the history after its phone, and the tied state it begins with."""


def drawn_phones(compiler: GraphCompiler, words: Sequence[str], draw: random.Random) -> list[int]:
    """Returns the phones of one way to say a transcript, by the probabilities of all ways.

    Raises:
        UserError: If a word has no pronunciation.
    """
    ids, pause = compiler.phones.ids, math.exp(-compiler.pause)
    found = [ids[SILENCE]] if draw.random() < pause else []
    for word in words:
        variants = compiler.variants(word)
        (chosen,) = draw.choices(variants, [one.probability for one in variants])
        found += [ids[phone] for phone in chosen.phones]
        if draw.random() < pause:
            found.append(ids[SILENCE])
    return found


class SaidGraphs:
    """Makes graphs of transcripts.

    Args:
        compiler: Knows pronunciations.
        denominator: All that can be said, of the same phones.
    """

    def __init__(self, compiler: GraphCompiler, denominator: Denominator) -> None:
        self.compiler, self.denominator = compiler, denominator

    def __call__(self, words: Sequence[str]) -> SaidGraph | None:
        """Returns the graph of a transcript; None where it has a word without pronunciation."""
        try:
            return self._joined(self.compiler.compile(words))
        except UserError:
            return None

    def _joined(self, phones: PhoneGraph) -> SaidGraph:
        """Returns the paths that phones and the denominator have in common."""
        onwards: list[list[int]] = [[] for _ in range(len(phones))]
        for source, target in phones.arcs.tolist():
            onwards[source].append(target)
        names = phones.contexts[:, 1].tolist()
        made = _Joined()
        first = _log(self.denominator.initial[0])
        for node in np.flatnonzero(np.isfinite(phones.starts)).tolist():
            self._enter(made, None, 0, node, names[node], first)
        for node in range(len(phones)):  # arcs lead forwards
            for place in list(made.of_node.get(node, ())):
                for target in onwards[node]:
                    self._enter(made, place, made.histories[place], target, names[target], 0.0)
        return made.graph(self.denominator, np.isfinite(phones.ends))

    def _enter(
        self, made: _Joined, source: int | None, history: int, node: int, phone: int, weight: float
    ) -> None:
        arc = self.denominator.arc(history, phone)
        if arc is None:
            return
        given = self.denominator
        place = made.place((node, int(given.targets[arc]), int(given.states[arc])))
        weight += _log(given.weights[arc])
        if source is None:
            made.starts[place] = weight
        else:
            made.arcs.append((place, source, weight))


class _Joined:
    """Places and arcs so far."""

    def __init__(self) -> None:
        self.numbers: dict[_Place, int] = {}
        self.histories: list[int] = []
        self.of_node: dict[int, list[int]] = {}
        self.starts: dict[int, float] = {}
        self.arcs: list[tuple[int, int, float]] = []

    def place(self, key: _Place) -> int:
        """Returns the number of a place."""
        if key not in self.numbers:
            self.numbers[key] = len(self.numbers)
            self.histories.append(key[1])
            self.of_node.setdefault(key[0], []).append(self.numbers[key])
        return self.numbers[key]

    def graph(self, given: Denominator, ends: Any) -> SaidGraph:
        """Returns all of it; `ends` tells which nodes (N,) paths end in."""
        size = len(self.numbers)
        nodes, histories, firsts = (np.array([key[i] for key in self.numbers], np.int64)
                                    for i in range(3))  # fmt: skip
        starts = np.full(size, -np.inf)
        starts[list(self.starts)] = list(self.starts.values())
        arcs = sorted(self.arcs)
        entering = np.bincount([arc[0] for arc in arcs], minlength=size)
        stays = given.stays[histories]
        with np.errstate(divide="ignore"):
            loops = np.log(given.stay_weights[histories].astype(np.float64))
        return SaidGraph(
            firsts.astype(np.int32),
            stays.astype(np.int32),
            np.where(stays == NONE, -np.inf, loops),
            starts,
            ends[nodes],
            np.concatenate([[0], entering.cumsum()]).astype(np.int32),
            np.array([arc[1] for arc in arcs], np.int32),
            np.array([arc[2] for arc in arcs], np.float64),
        )


def _log(probability: Any) -> float:
    return math.log(float(probability)) if probability > 0 else -math.inf

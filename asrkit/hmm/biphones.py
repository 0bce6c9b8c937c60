"""Tied states without alignments: one for each phone after each phone that it was said after.

Source: Hadian et al. 2018, "End-to-end speech recognition using lattice-free MMI" (full biphones).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from asrkit.hmm.topology import EDGE, Phones
from asrkit.hmm.tree import KEYS, Nodes, Tree

STATES = 2
"""A phone's first frame, and further ones."""
LEFT = KEYS.index("left")


def biphone_tree(phones: Phones, said: Iterable[Sequence[int]]) -> Tree:
    """Returns the tree of all pairs of phones that were said.

    Phones after others are as they are after the most frequent phone before them; silence and noise
    ask for nothing.

    Args:
        phones: The phones.
        said: Those of each utterance.
    """
    seen: dict[int, Counter[int]] = defaultdict(Counter)
    for utterance in said:
        for left, phone in zip([EDGE, *utterance[:-1]], utterance, strict=True):
            seen[phone][left] += 1
    grown = _Grown(len(phones))
    roots = np.full((len(phones), STATES), -1)
    for phone in range(1, len(phones)):
        lefts = sorted(seen[phone], key=lambda left: (seen[phone][left], left)) or [EDGE]
        if phone in phones.independent:
            lefts = [EDGE]
        for state in range(STATES):
            roots[phone, state] = grown.add(lefts)
    return Tree(phones, roots, grown.nodes())


class _Grown:
    """Nodes so far.

    Args:
        width: How many ids of phones there are.
    """

    def __init__(self, width: int) -> None:
        self.width = max(width, STATES)
        self.members: list[list[int]] = []
        self.ways: list[tuple[int, int]] = []
        self.tied: list[int] = []
        self.states = 0

    def add(self, lefts: list[int]) -> int:
        """Adds the nodes that tell some phones before apart; others are like the last of them."""
        place = len(self.tied)
        self.members.append([])
        self.ways.append((-1, -1))
        self.tied.append(-1)
        if len(lefts) == 1:
            self.tied[place] = self.states
            self.states += 1
        else:
            middle = len(lefts) // 2
            self.members[place] = lefts[:middle]
            self.ways[place] = self.add(lefts[:middle]), self.add(lefts[middle:])
        return place

    def nodes(self) -> Nodes:
        """Returns them all."""
        members = np.zeros((len(self.tied), self.width), np.bool_)
        for row, own in zip(members, self.members, strict=True):
            row[own] = True
        tied, (yes, no) = np.array(self.tied), np.array(self.ways).T
        return Nodes(np.where(tied < 0, LEFT, -1), members, yes, no, tied)

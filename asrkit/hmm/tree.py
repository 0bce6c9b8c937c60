"""Decision trees that tie the states of phones in context, by the likelihood of their frames.

Every phone of speech has a tree, which asks for the phone before, the phone after and the state; a
leaf is a tied state. Silence and noise have a tied state for each of theirs, whatever their
neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from asrkit.errors import UserError
from asrkit.files import json_line, write_text
from asrkit.hmm.topology import HmmTopology, Phones
from asrkit.records import read_json

KEYS = ("left", "right", "state")
"""What a tree can ask for."""
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class NodeRecord(TypedDict):
    """A node in a file: a leaf has a tied state only."""

    key: str
    yes_if: list[str]
    yes: int
    no: int
    tied: int


class TreeRecord(TypedDict):
    """A tree in a file."""

    phones: list[str]
    states: int
    silence_states: int
    roots: list[list[int]]
    nodes: list[NodeRecord]


@dataclass(frozen=True)
class Nodes:
    """The N nodes of all trees.

    Args:
        keys: (N,) index of what is asked for in `KEYS`; -1 in leaves.
        members: (N, V) for which values the answer is yes.
        yes: (N,) the next node if so.
        no: (N,) the next node otherwise.
        tied: (N,) the tied state of leaves, -1 elsewhere.
    """

    keys: Ints
    members: Bools
    yes: Ints
    no: Ints
    tied: Ints


class Tree:
    """Ties states of phones in context.

    Args:
        phones: The phones.
        roots: (V, states) where the tree of each phone's state begins; -1 where there is none.
        nodes: All nodes.
    """

    def __init__(self, phones: Phones, roots: Ints, nodes: Nodes) -> None:
        self.phones, self.roots, self.nodes = phones, roots, nodes
        self.num_states = int(nodes.tied.max()) + 1

    def look_up(self, left: Ints, phone: Ints, right: Ints, state: Ints) -> Ints:
        """Returns the tied states (N,) of phones (N,) between neighbours (N,), states (N,)."""
        known = state < self.roots.shape[1]
        at = np.where(known, self.roots[phone, np.where(known, state, 0)], -1)
        if (at < 0).any():
            wrong = int(np.flatnonzero(at < 0)[0])
            name = self.phones.names[int(phone[wrong])]
            raise UserError(f"the tree has no state {int(state[wrong])} of phone {name}")
        asked = np.stack([left, right, state])
        while (open_ := self.nodes.tied[at] < 0).any():
            here = at[open_]
            values = asked[self.nodes.keys[here], np.flatnonzero(open_)]
            answers = self.nodes.members[here, values]
            at[open_] = np.where(answers, self.nodes.yes[here], self.nodes.no[here])
        return self.nodes.tied[at]

    def owners(self) -> Ints:
        """Returns the phone (S,) that each tied state is of."""
        result = np.zeros(self.num_states, np.int64)
        for phone, row in enumerate(self.roots):
            for root in row[row >= 0]:
                for leaf in self._leaves(int(root)):
                    result[leaf] = phone
        return result

    def leaves_of(self, state: int) -> list[int]:
        """Returns the tied states that a state of any phone may have."""
        roots = self.roots[:, state]
        return sorted({leaf for root in roots[roots >= 0] for leaf in self._leaves(int(root))})

    def _leaves(self, root: int) -> list[int]:
        found, left = [], [root]
        while left:
            node = left.pop()
            if self.nodes.tied[node] >= 0:
                found.append(int(self.nodes.tied[node]))
            else:
                left += [int(self.nodes.yes[node]), int(self.nodes.no[node])]
        return found

    def write(self, path: Path, topology: HmmTopology) -> None:
        """Writes a file of JSON."""
        record = TreeRecord(
            phones=self.phones.speech,
            states=topology.states,
            silence_states=topology.silence_states,
            roots=self.roots.tolist(),
            nodes=[self._record(number) for number in range(len(self.nodes.keys))],
        )
        write_text(path, json_line(record) + "\n")

    def _record(self, number: int) -> NodeRecord:
        nodes, names = self.nodes, self.phones.names
        key = int(nodes.keys[number])
        values = np.flatnonzero(nodes.members[number]).tolist()
        return NodeRecord(
            key=KEYS[key] if key >= 0 else "",
            yes_if=[str(v) if key == KEYS.index("state") else names[v] for v in values],
            yes=int(nodes.yes[number]),
            no=int(nodes.no[number]),
            tied=int(nodes.tied[number]),
        )


def read_tree(path: Path) -> Tree:
    """Returns the tree of a file.

    Raises:
        UserError: If it is missing or damaged.
    """
    record = read_json(path, TreeRecord)
    try:
        phones = Phones(record["phones"])
        width = max(len(phones), record["states"], record["silence_states"])
        members = np.zeros((len(record["nodes"]), width), np.bool_)
        for row, node in zip(members, record["nodes"], strict=True):
            row[[_value(node["key"], text, phones) for text in node["yes_if"]]] = True
        keys = [KEYS.index(node["key"]) if node["key"] else -1 for node in record["nodes"]]
        rest = np.array([[n["yes"], n["no"], n["tied"]] for n in record["nodes"]])
        return Tree(phones, np.array(record["roots"]), Nodes(np.array(keys), members, *rest.T))
    except (ValueError, KeyError, IndexError) as error:
        raise UserError(f"{path} is not a tree: {error}; train the model again") from error


def _value(key: str, text: str, phones: Phones) -> int:
    return int(text) if key == "state" else phones.ids[text]


def monophone_tree(phones: Phones, topology: HmmTopology) -> Tree:
    """Returns the tree that asks for nothing: every state of a phone is a tied state."""
    most = max(topology.states, topology.silence_states)
    roots = np.full((len(phones), most), -1)
    count = 0
    for phone, name in enumerate(phones.names[1:], start=1):
        states = topology.states_of(name)
        roots[phone, :states] = range(count, count + states)
        count += states
    nothing = np.full(count, -1)
    members = np.zeros((count, max(len(phones), most)), np.bool_)
    return Tree(phones, roots, Nodes(nothing, members, nothing, nothing, np.arange(count)))

"""Decoding graphs of hybrid systems: a lexicon, tied states, and a language model of words."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from asrkit.errors import UserError
from asrkit.hmm.graphs import Transitions, state_costs
from asrkit.hmm.lexicon import Lexicon
from asrkit.hmm.topology import SILENCE, HmmTopology, Phones
from asrkit.hmm.tree import Tree
from asrkit.lm.tables import BEGIN, END, UNKNOWN, Ints, Ngrams
from asrkit.wfst.decoding_graph import decoding_graph
from asrkit.wfst.graph import Graph
from asrkit.wfst.hmm import TransitionCosts
from asrkit.wfst.lexicon import Pronunciation, Silence


@dataclass(frozen=True)
class TreeTying:
    """Tied states by a tree.

    Args:
        tree: The tree.
        topology: How many states phones have.
    """

    tree: Tree
    topology: HmmTopology
    width: int = 3

    def states(self, windows: Ints) -> list[tuple[int, ...]]:
        """Returns the states of the phones in the middle of windows (N, 3)."""
        left, phone, right = windows.T
        sizes = self._sizes()[phone]
        found: list[list[int]] = [[] for _ in windows]
        for state in range(int(sizes.max(initial=0))):
            rows = np.flatnonzero(sizes > state)
            places = np.full(len(rows), state)
            tied = self.tree.look_up(left[rows], phone[rows], right[rows], places)
            for row, number in zip(rows.tolist(), tied.tolist(), strict=True):
                found[row].append(number)
        return [tuple(states) for states in found]

    def _sizes(self) -> Ints:
        names = self.tree.phones.names
        return np.array([0, *(self.topology.states_of(name) for name in names[1:])])


@dataclass(frozen=True)
class WordGraph:
    """A decoding graph and its words.

    Args:
        graph: Reads tied states, or phones and blank (label s + 1), writes words (label w + 1).
        words: The words that can be recognised.
        left_out: Words of the language model without pronunciation.
    """

    graph: Graph
    words: list[str]
    left_out: list[str]


def hybrid_graph(
    ngrams: Ngrams,
    lexicon: Lexicon,
    tree: Tree,
    topology: HmmTopology,
    silence: float = 0.5,
    learnt: Transitions | None = None,
) -> WordGraph:
    """Returns the decoding graph of a hybrid system.

    Args:
        ngrams: The language model; words without pronunciation are left out.
        lexicon: How words are pronounced.
        tree: Ties the states of phones in context.
        topology: States and costs of phones.
        silence: Probability of silence around words.
        learnt: Costs of staying in states and of going on; those of the topology where null.

    Raises:
        UserError: If the lexicon has a phone that the tree lacks, or none of the model's words.
    """
    phones = tree.phones
    words, left_out = words_of(ngrams, lexicon)
    pronunciations = [
        Pronunciation(label, phones_of(variant.phones, phones, word), cost)
        for label, word in enumerate(words, start=1)
        for variant in lexicon[word]
        for cost in [variant.cost + topology.costs_of(variant.phones[-1]).exit]
    ]
    quiet = Silence(phones.ids[SILENCE], silence, topology.silence.exit)
    costs, tying = transition_costs(topology, tree), TreeTying(tree, topology)
    if learnt is not None:
        loops, forwards = learnt.loops.astype(np.float64), learnt.forwards.astype(np.float64)
        costs = replace(costs, loop=loops, forward=forwards)
    graph = decoding_graph(ngrams, words, pronunciations, len(phones) - 1, tying, costs, quiet)
    return WordGraph(graph, words, left_out)


def words_of(ngrams: Ngrams, lexicon: Lexicon) -> tuple[list[str], list[str]]:
    """Returns the words of a language model that have a pronunciation, and those that have none.

    Raises:
        UserError: If none has.
    """
    known = [word for word in ngrams.symbols if word not in (BEGIN, END, UNKNOWN)]
    words = [word for word in known if word in lexicon]
    if not words:
        raise UserError(
            f"{lexicon.source} has none of the {len(known)} words of the language model, such as "
            f"{', '.join(known[:3])}"
        )
    return words, [word for word in known if word not in lexicon]


def phones_of(names: tuple[str, ...], phones: Phones, word: str) -> tuple[int, ...]:
    """Returns the ids of a word's phones.

    Raises:
        UserError: If the model lacks one.
    """
    lacking = [name for name in names if name not in phones.ids]
    if lacking:
        raise UserError(
            f"{word!r} is pronounced with {', '.join(lacking)}, which the model lacks; it has "
            f"{', '.join(phones.speech)}: use the lexicon that the model was trained with"
        )
    return tuple(phones.ids[name] for name in names)


def transition_costs(topology: HmmTopology, tree: Tree) -> TransitionCosts:
    """Returns the costs that a topology gives the tied states of a tree."""
    costs = state_costs(topology, tree)
    return TransitionCosts(
        np.array([c.loop for c in costs]),
        np.array([c.forward for c in costs]),
        np.array([c.skip for c in costs]),
    )

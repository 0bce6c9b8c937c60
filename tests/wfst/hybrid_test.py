"""Graphs of hybrid systems: what was spoken is found, and what can't be is named."""

from __future__ import annotations

import random

import numpy as np
import pytest

from asrkit.errors import UserError
from asrkit.hmm.graphs import GraphCompiler
from asrkit.hmm.lexicon import Lexicon, Pronunciation
from asrkit.hmm.topology import HmmTopology, Phones, published_topology
from asrkit.hmm.tree import monophone_tree
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate
from asrkit.lm.tables import Floats, Ngrams
from asrkit.wfst.hybrid import WordGraph, hybrid_graph
from asrkit.wfst.token_passing import Pruning, TokenPassing, search_graph
from asrkit.wfst.word_lattice import n_best

pytest.importorskip("kaldifst")
LEXICON = Lexicon(
    {
        "one": [Pronunciation(("W", "AH", "N"))],
        "won": [Pronunciation(("W", "AH", "N"))],
        "two": [Pronunciation(("T", "UW"), 0.75), Pronunciation(("T", "AH"), 0.25)],
        "tuna": [Pronunciation(("T", "UW", "N", "AH"))],
    },
    "test.dict",
)
PHONES = Phones(["AH", "N", "T", "UW", "W"])


def language_model(words: str = "one two won tuna") -> Ngrams:
    draw = random.Random(5)
    lines = [draw.choices(words.split(), k=draw.randint(1, 4)) for _ in range(50)]
    return estimate(index_sentences(lines), 3).ngrams


def built(topology: HmmTopology) -> WordGraph:
    return hybrid_graph(language_model(), LEXICON, monophone_tree(PHONES, topology), topology)


def spoken(phones: str, topology: HmmTopology, frames: int = 3) -> Floats:
    """Returns scores (T, S) that single out the states of phones, each for some frames."""
    tree = monophone_tree(PHONES, topology)
    states = []
    for name in phones.split():
        phone = np.array([PHONES.ids[name]])
        for state in range(topology.states_of(name)):
            none = np.array([0])
            states += [int(tree.look_up(none, phone, none, np.array([state]))[0])] * frames
    scores = np.full((len(states), tree.num_states), -20.0)
    scores[range(len(states)), states] = 0.0
    return scores


@pytest.mark.parametrize(
    "topology", [HmmTopology(), published_topology()], ids=["usual", "published"]
)
@pytest.mark.parametrize(
    ("phones", "words"),
    [
        ("T UW SIL W AH N", {"two one", "two won"}),
        ("SIL T UW N AH SIL", {"tuna"}),
        ("W AH N T AH", {"one two", "won two"}),
    ],
)
def test_words_are_found_in_the_states_of_their_phones(
    topology: HmmTopology, phones: str, words: set[str]
) -> None:
    graph = built(topology)
    search = TokenPassing(search_graph(graph.graph), Pruning(200.0, 10_000, 50.0))
    search.step(spoken(phones, topology))
    lattice = search.end()
    assert lattice is not None
    paths = n_best(lattice, len(words))
    assert {" ".join(graph.words[word - 1] for word in path.words) for path in paths} == words


def test_words_without_pronunciation_are_left_out_and_named() -> None:
    topology = HmmTopology()
    ngrams = language_model("one two three four")
    graph = hybrid_graph(ngrams, LEXICON, monophone_tree(PHONES, topology), topology)
    assert sorted(graph.words) == ["one", "two"]
    assert sorted(graph.left_out) == ["four", "three"]


def test_a_lexicon_of_other_words_or_phones_is_refused() -> None:
    topology = HmmTopology()
    tree = monophone_tree(PHONES, topology)
    with pytest.raises(UserError, match="none of the 2 words"):
        hybrid_graph(language_model("ONE TWO"), LEXICON, tree, topology)
    few = monophone_tree(Phones(["W", "AH", "N"]), topology)
    with pytest.raises(UserError, match="'two' is pronounced with T, UW, which the model lacks"):
        hybrid_graph(language_model("two"), LEXICON, few, topology)


def test_a_hybrid_graph_and_training_graphs_know_the_same_words() -> None:
    compiler = GraphCompiler(LEXICON, PHONES)
    for word in built(HmmTopology()).words:
        assert len(compiler.compile([word]))

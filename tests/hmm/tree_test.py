"""Trees: likelihood rises with every question, look-up follows them, files keep them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from asrkit.errors import UserError
from asrkit.hmm.topology import HmmTopology, Phones
from asrkit.hmm.tree import Tree, monophone_tree, read_tree
from asrkit.hmm.tree_building import (
    ContextStatistics,
    TreeBuilder,
    context_statistics,
    log_likelihood,
    questions_by_clustering,
)

PHONES = Phones(list("ABCDEF"))
TOPOLOGY = HmmTopology()


def drawn(count: int = 20000) -> tuple[np.ndarray, np.ndarray]:
    """Returns contexts (T, 4) and frames (T, 3): A, B, C act alike on the right, D, E, F too."""
    random = np.random.default_rng(1)
    contexts = random.integers(3, 9, size=(count, 4))
    contexts[:, 3] = random.integers(0, 3, size=count)
    contexts[: count // 20, 1] = 1  # silence
    frames = random.normal(size=(count, 3))
    frames[:, 0] += 4 * contexts[:, 1]
    frames[:, 1] += 3 * contexts[:, 3]
    frames[:, 2] += 5 * (contexts[:, 2] < 6)
    return contexts, frames.astype(np.float32)


def statistics() -> ContextStatistics:
    return context_statistics(*drawn())


def builder(found: ContextStatistics) -> TreeBuilder:
    return TreeBuilder(found, PHONES, TOPOLOGY, questions_by_clustering(found, PHONES))


def total_likelihood(found: ContextStatistics, tree: Tree) -> float:
    """Returns the log-likelihood of speech with a Gaussian per tied state."""
    speech = found.contexts[:, 1] > 2
    contexts = found.contexts[speech]
    tied = tree.look_up(contexts[:, 0], contexts[:, 1], contexts[:, 2], contexts[:, 3])
    sums = np.stack([found.sums[speech][tied == s].sum(0) for s in np.unique(tied)])
    return float(log_likelihood(sums).sum())


def test_statistics_are_sums_by_context() -> None:
    contexts, frames = drawn(500)
    found = context_statistics(contexts, frames)
    assert found.sums[:, 0].sum() == 500
    for row, sums in zip(found.contexts, found.sums, strict=True):
        own = frames[(contexts == row).all(1)].astype(np.float64)
        expected = [len(own), *own.sum(0), *(own**2).sum(0)]
        assert sums == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_likelihood_rises_by_the_gain_of_every_question() -> None:
    found = statistics()
    sizes = range(12, 40, 4)  # 6 silence and noise states, 6 phones
    grown = [builder(found).grow(size) for size in sizes]
    assert [one.tree.num_states for one in grown] == list(sizes)
    likelihoods = [total_likelihood(found, one.tree) for one in grown]
    assert likelihoods == sorted(likelihoods)
    gains = [one.gain for one in grown]
    assert np.diff(likelihoods) == pytest.approx(np.diff(gains), rel=1e-6)
    assert all(gain > 0 for gain in grown[-1].gains)
    assert grown[0].gain == 0


def test_the_first_questions_are_those_that_the_frames_differ_by() -> None:
    tree = builder(statistics()).grow(18).tree
    root = tree.roots[PHONES.ids["A"], 0]
    assert tree.nodes.keys[root] in (1, 2)  # the phone after, or the state; not the one before
    asked = [[3, 4], [3, 4, 5], [5, 6], [7]]
    grown = TreeBuilder(statistics(), PHONES, TOPOLOGY, asked).grow(6 + 6 * 6).tree
    contexts = np.array(list(itertools.product([4], [3], range(3, 9), range(3))))
    tied = grown.look_up(*contexts.T).reshape(6, 3)
    assert len(np.unique(tied)) == 6  # three states, two sets of phones on the right
    assert (tied[:3] == tied[0]).all()
    assert (tied[3:] == tied[3]).all()


def test_no_leaf_has_fewer_frames_than_asked() -> None:
    found = statistics()
    asked = questions_by_clustering(found, PHONES)
    tree = TreeBuilder(found, PHONES, TOPOLOGY, asked, min_frames=300).grow(100_000).tree
    speech = found.contexts[:, 1] > 2
    tied = tree.look_up(*found.contexts[speech].T)
    counts = np.bincount(tied, weights=found.sums[speech, 0])
    assert counts[counts > 0].min() >= 300
    assert 30 < tree.num_states < 20000 / 300


def test_questions_join_what_is_alike() -> None:
    random = np.random.default_rng(2)
    rows = np.array([[3, phone, 3, 0] for phone in range(3, 9)]).repeat(100, axis=0)
    values = np.array([0, 0, 0, 9, 9, 9])[rows[:, 1] - 3, None]
    frames = (values + random.normal(size=(600, 1))).astype(np.float32)
    asked = questions_by_clustering(context_statistics(rows, frames), PHONES)
    assert [3, 4, 5] in asked
    assert [6, 7, 8] in asked
    assert [0] in asked  # the edge of the utterance
    assert [0, 1, 2] in asked


def test_silence_has_states_of_its_own_whatever_is_beside() -> None:
    tree = builder(statistics()).grow(30).tree
    tied = tree.look_up(*np.array([[3, 1, 4, 2], [5, 1, 0, 2], [0, 1, 0, 1]]).T)
    assert tied[0] == tied[1] != tied[2]
    owners = tree.owners()
    assert (owners[tied] == 1).all()
    assert sorted(set(owners.tolist())) == list(range(1, 9))


def test_files_keep_trees(tmp_path: Path) -> None:
    path = tmp_path / "tree.json"
    for tree in (builder(statistics()).grow(40).tree, monophone_tree(PHONES, TOPOLOGY)):
        tree.write(path, TOPOLOGY)
        again = read_tree(path)
        contexts = np.array(list(itertools.product(range(9), range(1, 9), range(9), range(3))))
        assert (again.look_up(*contexts.T) == tree.look_up(*contexts.T)).all()
        assert again.phones.names == PHONES.names
    path.write_text(path.read_text(encoding="utf-8").replace('"A"', '"X"', 1), encoding="utf-8")
    assert read_tree(path).phones.speech[0] == "X"
    path.write_text('{"phones": ["A"]}', encoding="utf-8")
    with pytest.raises(UserError, match=r"tree.json:1 is damaged"):
        read_tree(path)


def test_a_state_that_the_tree_lacks_is_named() -> None:
    tree = monophone_tree(PHONES, HmmTopology(1, 1))
    phone = np.array([3])
    with pytest.raises(UserError, match="no state 2 of phone A"):
        tree.look_up(phone, phone, phone, np.array([2]))

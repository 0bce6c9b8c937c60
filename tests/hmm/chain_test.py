from math import log
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from asrkit.errors import UserError
from asrkit.hmm.alignments import Alignment
from asrkit.hmm.chain import (
    begins_of,
    chain_alignment,
    chain_transitions,
    chain_tree,
    denominator_of,
    step_contexts,
)
from asrkit.hmm.denominator_file import NAME, read_denominator, write_denominator
from asrkit.hmm.phone_ngram import phone_ngram
from asrkit.hmm.tree import Tree
from asrkit.losses.mmi_graphs import NumeratorCompiler
from tests.hmm.toy import PHONES, Speaker

STEP = 3


Said = list[tuple[Alignment, npt.NDArray[np.float32]]]


@pytest.fixture(scope="module")
def said() -> Said:
    """Alignments, none of whose phones is shorter than six frames, and features."""
    speaker = Speaker()
    pairs = [speaker.say(speaker.words(4)) for _ in range(40)]
    return [(alignment, frames.numpy().astype(np.float32)) for frames, alignment in pairs]


@pytest.fixture(scope="module")
def tree(said: Said) -> Tree:
    """A tree of at most 20 states."""
    return chain_tree(PHONES, said, num_states=20, step=STEP, min_frames=5)


def test_all_that_was_seen_follows_histories_of_two_phones() -> None:
    model = phone_ngram([[3, 4, 3, 4, 5], [3, 4]], order=3, extra=0)
    assert model.histories[0] == (0,)
    names = model.histories
    arcs = {(names[a], phone, names[b]): p for a, phone, b, p in model.arcs}
    third = pytest.approx(1 / 3)  # once it is the end
    assert arcs == {
        ((0,), 3, (0, 3)): 1.0, ((0, 3), 4, (3, 4)): 1.0, ((4, 3), 4, (3, 4)): 1.0,
        ((3, 4), 3, (4, 3)): third, ((3, 4), 5, (4, 5)): third,
    }  # fmt: skip


def test_the_longer_histories_that_are_kept_are_worth_most() -> None:
    texts = [[3, 4, 5, 6], [3, 4, 5, 6], [6, 4, 5, 3], [6, 4, 5, 3], [4, 6, 4, 6]]
    kept = phone_ngram(texts, extra=2)
    assert sorted(h for h in kept.histories if len(h) == 3) == [(3, 4, 5), (6, 4, 5)]
    assert not [h for h in phone_ngram(texts, extra=0).histories if len(h) == 3]
    every = phone_ngram(texts, extra=99)
    for model in (kept, every):
        for history in range(len(model.histories)):
            assert sum(p for a, _, _, p in model.arcs if a == history) <= 1 + 1e-9


def test_states_tell_where_phones_begin(said: Said, tree: Tree) -> None:
    begins = begins_of(tree)
    assert 0 < begins.sum() < tree.num_states <= 20
    for alignment, _ in said:
        made = chain_alignment(alignment, tree)
        assert np.flatnonzero(begins[made.states]).tolist() == made.starts.tolist()
        assert (tree.owners()[made.states[made.starts]] == made.phones).all()
    transitions = chain_transitions(tree)
    assert np.isinf(transitions.loops[begins]).all()
    assert transitions.loops[~begins] == pytest.approx(log(2))


def test_every_phone_has_a_first_frame_of_those_that_are_kept(said: Said) -> None:
    for alignment, frames in said:
        contexts, places = step_contexts(alignment, STEP)
        assert len(contexts) == -(-len(frames) // STEP)
        # The last phone may be over before the last frame that is kept.
        assert len(alignment.phones) - 1 <= (contexts[:, 3] == 0).sum() <= len(alignment.phones)
        assert contexts[0].tolist() == [0, alignment.phones[0], 0, 0]
        assert places[1] == STEP


def test_all_that_was_trained_on_can_be_said(said: Said, tree: Tree) -> None:
    model = phone_ngram([alignment.phones.tolist() for alignment, _ in said], extra=5)
    denominator = denominator_of(model, tree)
    assert denominator.initial.sum() == pytest.approx(1)
    assert denominator.num_states == tree.num_states
    ways = np.bincount(denominator.sources, denominator.weights) + denominator.stay_weights
    assert ways.max() <= 1 + 1e-6
    compiler = NumeratorCompiler(denominator, STEP, tolerance=3)
    for alignment, frames in said:
        made = chain_alignment(alignment, tree)
        found = compiler(made.states, -(-len(frames) // STEP))
        assert found is not None
        assert np.isfinite(found.entries).all()
        assert (tree.owners()[found.stays] == made.phones).all()
        assert (found.latest > found.earliest).all()


def test_a_denominator_is_read_as_it_was_written(said: Said, tree: Tree, tmp_path: Path) -> None:
    model = phone_ngram([alignment.phones.tolist() for alignment, _ in said])
    denominator = denominator_of(model, tree)
    path = write_denominator(denominator, tmp_path)
    found = read_denominator(tmp_path)
    assert (found.weights == denominator.weights).all()
    assert (found.begins == denominator.begins).all()
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(UserError, match="damaged"):
        read_denominator(tmp_path)
    (tmp_path / NAME).unlink()
    with pytest.raises(UserError, match="asrkit chain"):
        read_denominator(tmp_path)

"""Alignments in files, in other trees, and as phones and words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asrkit.data.alignment_text import Key, Symbols
from asrkit.data.alignments import Alignments as SymbolAlignments
from asrkit.data.frame_targets import FrameTargets
from asrkit.errors import UserError
from asrkit.hmm.alignments import Alignment, Alignments, read_alignments
from asrkit.hmm.topology import HmmTopology
from asrkit.hmm.tree import monophone_tree
from asrkit.text.outputs import Outputs
from tests.hmm.toy import PHONES, Speaker


def equal(one: Alignment, other: Alignment) -> bool:
    names = ("states", "positions", "phones", "starts", "words")
    return all(getattr(one, n).tolist() == getattr(other, n).tolist() for n in names)


def test_a_file_keeps_the_alignments_of_every_utterance_and_speed(tmp_path: Path) -> None:
    speaker = Speaker()
    found = {
        (name, speed): speaker.say(speaker.words(size))[1]
        for size, name in enumerate(["a b", "ü", "c"])
        for speed in (1.0, 0.9)
    }
    path = tmp_path / "deep" / "alignments.safetensors"
    Alignments(found).write(path)
    again = read_alignments(path)
    assert list(again) == list(found)
    assert all(equal(again[key], found[key]) for key in found)
    Alignments({}).write(path)
    assert not read_alignments(path)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "alignments.safetensors"
    with pytest.raises(UserError, match="no alignments in .*train or align first"):
        read_alignments(path)
    path.write_bytes(b"rubbish, not arrays")
    with pytest.raises(UserError, match=r"alignments.safetensors is damaged: .*align again"):
        read_alignments(path)


def test_a_file_of_states_alone_says_what_it_lacks(tmp_path: Path) -> None:
    targets = FrameTargets(Outputs.states(3), rate="features")
    symbols: dict[Key, Symbols] = {("a", 1.0): np.array([0, 2], np.int32)}
    path = tmp_path / "train.safetensors"
    SymbolAlignments(targets, symbols).write(path)
    with pytest.raises(UserError, match="tells tied states alone, not words and phones"):
        read_alignments(path)


def test_contexts_and_tied_states_follow_from_the_phones() -> None:
    _, one = Speaker().say(["ab", "d"])
    contexts = one.contexts()
    assert contexts[0].tolist() == [0, 1, PHONES.ids["A"], 0]
    assert contexts[-1, 2] == 0
    assert contexts[:, 1].tolist() == np.repeat(one.phones, one.durations).tolist()
    single = monophone_tree(PHONES, HmmTopology(3, 3))
    assert one.tied_by(single).states.tolist() == one.states.tolist()


def test_words_span_their_phones() -> None:
    values = ([0] * 9, [0] * 9, [1, 3, 4, 1, 3], [0, 2, 3, 6, 7], [-1, 0, 0, -1, 1])
    one = Alignment(*(np.array(column, np.int32) for column in values))
    assert [(s.label, s.start, s.end) for s in one.word_spans()] == [(0, 2, 6), (1, 7, 9)]
    assert one.durations.tolist() == [2, 1, 3, 1, 2]
    assert len(one) == 9

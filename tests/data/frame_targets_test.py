"""What alignments hold: which symbols, of which frames."""

from __future__ import annotations

import torch

from asrkit.data.frame_targets import FrameTargets, every
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary

LABELS = Outputs.labels_with_blank(Vocabulary(["a", "b"]))


def test_symbols_are_counted_at_their_rate() -> None:
    features, frames = torch.tensor([9, 4]), torch.tensor([3, 2])
    assert FrameTargets(LABELS).count(features, frames).tolist() == [3, 2]
    assert FrameTargets(LABELS, rate="features").count(features, frames).tolist() == [9, 4]


def test_only_labels_tell_the_text() -> None:
    symbols = torch.tensor([[0, 0, 2, 1, -1]])
    once, repeated = FrameTargets(LABELS), FrameTargets(LABELS, labels_repeat=True)
    assert once.labels_of(symbols).labels.tolist() == [[0, 0, 1]]
    assert repeated.labels_of(symbols).labels.tolist() == [[0, 1]]
    assert "(equal ones in a row are one), one for each encoder frame" in repeated.told()
    mixed = FrameTargets(Outputs(("a", "noise", "<blank>"), 1, {"blank": 2}), labels_repeat=True)
    assert mixed.labels_of(torch.tensor([[0, 1, 0, 0, 2]])).labels.tolist() == [[0, 0]]
    states = FrameTargets(Outputs.classes(["s0", "s1", "s2"]))
    assert not states.spell_text
    assert states.labels_of(symbols).label_lengths.tolist() == [0]


def test_targets_of_long_frames_are_the_first_of_each() -> None:
    symbols = torch.tensor([[0, 1, 2, 3, 4, 5, 6], [7, 8, 9, 1, -1, -1, -1]])
    assert every(symbols, 3, 3).tolist() == [[0, 3, 6], [7, 1, -1]]
    assert every(symbols, 3, 4).tolist() == [[0, 3, 6, -1], [7, 1, -1, -1]]
    assert every(symbols, 2, 2).tolist() == [[0, 2], [7, 9]]

"""The CTC head: what it counts, where it reads, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.interfaces import Encoded, Encoder
from asrkit.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(list("abc"))
LENGTHS = torch.tensor([5, 3, 3])
LABELS = torch.tensor([[0, 1, 0], [2, 2, 2], [1, 0, 0]])
LABEL_LENGTHS = torch.tensor([3, 3, 1])


class TwoBlocks(Encoder):
    """Stands for an encoder of which only the sizes matter."""

    dim, num_layers, taps = 4, 2, [1]

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return lengths

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        return Encoded(features, lengths)


def make(tap: int | None = None) -> CtcHead:
    torch.manual_seed(0)
    return CtcHead(TwoBlocks(), VOCABULARY, weight=0.3, tap=tap).eval()


def encoded(rows: list[int]) -> Encoded:
    torch.manual_seed(1)
    frames, tapped = torch.randn(3, 5, 4), torch.randn(3, 5, 4)
    return Encoded(frames[rows].requires_grad_(), LENGTHS[rows], {1: tapped[rows]})


def batch(rows: list[int]) -> Batch:
    names = [f"u{row}" for row in rows]
    silence = torch.zeros(len(rows), 5)
    return Batch(names, silence, LENGTHS[rows], LABELS[rows], LABEL_LENGTHS[rows])


def test_an_utterance_that_does_not_fit_counts_but_has_no_gradient() -> None:
    seen = encoded([0, 1, 2])
    report = make().loss(seen, batch([0, 1, 2]))
    loss, infeasible = report["loss"], report["infeasible"]
    assert loss.per_utterance is not None
    assert [math.isinf(value) for value in loss.per_utterance.tolist()] == [False, True, False]
    assert float(loss.total.detach()) == pytest.approx(float(loss.per_utterance[[0, 2]].sum()))
    assert (loss.count, loss.weight) == (7, 0.3)
    assert (float(infeasible.total), infeasible.count, infeasible.weight) == (1.0, 3, 0.0)
    loss.total.backward()
    assert seen.frames.grad is not None
    largest = seen.frames.grad.abs().amax((1, 2))
    assert (largest > 0).tolist() == [True, False, True]


@pytest.mark.parametrize("rows", [[2, 0, 1], [1, 2, 0]])
def test_order_never_changes_an_utterance(rows: list[int]) -> None:
    head = make()
    straight = head.loss(encoded([0, 1, 2]), batch([0, 1, 2]))["loss"].per_utterance
    shuffled = head.loss(encoded(rows), batch(rows))["loss"].per_utterance
    assert straight is not None
    assert shuffled is not None
    torch.testing.assert_close(shuffled, straight[rows])


def test_the_tap_is_what_is_read() -> None:
    seen = encoded([0, 1, 2])
    head = make(tap=1)
    expected = head.output(seen.taps[1]).log_softmax(2)
    torch.testing.assert_close(head.log_probs(seen), expected)
    scorer = head.frame_scores(seen)
    torch.testing.assert_close(scorer.log_probs, expected)
    assert scorer.lengths.tolist() == LENGTHS.tolist()


def test_both_kinds_of_scorer_agree_on_the_empty_transcript() -> None:
    seen = encoded([0, 1, 2])
    head = make()
    blanks = head.frame_scores(seen).log_probs[:, :, head.outputs.blank].cumsum(1)
    scorer = head.label_scorer(seen)
    ended = scorer.score(scorer.initial_state())[:, len(VOCABULARY)]
    torch.testing.assert_close(ended, blanks.gather(1, LENGTHS[:, None] - 1)[:, 0])


@pytest.mark.parametrize(
    ("tap", "message"),
    [
        (3, r"tap \(3\) is beyond the encoder's blocks 1 to 2"),
        (0, r"tap \(0\) is beyond the encoder's blocks 1 to 2"),
        (2, r"tap \(2\) is not among the encoder's taps \[1\]"),
    ],
)
def test_taps_that_the_encoder_lacks_are_refused(tap: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(tap)


def test_fewest_frames_are_those_of_the_loss() -> None:
    head = make()
    for labels in ([], [0], [0, 0], [0, 1, 0], [2, 2, 2]):
        need = head.min_frames(labels)
        padded = torch.tensor([labels + [0] * (3 - len(labels))])
        for length, fits in ((need, True), (need - 1, False)):
            if length < 0:
                continue
            lengths, sizes = torch.tensor([length]), torch.tensor([len(labels)])
            seen = Encoded(torch.randn(1, 5, 4), lengths)
            report = head.loss(seen, Batch(["u"], torch.zeros(1, 5), lengths, padded, sizes))
            assert float(report["infeasible"].total) == (0.0 if fits else 1.0)


def test_targets_are_smoothed_in_training_alone() -> None:
    gradients = []
    for smoothing in (0.0, 0.1):
        torch.manual_seed(0)
        head = CtcHead(TwoBlocks(), VOCABULARY, 1.0, dropout=0.0, label_smoothing=smoothing)
        for training in (True, False):
            head.train(training).zero_grad()
            loss = head.loss(encoded([0, 2]), batch([0, 2]))["loss"].total
            loss.backward()
            assert head.output.weight.grad is not None
            gradients.append((loss.item(), head.output.weight.grad.clone()))
    plain, dev, smoothed, dev_smoothed = gradients
    assert len({loss for loss, _ in gradients}) == 1
    assert torch.equal(plain[1], dev[1])
    assert torch.equal(dev[1], dev_smoothed[1])
    assert not torch.allclose(plain[1], smoothed[1])

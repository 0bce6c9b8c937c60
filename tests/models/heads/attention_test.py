"""The attention head: its sums, its scorer, its pictures, and what it refuses."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.models.decoders.targets import with_eos
from asrkit.models.decoders.transformer import TransformerDecoder
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.interfaces import Encoded, Encoder
from asrkit.scorers.interfaces import select
from asrkit.text.vocabulary import Vocabulary

EOS = 3
LENGTHS = torch.tensor([5, 3, 4])
LABELS = torch.tensor([[0, 1, 0], [2, 1, 2], [1, 0, 0]])
LABEL_LENGTHS = torch.tensor([3, 0, 2])


class TwoBlocks(Encoder):
    """Stands for an encoder of which only the sizes matter."""

    dim, num_layers, taps = 4, 2, [1]

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return lengths

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        return Encoded(features, lengths)


def make(smoothing: float = 0.0, tap: int | None = None) -> AttentionHead:
    torch.manual_seed(0)
    decoder = partial(TransformerDecoder, dim=8, num_layers=2, num_heads=2, hidden_dim=12)
    vocabulary = Vocabulary(list("abc"))
    return AttentionHead(TwoBlocks(), vocabulary, 0.7, decoder, smoothing, tap).eval()


def in_training(head: AttentionHead) -> AttentionHead:
    """Returns the head in training, but for the dropout of its decoder."""
    head.train().decoder.eval()
    return head


def encoded(rows: list[int], padding: float = 0.0) -> Encoded:
    torch.manual_seed(1)
    frames, tapped = torch.randn(3, 5, 4), torch.randn(3, 5, 4)
    outside = (torch.arange(5) >= LENGTHS[:, None])[..., None]
    frames = frames.masked_fill(outside, padding)
    return Encoded(frames[rows], LENGTHS[rows], {1: tapped[rows]})


def batch(rows: list[int], labels: Tensor = LABELS) -> Batch:
    names = [f"u{row}" for row in rows]
    silence = torch.zeros(len(rows), 5)
    return Batch(names, silence, LENGTHS[rows], labels[rows], LABEL_LENGTHS[rows])


def test_edges_are_put_around_the_labels() -> None:
    inputs, targets, mask = with_eos(batch([0, 1, 2]), EOS)
    assert inputs.tolist() == [[3, 0, 1, 0], [3, 3, 3, 3], [3, 1, 0, 3]]
    assert targets.tolist() == [[0, 1, 0, 3], [3, 3, 3, 3], [1, 0, 3, 3]]
    assert mask.sum(1).tolist() == [4, 1, 3]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_a_sum_over_labels_and_eos(smoothing: float) -> None:
    head, seen = in_training(make(smoothing)), encoded([0, 1, 2])
    report = head.loss(seen, batch([0, 1, 2]))
    expected, wrong = [], 0
    for row, size in enumerate(LABEL_LENGTHS.tolist()):
        labels = LABELS[row, :size]
        frames = seen.frames[row : row + 1, : int(LENGTHS[row])]
        inputs = torch.cat([torch.tensor([EOS]), labels])[None]
        logits = head.decoder(inputs, frames, torch.ones(frames.shape[:2], dtype=torch.bool))[0]
        targets = torch.cat([labels, torch.tensor([EOS])])
        theirs = smoothing * 4 / 3  # torch gives a share to the target as well
        expected.append(
            F.cross_entropy(logits, targets, reduction="sum", label_smoothing=theirs).detach()
        )
        wrong += int((logits.argmax(1) != targets).sum())
    assert report["loss"].per_utterance is not None
    torch.testing.assert_close(report["loss"].per_utterance, torch.stack(expected))
    torch.testing.assert_close(report["loss"].total.detach(), torch.stack(expected).sum())
    assert (report["loss"].count, report["loss"].weight) == (8, 0.7)
    errors = report["errors"]
    assert (int(errors.total), errors.count, errors.weight) == (wrong, 8, 0.0)


def test_the_loss_is_plain_outside_of_training() -> None:
    seen, rows = encoded([0, 1, 2]), batch([0, 1, 2])
    plain, smoothed = (make(smoothing).loss(seen, rows)["loss"] for smoothing in (0.0, 0.1))
    torch.testing.assert_close(smoothed.total, plain.total, rtol=0, atol=0)
    trained = in_training(make(0.1)).loss(seen, rows)["loss"]
    assert abs(float(trained.total.detach() - plain.total.detach())) > 0.01


def test_padding_and_order_have_no_say() -> None:
    head, rows = make(0.1), [2, 0, 1]
    clean = head.loss(encoded([0, 1, 2]), batch([0, 1, 2]))["loss"].per_utterance
    garbage = torch.tensor([[0, 1, 0], [0, 0, 0], [1, 0, 2]])
    dirty = head.loss(encoded(rows, padding=1e4), batch(rows, garbage))["loss"].per_utterance
    assert clean is not None
    assert dirty is not None
    torch.testing.assert_close(dirty, clean[rows])


def test_the_scorer_sums_up_to_the_loss() -> None:
    head, seen = make(), encoded([0, 1, 2])
    expected = head.loss(seen, batch([0, 1, 2]))["loss"].per_utterance
    assert expected is not None
    with torch.no_grad():
        for row, size in enumerate(LABEL_LENGTHS.tolist()):
            scorer = head.label_scorer(seen).subset(torch.tensor([row]))
            state, total = scorer.initial_state(), 0.0
            for label in [*LABELS[row, :size].tolist(), EOS]:
                total += float(scorer.score(state)[0, label])
                picked = scorer.score(state, torch.tensor([[label, 0]]))
                assert float(picked[0, 0]) == float(scorer.score(state)[0, label])
                state = state if label == EOS else scorer.advance(state, torch.tensor([label]))
            assert -total == pytest.approx(float(expected[row]), abs=1e-5)


def test_scores_are_computed_once_for_each_advance() -> None:
    head = make()
    scorer = head.label_scorer(encoded([0, 1, 2]))
    with torch.no_grad():
        state = select(scorer.initial_state(), torch.tensor([0, 0, 1, 1, 2, 2]))
        head.decoder.step = None  # type: ignore[method-assign,assignment]
        assert scorer.score(state).shape == (6, 4)
    assert not scorer.partial


def test_the_picture_covers_labels_and_eos() -> None:
    weights = make().attention_weights(encoded([0, 1, 2]), batch([0, 1, 2]))
    assert weights.shape == (3, 4, 5)
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 4))
    assert float(weights.detach()[1, :, 3:].abs().max()) == 0.0


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tap \(2\) is not among the encoder's taps \[1\]"):
        make(tap=2)
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"label_smoothing \({share}\) must be at least 0"):
            make(share)
    assert make(tap=1).tap == 1


def test_switchout_replaces_a_share_of_the_labels_but_not_the_first() -> None:
    torch.manual_seed(0)
    read: list[Tensor] = []
    decoder = partial(TransformerDecoder, dim=8, num_layers=1, num_heads=2, hidden_dim=12)
    head = AttentionHead(TwoBlocks(), Vocabulary(list("abcdefgh")), 1.0, decoder, switchout=0.2)
    head.decoder.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    count, labels = torch.full((60,), 100), torch.full((60, 100), 7)
    silent = Batch([""] * 60, torch.zeros(60, 1), count, labels, count)
    head.loss(Encoded(torch.zeros(60, 1, 4), torch.ones_like(count)), silent)
    (switched,) = read
    assert bool((switched[:, 0] == head.eos).all())
    changed = (switched[:, 1:] != 7).float().mean()
    assert float(changed) == pytest.approx(0.2 * 7 / 8, abs=0.02)
    assert (int(switched[:, 1:].min()), int(switched[:, 1:].max())) == (0, 7)


def test_switchout_holds_in_training_only() -> None:
    decoder = partial(
        TransformerDecoder, dim=8, num_layers=2, num_heads=2, hidden_dim=12, dropout=0.0
    )
    torch.manual_seed(0)
    head = AttentionHead(TwoBlocks(), Vocabulary(list("abc")), 1.0, decoder, switchout=0.9)
    frames, labels = encoded([0, 1, 2]), batch([0, 1, 2])
    plain = head.eval().loss(frames, labels)["loss"].total
    assert torch.equal(plain, head.loss(frames, labels)["loss"].total)
    assert not torch.allclose(plain, head.train().loss(frames, labels)["loss"].total)

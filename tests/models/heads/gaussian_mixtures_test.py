"""Scores of the head of Gaussian mixtures: by a literal sum, in chunks, in any precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from asrkit.data.batch import Batch
from asrkit.models.heads import gaussian_mixtures
from asrkit.models.heads.gaussian_mixtures import GaussianMixturesHead
from asrkit.models.identity import IdentityEncoder
from asrkit.models.interfaces import Encoded
from asrkit.text.vocabulary import Vocabulary
from tests.devices import DEVICES

OFFSETS = [0, 1, 4, 6]
DIM = 5
LENGTHS = torch.tensor([7, 4])


def made() -> GaussianMixturesHead:
    """Returns mixtures of 1, 3 and 2 Gaussians."""
    torch.manual_seed(1)
    head = GaussianMixturesHead(IdentityEncoder(DIM), Vocabulary(["a"]), states=3, gaussians=6)
    weights = [torch.rand(end - begin) for begin, end in zip(OFFSETS, OFFSETS[1:], strict=False)]
    head.offsets.copy_(torch.tensor(OFFSETS))
    head.log_weights.copy_(torch.cat([(part / part.sum()).log() for part in weights]))
    head.means.copy_(3 * torch.randn(6, DIM))
    head.variances.copy_(0.2 + torch.rand(6, DIM))
    return head


def encoded(device: str = "cpu") -> Encoded:
    torch.manual_seed(2)
    frames = 3 * torch.randn(2, 7, DIM).to(device)
    return IdentityEncoder(DIM).forward(frames, LENGTHS.to(device))


def literal(head: GaussianMixturesHead, frame: Tensor, state: int) -> float:
    """Returns log p(x|s) as it is defined, in double precision."""
    total = 0.0
    for one in range(OFFSETS[state], OFFSETS[state + 1]):
        normal = Normal(head.means[one].double(), head.variances[one].double().sqrt())
        log_joint = head.log_weights[one].double() + normal.log_prob(frame.double()).sum()
        total += math.exp(float(log_joint))
    return math.log(total)


@pytest.mark.parametrize("device", DEVICES)
def test_scores_are_those_of_a_literal_sum(device: str) -> None:
    head = made()
    scores = head.to(device).state_scores(encoded(device))
    assert scores.log_probs.shape == (2, 7, 3)
    assert scores.lengths.tolist() == LENGTHS.tolist()
    head.cpu()
    for row in range(2):
        for frame in range(7):
            for state in range(3):
                expected = literal(head, encoded().frames[row, frame], state)
                assert float(scores.log_probs[row, frame, state]) == pytest.approx(
                    expected, abs=1e-4
                )


def test_scores_are_the_same_in_chunks_and_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    head = made()
    whole = head.state_scores(encoded()).log_probs
    monkeypatch.setattr(gaussian_mixtures, "SCORES_AT_ONCE", 6 * 3)  # three frames
    torch.testing.assert_close(head.state_scores(encoded()).log_probs, whole)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(head.state_scores(encoded()).log_probs, whole)
    frames = encoded().frames.double()
    double = head.state_scores(Encoded(frames, LENGTHS)).log_probs
    torch.testing.assert_close(double, whole)


def test_padding_and_neighbours_in_a_batch_change_no_score() -> None:
    head, both = made(), encoded()
    alone = Encoded(both.frames[1:, :4], LENGTHS[1:])
    expected = head.state_scores(alone).log_probs[0]
    torch.testing.assert_close(head.state_scores(both).log_probs[1, :4], expected)


def test_the_loss_is_that_of_given_states() -> None:
    head, given = made(), torch.tensor([[0, 0, 1, 1, 2, 2, -1], [2, 1, 0, 0, 1, 1, 1]])
    batch = Batch(
        ["a", "b"],
        encoded().frames,
        LENGTHS,
        torch.zeros(2, 0).long(),
        torch.zeros(2).long(),
        given,
    )
    part = head.loss(encoded(), batch)["loss"]
    scores = head.state_scores(encoded()).log_probs
    expected = [
        -sum(float(scores[row, t, given[row, t]]) for t in range(frames))
        for row, frames in ((0, 6), (1, 4))
    ]
    assert part.count == 10
    assert float(part.total) == pytest.approx(sum(expected), rel=1e-5)
    assert part.weight == 0


def test_there_is_a_gaussian_for_every_state() -> None:
    with pytest.raises(ValueError, match=r"gaussians \(2\) must be at least states \(3\)"):
        GaussianMixturesHead(IdentityEncoder(DIM), Vocabulary(["a"]), states=3, gaussians=2)
    assert not list(made().parameters())
    assert set(made().state_dict()) == {"offsets", "log_weights", "means", "variances"}

"""The divergence of two views of utterances."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from asrkit.losses.consistency import view_divergence


def test_it_is_the_divergence_both_ways_over_valid_frames() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 3, 4, 5).log_softmax(3).unbind()  # (B, T, V)
    found = view_divergence(torch.cat([first, second]), torch.tensor([4, 2, 1] * 2))
    for place, length in enumerate([4, 2, 1]):
        one, other = first[place, :length], second[place, :length]
        both = F.kl_div(one, other, log_target=True, reduction="sum") + F.kl_div(
            other, one, log_target=True, reduction="sum"
        )
        assert float(found[place]) == pytest.approx(float(both), rel=1e-5)


def test_each_view_learns_from_the_other_as_it_is() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, requires_grad=True)  # one utterance, two views
    view_divergence(logits.log_softmax(2), torch.tensor([3, 3])).sum().backward()
    first, second = logits.detach().softmax(2)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.stack([first - second, second - first]))

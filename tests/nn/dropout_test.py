from __future__ import annotations

import pytest
import torch

from asrkit.nn.attention import attend
from asrkit.nn.dropout import Dropout, dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_values_are_dropped_with_the_probability_and_scaled(probability: float) -> None:
    torch.manual_seed(0)
    result = dropout(torch.ones(300, 1001), probability)
    assert float((result == 0).float().mean()) == pytest.approx(probability, abs=0.005)
    assert float(result.mean()) == pytest.approx(1.0, abs=0.02)
    kept = result[result != 0]
    assert float(kept.min()) == float(kept.max()) == pytest.approx(1 / (1 - probability), rel=1e-3)
    # Neighbours share a random number, but not a fate.
    both = (result[:, 1:] == 0) & (result[:, :-1] == 0)
    assert float(both.float().mean()) == pytest.approx(probability**2, abs=0.01)


def test_evaluation_changes_nothing() -> None:
    x = torch.randn(3, 4)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert not torch.equal(Dropout(0.5)(x), x)
    with pytest.raises(ValueError, match=r"dropout \(1.5\)"):
        Dropout(1.5)


def test_both_ways_to_attend_agree() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 5, 6).unbind(0)
    bias = torch.randn(2, 4, 5, 5)
    allowed = torch.rand(2, 1, 5, 5) < 0.7
    allowed |= torch.eye(5, dtype=torch.bool)
    fused = attend(query, key, value, allowed, bias)
    scores = query @ key.transpose(2, 3) * 6**-0.5 + bias
    expected = scores.masked_fill(~allowed, float("-inf")).softmax(3) @ value
    torch.testing.assert_close(fused, expected, rtol=1e-5, atol=1e-5)
    torch.manual_seed(1)
    mean = torch.stack([attend(query, key, value, allowed, bias, 0.1) for _ in range(2000)]).mean(0)
    torch.testing.assert_close(mean, expected, rtol=0.1, atol=0.05)

from __future__ import annotations

import pytest
import torch
from torch import nn

from asrkit.nn.attention import SelfAttention, attend
from asrkit.nn.dropout import Axis, ContinuousDropout, Dropout, SharedMasks, dropout
from asrkit.nn.masking import SequenceContext


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


def test_continuous_dropout_scales_values_of_whole_utterances() -> None:
    torch.manual_seed(0)
    factors = ContinuousDropout(0.2)(torch.ones(50, 4, 200))
    assert torch.equal(factors, factors[:, :1].expand_as(factors))
    assert 0.6 <= float(factors.min()) < 0.62
    assert 1.38 < float(factors.max()) <= 1.4
    assert float(factors.mean()) == pytest.approx(1.0, abs=0.01)
    x = torch.randn(2, 3, 4)
    assert torch.equal(ContinuousDropout(0.2).eval()(x), x)
    assert torch.equal(ContinuousDropout(0.0)(x), x)
    with pytest.raises(ValueError, match=r"dropout \(0.6\) must be .* at most 0.5"):
        ContinuousDropout(0.6)


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


@pytest.mark.parametrize("along", [["batch"], ["time"], ["batch", "time"], ["time", "batch"]])
def test_masks_are_the_same_along_an_axis(along: list[Axis]) -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"a": Dropout(0.3), "b": Dropout(0.3), "c": Dropout(0.3, False)})
    SharedMasks(along, pattern="[ac]").apply(model)
    dropped = model["a"](torch.ones(40, 50, 60))
    sizes = (1 if "batch" in along else 40, 1 if "time" in along else 50, 60)
    mask = dropped[: sizes[0], : sizes[1]]
    assert torch.equal(dropped, mask.expand(40, 50, 60))
    assert float((mask == 0).float().mean()) == pytest.approx(0.3, abs=0.15)
    assert float(mask.max()) == pytest.approx(1 / 0.7)
    own = mask.flatten(0, 1)  # each place that shares with no other has its own
    assert len(own.unique(dim=0)) == len(own)
    step = model["a"](torch.ones(40, 60))
    assert torch.equal(step, step[:1].expand(40, 60)) == ("batch" in along)
    for other in ("b", "c"):
        free = model[other](torch.ones(40, 50, 60))
        assert not torch.equal(free, free[:1, :1].expand(40, 50, 60))
    assert torch.equal(model.eval()["a"](dropped), dropped)


def test_masks_that_nothing_can_share_are_refused() -> None:
    with pytest.raises(ValueError, match="no dropout of frames or labels whose name has .* 'x'"):
        SharedMasks(["time"], "x").apply(nn.ModuleDict({"a": Dropout(0.1)}))
    with pytest.raises(ValueError, match="no dropout of frames"):
        SharedMasks(["time"]).apply(nn.ModuleDict({"a": Dropout(0.1, shareable=False)}))
    with pytest.raises(ValueError, match="at least one of batch and time"):
        SharedMasks([])


def test_attention_may_hide_the_same_frames_from_all() -> None:
    torch.manual_seed(0)
    query, key = torch.zeros(2, 3, 4, 8), torch.zeros(2, 3, 5, 8)
    value = torch.eye(5).expand(2, 3, 5, 5)
    allowed = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    weights = attend(query, key, value, allowed, dropout_probability=0.5, share_dropout=True)
    assert torch.equal(weights, weights[:1, :1, :1].expand(2, 3, 4, 5))
    assert sorted(weights.unique().tolist()) == pytest.approx([0.0, 0.4])
    layer = SelfAttention(8, 2, dropout=0.9, share_dropout=True)
    layer.output.weight.data, layer.output.bias.data = torch.eye(8), torch.zeros(8)
    layer.query_key_value.weight.data[16:], layer.query_key_value.bias.data[16:] = 0.0, 1.0
    mask = torch.ones(1, 5, dtype=torch.bool)
    heard = layer(torch.randn(1, 5, 8), SequenceContext(mask, mask[:, None], causal=False))
    hidden = heard == 0
    assert torch.equal(hidden, hidden[:, :1, :1].expand(1, 5, 8))

"""Self-attention equals torch's without positions, and sums over pairs of frames with them."""

from __future__ import annotations

from functools import partial
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.nn.attention import Projections, SelfAttention
from asrkit.nn.positions import (
    ClippedRelativePosition,
    NoPosition,
    Position,
    RotaryPosition,
    TransformerXLPosition,
    sinusoids,
)
from asrkit.nn.score_gradients import DistanceGradient
from asrkit.nn.spans import (
    CausalSpan,
    ChunkedSpan,
    FullSpan,
    PastSpan,
    Span,
    TrainingSpan,
    WindowSpan,
)

LENGTHS = torch.tensor([6, 4])
D, K, C, T = 8, 2, 4, 6


def make(position: Factory[Position] = NoPosition, dropout: float = 0.0) -> SelfAttention:
    torch.manual_seed(0)
    layer = SelfAttention(D, K, position, dropout)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


@pytest.mark.parametrize("span", [FullSpan(), CausalSpan(), ChunkedSpan(2, 1), WindowSpan(3)])
def test_without_positions_it_is_torch_multihead_attention(span: Span) -> None:
    layer, theirs = make().eval(), nn.MultiheadAttention(D, K, batch_first=True).eval()
    theirs.in_proj_weight.data = layer.query_key_value.weight.data
    theirs.in_proj_bias.data = layer.query_key_value.bias.data
    theirs.out_proj.load_state_dict(layer.output.state_dict())
    x = torch.randn(2, T, D)
    context = span.context(LENGTHS, T)
    allowed = context.attention.expand(2, T, T).repeat_interleave(K, 0)
    expected = theirs(x, x, x, attn_mask=~allowed, need_weights=False)[0]
    found = layer(x, context)
    torch.testing.assert_close(found[context.mask], expected[context.mask], rtol=1e-4, atol=1e-5)


def test_heads_may_be_wider_or_narrower_than_frames() -> None:
    torch.manual_seed(0)
    position = partial(ClippedRelativePosition, clip=2)
    layer = SelfAttention(D, 3, position, 0.0, Projections(width=12))
    plain = SelfAttention(12, 3, position, 0.0)
    assert layer.query_key_value.weight.shape == (36, D)
    assert layer.output.weight.shape == (D, 12)
    assert layer.joined_shapes() == {
        "query_key_value.weight": (3, 3, 4, D),
        "query_key_value.bias": (3, 3, 4),
        "output.weight": (D, 3, 4),
    }
    # As wide as a layer of 12 values, whose first D values are read and written.
    with torch.no_grad():
        plain.query_key_value.weight.zero_()[:, :D] = layer.query_key_value.weight
        plain.query_key_value.bias.copy_(layer.query_key_value.bias)
        plain.output.weight[:D], plain.output.bias[:D] = layer.output.weight, layer.output.bias
        plain.position.load_state_dict(layer.position.state_dict())
    x, context = torch.randn(2, T, D), FullSpan().context(LENGTHS, T)
    expected = plain(nn.functional.pad(x, (0, 4)), context)[..., :D]
    torch.testing.assert_close(layer(x, context), expected)
    with pytest.raises(ValueError, match=r"num_heads \(2\) must divide"):
        SelfAttention(D, 2, projections=Projections(width=5))
    with pytest.raises(ValueError, match=r"width \(0\) must be at least 1"):
        Projections(width=0)


def pair_scores(layer: SelfAttention, x: Tensor) -> Tensor:
    """Returns scaled scores (K, T, T) of one utterance, one pair of frames at a time."""
    query, key, _ = layer.query_key_value(x).unflatten(1, (3, K, C)).unbind(1)  # (T, K, C)
    scores = torch.empty(K, T, T)
    position = layer.position
    for head in range(K):
        for i in range(T):
            for j in range(T):
                q, k = query[i, head], key[j, head]
                if isinstance(position, TransformerXLPosition):
                    table = position.projection(sinusoids(torch.tensor([j - i]), D))
                    distance = table.view(K, C)[head]
                    u, v = position.content_bias[head, 0], position.distance_bias[head, 0]
                    score = (q + u) @ k + (q + v) @ distance
                else:
                    assert isinstance(position, ClippedRelativePosition)
                    row = max(-position.clip, min(position.clip, j - i)) + position.clip
                    score = q @ (k + position.table[row])
                scores[head, i, j] = score / C**0.5
    return scores


@pytest.mark.parametrize("dropout", [0.0, 1e-9])  # both ways to attend
@pytest.mark.parametrize(
    "position", [TransformerXLPosition, partial(ClippedRelativePosition, clip=2)]
)
def test_relative_positions_equal_the_sum_over_pairs(
    position: Factory[Position], dropout: float
) -> None:
    layer = make(position, dropout).train()
    x = torch.randn(1, T, D)
    value = layer.query_key_value(x[0]).unflatten(1, (3, K, C))[:, 2].transpose(0, 1)
    attended = pair_scores(layer, x[0]).softmax(2) @ value  # (K, T, C)
    expected = layer.output(attended.transpose(0, 1).flatten(1))
    found = layer(x, FullSpan().context(torch.tensor([T]), T))[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    parameters = list(layer.parameters())
    weight = torch.randn(T, D)
    ours = torch.autograd.grad((found * weight).sum(), parameters)
    theirs = torch.autograd.grad((expected * weight).sum(), parameters)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dropped", ["embeddings", "distances"])
def test_clipped_distances_lose_values_together_or_each_for_itself(
    dropped: Literal["embeddings", "distances"],
) -> None:
    torch.manual_seed(0)
    position = ClippedRelativePosition(1, 8, clip=1, dropout=0.5, dropped=dropped)
    query = torch.ones(1, 1, 800, 8)
    _, _, scores = position(query, query)
    assert scores is not None
    far = scores[0, 0, 0, 1:].detach()  # distances from 1 on, all with the last embedding
    row = position.table[2].detach() / 8**0.5
    assert len(far.unique()) == 1 if dropped == "embeddings" else len(far.unique()) > 50
    if dropped == "distances":
        spread = float(row.square().sum()) ** 0.5  # each value is 0 or doubled
        assert float(far.mean() - row.sum()) == pytest.approx(0, abs=5 * spread / 799**0.5)


@pytest.mark.parametrize("dropout", [0.0, 1e-9])
def test_gradients_of_scores_shrink_with_the_distance(dropout: float) -> None:
    layer = make(TransformerXLPosition, dropout).train()
    plain = make(TransformerXLPosition, dropout).train()
    layer.score_gradient = DistanceGradient(0.7)
    x = torch.randn(1, T, D)
    context = FullSpan().context(torch.tensor([T]), T)
    torch.testing.assert_close(layer(x, context), plain(x, context), rtol=1e-4, atol=1e-5)
    value = layer.query_key_value(x[0]).unflatten(1, (3, K, C))[:, 2].transpose(0, 1)
    scores = pair_scores(layer, x[0])
    scores.register_hook(
        lambda gradient: torch.stack(
            [
                torch.stack(
                    [gradient[:, i, j] * 2.718281828 ** (-0.7 * abs(i - j)) for j in range(T)]
                )
                for i in range(T)
            ]
        ).permute(2, 0, 1)
    )
    expected = layer.output((scores.softmax(2) @ value).transpose(0, 1).flatten(1))
    weight, parameters = torch.randn(T, D), list(layer.parameters())
    ours = torch.autograd.grad((layer(x, context)[0] * weight).sum(), parameters)
    theirs = torch.autograd.grad((expected * weight).sum(), parameters)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    layer.eval()  # there torch's own attention serves, whose gradient is whole
    whole = torch.autograd.grad((layer(x, context)[0] * weight).sum(), parameters)
    assert not torch.allclose(whole[0], ours[0], rtol=1e-2)
    with pytest.raises(ValueError, match=r"rate \(-1\)"):
        DistanceGradient(-1)


def test_some_factors_of_score_gradients_are_dropped_and_some_are_whole() -> None:
    torch.manual_seed(0)
    near = DistanceGradient(0.01).factors(200, torch.device("cpu"))
    drawn = DistanceGradient(0.01, dropout=0.1, whole_share=0.2).factors(200, torch.device("cpu"))
    dropped, whole = drawn == 0, drawn == 1
    assert float(dropped.float().mean()) == pytest.approx(0.1 * 0.8, abs=0.01)
    assert float(whole.float().mean()) == pytest.approx(0.2, abs=0.01)
    kept = ~dropped & ~whole
    torch.testing.assert_close(drawn[kept], near[kept] / 0.9, rtol=1e-4, atol=0)
    with pytest.raises(ValueError, match=r"whole_share \(1.5\) must be between 0 and 1"):
        DistanceGradient(0.1, whole_share=1.5)
    with pytest.raises(ValueError, match=r"dropout \(1.0\) must be at least 0 and below 1"):
        DistanceGradient(0.1, dropout=1.0)


def test_rotary_scores_depend_on_distances_only() -> None:
    rotary = RotaryPosition(1, C)
    query, key = torch.randn(1, 1, 1, C).expand(1, 1, T, C), torch.randn(1, 1, 1, C)
    turned, keys, bias = rotary(query, key.expand(1, 1, T, C))
    scores = (turned @ keys.transpose(2, 3))[0, 0]
    assert bias is None
    torch.testing.assert_close(scores[1:, 1:], scores[:-1, :-1])
    assert not torch.allclose(scores[0, 1], scores[1, 0])
    torch.testing.assert_close(scores[0, 0], (query[0, 0, 0] * key[0, 0, 0]).sum())
    with pytest.raises(ValueError, match="even number of values per head, got 3"):
        RotaryPosition(1, 3)


def test_chunks_see_themselves_and_the_chunks_to_their_left() -> None:
    allowed = ChunkedSpan(2, left_chunks=1).context(torch.tensor([6]), 6).attention[0]
    seen = [row.nonzero().flatten().tolist() for row in allowed]
    assert seen == [[0, 1], [0, 1], [0, 1, 2, 3], [0, 1, 2, 3], [2, 3, 4, 5], [2, 3, 4, 5]]


def test_the_past_is_seen_by_attention_alone() -> None:
    context = PastSpan().context(torch.tensor([3, 2]), 3)
    assert context.attention[0].tolist() == [[True, False, False], [True, True, False], [True] * 3]
    assert context.attention[1].tolist() == [[True, False, False], [True, True, False], [True] * 3]
    assert not context.causal


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, [[0], [1], [2], [3], []]),
        (3, [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3], [3]]),
        (4, [[0, 1], [0, 1, 2], [0, 1, 2, 3], [1, 2, 3], [2, 3]]),
    ],
)
def test_a_window_of_training_holds_in_training_alone(size: int, expected: list[list[int]]) -> None:
    span, lengths = TrainingSpan(WindowSpan(size)), torch.tensor([4])
    attention = span.at(training=True).context(lengths, 5).attention[0]
    found = [row.nonzero().flatten().tolist() for row in attention]
    assert found[:4] == expected[:4]
    assert found[4] == [*expected[4], 4]  # padding sees itself too
    everywhere = span.at(training=False).context(lengths, 5).attention[0]
    assert everywhere.expand(5, 5).tolist() == [[True] * 4 + [False]] * 5
    with pytest.raises(ValueError, match="ChunkedSpan shifts convolutions"):
        TrainingSpan(ChunkedSpan(2))
    with pytest.raises(ValueError, match=r"size \(0\)"):
        WindowSpan(0)


def test_heads_must_divide_the_dim() -> None:
    with pytest.raises(ValueError, match=r"num_heads \(3\) must divide dim \(8\)"):
        SelfAttention(8, 3)


def test_the_first_weights_of_queries_have_the_variance_that_is_asked_for() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(64, 4, projections=Projections(initial_scale=0.5))
    weight = layer.query_key_value.weight
    assert float(weight.detach().abs().max()) <= (1.5 / 64) ** 0.5
    assert float(weight.detach().var()) == pytest.approx(0.5 / 64, rel=0.1)
    with pytest.raises(ValueError, match="initial_scale"):
        Projections(initial_scale=0.0)

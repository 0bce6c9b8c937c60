"""Normalised queries and keys, against formulas written down head by head."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from asrkit.config.registry import Factory
from asrkit.nn.attention import SelfAttention
from asrkit.nn.masking import SequenceContext
from asrkit.nn.query_key_norms import L2QueryKeyNorm, LayerQueryKeyNorm, QueryKeyNorm

Array = NDArray[np.float64]


def by_lengths(query: Array, key: Array, layer: SelfAttention) -> Array:
    norm = layer.query_key_norm
    assert isinstance(norm, L2QueryKeyNorm)
    cosine = query @ key / np.sqrt((query @ query) * (key @ key))
    return np.asarray(norm.scale.item() * cosine)


def by_layer_norm(query: Array, key: Array, layer: SelfAttention) -> Array:
    norm = layer.query_key_norm
    assert isinstance(norm, LayerQueryKeyNorm)
    gains = (norm.query.weight.detach().numpy(), norm.key.weight.detach().numpy())
    ready = [
        (x - x.mean()) / np.sqrt(x.var() + 1e-6) * gain
        for x, gain in zip((query, key), gains, strict=True)
    ]
    return np.asarray(ready[0] @ ready[1] / np.sqrt(len(query)))


@pytest.mark.parametrize(
    ("norm", "score"),
    [(partial(L2QueryKeyNorm, scale=3.0), by_lengths), (LayerQueryKeyNorm, by_layer_norm)],
)
def test_scores_are_those_of_the_formula(norm: Factory[QueryKeyNorm], score: object) -> None:
    assert callable(score)
    torch.manual_seed(0)
    layer = SelfAttention(8, 2, dropout=0.0, query_key_norm=norm).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(1, 5, 8, dtype=torch.float64)
    mask = torch.ones(1, 5, dtype=torch.bool)
    found = layer(x, SequenceContext(mask, mask[:, None]))[0]
    query, key, value = (
        layer.query_key_value(x)[0].detach().numpy().reshape(5, 3, 2, 4).swapaxes(0, 1)
    )
    attended = np.zeros((5, 2, 4))
    for head in range(2):
        for i in range(5):
            scores = np.array([score(query[i, head], key[j, head], layer) for j in range(5)])
            weights = np.exp(scores) / np.exp(scores).sum()
            attended[i, head] = weights @ value[:, head]
    expected = layer.output(torch.from_numpy(attended.reshape(5, 8)))
    torch.testing.assert_close(found, expected)


def test_the_learned_factor_has_a_gradient_and_must_be_positive() -> None:
    norm = L2QueryKeyNorm(4, scale=2.0)
    query, key = norm(torch.randn(1, 1, 3, 4), torch.randn(1, 1, 3, 4))
    torch.testing.assert_close(query.norm(dim=3), torch.full((1, 1, 3), 4.0))
    torch.testing.assert_close(key.norm(dim=3), torch.ones(1, 1, 3))
    query.sum().backward()
    assert norm.scale.grad is not None
    with pytest.raises(ValueError, match=r"scale \(0\) must be positive"):
        L2QueryKeyNorm(4, scale=0)

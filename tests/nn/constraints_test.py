"""Weights that training keeps within what a layer demands of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from asrkit.nn.constraints import SemiOrthogonalLinear, constrain, nearer_semi_orthogonal


def deviation(matrix: Tensor) -> float:
    """Returns how far M M^T is from the nearest multiple of I, in relation to that."""
    products = matrix @ matrix.t()
    scale = products.diagonal().mean()
    return float((products - scale * torch.eye(len(products))).norm() / scale)


def test_steps_lead_to_a_multiple_of_a_semi_orthogonal_matrix() -> None:
    torch.manual_seed(0)
    matrix, before = torch.randn(6, 20) * 0.3, float("inf")
    size = float(matrix.norm())
    for _ in range(60):
        assert deviation(matrix) < before or before < 1e-4
        before = deviation(matrix)
        matrix = nearer_semi_orthogonal(matrix)
    assert deviation(matrix) < 1e-5
    assert float(matrix.norm()) == pytest.approx(size, rel=0.2)  # the scale is free


def test_a_step_is_as_calculated_by_hand() -> None:
    # M M^T = diag(1, 4): a^2 = (1 + 16) / (1 + 4), and 17 * 2 / 25 is above 1.1, so s is 1/8.
    found = nearer_semi_orthogonal(torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
    right = torch.zeros(2, 3)
    right[0, 0] = 1 - 0.125 / 3.4 * (1 - 3.4)
    right[1, 1] = 2 - 0.125 / 3.4 * (4 - 3.4) * 2
    torch.testing.assert_close(found, right)


def test_semi_orthogonal_matrices_stay_and_tall_ones_get_orthogonal_columns() -> None:
    torch.manual_seed(0)
    orthogonal = 3 * torch.linalg.qr(torch.randn(7, 4)).Q
    torch.testing.assert_close(nearer_semi_orthogonal(orthogonal.t()), orthogonal.t())
    torch.testing.assert_close(nearer_semi_orthogonal(orthogonal), orthogonal)


def test_only_trained_weights_change_and_only_when_it_is_time() -> None:
    torch.manual_seed(0)
    trained, frozen = SemiOrthogonalLinear(8, 3, interval=4), SemiOrthogonalLinear(3, 2)
    frozen.weight.requires_grad_(False)
    model = nn.Sequential(trained, frozen)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for updates in (1, 2, 3):
        constrain(model, updates)
    assert torch.equal(before[0], trained.weight)
    constrain(model, 4)
    assert deviation(trained.weight.detach()) < deviation(before[0])
    assert torch.equal(before[1], frozen.weight)
    assert trained.weight.requires_grad


def test_an_impossible_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"interval \(0\) must be at least 1"):
        SemiOrthogonalLinear(4, 2, interval=0)

"""Norms equal torch's on the valid frames alone, whatever the padding holds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from asrkit.nn.masking import length_mask
from asrkit.nn.norms import (
    BatchNorm,
    GroupNorm,
    LayerNorm,
    Norm,
    RMSNorm,
    TrackingBatchNorm,
    UnmaskedBatchNorm,
)

LENGTHS = torch.tensor([7, 4, 1])


def padded(padding: float) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    mask = length_mask(LENGTHS)
    return (2 + 3 * torch.randn(3, 7, 6)).masked_fill(~mask.unsqueeze(2), padding), mask


@pytest.mark.parametrize("padding", [0.0, 1e6, float("nan")])
def test_batch_norm_is_that_of_torch_on_the_valid_frames(padding: float) -> None:
    x, mask = padded(padding)
    ours, theirs = BatchNorm(6), nn.BatchNorm1d(6)
    for norm in (ours.norm, theirs):
        nn.init.constant_(norm.weight, 1.5)
        nn.init.constant_(norm.bias, 0.3)
    frames, rows = x.clone().requires_grad_(), x[mask].clone().requires_grad_()
    weight = torch.randn(12, 6)
    ours(frames, mask), theirs(rows)  # the second time, running statistics are old and new ones
    found, expected = ours(frames, mask)[mask], theirs(rows)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    assert frames.grad is not None
    torch.testing.assert_close(frames.grad[mask], rows.grad, rtol=1e-4, atol=1e-5)
    assert float(frames.grad[~mask].abs().max()) == 0.0
    torch.testing.assert_close(ours.norm.weight.grad, theirs.weight.grad, rtol=1e-4, atol=1e-5)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.norm.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    evaluated = ours.eval()(x, mask)[mask]
    torch.testing.assert_close(evaluated, theirs.eval()(x[mask]), rtol=1e-4, atol=1e-5)


def test_unmasked_batch_norm_is_that_of_torch_on_all_frames() -> None:
    x, mask = padded(3.0)
    ours, theirs = UnmaskedBatchNorm(6), nn.BatchNorm1d(6)
    for _ in range(2):
        expected = theirs(x.transpose(1, 2)).transpose(1, 2)
        torch.testing.assert_close(ours(x, mask), expected, rtol=1e-4, atol=1e-5)
    expected = theirs.eval()(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(ours.eval()(x, mask), expected, rtol=1e-4, atol=1e-5)


def test_tracking_batch_norm_first_follows_what_it_evaluates() -> None:
    x, mask = padded(float("nan"))
    ours, theirs = TrackingBatchNorm(6), BatchNorm(6)
    torch.testing.assert_close(ours(x, mask)[mask], theirs(x, mask)[mask])
    theirs(x, mask)  # as the other one does in evaluation
    found = ours.eval()(x, mask)[mask]
    torch.testing.assert_close(found, theirs.eval()(x, mask)[mask], rtol=0.02, atol=0.02)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(*(n.norm.state_dict()[name] for n in (ours, theirs)))
    assert bool(ours(x, torch.zeros_like(mask)).isnan().any())  # nothing to follow


def test_batch_norm_of_one_frame_is_its_bias() -> None:
    norm = BatchNorm(4)
    found = norm(torch.randn(1, 1, 4), torch.ones(1, 1, dtype=torch.bool))
    torch.testing.assert_close(found, torch.zeros(1, 1, 4))
    assert bool(torch.isfinite(norm.norm.running_var).all())  # type: ignore[arg-type]


def test_batch_norm_keeps_its_moments_in_float32_under_autocast() -> None:
    x, mask = padded(0.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = BatchNorm(6)(x, mask)
    torch.testing.assert_close(found, BatchNorm(6)(x, mask))


@pytest.mark.parametrize("doubled", [True, False])
def test_batch_norm_keeps_float64(doubled: bool) -> None:
    norm = BatchNorm(3)
    if doubled:
        norm = norm.double()
    x = torch.randn(2, 5, 3, dtype=torch.float64) * 1e-3 + 1e4
    mask = torch.arange(5) < torch.tensor([[5], [3]])
    out = norm(x, mask)
    assert out.dtype == torch.float64
    frames = x[mask]
    exact = (frames - frames.mean(0)) / (frames.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(out[mask], exact, rtol=1e-5, atol=1e-9)
    assert norm.norm.running_mean is not None
    assert norm.norm.running_mean.dtype == norm.norm.weight.dtype


@pytest.mark.parametrize("padding", [0.0, 1e6, float("nan")])
@pytest.mark.parametrize("num_groups", [1, 3])
def test_group_norm_is_that_of_torch_on_each_utterance_alone(
    num_groups: int, padding: float
) -> None:
    x, mask = padded(padding)
    found = GroupNorm(6, num_groups)(x, mask)
    theirs = nn.GroupNorm(num_groups, 6, eps=1e-6)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = theirs(x[row : row + 1, :length].transpose(1, 2)).transpose(1, 2)[0]
        torch.testing.assert_close(found[row, :length], alone, rtol=1e-4, atol=1e-5)


def test_groups_must_divide_the_dim() -> None:
    with pytest.raises(ValueError, match=r"num_groups \(4\) must divide dim \(6\)"):
        GroupNorm(6, 4)


@pytest.mark.parametrize("norm", [LayerNorm(6), RMSNorm(6), BatchNorm(6).eval()])
def test_frames_do_not_influence_each_other(norm: Norm) -> None:
    x, mask = padded(float("nan"))
    found = norm(x, mask)
    alone = norm(x[:1, 2:3], mask[:1, 2:3])
    torch.testing.assert_close(found[:1, 2:3], alone)
    assert bool(torch.isfinite(found[mask]).all())

"""The TDNN-F encoder: its sums, what a frame hears, padding, and frames that are left out."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.config.ordered import Ordered
from asrkit.models.tdnnf import TdnnfEncoder
from asrkit.nn.norms import IdentityNorm, LayerNorm
from asrkit.nn.resampling import FrameStacking


def encoder(**changes: Any) -> TdnnfEncoder:
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"dim": 6, "bottleneck": 2, "strides": [1, 0, 2]}
    made = TdnnfEncoder(3, **{**arguments, **changes}).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def whole(made: TdnnfEncoder, features: Tensor) -> Tensor:
    frames: Tensor = made(features, torch.tensor([features.shape[1]])).frames
    return frames


def test_a_layer_hears_a_frame_before_and_a_bottleneck_after() -> None:
    made = encoder(strides=[2], norm=IdentityNorm, bypass=0.5)
    features = torch.randn(1, 7, 3, dtype=torch.float64)
    x = F.relu(made.input(features))[0]
    layer: Any = made.layers[0]

    def at(values: Tensor, place: int) -> Tensor:
        return values[place] if 0 <= place < 7 else torch.zeros_like(values[0])

    inner = torch.stack([layer.first(torch.cat([at(x, t - 2), x[t]])) for t in range(7)])
    heard = [torch.cat([inner[t], at(inner, t + 2)]) for t in range(7)]
    right = 0.5 * x + F.relu(torch.stack([layer.second(each) for each in heard]))
    torch.testing.assert_close(whole(made, features)[0], right)


@pytest.mark.parametrize("norm", [LayerNorm, IdentityNorm])
def test_a_frame_hears_what_the_strides_reach(norm: Any) -> None:
    made, features = encoder(norm=norm).eval(), torch.randn(1, 15, 3, dtype=torch.float64)
    features.requires_grad_(True)
    whole(made, features)[0, 7].sum().backward()
    assert features.grad is not None
    heard = features.grad[0].abs().sum(1).nonzero().flatten()
    assert heard.tolist() == list(range(7 - 3, 7 + 3 + 1))  # 1 + 0 + 2 frames to each side


@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_no_valid_frame(training: bool) -> None:
    stacking = partial(FrameStacking, window=3, stride=1, right=1)
    frontend = Ordered({"stacking": stacking})
    made = encoder(subsampling=[1, 3], frontend=frontend).train(training)
    features, lengths = torch.randn(2, 14, 3, dtype=torch.float64), torch.tensor([14, 8])
    padded = F.pad(features, (0, 0, 0, 5), value=100.0)
    padded[1, 8:] = -50.0
    few, many = made(features, lengths), made(padded, lengths)
    assert few.frames.shape == (2, 5, 6)
    assert few.lengths.tolist() == [5, 3] == made.output_lengths(lengths).tolist()
    torch.testing.assert_close(many.frames[0, :5], few.frames[0])
    torch.testing.assert_close(many.frames[1, :3], few.frames[1, :3])


def test_what_is_left_out_changes_no_frame_that_stays() -> None:
    """A layer calculates only frames that stay, and these are those of one that keeps all."""
    features, length = torch.randn(1, 8, 3, dtype=torch.float64), torch.tensor([8])
    short = encoder(subsampling=[1, 3], norm=LayerNorm, strides=[1, 1])
    every = encoder(norm=LayerNorm, strides=[1, 1])
    torch.testing.assert_close(short(features, length).frames, whole(every, features)[:, ::3])


def test_taps_are_outputs_of_layers() -> None:
    made = encoder(taps=[2, 3], subsampling=[2]).eval()
    found = made(torch.randn(1, 9, 3, dtype=torch.float64), torch.tensor([9]))
    assert torch.equal(found.at(3), found.at(None))
    assert found.at(2).shape == (1, 5, 6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": []}, r"strides \[\] must be"),
        ({"strides": [1, -1]}, r"strides \[1, -1\] must be"),
        ({"subsampling": [1, 1, 1, 3]}, "of more layers than strides"),
        ({"subsampling": [0]}, "positive numbers"),
        ({"bottleneck": 0}, r"bottleneck \(0\) must be at least 1"),
        ({"taps": [1], "subsampling": [1, 3]}, r"taps \[1\] must be layers from 2 on"),
        ({"taps": [4]}, r"taps \[4\] are not blocks"),
    ],
)
def test_impossible_layers_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder(**changes)

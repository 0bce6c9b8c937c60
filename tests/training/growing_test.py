from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from asrkit.models.blstm import BlstmEncoder
from asrkit.models.decoders.transformer import TransformerDecoder
from asrkit.nn.attention import SelfAttention
from asrkit.nn.convolution import Convolution
from asrkit.nn.feed_forward import GatedFeedForward
from asrkit.nn.growth import copy_corner, joined_shapes
from asrkit.nn.masking import length_mask
from asrkit.nn.norms import IdentityNorm, LayerNorm
from asrkit.nn.positions import TransformerXLPosition
from asrkit.nn.spans import FullSpan
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.growing import grow

LENGTHS = torch.tensor([5, 3])


def test_corners_are_copied_and_the_rest_stays() -> None:
    target = torch.zeros(3, 4)
    copy_corner(target, torch.ones(2, 5))
    assert target.tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]]


def silent(module: nn.Module) -> nn.Module:
    """Sets every weight to zero, so that what grew adds nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module.eval()


def sublayer(kind: str, size: int) -> nn.Module:
    torch.manual_seed(size)
    if kind == "attention":
        return SelfAttention(4 * size, size, dropout=0.0)
    if kind == "convolution":
        return Convolution(4 * size, 3, norm=IdentityNorm)
    return GatedFeedForward(4 * size, 6 * size, dropout=0.0)


@pytest.mark.parametrize("kind", ["attention", "convolution", "feed_forward"])
def test_a_layer_that_grew_by_zeros_computes_what_the_small_one_did(kind: str) -> None:
    """Only where each part of a joined tensor has found its place."""
    small, large = sublayer(kind, 2).eval(), silent(sublayer(kind, 3))
    grown = grow(large, small, small.state_dict())
    assert not grown.fresh
    assert not grown.same_shapes
    x = torch.randn(2, 5, 8)
    context = FullSpan().context(LENGTHS, 5)
    wide = torch.cat([x, torch.zeros(2, 5, 4)], dim=2)
    expected, got = small(x, context), large(wide, context)
    valid = length_mask(LENGTHS, 5)
    torch.testing.assert_close(got[..., :8][valid], expected[valid])
    assert not got[..., 8:][valid].any()


def test_blstm_layers_grow_in_width_and_depth() -> None:
    torch.manual_seed(0)
    small = BlstmEncoder(3, 2, num_layers=2, dropout=0.0).eval()
    large = silent(BlstmEncoder(3, 4, num_layers=3, dropout=0.0))
    grown = grow(large, small, small.state_dict())
    assert all(name.startswith("layers.2") for name in grown.fresh)
    features = torch.randn(2, 5, 3)
    expected = small(features, LENGTHS).frames
    large.layers = large.layers[:2]  # type: ignore[index]
    large.pools = large.pools[:2]  # type: ignore[index]
    got = large(features, LENGTHS).frames
    directions: list[Tensor] = [got[..., :2], got[..., 4:6]]
    torch.testing.assert_close(torch.cat(directions, dim=2), expected)


def test_all_shapes_have_as_many_numbers_as_their_tensors() -> None:
    outputs = Outputs.labels_with_eos(Vocabulary(["a", "b"]))
    decoder = TransformerDecoder(outputs, 6, 8, 1, 2, 12)
    position = TransformerXLPosition(num_heads=2, head_dim=4)
    model = nn.ModuleList([decoder, nn.LSTMCell(3, 4), LayerNorm(3), position])
    shapes = joined_shapes(model)
    for name, tensor in model.state_dict().items():
        assert tensor.view(shapes[name]).numel() == tensor.numel()
    assert shapes["0.blocks.0.attention.query_key_value.weight"] == (3, 2, 4, 8)
    assert shapes["0.blocks.0.cross.key_value.weight"] == (2, 2, 4, 6)
    assert shapes["3.projection.weight"] == (2, 4, 8)
    assert shapes["1.weight_ih"] == (4, 4, 3)


def test_equal_models_are_copied_whole() -> None:
    small, large = nn.Linear(3, 2), nn.Linear(3, 2)
    assert grow(large, small, small.state_dict()).same_shapes
    assert torch.equal(small.weight, large.weight)

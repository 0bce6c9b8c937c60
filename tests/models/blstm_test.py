"""BLSTM layers as a frontend of another encoder."""

from __future__ import annotations

import torch

from asrkit.models.blstm import BlstmFrontend


def test_a_frontend_shortens_and_does_not_see_padding() -> None:
    torch.manual_seed(0)
    frontend = BlstmFrontend(input_dim=3, hidden_dim=4, pools=[3, 2], dropout=0.5).eval()
    features, lengths = torch.randn(2, 20, 3), torch.tensor([20, 13])
    frames, shorter = frontend(features, lengths)
    assert frames.shape == (2, 4, 8)
    assert frontend.dim == 8
    assert shorter.tolist() == [4, 3] == frontend.output_lengths(lengths).tolist()
    alone, _ = frontend(features[1:, :13], lengths[1:])
    torch.testing.assert_close(frames[1, :3], alone[0])


def test_what_leaves_the_last_layer_may_have_a_dropout_of_its_own() -> None:
    torch.manual_seed(0)
    same = BlstmFrontend(input_dim=3, hidden_dim=4, pools=[3, 2], dropout=0.5)
    none = BlstmFrontend(input_dim=3, hidden_dim=4, pools=[3, 2], dropout=0.5, output_dropout=0.0)
    assert (same.dropout.probability, none.dropout.probability) == (0.5, 0.0)
    assert none.layers.dropout.probability == 0.5
    frames, _ = none(torch.randn(2, 12, 3), torch.tensor([12, 7]))
    assert bool((frames[0] != 0).all())

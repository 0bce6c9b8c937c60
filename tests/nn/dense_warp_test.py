from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from asrkit.nn.dense_warp import DenseWarp, Flow, sample


def test_samples_are_those_of_grid_sample() -> None:
    torch.manual_seed(0)
    features, lengths = torch.randn(2, 9, 5), torch.tensor([9, 4])
    rows, columns = torch.rand(2, 9, 5) * 16 - 4, torch.rand(2, 9, 5) * 12 - 4
    found = sample(features, rows, columns, lengths)
    for number, length in enumerate(lengths.tolist()):
        grid = torch.stack([columns[number] / 4, rows[number] / (length - 1)], -1) * 2 - 1
        image = features[None, None, number, :length]
        expected = F.grid_sample(image, grid[None], padding_mode="border", align_corners=True)
        torch.testing.assert_close(found[number], expected[0, 0], rtol=1e-4, atol=1e-5)


def test_flows_grow_with_the_steps_and_move_all_features_alike() -> None:
    torch.manual_seed(0)
    warp = DenseWarp([Flow(20, time=40.0), Flow(10, time=3.0)])
    lengths = torch.tensor([400] * 30)
    features = torch.arange(400.0)[None, :, None].expand(30, 400, 3).contiguous()
    assert warp(features, lengths, 9)[0] is features
    deviations = []
    for step in (10, 20):
        warped, same = warp(features, lengths, step)
        assert same is lengths
        torch.testing.assert_close(warped[..., 0], warped[..., 2])
        middle = (warped - features)[:, 150:250, 0]
        # Frames 4.5, 14.5 and so on are points of the grid; their neighbours are almost.
        deviations.append(float(torch.cat([middle[:, 4::10], middle[:, 5::10]]).std()))
    assert deviations[0] == pytest.approx(3.0, rel=0.15)
    assert deviations[1] == pytest.approx(40.0, rel=0.15)


def test_frequencies_move_in_smooth_bands_and_padding_stays_out() -> None:
    torch.manual_seed(0)
    warp = DenseWarp([Flow(0, time=0.0, frequency=1.0)], feature_spacing=20)
    features = torch.arange(40.0).expand(8, 50, 40).contiguous()
    features[:, 25:] = 1e6
    warped = warp(features, torch.tensor([25] * 8), 0)[0]
    assert float(warped.max()) <= 39.0
    moves = (warped - torch.arange(40.0))[:, :25]
    assert 0.5 < float(moves[..., 5:35].std()) < 1.2
    assert float(moves.diff(dim=2)[..., 5:35].abs().max()) < 0.5
    assert not torch.allclose(moves[:, 4, 10], moves[:, 14, 10])


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"time \(-1\)"):
        Flow(0, time=-1)
    with pytest.raises(ValueError, match=r"frame_spacing \(0\)"):
        DenseWarp([], frame_spacing=0)

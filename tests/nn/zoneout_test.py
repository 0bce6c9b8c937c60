"""Zoneout in LSTM layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from asrkit.nn.zoneout import Zoneout


def test_that_share_of_old_values_is_kept() -> None:
    old, new = (torch.zeros(10000),) * 2, (torch.ones(10000),) * 2
    for zoneout, places in ((Zoneout(output=0.25), [0.75, 1]), (Zoneout(cell=0.25), [1, 0.75])):
        expected = [float(part.mean()) for part in zoneout.mix(old, new, training=False)]
        assert expected == pytest.approx(places)
        kept = zoneout.mix(old, new, training=True)
        assert [float(part.mean()) for part in kept] == pytest.approx(places, abs=0.03)
        assert all(set(part.unique().tolist()) <= {0.0, 1.0} for part in kept)


def test_almost_no_zoneout_is_torchs_lstm() -> None:
    torch.manual_seed(0)
    layer, x = nn.LSTM(3, 4, batch_first=True), torch.randn(2, 6, 3)
    before = (torch.randn(2, 4), torch.randn(2, 4))
    fast, (hidden, cell) = Zoneout().run(layer, x, before)
    slow, state = Zoneout(cell=1e-9).run(layer, x, before)
    torch.testing.assert_close(slow, fast)
    torch.testing.assert_close(state, (hidden, cell))
    torch.testing.assert_close(Zoneout(output=1e-9).run(layer, x, None)[0], layer(x)[0])


def test_a_step_of_search_is_a_step_of_torchs_lstm() -> None:
    torch.manual_seed(0)
    layer, x = nn.LSTM(3, 4, batch_first=True), torch.randn(2, 1, 3)
    before = (torch.randn(2, 4), torch.randn(2, 4))
    expected, (hidden, cell) = layer(x, (before[0][None], before[1][None]))
    found, state = Zoneout().run(layer.eval(), x, before)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(state, (hidden[0], cell[0]))


def test_shares_are_checked() -> None:
    with pytest.raises(ValueError, match=r"zoneout_cell \(1.0\)"):
        Zoneout(cell=1.0)
    with pytest.raises(ValueError, match=r"zoneout_output \(-0.1\)"):
        Zoneout(output=-0.1)

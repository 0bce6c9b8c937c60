from __future__ import annotations

import math

import pytest

from asrkit.training.cycles import CosineCycles
from asrkit.training.epoch_schedules import EpochList, Newbob, Ramp
from asrkit.training.schedules import Constant, PiecewiseLinear


def test_geometric_ramps_have_equal_factors() -> None:
    ramp = Ramp(1e-3, 1e-7, epochs=5, times=2, spacing="geometric")
    expected = [1e-3, 1e-4, 1e-5, 1e-6, 1e-7]
    assert ramp.rates() == pytest.approx(expected * 2, rel=1e-12)
    assert EpochList([ramp]).lr(1, 5) == 1e-7
    with pytest.raises(ValueError, match=r"above 0, not from 0.001 to 0.0"):
        Ramp(1e-3, 0.0, epochs=5, spacing="geometric")


def test_cosine_cycles_are_the_published_product() -> None:
    schedule = CosineCycles(Constant(1e-3), period=10_000, low=1e-4)
    for step in (1, 2500, 5000, 9999, 12_345):
        wave = math.cos(step / 10_000 * 2 * math.pi) * 0.49995 + 0.50005
        assert schedule.lr(step, 1) == pytest.approx(1e-3 * wave, rel=1e-12)
    with pytest.raises(ValueError, match=r"low \(2\) must be at most 1"):
        CosineCycles(Constant(1e-3), period=10, low=2)
    with pytest.raises(ValueError, match=r"period \(1\)"):
        CosineCycles(Constant(1e-3), period=1)


def test_cycles_hand_on_what_the_other_schedule_needs() -> None:
    shares = CosineCycles(PiecewiseLinear([(0, 0.0), (1, 1.0)], by="share"), period=10)
    assert shares.needs_updates
    assert not shares.needs_dev
    known = shares.over(20)
    assert not known.needs_updates
    assert known.lr(10, 1) == pytest.approx(0.5)
    newbob = CosineCycles(Newbob(start=1.0, window=1, min_epochs=1), period=10)
    assert newbob.needs_dev
    for epoch, dev in enumerate([1.0, 2.0, 3.0], 1):
        newbob.observe(epoch, dev)
    again = CosineCycles(Newbob(start=1.0, window=1, min_epochs=1), period=10)
    again.load_state_dict(newbob.state_dict())
    assert again.lr(10, 4) == newbob.lr(10, 4) < 1.0

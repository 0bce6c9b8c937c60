"""Switched labels in training."""

from __future__ import annotations

import pytest
import torch

from asrkit.nn.switchout import Switchout

V = 9


def test_in_training_that_share_is_switched_and_half_of_it_to_blank() -> None:
    torch.manual_seed(0)
    switchout, symbols = Switchout(0.2, V, blank_share=0.5), torch.full((100, 200), V - 1)
    switched = switchout(symbols)
    assert float((switched == V).float().mean()) == pytest.approx(0.1, abs=0.01)
    # One of V random labels is the old one.
    kept = float((switched == V - 1).float().mean())
    assert kept == pytest.approx(0.8 + 0.1 / V, abs=0.01)
    assert sorted(switched.unique().tolist()) == list(range(V + 1))
    assert Switchout(1.0, V)(symbols).max() == V - 1


def test_otherwise_nothing_changes() -> None:
    symbols = torch.randint(0, V, (10, 10))
    assert Switchout(1.0, V).eval()(symbols).equal(symbols)
    assert Switchout(0.0, V)(symbols).equal(symbols)


def test_probabilities_are_checked() -> None:
    with pytest.raises(ValueError, match=r"switchout \(1.5\)"):
        Switchout(1.5, V)
    with pytest.raises(ValueError, match=r"blank_share \(-1"):
        Switchout(0.5, V, blank_share=-1)

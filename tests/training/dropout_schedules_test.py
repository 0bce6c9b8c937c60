"""Dropout that changes while a model is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from asrkit.config.ordered import Ordered
from asrkit.nn.dropout import ContinuousDropout, Dropout
from asrkit.training.dropout_schedules import DropoutSchedule
from asrkit.training.optimizers import AdamW
from asrkit.training.schedules import Constant
from asrkit.training.trainer import Trainer
from tests.training.trainer_test import toy

POINTS = [(0.2, 0.0), (0.5, 0.3), (1.0, 0.1)]


def test_probabilities_lie_on_straight_lines() -> None:
    found = [DropoutSchedule(POINTS).at(share) for share in (0.0, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5)]
    assert found == pytest.approx([0.0, 0.0, 0.1, 0.3, 0.2, 0.1, 0.1])
    assert DropoutSchedule([(0.0, 0.25)]).at(0.7) == 0.25


def test_selected_layers_follow() -> None:
    model = nn.ModuleDict({"a": Dropout(0.5), "b": ContinuousDropout(0.1), "c": Dropout(0.4)})
    DropoutSchedule(POINTS, "^[ab]$").apply(model, 0.5)
    assert [each.probability for each in model.values()] == [0.3, 0.3, 0.4]


@pytest.mark.parametrize(
    ("points", "pattern", "message"),
    [
        ([], "", r"points \[\] must begin with shares"),
        ([(0.5, 0.1), (0.5, 0.2)], "", "that ascend"),
        ([(0.0, 0.1), (1.5, 0.2)], "", "at most 1"),
        ([(0.0, 1.0)], "", r"probabilities \[1.0\]"),
        ([(0.0, 0.1)], "(", "pattern"),
        ([(0.0, 0.1)], "other", "'other' selects no dropout layer"),
        ([(0.0, 0.6)], "", "0.6 is too much for continuous dropout"),
    ],
)
def test_what_can_not_be_is_refused(
    points: list[tuple[float, float]], pattern: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DropoutSchedule(points, pattern).layers(nn.Sequential(ContinuousDropout(0.1)))


class Noting(toy.ToyModel):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.drop = Dropout(0.9)


def test_training_goes_by_all_its_updates(tmp_path: Path) -> None:
    job = toy.make_job(tmp_path, per_epoch=5)
    schedule = DropoutSchedule([(0.0, 0.0), (1.0, 0.5)], "^drop$")
    trainer = Trainer(
        model := Noting(), job, 2, AdamW(), Constant(0.0),
        dropout_schedules=Ordered({"all": schedule}),
    )  # fmt: skip
    trainer.step = 6  # of ten
    trainer.train_step([toy.make_batch(1, 2)])
    assert model.drop.probability == pytest.approx(0.3)
    with pytest.raises(ValueError, match="selects no dropout layer"):
        Trainer(
            Noting(), job, 2, AdamW(), Constant(0.0),
            dropout_schedules=Ordered({"all": DropoutSchedule([(0.0, 0.1)], "none")}),
        )  # fmt: skip

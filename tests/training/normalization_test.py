"""What an update's loss is divided by, against sums that are written out here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from asrkit.data.batch import Batch
from asrkit.models.interfaces import LossPart, LossReport
from asrkit.training.distributed import init_distributed
from asrkit.training.normalization import By, Over
from asrkit.training.updates import Gradients, Update
from tests.training.programs.toy import ToyModel, make_batch


class TwoParts(ToyModel):
    """Another loss that counts more, as one does that counts end of sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.layers[1] = nn.Dropout(0.0)

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        if len(batch) > self.most:
            raise torch.cuda.OutOfMemoryError("toy")
        first = super().forward(batch, step)["toy.loss"]
        second = self.layers(batch.signal).square().sum()
        more = int(batch.label_lengths.sum()) + len(batch)
        return {"toy.loss": first, "more.loss": LossPart(second, more, 0.5)}

    most = 99


BATCHES = [make_batch(1, 2), make_batch(2, 4), make_batch(3, 3)]


def gradient(by: By, over: Over, batches: list[Batch], most: int = 99) -> torch.Tensor:
    torch.manual_seed(0)
    model = TwoParts()
    model.most = most
    made = Gradients(init_distributed(), 1, Update(normalize=by, normalize_over=over))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    made.add(model, optimizer, batches, 0)
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def expected(by: By, batch: Batch) -> torch.Tensor:
    torch.manual_seed(0)
    model = TwoParts()
    first, second = model(batch).values()
    labels = {"labels": 3 * len(batch), "utterances": len(batch), "sum": 1}
    counts = (first.count, second.count) if by == "parts" else (labels[by], labels[by])
    (first.total / counts[0] + 0.5 * second.total / counts[1]).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("by", ["labels", "utterances", "sum", "parts"])
def test_each_batch_is_a_mean_of_its_own(by: By) -> None:
    each = torch.stack([expected(by, batch) for batch in BATCHES])
    torch.testing.assert_close(gradient(by, "sum_of_batches", BATCHES), each.sum(0))
    torch.testing.assert_close(gradient(by, "mean_of_batches", BATCHES), each.mean(0))


@pytest.mark.parametrize("over", ["mean_of_batches", "sum_of_batches"])
@pytest.mark.parametrize("by", ["labels", "utterances", "sum"])
def test_halves_of_a_batch_count_as_that_batch(by: By, over: Over) -> None:
    whole = gradient(by, over, BATCHES)
    torch.testing.assert_close(gradient(by, over, BATCHES, most=2), whole)


def test_one_batch_of_an_update_is_the_update() -> None:
    one = gradient("labels", "update", BATCHES[:1])
    assert torch.equal(gradient("labels", "mean_of_batches", BATCHES[:1]).sign(), one.sign())
    torch.testing.assert_close(gradient("labels", "mean_of_batches", BATCHES[:1]), one)


def test_parts_can_not_be_counted_before_they_are_computed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="parts needs normalize_over: mean_of_batches or"):
        Update(normalize="parts")

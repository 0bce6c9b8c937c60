"""Pictures of dev utterances, whatever these are called."""

from __future__ import annotations

import torch

from asrkit.data.batch import Batch
from asrkit.models.heads.pictures import attention_figure
from asrkit.models.interfaces import Encoded
from asrkit.plotting import pixels


def test_a_name_that_is_no_formula_does_not_end_the_training() -> None:
    batch = Batch(
        ids=["a$b_{$\\frac"],
        signal=torch.zeros(1, 4, dtype=torch.int16),
        signal_lengths=torch.tensor([4]),
        labels=torch.zeros(1, 3, dtype=torch.int64),
        label_lengths=torch.tensor([3]),
    )
    encoded = Encoded(torch.zeros(1, 5, 2), torch.tensor([5]), {})
    assert pixels(attention_figure(torch.rand(3, 5), batch, encoded)).shape == (400, 800, 3)

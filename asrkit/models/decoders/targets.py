"""What label decoders read in training, and what they are to predict."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.nn.masking import length_mask


def with_eos(batch: Batch, eos: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns decoder inputs (bos first), targets (eos last) and their mask, each (B, U + 1)."""
    labels, lengths = batch.labels, batch.label_lengths
    edge = labels.new_full((len(labels), 1), eos)
    inside = length_mask(lengths, labels.shape[1])
    inputs = torch.cat([edge, labels.masked_fill(~inside, eos)], dim=1)
    targets = torch.cat([labels.masked_fill(~inside, eos), edge], dim=1)
    return inputs, targets, length_mask(lengths + 1, labels.shape[1] + 1)

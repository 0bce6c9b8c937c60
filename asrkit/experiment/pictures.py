"""What TensorBoard shows besides numbers: what heads recognise in dev utterances, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from asrkit.data.batch import Batch
from asrkit.models.interfaces import TrainableModel
from asrkit.plotting import pixels
from asrkit.text.tokenizers import Tokenizer
from asrkit.training.sources import EpochSource, reading

NUM_UTTERANCES = 4


class DevPictures:
    """Writes what a model shows of a few dev utterances after each evaluation.

    Args:
        tokenizer: Turns labels into text.
        dev: The first batch of it is shown; nothing if there is none.
    """

    def __init__(self, tokenizer: Tokenizer, dev: EpochSource) -> None:
        self.tokenizer = tokenizer
        self.dev = dev
        self._batch: Batch | None = None

    def __call__(self, model: TrainableModel, writer: Any, epoch: int) -> None:
        """Adds texts and pictures of this epoch to the TensorBoard writer."""
        if self._batch is None:
            with reading(self.dev.batches(epoch=1)) as batches:
                self._batch = next(batches, None)
        if self._batch is None:
            return
        batch = self._batch.to(next(model.parameters()).device)
        was_training = model.training
        model.eval()
        with torch.inference_mode():
            pictures = model.pictures(batch)
        model.train(was_training)
        for name, shown in pictures.items():
            if shown.recognised:
                writer.add_text(f"dev/{name}", self._table(shown.recognised, batch), epoch)
            if shown.figure is not None:
                image = pixels(shown.figure)
                writer.add_image(f"dev/{name}", image, epoch, dataformats="HWC")

    def _table(self, recognised: Sequence[list[int]], batch: Batch) -> str:
        rows = ["| utterance | reference | recognised |", "|---|---|---|"]
        for index in range(min(NUM_UTTERANCES, len(batch))):
            labels = batch.labels[index, : int(batch.label_lengths[index])].tolist()
            texts = (self.tokenizer.decode(labels), self.tokenizer.decode(recognised[index]))
            rows.append(f"| {batch.ids[index]} | {texts[0]} | {texts[1]} |")
        return "\n".join(rows)

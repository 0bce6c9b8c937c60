"""What TensorBoard shows beside numbers: decoded dev utterances and an attention picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.interfaces import Encoded, TrainableModel
from asrkit.plotting import new_figure, pixels
from asrkit.search.ctc_greedy import greedy_labels
from asrkit.text.tokenizers import Tokenizer
from asrkit.training.sources import EpochSource, reading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_UTTERANCES = 4


class DevPictures:
    """Writes a few recognised dev utterances and their attention after each evaluation.

    Args:
        tokenizer: Turns labels into text.
        dev: The first batch of it is shown.
    """

    def __init__(self, tokenizer: Tokenizer, dev: EpochSource) -> None:
        self.tokenizer = tokenizer
        self.dev = dev
        self._batch: Batch | None = None

    def __call__(self, model: TrainableModel, writer: Any, epoch: int) -> None:
        """Adds texts and pictures of this epoch to the TensorBoard writer."""
        if not isinstance(model, AsrModel):
            return
        if self._batch is None:
            with reading(self.dev.batches(epoch=1)) as batches:
                self._batch = next(batches)
        device = next(model.parameters()).device
        batch = self._batch.to(device)
        was_training = model.training
        model.eval()
        with torch.inference_mode():
            encoded = model.encode(batch.signal, batch.signal_lengths)
            for name, head in model.heads.items():
                if isinstance(head, CtcHead):
                    writer.add_text(f"dev/{name}", self._table(head, encoded, batch), epoch)
                if isinstance(head, AttentionHead):
                    weights = head.attention_weights(encoded, batch)
                    picture = attention_figure(weights[0], batch, encoded)
                    writer.add_image(f"dev/{name}", pixels(picture), epoch, dataformats="HWC")
        model.train(was_training)

    def _table(self, head: CtcHead, encoded: Encoded, batch: Batch) -> str:
        found = greedy_labels(head.log_probs(encoded), encoded.lengths)
        rows = ["| utterance | reference | recognised |", "|---|---|---|"]
        for index in range(min(NUM_UTTERANCES, len(batch))):
            labels = batch.labels[index, : int(batch.label_lengths[index])].tolist()
            texts = (self.tokenizer.decode(labels), self.tokenizer.decode(found[index]))
            rows.append(f"| {batch.ids[index]} | {texts[0]} | {texts[1]} |")
        return "\n".join(rows)


def attention_figure(weights: Tensor, batch: Batch, encoded: Encoded) -> Figure:
    """Returns the picture of one utterance's attention weights (U, T), the first of the batch."""
    num_labels, num_frames = int(batch.label_lengths[0]), int(encoded.lengths[0])
    figure = new_figure(8, 4)
    axes = figure.add_subplot()
    axes.imshow(
        weights[:num_labels, :num_frames].float().cpu().numpy(),
        aspect="auto",
        origin="lower",
        cmap="magma",
    )
    axes.set(xlabel="encoder frame", ylabel="label")
    axes.set_title(batch.ids[0], parse_math=False)  # a name may have dollars
    return figure

"""Pictures of what heads do with an utterance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.models.interfaces import Encoded
from asrkit.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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

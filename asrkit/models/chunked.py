"""A batch of utterances becomes a batch of their chunks, with the labels that stand in each.

Where a chunk's labels begin and end only an alignment tells. So chunks are for training on given
alignments; the other heads of the model then learn from chunks as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.lattice.alignments import aligned_labels
from asrkit.nn.chunks import Chunking

OutputLengths = Callable[[Tensor], Tensor]


def require_whole_frames(chunking: Chunking, output_lengths: OutputLengths) -> None:
    """Makes sure that encoder frames of a chunk are those of the utterance.

    Raises:
        ValueError: If chunks begin or end within an encoder frame.
    """
    numbers = torch.arange(1, 65, device="cpu")
    for name, frames in (("size", chunking.size), ("step", chunking.stride)):
        counts = output_lengths(numbers * frames)
        if not torch.equal(counts, numbers * counts[0]):
            raise ValueError(
                f"training_chunks: {name} ({frames}) is no multiple of the feature frames that "
                "become an encoder frame; such as 360 where six frames become one"
            )


def cut_batch(
    batch: Batch,
    features: Tensor,
    lengths: Tensor,
    chunking: Chunking,
    output_lengths: OutputLengths,
    blank: int,
    repeats: bool,
) -> Batch:
    """Returns the chunks of a batch, as utterances with features for a signal.

    Args:
        batch: With alignments.
        features: (B, T, F).
        lengths: (B,).
        chunking: How features are cut.
        output_lengths: Encoder frames (N,) of feature frames (N,).
        blank: V.
        repeats: Whether equal labels in a row of an alignment are one label; one that a chunk cuts
            is a label of both its sides.

    Raises:
        UserError: If there is no alignment, or it has other frames than the encoder.
    """
    frames = output_lengths(lengths)
    if batch.alignment is None or batch.alignment.shape[1] != int(frames.max()):
        got = "none" if batch.alignment is None else f"{batch.alignment.shape[1]} frames"
        raise UserError(
            f"utterance {batch.ids[0]}: training_chunks need an alignment, of {int(frames.max())} "
            f"frames for its batch; got {got}; align with a model that shortens time as much"
        )
    chunks = chunking.of(lengths)
    size, stride = output_lengths(torch.tensor([chunking.size, chunking.stride])).tolist()
    alignment = Chunking(size, stride).of(frames).cut(batch.alignment, padding=-1)
    spelt = aligned_labels(alignment, blank, repeats)
    return replace(
        batch,
        ids=[batch.ids[index] for index in chunks.utterances.tolist()],
        signal=chunks.cut(features),
        signal_lengths=chunks.lengths,
        labels=spelt.labels,
        label_lengths=spelt.label_lengths,
        alignment=alignment,
    )

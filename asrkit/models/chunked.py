"""A batch of utterances becomes a batch of their chunks, with the labels that stand in each.

Only an alignment tells where the labels of a chunk begin and end. So chunks are for training on
given alignments; the other heads of the model then learn from chunks as well. Alignments with a
symbol for each feature frame are cut where the features are, whatever the encoder makes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.data.frame_targets import PADDING, FrameTargets
from asrkit.errors import UserError
from asrkit.models.interfaces import Head
from asrkit.nn.chunks import Chunking

OutputLengths = Callable[[Tensor], Tensor]


def require_chunkable(
    chunking: Chunking, output_lengths: OutputLengths, heads: Mapping[str, Head]
) -> None:
    """Checks that all heads of a model can learn from chunks.

    Raises:
        ValueError: If there are no given alignments, a head needs labels that they don't tell, or
            chunks begin or end within a frame of theirs.
    """
    given = {name: head.given_targets for name, head in heads.items()}
    targets = next((each for each in given.values() if each is not None), None)
    if targets is None:
        raise ValueError(
            "training_chunks need a head with criterion: alignment, or another one that is trained "
            "on given alignments, because only alignments give the labels of a chunk; expected "
            "training_chunks: null, or such a head"
        )
    if targets.rate == "sequence":
        raise ValueError(
            f"training_chunks: {targets.told()}, don't tell what is said in a chunk; expected "
            "training_chunks: null"
        )
    others = [name for name, each in given.items() if each is None]
    if others and not targets.spell_text:
        raise ValueError(
            f"training_chunks: alignments of {targets.outputs.told()} don't tell the labels of a "
            f"chunk, which heads.{others[0]} is trained on; expected training_chunks: null, or "
            "only heads that are trained on these alignments"
        )
    if targets.rate == "encoder":
        _require_whole_frames(chunking, output_lengths)


def _require_whole_frames(chunking: Chunking, output_lengths: OutputLengths) -> None:
    """Checks that encoder frames of a chunk are those of the utterance."""
    numbers = torch.arange(1, 65, device="cpu")
    for name, frames in (("size", chunking.size), ("step", chunking.stride)):
        counts = output_lengths(numbers * frames)
        if not torch.equal(counts, numbers * counts[0]):
            raise ValueError(
                f"training_chunks: {name} ({frames}) is not a multiple of the feature frames that "
                "become an encoder frame; such as 360 where six frames become one"
            )


def cut_batch(
    batch: Batch,
    features: Tensor,
    lengths: Tensor,
    chunking: Chunking,
    output_lengths: OutputLengths,
    targets: FrameTargets,
) -> Batch:
    """Returns the chunks of a batch, as utterances with features for a signal.

    Args:
        batch: With alignments.
        features: (B, T, F).
        lengths: (B,).
        chunking: How features are cut.
        output_lengths: Encoder frames (N,) of feature frames (N,).
        targets: What the alignments hold. Where equal labels in a row are one label, one that a
            chunk cuts is a label of both its sides.

    Raises:
        UserError: If there is no alignment, or it has other frames than it should.
    """
    frames = targets.count(lengths, output_lengths(lengths))
    if batch.alignment is None or batch.alignment.shape[1] != int(frames.max()):
        got = "none" if batch.alignment is None else f"{batch.alignment.shape[1]} frames"
        raise UserError(
            f"utterance {batch.ids[0]}: training_chunks need an alignment, of {int(frames.max())} "
            f"frames for its batch; got {got}; align with a model of the same frame rate"
        )
    chunks = chunking.of(lengths)
    sizes = torch.tensor([chunking.size, chunking.stride])
    cut = Chunking(*targets.count(sizes, output_lengths(sizes)).tolist())
    alignment = cut.of(frames).cut(batch.alignment, padding=PADDING)
    spelt = targets.labels_of(alignment)
    return replace(
        batch,
        ids=[batch.ids[index] for index in chunks.utterances.tolist()],
        signal=chunks.cut(features),
        signal_lengths=chunks.lengths,
        labels=spelt.labels,
        label_lengths=spelt.label_lengths,
        alignment=alignment,
        speeds=[batch.speeds[index] for index in chunks.utterances.tolist() if batch.speeds],
    )

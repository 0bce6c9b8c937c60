"""The chunked attention head: a label decoder that reads the frames chunk by chunk.

Its end of chunk is what blank is to an RNN-T: the hypothesis continues with the next chunk. So a
search for transducers decodes with it, whole utterances or a stream.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.data.frame_targets import FrameTargets
from asrkit.errors import UserError
from asrkit.lattice.topologies import RnntTopology, Topology
from asrkit.losses.cross_entropy import cross_entropy, label_errors
from asrkit.models.chunked_encoder import ChunkedEncoder
from asrkit.models.decoders.interfaces import AttendingDecoder, LabelDecoder
from asrkit.models.heads.chunk_symbols import ChunkSymbols
from asrkit.models.interfaces import (
    Encoded,
    Encoder,
    Head,
    LossPart,
    LossReport,
    heads,
    require_share,
    require_weight,
)
from asrkit.models.taps import require_tap
from asrkit.nn.applied import Applied
from asrkit.nn.masking import length_mask, zero_padding
from asrkit.scorers.interfaces import Kind, State, select
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary


@heads.register("chunked_attention")
class ChunkedAttentionHead(Head):
    """Predicts the labels of each chunk and its end, from all symbols before and its frames.

    The end of a chunk is entry V, like the end of sentence of an `attention` head, and there is no
    other end: the last chunk's is that of the utterance. Decoded by a search of type `transducer`,
    whose frames are chunks, and whose `max_symbols` is the most labels of one.

    Args:
        encoder: Whose frames are read.
        vocabulary: The V labels.
        weight: Of the loss in the training objective.
        decoder: Scores next symbols.
        chunk_frames: Frames of a chunk; those of an encoder of type `chunked` where null.
        aligned_by: The CTC head whose best path says in which chunk a label ends; where null, given
            alignments (data.alignments) of a CTC head say it.
        label_smoothing: Probability taken from the target and shared by the other symbols, in
            training; dev losses are without.
        tap: Block, counted from 1, whose output is read; the last where null.

    Raises:
        ValueError: If the size of chunks is unknown or another one than the encoder's, the encoder
            has no such tap, the smoothing is not a share, or the decoder reads no frames.

    Source: Zeyer et al. 2024, "Chunked attention-based encoder-decoder model for streaming speech
        recognition".
    """

    by_chunk: frozenset[Kind] = frozenset({"symbols"})

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Vocabulary,
        weight: float,
        decoder: Factory[LabelDecoder],
        chunk_frames: int | None = None,
        aligned_by: str | None = None,
        label_smoothing: float = 0.1,
        tap: int | None = None,
    ) -> None:
        super().__init__()
        require_tap(encoder, tap)
        require_weight(weight)
        require_share("label_smoothing", label_smoothing)
        self.weight, self.tap, self.label_smoothing = weight, tap, label_smoothing
        self.applied = Applied()
        self.chunk_frames = _frames_of_chunk(encoder, chunk_frames)
        self.outputs = Outputs.labels_with_eos(vocabulary)
        self.end = self.outputs.eos
        self.aligned_by = aligned_by
        aligned = FrameTargets(Outputs.labels_with_blank(vocabulary), labels_repeat=True)
        self.given_targets = aligned if aligned_by is None else None
        made = decoder(outputs=self.outputs, encoder_dim=encoder.dim)
        if not isinstance(made, AttendingDecoder):
            raise ValueError(f"decoder: a {type(made).__name__} has no attention to frames")
        self.decoder = made

    def loss(self, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the loss per symbol, the share of wrong ones, and how many were not aligned.

        Those utterances add nothing.

        Raises:
            UserError: If there is no alignment.
        """
        frames, lengths = encoded.at(self.tap), encoded.lengths
        if batch.alignment is None:
            raise UserError(
                f"utterance {batch.ids[0]}: a chunked_attention head needs an alignment; give "
                "data.alignments, or aligned_by with the name of a CTC head"
            )
        symbols = batch.alignment[:, : frames.shape[1]]
        found = ChunkSymbols.of(symbols, lengths, self.chunk_frames, self.end, repeats=True)
        seen = found.frames(lengths, frames.shape[1], self.chunk_frames)
        logits = self.decoder(found.inputs, frames, seen)
        aligned = _spells(found, batch)  # (B,)
        mask = found.mask() & aligned[:, None]
        smoothing = self.label_smoothing if self.training else 0.0
        losses = cross_entropy(logits, found.targets, mask, smoothing, applied=self.applied)
        count = int((found.lengths * aligned).sum())
        wrong = label_errors(logits, found.targets, mask).float()
        return {
            "loss": LossPart(losses.sum(), count, self.weight, losses.detach()),
            "errors": LossPart(wrong, count, weight=0.0),
            "infeasible": LossPart((~aligned).sum().float(), len(batch), weight=0.0),
        }

    def symbol_scorer(self, encoded: Encoded) -> ChunkScorer:
        """Returns the scores of each chunk's symbols, for transducer search."""
        frames = encoded.at(self.tap)
        clean = zero_padding(frames, length_mask(encoded.lengths, frames.shape[1]))
        return ChunkScorer(self.decoder, clean, encoded.lengths, self.chunk_frames, self.end)


class ChunkScorer:
    """Scores symbols, chunk by chunk: what searches call a frame is a chunk here.

    A state is the log-probabilities (H, V + 1) of the next symbol, the decoder's states, and which
    utterance (H,) each hypothesis is of.

    Args:
        decoder: The decoder.
        encoded: (B, T, D) frames, from the beginning of a chunk on; zero in the padding.
        frames: (B,) how many are valid.
        chunk_frames: Frames of a chunk.
        blank: V, end of chunk, which is also read before the first one.
    """

    topology: Topology = RnntTopology()
    """Labels stay in a chunk until it ends."""

    def __init__(
        self,
        decoder: AttendingDecoder,
        encoded: Tensor,
        frames: Tensor,
        chunk_frames: int,
        blank: int,
    ) -> None:
        self.decoder, self.encoded, self.frames = decoder, encoded, frames
        self.chunk_frames, self.blank = chunk_frames, blank
        self.lengths = torch.div(frames + chunk_frames - 1, chunk_frames, rounding_mode="floor")
        """(B,) chunks."""
        self.memory = self._memory(0)
        """What the decoder computes from the frames of the chunk that was entered last."""

    def initial_state(self) -> State:
        """Returns the states of the B empty hypotheses, which are in no chunk: scores are 0."""
        unknown = self.encoded.new_zeros(len(self.frames), self.blank + 1)
        rows = torch.arange(len(self.frames), device=self.frames.device)
        return unknown, self.decoder.initial_state(self.memory), rows

    def enter(self, state: State, last: Tensor, frame: int) -> State:
        """Returns the states after the end of the chunk before was read, with a chunk's frames."""
        self.memory = self._memory(frame)
        _, before, rows = state
        moved = self.decoder.on_frames(before, select(self.memory, rows))
        return self.advance((None, moved, rows), torch.full_like(rows, self.blank))

    def score(self, state: State, frame: int) -> Tensor:
        """Returns log-probabilities (H, V + 1) in the chunk that was entered last, its end last."""
        scores: Tensor = state[0]
        return scores

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after one more label (H,) of the same chunk; H may be any number."""
        _, before, rows = state
        return (*self.decoder.step(before, labels, select(self.memory, rows)), rows)

    def _memory(self, chunk: int) -> Any:
        """Returns what the decoder computes from a chunk's frames; where there are none, of one."""
        begin = min(chunk * self.chunk_frames, self.encoded.shape[1] - 1)
        frames = self.encoded[:, begin : begin + self.chunk_frames]  # (B, S, D)
        left = (self.frames - begin).clamp(min=1, max=frames.shape[1])  # (B,)
        return self.decoder.begin(frames, length_mask(left, frames.shape[1]))


def _frames_of_chunk(encoder: Encoder, given: int | None) -> int:
    """Returns how many frames a chunk has."""
    own = encoder.chunk_frames if isinstance(encoder, ChunkedEncoder) else None
    size = own if given is None else given
    if size is None:
        raise ValueError(
            "chunk_frames is null, and the encoder has no chunks; expected a number of frames, or "
            "an encoder of type chunked"
        )
    if size < 1 or own is not None and size != own:
        expected = "at least 1" if own is None else f"null or {own}, as the encoder's"
        raise ValueError(f"chunk_frames is {size}; expected {expected}")
    return size


def _spells(found: ChunkSymbols, batch: Batch) -> Tensor:
    """Returns which alignments spell the labels of their utterances: (B,)."""
    spelt, width = found.spelt.labels, max(found.spelt.labels.shape[1], batch.labels.shape[1])
    rows = [torch.nn.functional.pad(x, (0, width - x.shape[1])) for x in (spelt, batch.labels)]
    inside = length_mask(batch.label_lengths, width)
    same = ((rows[0] == rows[1]) | ~inside).all(1)
    return same & (found.spelt.label_lengths == batch.label_lengths)

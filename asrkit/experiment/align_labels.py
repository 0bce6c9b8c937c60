"""Aligns labels of transcripts by a head of labels: one with a best path of its own."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
from asrkit.data.frame_targets import FrameTargets
from asrkit.errors import UserError
from asrkit.experiment.set_alignments import AlignedUtterance, Timed
from asrkit.models.interfaces import AligningHead, Encoded
from asrkit.models.kinds import SpeechModel
from asrkit.scorers.interfaces import IMPOSSIBLE
from asrkit.text.tokenizers import Tokenizer

Spans = list[tuple[int, int]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BestPath:
    """The best path of an utterance's labels.

    Args:
        spans: First frame and end (exclusive) of each label.
        log_prob: Of the path; hugely negative where the labels do not fit into the frames.
        symbols: One per frame; of RNN-T one per step, which may be more.
    """

    spans: Spans
    log_prob: float
    symbols: list[int]


class LabelAligner:
    """Aligns the labels of transcripts.

    Args:
        model: The model.
        head: Whose best paths are taken.
        tokenizer: Makes labels of transcripts.
    """

    def __init__(self, model: SpeechModel, head: AligningHead, tokenizer: Tokenizer) -> None:
        self.model, self.head, self.tokenizer = model, head, tokenizer
        self.targets, self.tree = head.aligned_targets, ""
        self.left_out: Counter[str] = Counter()

    def __call__(self, batch: Batch, infos: list[UtteranceInfo]) -> list[AlignedUtterance]:
        """Returns the alignments of those utterances of a batch that have one."""
        device = next(self.model.parameters()).device
        labels = [self._labels(info) for info in infos]
        rows = [torch.tensor(each or [], dtype=torch.int64) for each in labels]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        sizes = torch.tensor([len(row) for row in rows], device=device)
        with torch.inference_mode():
            encoded = self.model.encode(batch.signal.to(device), batch.signal_lengths.to(device))
            found = best_spans(self.head, encoded, padded, sizes)
        kept = []
        for info, known, best in zip(infos, labels, found, strict=True):
            if known is not None and best.log_prob < IMPOSSIBLE / 2:
                log.warning("left out: %s: its labels do not fit into its frames", info.id)
                self.left_out["labels do not fit into frames"] += 1
            elif known is not None:
                kept.append(self._aligned(info.id, known, best))
        return kept

    def _labels(self, info: UtteranceInfo) -> list[int] | None:
        try:
            return self.tokenizer.encode(info.reference)
        except UserError as error:
            log.warning("left out: %s: %s", info.id, error)
            self.left_out["no labels"] += 1
            return None

    def _aligned(self, name: str, labels: list[int], best: BestPath) -> AlignedUtterance:
        names = self.tokenizer.vocabulary.symbols
        times = [Timed(names[n], *span) for n, span in zip(labels, best.spans, strict=True)]
        words = word_times(self.tokenizer, labels, best.spans)
        return AlignedUtterance(name, best.symbols, times, words)

    def frame_seconds(self, num_samples: int) -> float:
        """Returns the seconds between the frames of alignments of so many samples."""
        return frame_seconds(self.model, self.targets, num_samples)


def best_spans(
    head: AligningHead, encoded: Encoded, labels: Tensor, label_lengths: Tensor
) -> list[BestPath]:
    """Returns the best path of each utterance's labels (B, U).

    A label of a transducer has one frame, more where the topology lets it be repeated.
    """
    found = head.align(encoded, labels, label_lengths)
    begins, ends = found.label_frames.tolist(), found.label_ends.tolist()
    symbols, log_probs = found.symbols.tolist(), found.log_probs.tolist()
    return [
        BestPath(
            list(zip(begins[row][:size], ends[row][:size], strict=True)),
            log_probs[row],
            [symbol for symbol in symbols[row] if symbol >= 0],
        )
        for row, size in enumerate(label_lengths.tolist())
    ]


def word_times(tokenizer: Tokenizer, labels: list[int], spans: Spans) -> list[Timed]:
    """Returns when the words are said that labels spell, from their first label to their last.

    Labels that add nothing to the text, such as a space, belong to no word.
    """
    found: list[Timed] = []
    text = ""
    for number, (begin, end) in enumerate(spans, start=1):
        before, text = text, tokenizer.decode(labels[:number]).strip()
        words = text.split()
        if text == before:
            continue
        if len(words) > len(found):
            found.append(Timed(words[-1], begin, end))
        else:
            found[-1] = Timed(words[-1], found[-1].begin, end)
    return found


def frame_seconds(model: SpeechModel, targets: FrameTargets | None, num_samples: int) -> float:
    """Returns the seconds between the frames of alignments; of the encoder's if None are given."""
    if targets is not None and targets.rate == "features":
        return model.features.frame_shift
    many = torch.tensor([max(num_samples, 100 * model.features.sample_rate)])
    ratio = round(float(model.features.num_frames(many)) / float(model.output_frames(many)))
    return ratio * model.features.frame_shift

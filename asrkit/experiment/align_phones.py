"""Aligns words by a CTC head of phones: the best path of their pronunciations in a lexicon."""

from __future__ import annotations

import logging
from collections import Counter
from itertools import chain

import torch

from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
from asrkit.data.frame_targets import FrameTargets
from asrkit.errors import UserError
from asrkit.experiment.align_labels import frame_seconds
from asrkit.experiment.set_alignments import AlignedUtterance, Timed
from asrkit.hmm.lexicon import Lexicon
from asrkit.hmm.phone_ctc import ctc_graph
from asrkit.hmm.viterbi import BEAM, Floats, best_path
from asrkit.models.interfaces import PosteriorHead
from asrkit.models.kinds import SpeechModel

log = logging.getLogger(__name__)


def scores_phones(head: object) -> bool:
    """Returns whether a head scores phones, or other symbols without text, and blank."""
    return (
        isinstance(head, PosteriorHead)
        and "blank" in head.outputs.specials
        and not head.outputs.num_labels
    )


class PhoneAligner:
    """Aligns the words of transcripts.

    A word lasts from the first frame of its first phone to the last one of its last.

    Args:
        model: The model.
        head: Its head of phones and blank.
        lexicon: How words are pronounced.
        beam: Of the search for the best path.
    """

    targets: FrameTargets | None = None
    """Nothing is trained on the frames of phones that CTC has found."""
    tree = ""

    def __init__(
        self, model: SpeechModel, head: PosteriorHead, lexicon: Lexicon, beam: float = BEAM
    ) -> None:
        self.model, self.head, self.lexicon, self.beam = model, head, lexicon, beam
        self.names = head.outputs.names[: head.outputs.blank]
        self.phones = {name: number for number, name in enumerate(self.names)}
        self.left_out: Counter[str] = Counter()

    def __call__(self, batch: Batch, infos: list[UtteranceInfo]) -> list[AlignedUtterance]:
        """Returns the alignments of those utterances of a batch that have one."""
        device = next(chain(self.model.buffers(), self.model.parameters())).device
        with torch.inference_mode():
            encoded = self.model.encode(batch.signal.to(device), batch.signal_lengths.to(device))
            scores, lengths = self.head.log_posteriors(encoded)  # (B, T, K + 1), (B,)
        rows = zip(infos, scores.float().cpu(), lengths.tolist(), strict=True)
        found = [self._aligned(info, row[:size].numpy()) for info, row, size in rows]
        return [one for one in found if one is not None]

    def _aligned(self, info: UtteranceInfo, scores: Floats) -> AlignedUtterance | None:
        """Returns the alignment of an utterance by the scores (T, K + 1) of its frames."""
        words = info.reference.split()
        try:
            made = ctc_graph(words, self.lexicon, self.phones)
        except UserError as error:
            log.warning("left out: %s: %s", info.id, error)
            self.left_out["words that the lexicon or the model can't pronounce"] += 1
            return None
        found = best_path(made.graph, scores, made.graph.states, self.beam)
        if found is None:
            told = "left out: %s: no path of its %d words through its %d frames"
            log.warning(told, info.id, len(words), len(scores))
            self.left_out["no path"] += 1
            return None
        spans = [*made.spans(found.states)]
        phones = [Timed(self.names[phone], begin, end) for phone, _, begin, end in spans]
        begins, ends = dict[int, int](), dict[int, int]()
        for _, word, begin, end in spans:
            begins.setdefault(word, begin)
            ends[word] = end
        times = [Timed(word, begins[n], ends[n]) for n, word in enumerate(words)]
        return AlignedUtterance(info.id, [], times, phones=phones)

    def frame_seconds(self, num_samples: int) -> float:
        """Returns the seconds between the frames of alignments of so many samples."""
        return frame_seconds(self.model, None, num_samples)

"""`asrkit align`: when each label was spoken, by a head's best path of the transcript."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from asrkit.data.alignments import Alignments
from asrkit.data.batch_info import UtteranceInfo
from asrkit.data.decode_batches import decode_batches
from asrkit.data.frame_targets import FrameTargets
from asrkit.data.manifests import open_set
from asrkit.data.transcripts import with_transcripts
from asrkit.errors import UserError
from asrkit.experiment.decode_settings import heard_with
from asrkit.experiment.record import record_command
from asrkit.experiment.runs import open_run
from asrkit.experiment.spec import available_device
from asrkit.files import write_lines
from asrkit.models.interfaces import AligningHead, Encoded
from asrkit.models.kinds import SpeechModel
from asrkit.scorers.interfaces import IMPOSSIBLE
from asrkit.text.tokenizers import Tokenizer
from asrkit.text.vocabulary import Vocabulary

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


def align(
    run: Path,
    data: Path,
    set_name: str,
    head: str = "ctc",
    checkpoint: str = "average",
    speeds: Sequence[float] = (1.0,),
    overrides: Sequence[str] = (),
) -> list[Path]:
    """Writes the alignments of a set; utterances whose labels do not fit are left out.

    RUN/align/SET.ctm has utterance, channel, start and duration in seconds, label, at speed 1.
    RUN/align/SET.safetensors has the symbols of all frames, at all speeds, to train on; not for
    RNN-T, where a frame may have several.

    Args:
        run: Folder of a trained run.
        data: Data folder.
        set_name: The set.
        head: One that aligns: a CTC or transducer head, or that of a plugin.
        checkpoint: "average", "best", "last" or a path.
        speeds: The utterances are played at each of these.
        overrides: Such as data.decoding.max_seconds=600.

    Returns:
        The paths of the files.

    Raises:
        UserError: If the head is missing, or doesn't align, or no utterance has an alignment.
    """
    opened = open_run(run, data)
    experiment, tokenizer = opened.experiment, opened.tokenizer
    settings = heard_with(experiment.speech, overrides)
    cuts = with_transcripts(open_set(data, [set_name]), set_name, "alignments")
    model, _ = opened.speech_model(checkpoint)
    aligning = _aligning_head(model, head, run)
    record_command(run)
    model.to(available_device())
    found = _Found(tokenizer.vocabulary, aligning.aligned_targets)
    for speed in dict.fromkeys(speeds):
        for batch, infos in decode_batches(cuts, settings, speed):
            signals = (batch.signal, batch.signal_lengths)
            seconds = frame_seconds(model, aligning.aligned_targets, batch.signal.shape[1])
            for info, labels, best in _align_batch(model, aligning, *signals, infos, tokenizer):
                found.add(info.id, speed, labels, best, seconds)
    if not found.aligned:
        raise UserError(f"no utterance of {set_name} could be aligned")
    return found.write(opened.folder.times(set_name), opened.folder.frames(set_name))


class _Found:
    """The alignments of a set: times of labels, and symbols of frames.

    Args:
        vocabulary: Names of the labels.
        targets: What the symbols of frames are; None where a frame may have several.
    """

    def __init__(self, vocabulary: Vocabulary, targets: FrameTargets | None) -> None:
        self.vocabulary, self.aligned = vocabulary, 0
        self.rows: list[str] = []
        self.symbols = None if targets is None else Alignments(targets)

    def add(
        self, name: str, speed: float, labels: list[int], best: BestPath, seconds: float
    ) -> None:
        """Takes up an utterance; `seconds` are between its frames."""
        self.aligned += 1
        if self.symbols is not None:
            self.symbols.add(name, speed, best.symbols)
        if speed == 1.0:
            names = [self.vocabulary.symbols[label] for label in labels]
            self.rows += _ctm(name, names, best.spans, seconds)

    def write(self, times: Path, frames: Path) -> list[Path]:
        """Writes what there is; returns the paths."""
        written = []
        if self.rows:
            write_lines(times, sorted(self.rows, key=_by_time))
            written.append(times)
        if self.symbols is not None:
            self.symbols.write(frames)
            written.append(frames)
        return written


def _aligning_head(model: SpeechModel, name: str, run: Path) -> AligningHead:
    head: object = model.named_heads().get(name)
    if not isinstance(head, AligningHead):
        names = [n for n, h in model.named_heads().items() if isinstance(h, AligningHead)]
        raise UserError(
            f"{run} has no head {name!r} that aligns, such as a CTC or transducer head; those that "
            f"it has: {names or 'none'}"
        )
    return head


def _align_batch(
    model: SpeechModel,
    head: AligningHead,
    signal: Tensor,
    lengths: Tensor,
    infos: list[UtteranceInfo],
    tokenizer: Tokenizer,
) -> list[tuple[UtteranceInfo, list[int], BestPath]]:
    """Returns the utterances of a batch that have an alignment, with labels and best path."""
    device = next(model.parameters()).device
    labels = [_labels(info, tokenizer) for info in infos]
    rows = [torch.tensor(each or [], dtype=torch.int64) for each in labels]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
    sizes = torch.tensor([len(row) for row in rows], device=device)
    with torch.inference_mode():
        encoded = model.encode(signal.to(device), lengths.to(device))
        found = best_spans(head, encoded, padded, sizes)
    kept = []
    for info, known, best in zip(infos, labels, found, strict=True):
        if known is not None and best.log_prob < IMPOSSIBLE / 2:
            log.warning("left out: %s: its labels do not fit into its frames", info.id)
        elif known is not None:
            kept.append((info, known, best))
    return kept


def _labels(info: UtteranceInfo, tokenizer: Tokenizer) -> list[int] | None:
    try:
        return tokenizer.encode(info.reference)
    except UserError as error:
        log.warning("left out: %s: %s", info.id, error)
        return None


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


def _ctm(name: str, labels: list[str], spans: Spans, seconds: float) -> list[str]:
    """Returns the lines of an utterance."""
    return [
        f"{name} 1 {begin * seconds:.3f} {(end - begin) * seconds:.3f} {label}"
        for label, (begin, end) in zip(labels, spans, strict=True)
    ]


def frame_seconds(model: SpeechModel, targets: FrameTargets | None, num_samples: int) -> float:
    """Returns the seconds between the frames of alignments; of the encoder's if None are given."""
    if targets is not None and targets.rate == "features":
        return model.features.frame_shift
    many = torch.tensor([max(num_samples, 100 * model.features.sample_rate)])
    ratio = round(float(model.features.num_frames(many)) / float(model.output_frames(many)))
    return ratio * model.features.frame_shift


def _by_time(row: str) -> tuple[str, float]:
    fields = row.split()
    return fields[0], float(fields[2])

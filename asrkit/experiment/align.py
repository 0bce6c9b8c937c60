"""`asrkit align`: when each label was spoken, by a head's best path of the transcript."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.data.alignments import Alignments
from asrkit.data.batch_info import UtteranceInfo
from asrkit.data.decode_batches import decode_batches
from asrkit.data.manifests import open_set
from asrkit.data.transcripts import with_transcripts
from asrkit.errors import UserError
from asrkit.experiment.decode_settings import heard_with
from asrkit.experiment.record import record_command
from asrkit.experiment.runs import open_run
from asrkit.experiment.spec import available_device
from asrkit.files import write_lines
from asrkit.lattice.forced_alignment import best_path, label_spans
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.heads.transducer.head import TransducerHead
from asrkit.models.interfaces import Encoded
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
        symbols: One per frame, V for blank; of RNN-T one per step, which may be more.
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
    RUN/align/SET.tsv has the symbols of all frames, at all speeds, to train on; not for RNN-T,
    where a frame may have several.

    Args:
        run: Folder of a trained run.
        data: Data folder.
        set_name: The set.
        head: A CTC or transducer head.
        checkpoint: "average", "best", "last" or a path.
        speeds: The utterances are played at each of these.
        overrides: Such as data.max_decode_seconds=600.

    Returns:
        The paths of the files.

    Raises:
        UserError: If the head is missing, or neither a CTC nor a transducer head, or no utterance
            has an alignment.
    """
    opened = open_run(run, data)
    experiment, tokenizer = opened.experiment, opened.tokenizer
    settings = heard_with(experiment.speech, overrides)
    cuts = with_transcripts(open_set(data, [set_name]), set_name, "alignments")
    model, _ = opened.asr_model(checkpoint)
    aligning = _aligning_head(model, head, run)
    record_command(run)
    model.to(available_device())
    rows: list[str] = []
    alignments = Alignments(len(tokenizer.vocabulary))
    for speed in dict.fromkeys(speeds):
        for batch, infos in decode_batches(cuts, settings, speed):
            signals = (batch.signal, batch.signal_lengths)
            seconds = frame_seconds(model, batch.signal.shape[1])
            for info, labels, best in _align_batch(model, aligning, *signals, infos, tokenizer):
                alignments.add(info.id, speed, best.symbols)
                if speed == 1.0:
                    names = [tokenizer.vocabulary.symbols[label] for label in labels]
                    rows += _ctm(info.id, names, best.spans, seconds)
    if not alignments.symbols:
        raise UserError(f"no utterance of {set_name} could be aligned")
    ctm, frames = opened.folder.times(set_name), opened.folder.frames(set_name)
    written = []
    if rows:
        write_lines(ctm, sorted(rows, key=_by_time))
        written.append(ctm)
    if isinstance(aligning, CtcHead) or not aligning.topology.labels_stay:
        alignments.write(frames)
        written.append(frames)
    return written


def _aligning_head(model: AsrModel, name: str, run: Path) -> CtcHead | TransducerHead:
    kinds = (CtcHead, TransducerHead)
    head = model.named_heads().get(name)
    if not isinstance(head, kinds):
        names = [name for name, h in model.named_heads().items() if isinstance(h, kinds)]
        raise UserError(
            f"{run} has no CTC or transducer head {name!r}; those that it has: {names or 'none'}"
        )
    return head


def _align_batch(
    model: AsrModel,
    head: CtcHead | TransducerHead,
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
    head: CtcHead | TransducerHead, encoded: Encoded, labels: Tensor, label_lengths: Tensor
) -> list[BestPath]:
    """Returns the best path of each utterance's labels (B, U).

    A label of a transducer has one frame, more where the topology lets it be repeated.
    """
    if isinstance(head, CtcHead):
        return _ctc_paths(head, encoded, labels, label_lengths)
    alignment = head.alignment(encoded, labels, label_lengths)
    result = []
    for row, size in enumerate(label_lengths.tolist()):
        symbols, spans = alignment.symbols[row].tolist(), []
        for frame in alignment.label_frames[row, :size].tolist():
            end = frame + 1
            while head.topology.symbols == 3 and symbols[end : end + 1] == [symbols[frame]]:
                end += 1
            spans.append((frame, end))
        steps = [symbol for symbol in symbols if symbol >= 0]
        result.append(BestPath(spans, float(alignment.log_probs[row]), steps))
    return result


def _ctc_paths(
    head: CtcHead, encoded: Encoded, labels: Tensor, label_lengths: Tensor
) -> list[BestPath]:
    log_probs = head.log_probs(encoded)
    paths, scores = best_path(log_probs, encoded.lengths, labels, label_lengths)
    padded = F.pad(labels, (0, 1))  # a batch may have no label at all
    symbols = padded.gather(1, paths.clamp(min=0)).masked_fill(paths < 0, log_probs.shape[2] - 1)
    return [
        BestPath(label_spans(path.cpu()), score, row[:length].tolist())
        for path, score, row, length in zip(
            paths, scores.tolist(), symbols, encoded.lengths.tolist(), strict=True
        )
    ]


def _ctm(name: str, labels: list[str], spans: Spans, seconds: float) -> list[str]:
    """Returns the lines of an utterance."""
    return [
        f"{name} 1 {begin * seconds:.3f} {(end - begin) * seconds:.3f} {label}"
        for label, (begin, end) in zip(labels, spans, strict=True)
    ]


def frame_seconds(model: AsrModel, num_samples: int) -> float:
    """Returns the seconds between encoder frames."""
    many = torch.tensor([max(num_samples, 100 * model.features.sample_rate)])
    ratio = round(float(model.features.num_frames(many)) / float(model.output_frames(many)))
    return ratio * model.features.frame_shift


def _by_time(row: str) -> tuple[str, float]:
    fields = row.split()
    return fields[0], float(fields[2])

"""`asrkit align`: when each label was spoken, by a head's best path of the transcript."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from asrkit.data.dataset import decode_batches
from asrkit.data.manifests import open_set
from asrkit.decoding.forced_alignment import IMPOSSIBLE, best_path, label_spans
from asrkit.errors import UserError
from asrkit.experiment.record import record_command
from asrkit.experiment.spec import make_tokenizer, open_run, trained_model
from asrkit.files import write_lines
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.heads.transducer import TransducerHead
from asrkit.models.interfaces import Encoded

Spans = list[tuple[int, int]]


def align(
    run: Path, data: Path, set_name: str, head: str = "ctc", checkpoint: str = "average"
) -> Path:
    """Writes RUN/align/SET.ctm: utterance, channel, start and duration in seconds, label.

    Returns:
        The path of the CTM file.

    Raises:
        UserError: If the head is missing, or neither a CTC nor a transducer head.
    """
    experiment, _ = open_run(run)
    tokenizer = make_tokenizer(experiment, data)
    model, _ = trained_model(experiment, tokenizer, run, checkpoint)
    aligning = model.named_heads().get(head)
    kinds = (CtcHead, TransducerHead)
    if not isinstance(aligning, kinds):
        names = [name for name, h in model.named_heads().items() if isinstance(h, kinds)]
        raise UserError(
            f"{run} has no CTC or transducer head {head!r}; those that it has: {names or 'none'}"
        )
    record_command(run)
    settings = experiment.speech
    rows: list[str] = []
    for batch, infos in decode_batches(open_set(data, [set_name]), settings):
        labels = [torch.tensor(tokenizer.encode(info.reference)) for info in infos]
        with torch.inference_mode():
            encoded = model.encode(batch.signal, batch.signal_lengths)
            padded = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True)
            sizes = torch.tensor([len(label) for label in labels])
            found = best_spans(aligning, encoded, padded, sizes)
        seconds = frame_seconds(model, batch.signal.shape[1])
        for info, label, (spans, score) in zip(infos, labels, found, strict=True):
            if score < IMPOSSIBLE / 2:
                raise UserError(f"utterance {info.id}: its labels do not fit into its frames")
            for unit, (begin, end) in zip(label.tolist(), spans, strict=True):
                symbol = tokenizer.vocabulary.symbols[unit]
                start, duration = begin * seconds, (end - begin) * seconds
                rows.append(f"{info.id} 1 {start:.3f} {duration:.3f} {symbol}")
    out = run / "align" / f"{set_name}.ctm"
    write_lines(out, sorted(rows, key=_by_time))
    return out


def best_spans(
    head: CtcHead | TransducerHead, encoded: Encoded, labels: Tensor, label_lengths: Tensor
) -> list[tuple[Spans, float]]:
    """Returns first frame and end (exclusive) of each label, and the log-probability of the path.

    A label of a transducer has one frame, more where the topology lets it be repeated.
    """
    if isinstance(head, CtcHead):
        paths, scores = best_path(head.log_probs(encoded), encoded.lengths, labels, label_lengths)
        return list(zip(map(label_spans, paths), scores.tolist(), strict=True))
    alignment = head.alignment(encoded, labels, label_lengths)
    result = []
    for row, size in enumerate(label_lengths.tolist()):
        symbols, spans = alignment.symbols[row].tolist(), []
        for frame in alignment.label_frames[row, :size].tolist():
            end = frame + 1
            while head.topology.symbols == 3 and symbols[end : end + 1] == [symbols[frame]]:
                end += 1
            spans.append((frame, end))
        result.append((spans, float(alignment.log_probs[row])))
    return result


def frame_seconds(model: AsrModel, num_samples: int) -> float:
    """Returns the seconds between encoder frames."""
    many = torch.tensor([max(num_samples, 100 * model.features.sample_rate)])
    ratio = round(float(model.features.num_frames(many)) / float(model.output_frames(many)))
    return ratio * model.features.frame_shift


def _by_time(row: str) -> tuple[str, float]:
    fields = row.split()
    return fields[0], float(fields[2])

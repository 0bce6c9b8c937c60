"""`asrkit align`: when each label was spoken, by the CTC head's best path of the transcript."""

from __future__ import annotations

from pathlib import Path

import torch

from asrkit.data.dataset import decode_batches
from asrkit.data.manifests import open_set
from asrkit.decoding.forced_alignment import IMPOSSIBLE, best_path, label_spans
from asrkit.errors import UserError
from asrkit.experiment.record import record_command
from asrkit.experiment.spec import make_tokenizer, open_run, trained_model
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.ctc import CtcHead


def align(
    run: Path, data: Path, set_name: str, head: str = "ctc", checkpoint: str = "average"
) -> Path:
    """Writes RUN/align/SET.ctm: utterance, channel, start and duration in seconds, label.

    Returns:
        The path of the CTM file.

    Raises:
        UserError: If the head is missing or no CTC head.
    """
    experiment, _ = open_run(run)
    tokenizer = make_tokenizer(experiment, data)
    model, _ = trained_model(experiment, tokenizer, run, checkpoint)
    ctc = model.named_heads().get(head)
    if not isinstance(ctc, CtcHead):
        names = [name for name, h in model.named_heads().items() if isinstance(h, CtcHead)]
        raise UserError(f"{run} has no CTC head {head!r}; its CTC heads: {names or 'none'}")
    record_command(run)
    settings = experiment.speech
    rows: list[str] = []
    for batch, infos in decode_batches(open_set(data, [set_name]), settings):
        labels = [torch.tensor(tokenizer.encode(info.reference)) for info in infos]
        with torch.inference_mode():
            encoded = model.encode(batch.signal, batch.signal_lengths)
            paths, scores = best_path(
                ctc.log_probs(encoded),
                encoded.lengths,
                torch.nn.utils.rnn.pad_sequence(labels, batch_first=True),
                torch.tensor([len(label) for label in labels]),
            )
        seconds = frame_seconds(model, batch.signal.shape[1])
        for info, path, label, score in zip(infos, paths, labels, scores.tolist(), strict=True):
            if score < IMPOSSIBLE / 2:
                raise UserError(f"utterance {info.id}: its labels do not fit into its frames")
            for unit, (begin, end) in zip(label.tolist(), label_spans(path), strict=True):
                symbol = tokenizer.vocabulary.symbols[unit]
                start, duration = begin * seconds, (end - begin) * seconds
                rows.append(f"{info.id} 1 {start:.3f} {duration:.3f} {symbol}")
    out = run / "align" / f"{set_name}.ctm"
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial")
    partial.write_text("".join(row + "\n" for row in sorted(rows, key=_by_time)), encoding="utf-8")
    partial.replace(out)
    return out


def frame_seconds(model: AsrModel, num_samples: int) -> float:
    """Returns the seconds between encoder frames."""
    many = torch.tensor([max(num_samples, 100 * model.features.sample_rate)])
    ratio = round(float(model.features.num_frames(many)) / float(model.output_frames(many)))
    return ratio * model.features.frame_shift


def _by_time(row: str) -> tuple[str, float]:
    fields = row.split()
    return fields[0], float(fields[2])

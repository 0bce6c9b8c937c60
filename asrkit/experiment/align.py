"""`asrkit align`: when each label was spoken, by the CTC head's best path of the transcript."""

from __future__ import annotations

from pathlib import Path

import torch

from asrkit.data.dataset import decode_batches
from asrkit.data.manifests import open_set
from asrkit.decoding.forced_alignment import force_align
from asrkit.errors import UserError
from asrkit.experiment.record import record_command
from asrkit.experiment.spec import make_tokenizer, open_run, trained_model
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
    raise UserError(f"{run} {data} {set_name} {head} {checkpoint}")

"""`asrkit prior`: how often a CTC output says each symbol, averaged over many frames."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from asrkit.data.decode_batches import decode_batches
from asrkit.data.manifests import open_set
from asrkit.errors import UserError
from asrkit.experiment.decode_settings import heard_with
from asrkit.experiment.record import record_command
from asrkit.experiment.runs import open_run
from asrkit.experiment.spec import available_device
from asrkit.files import write_text
from asrkit.records import read_json
from asrkit.scorers.interfaces import FrameSource

Mean = Literal["probabilities", "logarithms"]


@dataclass(frozen=True)
class Prior:
    """What RUN/prior/HEAD.json holds.

    Args:
        weights: Hash of the checkpoint that it was estimated with.
        log_prior: Log-priors of all symbols, blank or end of sentence last.
    """

    weights: str
    log_prior: list[float]


def estimate_prior(
    run: Path,
    data: Path,
    set_name: str,
    head: str = "ctc",
    checkpoint: str = "average",
    mean: Mean = "probabilities",
    overrides: Sequence[str] = (),
) -> Path:
    """Writes RUN/prior/HEAD.json: log-priors of all symbols, and the hash of the weights.

    Args:
        run: Folder of a trained run.
        data: Data folder.
        set_name: The set that is averaged over, which should be training data.
        head: A CTC head.
        checkpoint: "average", "best", "last" or a path.
        mean: Whether probabilities are averaged, or their logarithms (and then normalised).
        overrides: Such as data.max_decode_seconds=600.

    Raises:
        UserError: If the model has no such head, or the set no frames.

    Source: Manohar et al. 2015, section 3 (mean posterior).
    """
    opened = open_run(run, data)
    settings = heard_with(opened.experiment.speech, overrides)
    model, path = opened.asr_model(checkpoint)
    heads = model.named_heads()
    if head not in heads:
        raise UserError(f"the model of {run} has no head {head!r}; it has {', '.join(heads)}")
    source = heads[head]
    if not isinstance(source, FrameSource):
        raise UserError(
            f"head {head!r} of {run}: a {type(source).__name__} scores no frames by themselves; "
            "expected a CTC head"
        )
    device = available_device()
    model.to(device)
    total = torch.zeros(len(opened.vocabulary) + 1, dtype=torch.float64)
    frames = 0
    for batch, _ in decode_batches(open_set(data, [set_name]), settings):
        with torch.inference_mode():
            encoded = model.encode(batch.signal.to(device), batch.signal_lengths.to(device))
            found = source.frame_scores(encoded)
            valid = torch.arange(found.log_probs.shape[1], device=device) < found.lengths[:, None]
            scores = found.log_probs[valid].double()  # (frames, V + 1)
            total += (scores.exp() if mean == "probabilities" else scores).sum(0).cpu()
            frames += len(scores)
    if not frames:
        raise UserError(f"set {set_name} of {data} has no frames to average over")
    log_prior = (total / frames).log() if mean == "probabilities" else total / frames
    record_command(run)
    return write_prior(opened.folder.prior(head), log_prior.log_softmax(0), path, frames)


def write_prior(path: Path, log_prior: Tensor, weights: Path, frames: int) -> Path:
    """Writes log-priors (V + 1,) and what they were estimated with."""
    entry = {"weights": hash_of(weights), "frames": frames, "log_prior": log_prior.tolist()}
    write_text(path, json.dumps(entry) + "\n")
    return path


def read_prior(path: Path, weights: Path, size: int) -> Tensor:
    """Returns log-priors (V + 1,).

    Raises:
        UserError: If there is no such file, or it was estimated with other weights.
    """
    if not path.is_file():
        raise UserError(f"there is no prior {path}; make it by `asrkit prior --run RUN --data DIR`")
    entry = read_json(path, Prior, "make it anew by `asrkit prior --run RUN --data DIR`")
    log_prior = torch.tensor(entry.log_prior)
    if entry.weights != hash_of(weights) or len(log_prior) != size:
        raise UserError(
            f"{path} was estimated with other weights than {weights}; make it anew by "
            "`asrkit prior --run RUN --data DIR`"
        )
    if not math.isclose(float(log_prior.exp().sum()), 1.0, abs_tol=1e-3):
        raise UserError(f"{path}: the priors don't sum to one")
    return log_prior


def hash_of(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

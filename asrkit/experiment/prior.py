"""`asrkit prior`: how often a head says each of its symbols, averaged over many frames."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from asrkit.data.alignments import read_alignments
from asrkit.data.decode_batches import decode_batches
from asrkit.data.manifests import open_set
from asrkit.errors import UserError
from asrkit.experiment.decode_settings import heard_with
from asrkit.experiment.record import record_command
from asrkit.experiment.runs import open_run
from asrkit.experiment.spec import available_device
from asrkit.files import write_text
from asrkit.models.interfaces import PosteriorHead
from asrkit.models.kinds import SpeechModel
from asrkit.records import read_json
from asrkit.run_folder import RunFolder
from asrkit.text.outputs import OutputFields, Outputs

log = logging.getLogger(__name__)

Mean = Literal["probabilities", "logarithms"]


@dataclass(frozen=True)
class Prior:
    """What RUN/prior/HEAD.json holds.

    Args:
        weights: Hash of the checkpoint that it was estimated with.
        log_prior: Log-priors of all symbols, in order of their ids.
        outputs: What the symbols are; files of older versions are of labels and blank.
    """

    weights: str
    log_prior: list[float]
    outputs: OutputFields | None = None


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
        head: A CTC head, or another one that says how probable each symbol of a frame is.
        checkpoint: "average", "best", "last" or a path.
        mean: Whether probabilities are averaged, or their logarithms (and then normalised).
        overrides: Such as data.decoding.max_seconds=600.

    Raises:
        UserError: If the model has no such head, it scores no frames, or the set has none.

    Source: Manohar et al. 2015, section 3 (mean posterior).
    """
    opened = open_run(run, data)
    settings = heard_with(opened.experiment.speech, overrides)
    model, path = opened.speech_model(checkpoint)
    source = _posterior_head(model, head, run)
    device = available_device()
    model.to(device)
    total = torch.zeros(len(source.outputs), dtype=torch.float64)
    frames = 0
    for batch, _ in decode_batches(open_set(data, [set_name]), settings):
        with torch.inference_mode():
            encoded = model.encode(batch.signal.to(device), batch.signal_lengths.to(device))
            log_probs, lengths = source.log_posteriors(encoded)
            valid = torch.arange(log_probs.shape[1], device=device) < lengths[:, None]
            scores = log_probs[valid].double()  # (frames, K)
            total += (scores.exp() if mean == "probabilities" else scores).sum(0).cpu()
            frames += len(scores)
    if not frames:
        raise UserError(f"set {set_name} of {data} has no frames to average over")
    log_prior = (total / frames).log() if mean == "probabilities" else total / frames
    record_command(run)
    place, log_prior = opened.folder.prior(head), log_prior.log_softmax(0)
    return write_prior(place, log_prior, source.outputs, path, frames)


def count_prior(
    run: Path, alignments: Path, set_name: str, head: str = "ctc", checkpoint: str = "average"
) -> Path:
    """Writes RUN/prior/HEAD.json of how often symbols are in alignments.

    A symbol that is in none counts as if it were once.

    Args:
        run: Folder of a trained run.
        alignments: Run folder with alignments of the set.
        set_name: The set, which should be training data.
        head: A head that is trained on such alignments.
        checkpoint: Whose scores the prior is for.

    Raises:
        UserError: If the head is not trained on alignments, or there are none of its symbols.
    """
    opened = open_run(run)
    model, path = opened.speech_model(checkpoint)
    found = model.named_heads().get(head)
    if found is None or found.given_targets is None:
        names = [name for name, one in model.named_heads().items() if one.given_targets]
        raise UserError(
            f"{run} has no head {head!r} that is trained on alignments; those that it has: "
            f"{', '.join(names) or 'none'}"
        )
    held = read_alignments([RunFolder(alignments).frames(set_name)], found.given_targets)
    symbols = len(found.given_targets.outputs)
    counts = sum(np.bincount(one, minlength=symbols) for one in held.symbols.values())
    total = torch.zeros(symbols, dtype=torch.float64) + torch.as_tensor(counts)
    unseen = int((total == 0).sum())
    if unseen:
        log.info("%d of %d symbols are in no alignment: they count once", unseen, symbols)
    log_prior = total.clamp(min=1.0).log().log_softmax(0)
    record_command(run)
    place = opened.folder.prior(head)
    return write_prior(place, log_prior, found.given_targets.outputs, path, int(total.sum()))


def _posterior_head(model: SpeechModel, name: str, run: Path) -> PosteriorHead:
    heads: dict[str, object] = {**model.named_heads()}
    if name not in heads:
        raise UserError(f"the model of {run} has no head {name!r}; it has {', '.join(heads)}")
    head = heads[name]
    if not isinstance(head, PosteriorHead):
        others = ", ".join(n for n, h in heads.items() if isinstance(h, PosteriorHead))
        raise UserError(
            f"head {name!r} of {run} has no prior: a {type(head).__name__} does not give the "
            f"probability of each symbol of a frame; heads that do: {others or 'none'}"
        )
    return head


def write_prior(
    path: Path, log_prior: Tensor, outputs: Outputs, weights: Path, frames: int
) -> Path:
    """Writes log-priors (K,) of outputs, and what they were estimated with."""
    entry = {
        "weights": hash_of(weights),
        "frames": frames,
        "outputs": outputs.fields(),
        "log_prior": log_prior.tolist(),
    }
    write_text(path, json.dumps(entry, ensure_ascii=False) + "\n")
    return path


def read_prior(path: Path, weights: Path, outputs: Outputs) -> Tensor:
    """Returns log-priors (K,) of outputs.

    Raises:
        UserError: If there is no such file, or it was estimated with other weights, or for other
            outputs.
    """
    if not path.is_file():
        raise UserError(
            f"there is no prior {path}; make it with `asrkit prior --run RUN --data DIR`"
        )
    entry = read_json(path, Prior, "make it again with `asrkit prior --run RUN --data DIR`")
    log_prior = torch.tensor(entry.log_prior)
    held = outputs if entry.outputs is None else _outputs_of(entry.outputs, path)
    if held != outputs:
        raise UserError(
            f"{path} is the prior of {held.told()}, the head has {outputs.told()}"
            f"{held.difference(outputs)}; make it with `asrkit prior --head HEAD` for this head"
        )
    if entry.weights != hash_of(weights) or len(log_prior) != len(outputs):
        raise UserError(
            f"{path} was estimated with other weights than {weights}; make it again with "
            "`asrkit prior --run RUN --data DIR`"
        )
    if not math.isclose(float(log_prior.exp().sum()), 1.0, abs_tol=1e-3):
        raise UserError(f"{path}: the priors don't sum to one")
    return log_prior


def _outputs_of(fields: OutputFields, path: Path) -> Outputs:
    try:
        return Outputs.of_fields(fields)
    except ValueError as error:
        raise UserError(f"{path} is damaged: outputs: {error}; make it again") from error


def hash_of(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

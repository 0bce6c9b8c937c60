"""Global feature statistics, estimated on a sample of the training set before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.files import replaced
from asrkit.nn.features import Features
from asrkit.nn.masking import length_mask
from asrkit.run_folder import RunFolder
from asrkit.training.distributed import World
from asrkit.training.sources import EpochSource, reading

SAMPLE_SECONDS = 3600.0
"""An hour of speech fixes mean and variance of log-mel features to far below 1 %."""


def estimate_statistics(
    features: Features, open_sample: Callable[[], EpochSource], run: Path, world: World
) -> None:
    """Gives features their statistics, from the run folder or from about an hour of speech.

    Args:
        features: Those whose normalisation needs statistics.
        open_sample: Returns the training data to take the sample from; not asked where the run
            folder has statistics.
        run: Run folder; keeps the statistics, so that a restarted run has the same ones.
        world: The first process estimates, the others read what it wrote.
    """
    normalization = features.normalization
    path = RunFolder(run).statistics
    if world.rank == 0 and not path.is_file():
        with reading(open_sample().batches(epoch=1)) as batches:
            _estimate(features, batches)
        with replaced(path) as partial:
            save_file(dict(normalization.state_dict()), partial)
    world.barrier()
    normalization.load_state_dict(_read(path, normalization.state_dict()))


def _read(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the statistics of a file.

    Raises:
        UserError: If it is damaged, or of other features.
    """
    remedy = "delete it and start the same command again: it is computed again"
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged: {error}; {remedy}") from error
    for name, tensor in expected.items():
        there = found.get(name)
        if there is None or there.shape != tensor.shape or not bool(there.isfinite().all()):
            got = "none" if there is None else tuple(there.shape)
            raise UserError(
                f"{path} is damaged or of other features: expected finite numbers {name!r} of "
                f"shape {tuple(tensor.shape)}, got {got}; {remedy}"
            )
    return {name: found[name] for name in expected}


def _estimate(features: Features, batches: Iterator[Batch]) -> None:
    seconds = 0.0
    with torch.no_grad():
        for batch in batches:
            found, lengths = features.unnormalized(batch.signal, batch.signal_lengths)
            features.normalization.accumulate(found, length_mask(lengths, found.shape[1]))
            seconds += float(batch.signal_lengths.sum()) / features.sample_rate
            if seconds >= SAMPLE_SECONDS:
                break
    features.normalization.finish()

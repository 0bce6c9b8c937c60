"""`asrkit train`: from a spec, a data folder and a run folder to checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from asrkit.data.dataset import CutData
from asrkit.data.manifests import open_set, without_unusable
from asrkit.experiment.pictures import DevPictures
from asrkit.experiment.record import record_command, record_environment
from asrkit.experiment.spec import (
    Experiment,
    claim_run,
    load_spec,
    make_tokenizer,
    resolve_spec,
)
from asrkit.experiment.statistics import estimate_statistics
from asrkit.models.asr_model import AsrModel
from asrkit.text.tokenizers import Tokenizer
from asrkit.training.curves import plot_curves
from asrkit.training.distributed import World, init_distributed


def train(spec_path: Path, overrides: Sequence[str], data: Path, run: Path) -> None:
    """Trains until the last epoch, going on from the newest checkpoint if there is one.

    Args:
        spec_path: The experiment's YAML file.
        overrides: `key=value` changes to it.
        data: Data folder with manifests/ and text/.
        run: Folder of this run; made if missing.

    Raises:
        UserError: If spec, data or run folder can't be used as they are.
    """
    experiment, resolved = resolve_spec(load_spec(spec_path, overrides))
    tokenizer = make_tokenizer(experiment, data)
    world = init_distributed()
    train_data = open_data(experiment, data, tokenizer, training=True, world=world)
    dev_data = open_data(experiment, data, tokenizer, training=False, world=world)
    torch.manual_seed(experiment.seed)
    model = experiment.model(vocabulary=tokenizer.vocabulary)
    if world.rank == 0:
        claim_run(run, resolved)
        record_command(run)
        record_environment(run, parameters=count_parameters(model))
    world.barrier()
    pictures = None
    if isinstance(model, AsrModel):
        alone = World(rank=0, size=1, device=world.device)  # the same sample, however many we are
        sample = open_data(experiment, data, tokenizer, training=True, world=alone)
        estimate_statistics(model, sample.batches(epoch=1), run, world)
        pictures = DevPictures(tokenizer, dev_data)
    trainer = experiment.training(
        model=model,
        train=train_data,
        dev=dev_data,
        run=run,
        seed=experiment.seed,
        describe=pictures,
    )
    trainer.run()
    if world.rank == 0:
        plot_curves(run / "log.jsonl", run / "curves.png")


def open_data(
    experiment: Experiment, data: Path, tokenizer: Tokenizer, training: bool, world: World
) -> CutData:
    """Returns the training or dev batches, without the utterances listed as unusable."""
    names = experiment.data.train if training else experiment.data.dev
    cuts = without_unusable(open_set(data, names), data, names)
    return CutData(
        cuts, tokenizer, experiment.data, experiment.seed, training, world.rank, world.size
    )


def count_parameters(model: nn.Module) -> int:
    """Returns how many numbers training adjusts."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)

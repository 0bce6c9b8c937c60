"""`asrkit train`: from a spec, a data folder and a run folder to checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from asrkit.data.dataset import CutData
from asrkit.data.manifests import (
    open_set,
    read_unusable,
    unusable_path,
    without,
    write_unusable,
)
from asrkit.data.text import TextData, TextSettings, load_sentences
from asrkit.errors import UserError
from asrkit.experiment.pictures import DevPictures
from asrkit.experiment.record import record_command, record_environment
from asrkit.experiment.spec import (
    Experiment,
    claim_run,
    load_spec,
    make_tokenizer,
    record_vocabulary,
    require_vocabulary,
    resolve_spec,
)
from asrkit.experiment.statistics import estimate_statistics
from asrkit.models.asr_model import AsrModel
from asrkit.text.tokenizers import Tokenizer
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.checkpoints import read_index
from asrkit.training.curves import plot_curves
from asrkit.training.distributed import World, init_distributed
from asrkit.training.importing import import_weights

log = logging.getLogger(__name__)

LEFT_OUT = "left_out.tsv"
"""In a run's folder: the utterances that its training does not use."""
IMPORTED = "imported.tsv"
"""In a run's folder: which tensors it started from, and which were fresh."""


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
    torch.manual_seed(experiment.seed)
    model = experiment.model(vocabulary=tokenizer.vocabulary)
    if world.rank == 0:
        claim_run(run, resolved)
        list_left_out(experiment, data, run)
        record_vocabulary(run, tokenizer.vocabulary)
        record_command(run)
        record_environment(run, parameters=count_parameters(model))
    world.barrier()
    train_data = open_data(experiment, data, run, tokenizer, training=True, world=world)
    dev_data = open_data(experiment, data, run, tokenizer, training=False, world=world)
    pictures = None
    if isinstance(model, AsrModel):
        alone = World(rank=0, size=1, device=world.device)  # the same sample, however many we are
        sample = open_data(experiment, data, run, tokenizer, training=True, world=alone)
        estimate_statistics(model, sample.batches(epoch=1), run, world)
        pictures = DevPictures(tokenizer, dev_data) if isinstance(dev_data, CutData) else None
    import_start(experiment, model, tokenizer.vocabulary, run, world)
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


def import_start(
    experiment: Experiment, model: nn.Module, vocabulary: Vocabulary, run: Path, world: World
) -> None:
    """Gives a new run its imported weights; a run with checkpoints goes on without."""
    if not experiment.imports or read_index(run / "checkpoints"):
        return
    imported = import_weights(model, experiment.imports)
    if world.rank == 0:
        for settings in experiment.imports:
            warn_of_other_labels(settings.run, vocabulary)
        imported.write(run / IMPORTED, model)
        log.info("%s; the list is in %s", imported.summary(model), run / IMPORTED)


def warn_of_other_labels(run: Path, vocabulary: Vocabulary) -> None:
    """Says where imported weights of labels would mean other labels."""
    try:
        require_vocabulary(run, vocabulary)
    except UserError as error:
        log.warning("imports: weights of labels do not fit: %s; or leave them out", error)


def list_left_out(experiment: Experiment, data: Path, run: Path) -> None:
    """Copies the lists of unusable utterances into a new run's folder.

    A run that goes on keeps its own list: checks of other specs must not change its data.
    """
    if not (run / LEFT_OUT).is_file():
        names = [*experiment.data.train, *experiment.data.dev]
        lists = (read_unusable(unusable_path(data, name)) for name in names)
        write_unusable(run / LEFT_OUT, (entry for entries in lists for entry in entries))


def open_data(
    experiment: Experiment,
    data: Path,
    run: Path,
    tokenizer: Tokenizer,
    training: bool,
    world: World,
) -> CutData | TextData:
    """Returns the training or dev batches, without the utterances that the run leaves out."""
    settings = experiment.data
    if isinstance(settings, TextSettings):
        sentences = load_sentences(settings, data, tokenizer, training)
        return TextData(sentences, settings, experiment.seed, training, world.rank, world.size)
    names = experiment.data.train if training else experiment.data.dev
    cuts = without(open_set(data, names), read_unusable(run / LEFT_OUT))
    return CutData(
        cuts, tokenizer, experiment.speech, experiment.seed, training, world.rank, world.size
    )


def count_parameters(model: nn.Module) -> int:
    """Returns how many numbers training adjusts."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)

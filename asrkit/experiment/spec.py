"""The schema of an experiment's YAML file, and the folders of its data and its run.

Everything a run depends on is one tree: the parts of `Experiment` and what they are built from.
A run folder keeps that tree with every default written out, and is decoded and scored from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from asrkit.config.build import build, filled
from asrkit.config.plugins import import_plugins
from asrkit.config.registry import Factory, import_all
from asrkit.config.yaml_loader import Spec, load
from asrkit.cpu import multiply_with_onednn
from asrkit.data.settings import Data, DataSettings
from asrkit.data.text import TextSettings
from asrkit.data_folder import DataFolder
from asrkit.errors import UserError
from asrkit.experiment.phases import Phase
from asrkit.models.interfaces import TrainableModel
from asrkit.run_folder import RunFolder
from asrkit.search.search import Search
from asrkit.text.tokenizers import Tokenizer
from asrkit.training.importing import Import
from asrkit.training.trainer import Trainer

SEEDS = 2**32
"""How many seeds there are: all generators take those from 0 on."""
FORMAT = 2
"""Of stored specs: 2 since parts have names."""


@dataclass(frozen=True)
class Experiment:
    """One experiment: what is trained on what, how, and how it is decoded.

    Args:
        text: How transcripts become labels.
        data: Which sets are used, and how utterances become minibatches.
        model: The model that is trained.
        training: Optimiser, schedule, stopping, checkpoints.
        decoding: Searches by name; `asrkit decode --search NAME` picks one.
        imports: Weights of other runs that this one starts from; later ones hold.
        phases: What is different in the first epochs, such as a smaller model that grows.
        seed: Decides initial weights, data order, dropout and augmentation.
        plugins: Python modules to import first, since they register more names.
        parent: Run folder that RESULTS.md compares this one with.
        format: Of this spec; a stored one says which version of asrkit can read it.
    """

    text: Factory[Tokenizer]
    data: Data
    model: Factory[TrainableModel]
    training: Factory[Trainer]
    decoding: dict[str, Search] = field(default_factory=dict)
    imports: list[Import] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    seed: int = 1
    plugins: list[str] = field(default_factory=list)
    parent: str | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        if not 0 <= self.seed < SEEDS:
            raise ValueError(f"seed ({self.seed}) must be at least 0 and below {SEEDS}")
        if not 1 <= self.format <= FORMAT:
            raise ValueError(
                f"format {self.format} is that of another version of asrkit; this one reads up to "
                f"{FORMAT}: install a newer one"
            )

    @property
    def speech(self) -> DataSettings:
        """The `data:` part of a model that is trained on speech.

        Raises:
            UserError: If the data is of another kind.
        """
        if not isinstance(self.data, DataSettings):
            raise UserError("this needs a model that was trained on speech: data: {type: speech}")
        return self.data

    @property
    def sentences(self) -> TextSettings:
        """The `data:` part of a model that is trained on text.

        Raises:
            UserError: If the data is of another kind.
        """
        if not isinstance(self.data, TextSettings):
            raise UserError("this needs a model that was trained on text: data: {type: text}")
        return self.data


def load_spec(path: Path, overrides: Sequence[str] = ()) -> Spec:
    """Loads a spec file with overrides, and imports asrkit's names and the spec's plugins.

    Old names of keys are reported, except in stored runs, which nobody edits.

    Raises:
        UserError: If a plugin can't be imported.
    """
    spec = load(path, overrides)
    if path != RunFolder(path.parent).spec:
        spec.tell_old_names()
    import_all()
    import_plugins(spec, path)
    return spec


def resolve_spec(spec: Spec) -> tuple[Experiment, dict[str, Any]]:
    """Returns the checked experiment and its tree with every default written out."""
    experiment = build(Experiment, spec)
    return experiment, filled(Experiment, spec.tree)


def available_device() -> torch.device:
    """Returns the GPU if there is one, else the CPU, which it makes ready."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    multiply_with_onednn()
    return torch.device("cpu")


def make_tokenizer(experiment: Experiment, data: Path) -> Tokenizer:
    """Returns the tokenizer whose files lie in the data folder."""
    return experiment.text(directory=DataFolder(data).text)


def rate_problems(experiment: Experiment, model: TrainableModel) -> list[str]:
    """Returns why the model can't hear the data at its sample rate; nothing where it can."""
    wanted, expected = model.sample_rate, experiment.data.sample_rate
    if wanted is None or wanted == expected:
        return []
    if expected is None:
        return ["data: {type: text} has no audio, which this model needs; expected type: speech"]
    return [
        f"model.features.sample_rate is {wanted}, data.sample_rate is "
        f"{expected}: both must be that of the audio"
    ]

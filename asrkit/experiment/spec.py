"""The schema of an experiment's YAML file, and the folders of its data and its run.

Everything a run depends on is one tree: the parts of `Experiment` and what they are built from.
A run folder keeps that tree with every default written out, and is decoded and scored from it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from asrkit.config.build import build, filled
from asrkit.config.plugins import import_plugins
from asrkit.config.registry import Factory, import_all
from asrkit.config.yaml_loader import Spec, load
from asrkit.cpu import multiply_with_onednn
from asrkit.data.settings import Data, DataSettings
from asrkit.decoding.search import Search
from asrkit.errors import UserError
from asrkit.experiment.phases import Phase
from asrkit.files import read_lines, write_lines
from asrkit.models.asr_model import AsrModel
from asrkit.models.interfaces import TrainableModel
from asrkit.text.tokenizers import Tokenizer
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.checkpoints import load_weights, resolve
from asrkit.training.importing import Import
from asrkit.training.trainer import Trainer

log = logging.getLogger(__name__)

VOCABULARY = "vocabulary.txt"
"""In a run's folder: its labels, a line each."""
SEEDS = 2**32
"""How many seeds there are: all generators take those from 0 on."""


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

    def __post_init__(self) -> None:
        if not 0 <= self.seed < SEEDS:
            raise ValueError(f"seed ({self.seed}) must be at least 0 and below {SEEDS}")

    @property
    def speech(self) -> DataSettings:
        """The `data:` part of a model that is trained on speech.

        Raises:
            UserError: If the data is of another kind.
        """
        if not isinstance(self.data, DataSettings):
            raise UserError("this needs a model that was trained on speech: data: {type: speech}")
        return self.data


def load_spec(path: Path, overrides: Sequence[str] = ()) -> Spec:
    """Loads a spec file with overrides, and imports asrkit's names and the spec's plugins.

    Raises:
        UserError: If a plugin can't be imported.
    """
    spec = load(path, overrides)
    import_all()
    import_plugins(spec, path)
    return spec


def resolve_spec(spec: Spec) -> tuple[Experiment, dict[str, Any]]:
    """Returns the checked experiment and its tree with every default written out."""
    experiment = build(Experiment, spec)
    return experiment, filled(Experiment, spec.tree)


def open_run(run: Path) -> tuple[Experiment, dict[str, Any]]:
    """Returns the experiment of a run folder, exactly as it was trained.

    Raises:
        UserError: If the folder holds no run.
    """
    path = run / "resolved.yaml"
    if not path.is_file():
        raise UserError(f"{run} is no run folder: it has no resolved.yaml; train there first")
    return resolve_spec(load_spec(path))


def available_device() -> torch.device:
    """Returns the GPU if there is one, else the CPU, which it makes ready."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    multiply_with_onednn()
    return torch.device("cpu")


def record_vocabulary(run: Path, vocabulary: Vocabulary) -> None:
    """Writes the labels of a run beside its weights, which mean nothing without them."""
    write_lines(run / VOCABULARY, vocabulary.symbols)


def require_vocabulary(run: Path, vocabulary: Vocabulary) -> None:
    """Makes sure that a tokenizer is the one that a run was trained with.

    Raises:
        UserError: If the labels differ; names the first.
    """
    path = run / VOCABULARY
    if not path.is_file():
        return  # of a run without a record, shapes are compared later
    before = list(read_lines(path))
    if before == vocabulary.symbols:
        return
    pairs = zip_longest(before, vocabulary.symbols)
    number, (was, now) = next((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1])
    raise UserError(
        f"{run} was trained with {len(before)} labels, the data folder's tokenizer has "
        f"{len(vocabulary)}: label {number} was {was!r} and is {now!r} now; give the data folder "
        "of the training, or train anew in another --run folder"
    )


def make_tokenizer(experiment: Experiment, data: Path) -> Tokenizer:
    """Returns the tokenizer whose files lie in the data folder."""
    return experiment.text(directory=data / "text")


def rate_problems(experiment: Experiment, model: object) -> list[str]:
    """Returns why the model can't hear the data at its sample rate; nothing where it can."""
    if not isinstance(model, AsrModel) or not isinstance(experiment.data, DataSettings):
        return []
    expected = experiment.data.sample_rate
    if model.features.sample_rate == expected:
        return []
    return [
        f"model.features.sample_rate is {model.features.sample_rate}, data.sample_rate is "
        f"{expected}: both must be that of the audio"
    ]


def trained_model(
    experiment: Experiment, tokenizer: Tokenizer, run: Path, checkpoint: str
) -> tuple[AsrModel, Path]:
    """Returns the model with the weights of a checkpoint, and the checkpoint's path.

    Raises:
        UserError: If the checkpoint is missing, or its shapes do not match the model.
    """
    path = resolve(run, checkpoint)
    require_vocabulary(run, tokenizer.vocabulary)
    model = experiment.model(vocabulary=tokenizer.vocabulary)
    if not isinstance(model, AsrModel):
        raise UserError(f"{run}: decoding needs a model of type 'asr', got {type(model).__name__}")
    load_into(model, load_weights(path), path)
    return model.eval(), path


def load_into(model: torch.nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Copies weights into a model.

    Raises:
        UserError: If names or shapes differ; names the first tensor and both shapes.
    """
    own = model.state_dict()
    for name, tensor in own.items():
        if name not in weights:
            raise UserError(f"{path} has no tensor {name!r}, which this model needs")
        if weights[name].shape != tensor.shape:
            raise UserError(
                f"{path}: tensor {name!r} has shape {tuple(weights[name].shape)}, this model "
                f"needs {tuple(tensor.shape)}; was the vocabulary or a size changed?"
            )
    other = [name for name, tensor in own.items() if weights[name].dtype != tensor.dtype]
    if other:
        log.warning(
            "%s: %d tensors are %s, this model's are %s: numbers were rounded before",
            path,
            len(other),
            weights[other[0]].dtype,
            own[other[0]].dtype,
        )
    left_over = sorted(weights.keys() - own.keys())
    if left_over:
        raise UserError(f"{path} has tensors that the model lacks: {', '.join(left_over[:5])}")
    model.load_state_dict(weights)

"""Run folders, opened: spec, tokenizer and models of a trained run, from the folder alone.

A run keeps its tokenizer with its weights, so that a folder that is copied to another machine can
be decoded with. Runs of before did not; they need the data folder that they were trained with.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from asrkit.data_folder import DataFolder
from asrkit.errors import UserError
from asrkit.experiment.spec import Experiment, load_spec, resolve_spec
from asrkit.files import copy_file, read_lines, write_lines
from asrkit.models.interfaces import TrainableModel
from asrkit.models.kinds import SpeechModel, TextModel
from asrkit.run_folder import RunFolder
from asrkit.text.tokenizers import Tokenizer
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.checkpoints import load_weights, resolve

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedRun:
    """What a run folder holds.

    Args:
        folder: Its places.
        experiment: What was trained.
        resolved: The tree of its spec, every default written out.
        tokenizer: That it was trained with.
    """

    folder: RunFolder
    experiment: Experiment
    resolved: dict[str, Any]
    tokenizer: Tokenizer

    @property
    def vocabulary(self) -> Vocabulary:
        """The labels."""
        return self.tokenizer.vocabulary

    def model(self, checkpoint: str) -> tuple[TrainableModel, Path]:
        """Returns the model with the weights of a checkpoint, ready to be used, and its path.

        Args:
            checkpoint: "average", "best", "last" or a path.

        Raises:
            UserError: If the checkpoint is missing, or its tensors are not those of the model.
        """
        path = resolve(self.folder.path, checkpoint)
        model = self.experiment.model(vocabulary=self.vocabulary)
        load_into(model, load_weights(path), path)
        return model.eval(), path

    def speech_model(self, checkpoint: str) -> tuple[SpeechModel, Path]:
        """Returns the speech recogniser with the weights of a checkpoint, and its path.

        Raises:
            UserError: If the run is of another kind of model, or the checkpoint can't be used.
        """
        model, path = self.model(checkpoint)
        return as_speech_model(model, self.folder.path), path


def as_speech_model(model: TrainableModel, run: Path) -> SpeechModel:
    """Returns the model of a run, one with an encoder and heads.

    Raises:
        UserError: If it is of another kind.
    """
    if isinstance(model, SpeechModel):
        return model
    raise UserError(
        f"{run} is the run of a {type(model).__name__}, which has no encoder and heads; expected a "
        "speech recogniser, such as a model of type 'asr'"
    )


def as_text_model(model: TrainableModel, run: Path) -> TextModel:
    """Returns the model of a run, one that predicts labels from those before.

    Raises:
        UserError: If it is of another kind.
    """
    if isinstance(model, TextModel):
        return model
    raise UserError(
        f"{run} is the run of a {type(model).__name__}, not of a language model; expected a model "
        "of type 'language_model'"
    )


def open_run(run: Path, data: Path | None = None) -> TrainedRun:
    """Opens a run folder.

    Args:
        run: The folder.
        data: Where the tokenizer of an older run is, which kept none.

    Raises:
        UserError: If the folder holds no run, or its tokenizer can't be found.
    """
    folder = RunFolder(run)
    if not folder.spec.is_file():
        raise UserError(
            f"{run} is not a run folder: it has no {folder.spec.name}; train there first"
        )
    experiment, resolved = resolve_spec(load_spec(folder.spec))
    tokenizer = experiment.text(directory=_tokenizer_folder(folder, data))
    require_vocabulary(run, tokenizer.vocabulary)
    return TrainedRun(folder, experiment, resolved, tokenizer)


def _tokenizer_folder(folder: RunFolder, data: Path | None) -> Path:
    if folder.text.is_dir() and any(folder.text.iterdir()):
        return folder.text
    if data is None:
        raise UserError(
            f"{folder.path} has no tokenizer, which runs of older versions did not keep: copy its "
            f"file from the data folder's text/ to {folder.text}/"
        )
    return DataFolder(data).text


def record_tokenizer(run: Path, tokenizer: Tokenizer) -> None:
    """Keeps a tokenizer's files and its labels with the weights, which are useless without them."""
    folder = RunFolder(run)
    write_lines(folder.vocabulary, tokenizer.vocabulary.symbols)
    for path in tokenizer.files:
        copy_file(path, folder.text / path.name)


def require_vocabulary(run: Path, vocabulary: Vocabulary) -> None:
    """Checks that a tokenizer is the one that a run was trained with.

    Raises:
        UserError: If the labels differ; names the first.
    """
    path = RunFolder(run).vocabulary
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
        "of the training, or train again in another --run folder"
    )


def load_into(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
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

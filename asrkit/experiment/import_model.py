"""`asrkit import`: from a checkpoint of another toolkit to a run folder."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from asrkit.config.registry import import_all
from asrkit.config.yaml_loader import Spec, dump
from asrkit.errors import UserError
from asrkit.experiment.model_tree import count_parameters
from asrkit.experiment.record import record_command, record_environment
from asrkit.experiment.runs import open_run, record_tokenizer
from asrkit.experiment.spec import resolve_spec
from asrkit.files import copy_file, read_lines, write_lines
from asrkit.foreign.espnet.read import espnet_model
from asrkit.foreign.model import DecoderOf, ForeignModel, Given, Units
from asrkit.foreign.returnn.model import returnn_model
from asrkit.foreign.rules import Renamed, renamed
from asrkit.run_folder import RunFolder
from asrkit.tables import write_rows
from asrkit.training.checkpoint_files import load, load_weights, write_atomic

log = logging.getLogger(__name__)

Toolkit = Literal["espnet", "returnn"]
TOOLKITS: dict[str, Callable[[Given], ForeignModel]] = {
    "espnet": espnet_model,
    "returnn": returnn_model,
}


@dataclass(frozen=True)
class ImportedModel:
    """What was imported.

    Args:
        run: The run folder.
        tensors: How many tensors its model has.
        numbers: How many numbers these hold.
        missing: Tensors that nothing was found for; they start afresh.
        unused: Tensors of the checkpoint that were left.
        notes: What is not as it was there.
    """

    run: Path
    tensors: int
    numbers: int
    missing: list[str]
    unused: list[str]
    notes: list[str]


def import_model(
    toolkit: Toolkit,
    checkpoint: Path,
    run: Path,
    config: Path | None = None,
    bpe: Path | None = None,
    may_miss: Sequence[str] = (),
    may_leave: Sequence[str] = (),
    decoder_of: Path | None = None,
) -> ImportedModel:
    """Makes a run folder of a checkpoint of another toolkit.

    Args:
        toolkit: Which one.
        checkpoint: Its weights; nothing but tensors is read from it.
        run: The run folder, which must not exist yet.
        config: Its configuration; config.yaml next to the checkpoint where None.
        bpe: Its SentencePiece model; where the configuration says if None.
        may_miss: Patterns, searched in names here: tensors that may start afresh.
        may_leave: Patterns, searched in names there: tensors that may be left.
        decoder_of: Run folder of the recogniser whose internal language model it is, if it is one.

    Raises:
        UserError: If the model can't be expressed here, or tensors are missing or left that no
            pattern names.
    """
    if RunFolder(run).path.exists():
        raise UserError(f"{run} exists already: choose another --out folder")
    place = config or checkpoint.parent / "config.yaml"
    tensors = read_tensors(checkpoint)
    import_all()
    described = describe(
        toolkit, place, bpe, tensors, None if decoder_of is None else _decoder_of(decoder_of)
    )
    theirs = tensors if described.tensors is None else described.tensors
    experiment, resolved = resolve_spec(Spec(described.tree))
    torch.manual_seed(experiment.seed)
    text = _units_folder(described.units, RunFolder(run))
    try:
        tokenizer = experiment.text(directory=text)
        model = experiment.model(vocabulary=tokenizer.vocabulary)
        found = renamed(model.state_dict(), theirs, described.rules)
        left = _left(found.unused, described)
        _refuse(found, left, may_miss, may_leave, checkpoint)
    except UserError:
        _remove(RunFolder(run))
        raise
    _write(run, resolved, model, found, checkpoint)
    copy_file(place, RunFolder(run).foreign_config)
    record_tokenizer(run, tokenizer)
    record_command(run)
    record_environment(run, parameters=count_parameters(model))
    sizes = sum(tensor.numel() for tensor in found.weights.values())
    return ImportedModel(
        run, len(found.weights), sizes, list(found.missing), left, list(described.notes)
    )


def describe(
    toolkit: Toolkit,
    config: Path,
    bpe: Path | None,
    tensors: Mapping[str, Tensor] | None = None,
    decoder_of: DecoderOf | None = None,
) -> ForeignModel:
    """Returns what a configuration of another toolkit is here.

    Args:
        toolkit: Which one.
        config: Its configuration.
        bpe: Its SentencePiece model; where the configuration says if None.
        tensors: The checkpoint, which some configurations say little without.
        decoder_of: The decoder that it stands next to, if it is an internal language model.

    Raises:
        UserError: If it can't be read or expressed here.
    """
    return TOOLKITS[toolkit](Given(read_config(config), config, bpe, tensors or {}, decoder_of))


def read_tensors(checkpoint: Path) -> dict[str, Tensor]:
    """Returns the named tensors of a checkpoint, a file of PyTorch or of safetensors.

    Raises:
        UserError: If it is missing, damaged or something else; nothing but tensors is read.
    """
    if checkpoint.suffix != ".safetensors":
        return _tensors(load(checkpoint), checkpoint)
    try:
        return load_file(checkpoint)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{checkpoint} can't be read: {error}") from error


def _decoder_of(run: Path) -> DecoderOf:
    """Returns the decoder of a recogniser's run.

    Raises:
        UserError: If it has none.
    """
    tree = open_run(run).resolved["model"]
    head = tree.get("heads", {}).get("attention")
    if head is None:
        raise UserError(f"{run} has no attention head that a language model could stand next to")
    start = "heads.attention.decoder."
    weights = load_weights(RunFolder(run).average)
    inside = {n.removeprefix(start): t for n, t in weights.items() if n.startswith(start)}
    return DecoderOf(head["decoder"], tree["encoder"]["dim"], inside)


def read_config(path: Path) -> Mapping[str, Any]:
    """Returns the configuration of another toolkit.

    Raises:
        UserError: If it can't be read.
    """
    try:
        config = yaml.safe_load("\n".join(read_lines(path)))
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path}: expected keys with values, got {type(config).__name__}")
    return config


def _tensors(state: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Returns the named tensors of a checkpoint, which may be below `model`."""
    inner = state.get("model", state)
    if not isinstance(inner, Mapping) or not all(isinstance(t, Tensor) for t in inner.values()):
        raise UserError(f"{path}: expected tensors by name, as in a file of weights")
    return {str(name): tensor for name, tensor in inner.items()}


def _units_folder(units: Units, run: RunFolder) -> Path:
    """Writes the labels where the tokenizer of a run is; returns the folder."""
    run.text.mkdir(parents=True)
    write_lines(run.text / "units.units.txt", units.symbols)
    if units.sentencepiece is not None:
        copy_file(units.sentencepiece, run.text / "units.model")
    if units.merges is not None:
        copy_file(units.merges, run.text / "units.codes")
    return run.text


def _remove(run: RunFolder) -> None:
    """Removes the labels of a model that can't be imported."""
    for path in run.text.iterdir():
        path.unlink()
    run.text.rmdir()
    run.path.rmdir()


def _left(unused: Sequence[str], described: ForeignModel) -> list[str]:
    """Returns the tensors that nothing was made of, and that are needed."""
    patterns = described.not_needed
    return [name for name in unused if not any(re.fullmatch(p, name) for p in patterns)]


def _refuse(
    found: Renamed,
    left: Sequence[str],
    may_miss: Sequence[str],
    may_leave: Sequence[str],
    checkpoint: Path,
) -> None:
    """Raises a UserError for tensors that are missing or left, unless patterns name them."""
    missing = [name for name in found.missing if not _named(name, may_miss)]
    extra = [name for name in left if not _named(name, may_leave)]
    problems = []
    if missing:
        wanted = [f"{name} (looked for {' + '.join(found.missing[name])})" for name in missing]
        problems.append(
            f"has nothing for {len(missing)} tensors of the model: {_some(wanted)}; "
            "--may-miss PATTERN lets them start afresh"
        )
    if extra:
        problems.append(
            f"has {len(extra)} tensors that nothing is made of: {_some(extra)}; "
            "--may-leave PATTERN leaves them"
        )
    if problems:
        raise UserError(f"{checkpoint} " + "; and it ".join(problems))


def _named(name: str, patterns: Sequence[str]) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f", and {len(names) - 6} more" if len(names) > 6 else "")


def _write(
    run: Path, resolved: dict[str, Any], model: nn.Module, found: Renamed, checkpoint: Path
) -> None:
    """Writes the spec, the weights and the list of where they come from."""
    folder = RunFolder(run)
    weights = {name: found.weights.get(name, t) for name, t in model.state_dict().items()}
    model.load_state_dict(weights)
    folder.checkpoints.mkdir(parents=True)
    write_atomic({"model": weights, "averaged": [checkpoint.name]}, folder.average)
    rows = (
        (
            name,
            "x".join(map(str, tensor.shape)),
            " + ".join(found.sources.get(name, ["fresh"])),
        )
        for name, tensor in weights.items()
    )
    write_rows(folder.imported, [("name", "shape", "from"), *rows])
    dump(resolved, folder.spec)

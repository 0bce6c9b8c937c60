"""`asrkit export`: from a run folder to the files of another toolkit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from asrkit.config.registry import import_all
from asrkit.config.yaml_loader import Spec
from asrkit.errors import UserError
from asrkit.experiment.import_model import describe, read_config
from asrkit.experiment.runs import TrainedRun, open_run
from asrkit.experiment.spec import resolve_spec
from asrkit.foreign.espnet.write import write_espnet
from asrkit.foreign.model import ForeignModel
from asrkit.foreign.rules import restored
from asrkit.run_folder import RunFolder

Toolkit = Literal["espnet"]
Writes = Callable[[Path, Mapping[str, Any], Mapping[str, Tensor], Path | None], Path]
TOOLKITS: dict[str, Writes] = {"espnet": write_espnet}
OF_TRAINING = {"augment", "keep", "weight", "label_smoothing"}
"""Settings of a model that don't change what it computes, besides those of dropout."""


@dataclass(frozen=True)
class ExportedModel:
    """What was exported.

    Args:
        weights: Their file.
        tensors: How many tensors it has.
        numbers: How many numbers these hold.
    """

    weights: Path
    tensors: int
    numbers: int


def export_model(
    toolkit: Toolkit,
    run: Path,
    out: Path,
    config: Path | None = None,
    checkpoint: str = "average",
) -> ExportedModel:
    """Writes the model of a run as another toolkit loads it.

    Args:
        toolkit: Which one.
        run: The run folder.
        out: The folder that is written, which must not exist yet.
        config: The model's configuration there; that which it was imported with where None.
        checkpoint: "average", "best", "last" or a path.

    Raises:
        UserError: If there is no configuration, or it is that of another model.
    """
    if out.exists():
        raise UserError(f"{out} exists already: choose another --out folder")
    place = config or RunFolder(run).foreign_config
    if not place.is_file():
        raise UserError(
            f"{run} was not imported, so that there is no {place}: say with --config which "
            "configuration of the other toolkit its model has"
        )
    import_all()
    opened = open_run(run)
    units = next((path for path in opened.tokenizer.files if path.suffix == ".model"), None)
    described = describe(toolkit, place, units)
    _require_same(opened, described, place)
    model, _ = opened.model(checkpoint)
    theirs = _tensors(model, described)
    out.mkdir(parents=True)
    weights = TOOLKITS[toolkit](out, read_config(place), theirs, units)
    return ExportedModel(weights, len(theirs), sum(tensor.numel() for tensor in theirs.values()))


def _tensors(model: nn.Module, described: ForeignModel) -> dict[str, Tensor]:
    """Returns the tensors of the other toolkit, those that are computed here too."""
    theirs = restored(model.state_dict(), described.rules)
    for there, here in described.buffers.items():
        theirs[there] = model.get_buffer(here).clone()
    return theirs


def _require_same(opened: TrainedRun, described: ForeignModel, place: Path) -> None:
    """Raises a UserError if a configuration is not that of a run's model."""
    symbols = list(opened.vocabulary.symbols)
    if symbols != list(described.units.symbols):
        raise UserError(f"{place} has other labels than {opened.folder.path}")
    _, resolved = resolve_spec(Spec(described.tree))
    theirs, ours = (dict(_settings(tree["model"])) for tree in (resolved, opened.resolved))
    keys = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
    if keys:
        told = [f"{key}: {ours.get(key)!r}, there {theirs.get(key)!r}" for key in keys[:6]]
        more = f", and {len(keys) - 6} more" if len(keys) > 6 else ""
        raise UserError(
            f"{place} is not the configuration of the model in {opened.folder.path}: "
            + "; ".join(told)
            + more
        )


def _settings(tree: object, path: str = "model") -> Iterator[tuple[str, object]]:
    """Yields the settings below a part of a spec that change what a model computes, by place."""
    name = path.rpartition(".")[2]
    if name in OF_TRAINING or name.endswith("dropout"):
        return
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _settings(value, f"{path}.{key}")
    else:
        yield path, tree

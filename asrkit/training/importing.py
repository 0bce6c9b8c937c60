"""Initial weights from another run, selected by name; and frozen parameters.

Names are those of `asrkit show`, such as `encoder.blocks.0.attention.output.weight`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from asrkit.errors import UserError
from asrkit.nn.norms import Norm
from asrkit.tables import write_rows
from asrkit.training.checkpoints import load_weights, resolve


@dataclass(frozen=True)
class Import:
    """Which weights of another run this one starts from.

    Args:
        run: Run folder of the other one.
        checkpoint: "average", "best", "last" or a path.
        take: Regular expression, searched in the names of this model; empty for all.
        leave: Regular expression of names that are not imported, if set.
        renames: Prefixes of names in this model, by prefixes in the other; the longest match
            applies.
        other_shapes: Whether a tensor with another shape is an error, or initialised afresh.
    """

    run: Path
    checkpoint: str = "best"
    take: str = ""
    leave: str | None = None
    renames: dict[str, str] = field(default_factory=dict)
    other_shapes: Literal["refuse", "fresh"] = "refuse"

    def __post_init__(self) -> None:
        check_patterns([self.take, self.leave or ""])

    def wants(self, name: str) -> bool:
        """Returns whether the tensor of this name is to be imported."""
        left = self.leave is not None and re.search(self.leave, name) is not None
        return not left and re.search(self.take, name) is not None

    def name_here(self, name: str) -> str:
        """Returns the name in this model of a tensor of the other."""
        fitting = [beginning for beginning in self.renames if name.startswith(beginning)]
        if not fitting:
            return name
        longest = max(fitting, key=len)
        return self.renames[longest] + name[len(longest) :]


def check_patterns(patterns: Sequence[str]) -> None:
    """Checks that patterns are regular expressions.

    Raises:
        ValueError: If one is not.
    """
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error


@dataclass(frozen=True)
class Imported:
    """Which tensors of a model were imported.

    Args:
        sources: Checkpoint and name there of every tensor that was copied, by its name here.
        fresh: Names of all others, in the model's order.
    """

    sources: dict[str, str]
    fresh: list[str]

    def summary(self, model: nn.Module) -> str:
        """Returns both parts in a line: how many tensors and numbers, and where the fresh are."""
        sizes = {name: tensor.numel() for name, tensor in model.state_dict().items()}
        copied = sum(sizes[name] for name in self.sources)
        fresh = sum(sizes[name] for name in self.fresh)
        line = f"imported {len(self.sources)} tensors with {copied:,} numbers"
        if not self.fresh:
            return f"{line}; none starts afresh"
        parts = dict.fromkeys(".".join(name.split(".")[:3]) for name in self.fresh)
        shown = ", ".join([*list(parts)[:8], *(["..."] if len(parts) > 8 else [])])
        return f"{line}; {len(self.fresh)} with {fresh:,} start afresh: {shown}"

    def write(self, path: Path, model: nn.Module) -> None:
        """Writes a line for each tensor: name, shape, and where it is from, or "fresh"."""
        rows = (
            (name, "x".join(map(str, tensor.shape)), self.sources.get(name, "fresh"))
            for name, tensor in model.state_dict().items()
        )
        write_rows(path, [("name", "shape", "from"), *rows])


def import_weights(model: nn.Module, imports: Sequence[Import]) -> Imported:
    """Copies weights of other runs into a model, one import after the other.

    Args:
        model: Its parameters and buffers are changed in place.
        imports: Where from, and which.

    Raises:
        UserError: If a checkpoint is missing, an import fits nothing, or a shape differs.
    """
    own = model.state_dict()
    sources: dict[str, str] = {}
    for settings in imports:
        path = _checkpoint(settings)
        there = {settings.name_here(n): (n, t) for n, t in load_weights(path).items()}
        wanted = [name for name in own if name in there and settings.wants(name)]
        copied = [name for name in wanted if _fits(own[name], *there[name], settings, path)]
        if not copied:
            raise UserError(_nothing_fits(settings, path, list(own), list(there)))
        with torch.no_grad():
            for name in copied:
                own[name].copy_(there[name][1])
                sources[name] = f"{path}:{there[name][0]}"
    return Imported(sources, [name for name in own if name not in sources])


def _checkpoint(settings: Import) -> Path:
    try:
        return resolve(settings.run, settings.checkpoint)
    except UserError as error:
        raise UserError(f"imports: {error}; train that run first, or say `imports: []`") from error


def _fits(own: Tensor, name: str, tensor: Tensor, settings: Import, path: Path) -> bool:
    if own.shape == tensor.shape:
        return True
    if settings.other_shapes == "fresh":
        return False
    raise UserError(
        f"imports: {path}: tensor {name!r} has shape {tuple(tensor.shape)}, this model needs "
        f"{tuple(own.shape)}; leave it out with `leave`, or say `other_shapes: fresh`"
    )


def _nothing_fits(settings: Import, path: Path, own: list[str], there: list[str]) -> str:
    return (
        f"imports: {path}: take {settings.take!r} and leave {settings.leave!r} select no tensor "
        f"that both models have; names here are such as {_some(own)}; names there, after "
        f"`renames`, such as {_some(there)}"
    )


def _some(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(".".join(name.split(".")[:2]) for name in names[:200]))


def freeze(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Freezes the parameters selected by patterns; returns their names.

    Args:
        model: Changed in place.
        patterns: Regular expressions, searched in the names of the parameters.

    Raises:
        ValueError: If a pattern is invalid or selects nothing, or no parameter is left to train.
    """
    check_patterns(patterns)
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(re.search(pattern, name) for name in names):
            raise ValueError(f"freeze: {pattern!r} selects no parameter; there are {_some(names)}")
    frozen = [name for name in names if any(re.search(p, name) for p in patterns)]
    if len(frozen) == len(names):
        raise ValueError(f"freeze: {list(patterns)} select every parameter; nothing is trained")
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    return frozen


def train_mode(module: nn.Module) -> None:
    """Sets a module to training, but frozen norms keep their running statistics."""
    module.train()
    for part in module.modules():
        if isinstance(part, Norm):
            parameters = list(part.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                part.eval()

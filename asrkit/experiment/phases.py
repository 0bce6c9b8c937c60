"""Phases: the first epochs of training with a smaller model, larger batches, other rates.

Each phase is a run of its own in RUN/phases/NUMBER, with its own spec and checkpoints; the next
one starts from its last checkpoint and counts epochs and updates on. A phase that lasts a number
of updates may end within an epoch: the next one takes what is left of it, in batches of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from asrkit.bounds import refuse_below
from asrkit.config.yaml_loader import change
from asrkit.errors import UserError
from asrkit.run_folder import RunFolder

CHANGEABLE = ("model", "data", "training")
"""The parts of a spec that a phase may change."""
FIXED = ("model.features", "training.epochs")
"""What of them is the same in all phases: weights of the first layer mean nothing elsewhere."""


@dataclass(frozen=True)
class Phase:
    """Epochs or updates in which some values of the spec are others.

    Args:
        epochs: How many (sub-)epochs it lasts; those of `training.epochs` count it in.
        updates: How many updates it lasts, instead; an epoch may belong to several phases.
        changes: Values that hold in this phase, by key path such as `model.encoder.num_layers`.
        without: Key paths that this phase leaves out, such as `model.heads.auxiliary`.
        moments: What the optimiser knows, after this phase, of weights that stay as they are: all,
            or nothing, as where RETURNN makes a new TensorFlow network.

    Raises:
        ValueError: If not exactly one of epochs and updates is given, or it is not positive, or a
            key can't be changed.
    """

    epochs: int | None = None
    updates: int | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    moments: Literal["kept", "forgotten"] = "kept"

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.updates is None):
            raise ValueError("a phase lasts a number of epochs, or of updates: give one of both")
        refuse_below(1, epochs=self.epochs, updates=self.updates)
        for key in (*self.changes, *self.without):
            if key.split(".")[0] not in CHANGEABLE or key.startswith(FIXED):
                raise ValueError(
                    f"a phase can't change {key!r}: it may change {', '.join(CHANGEABLE)}, but "
                    f"not {', '.join(FIXED)}"
                )


def phase_folder(run: Path, number: int) -> Path:
    """Returns the run folder of a phase, numbered from 1."""
    return RunFolder(run).phase(number).path


def phase_ends(phases: Sequence[Phase]) -> list[int | None]:
    """Returns the number of the last update of each phase; None if it lasts epochs.

    Raises:
        UserError: If some last epochs, and others updates.
    """
    if any(phase.updates is None for phase in phases):
        if any(phase.updates is not None for phase in phases):
            raise UserError("phases: all must last epochs, or all must last updates")
        return [None] * len(phases)
    return list(accumulate(phase.updates or 0 for phase in phases))


def phase_trees(resolved: dict[str, Any], phases: list[Phase]) -> list[dict[str, Any]]:
    """Returns the spec of each phase, without that of the epochs after the last one.

    Args:
        resolved: The whole spec.
        phases: Its phases.

    Raises:
        UserError: If a change has no place in the spec, or the phases are too long.
    """
    trees, until = [], 0
    for number, phase in enumerate(phases):
        tree = deepcopy(resolved)
        try:
            change(tree, phase.changes, phase.without)
        except UserError as error:
            raise UserError(f"phases[{number}]: {error}") from error
        if phase.epochs is not None:
            until += phase.epochs
            tree["training"]["epochs"] = until
        if "early_stopping" in tree["training"]:
            tree["training"]["early_stopping"] = None
        tree["phases"] = []
        if number:
            tree["imports"] = []
        trees.append(tree)
    if phases and until >= resolved["training"]["epochs"]:
        raise UserError(
            f"the phases last {until} epochs, training.epochs is {resolved['training']['epochs']}: "
            "some must be left for the whole model"
        )
    return trees

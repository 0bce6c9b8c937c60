"""Where training continues: at the newest checkpoint that is complete and fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from asrkit.errors import UserError
from asrkit.training.checkpoint_files import AVERAGED
from asrkit.training.checkpoints import CheckpointStore, load
from asrkit.training.distributed import World
from asrkit.training.loss_scale import LossScale, Scaler
from asrkit.training.metrics import Totals
from asrkit.training.refusals import refuse_other_tensors
from asrkit.training.schedules import Schedule

PARTS = ("model", "optimizer", "schedule", "totals", "progress")
"""The content of a training checkpoint."""
MARGIN = 100
"""Number of updates before a divergence in which it may have begun."""
OF_A_WEIGHT = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")
"""Moments with a number for each one of the weight."""


def newest_state(
    store: CheckpointStore,
    world: World,
    model: nn.Module,
    optimizer: Optimizer,
    schedule: Schedule,
    progress: Sequence[str],
) -> dict[str, Any] | None:
    """Returns the checkpoint that all processes continue from; the first one chooses.

    Args:
        store: The checkpoints of the run.
        world: All processes.
        model: The model to restore.
        optimizer: Its optimiser.
        schedule: Its learning rates.
        progress: Names of the counters of training.

    Raises:
        UserError: If there are checkpoints and none can be used.
    """
    state, problem, step = None, None, None
    if world.rank == 0:
        try:
            store.adopt()
            state = store.load_newest(
                lambda found: check_state(found, model, optimizer, schedule, progress)
            )
            step = None if state is None else state["progress"]["step"]
        except UserError as error:
            problem = str(error)
    problem, step = world.gather((problem, step))[0]
    if problem is not None:
        raise UserError(problem)
    if world.rank > 0 and step is not None:
        state = load(store.folder / f"step-{step:08d}.pt")
    return state


def diverged(store: CheckpointStore, world: World, step: int, nonfinite: int) -> UserError:
    """Returns the error that ends a training without finite losses; see `go_back`."""
    return UserError(
        f"{nonfinite} updates in a row gave no finite loss; lower the learning rate or "
        "training.update.max_grad_norm, or look at the utterances named above; "
        + go_back(store, world, step, nonfinite)
    )


def ended_before(last_update: int | None, step: int, epochs: int) -> UserError:
    """Returns the error of a phase whose last update is never made: epochs end at `step`."""
    return UserError(
        f"a phase lasts until update {last_update}, but training.epochs ({epochs}) ends after "
        f"{step} updates: expected fewer updates, or more epochs"
    )


def go_back(store: CheckpointStore, world: World, step: int, nonfinite: int) -> str:
    """Removes the checkpoints of a diverged training run; returns what is left.

    A divergence builds up over some updates, so checkpoints from within an epoch shortly before are
    not trusted either; finished epochs have a dev objective.

    Args:
        store: The checkpoints of the run.
        world: All processes.
        step: Number of the last update.
        nonfinite: How many of the last updates gave no finite loss.
    """
    if world.rank > 0:
        return "see the first process for what is left"
    first = step - nonfinite  # the update after it was the first without a number
    left = store.discard(first, unfinished_from=first - MARGIN)
    if left is None:
        return f"no checkpoint before that is in {store.folder}: the next start begins at epoch 1"
    return f"the next start continues from before that: epoch {left.epoch}, step {left.step}"


def check_state(
    state: Mapping[str, Any],
    model: nn.Module,
    optimizer: Optimizer,
    schedule: Schedule,
    progress: Sequence[str],
) -> None:
    """Checks that training can continue from a checkpoint.

    Args:
        state: What it holds.
        model: The model to restore.
        optimizer: Its optimiser.
        schedule: Its learning rates.
        progress: The names of what it counts.

    Raises:
        UserError: If a part is missing or belongs to something else.
    """
    missing = [part for part in PARTS if not isinstance(state.get(part), Mapping)]
    if missing:
        raise UserError(f"it has no {', '.join(missing)}")
    if not isinstance(state.get("place", {}), Mapping):
        raise UserError("its place in the epoch can't be read")
    if not isinstance(state.get("averaged_updates", 0), int):
        raise UserError("how many weights were averaged can't be read")
    refuse_other_tensors(model, state["model"])
    if AVERAGED in state:
        refuse_other_tensors(model, state[AVERAGED])
    _check_moments(state["optimizer"], optimizer)
    _check_progress(state["progress"], progress)
    try:
        deepcopy(schedule).load_state_dict(state["schedule"])
        totals = Totals()
        totals.load_state_dict(state["totals"])
        totals.values()
        Scaler(LossScale()).load_state_dict(state.get("loss_scale", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"its schedule, sums or loss scale can't be read: {error!r}") from error


def _check_progress(found: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in names:
        value = found.get(name)
        if not isinstance(value, int | float) or math.isnan(value):
            raise UserError(f"its progress has {name}: {value!r}, expected a number")


def _check_moments(state: Mapping[str, Any], optimizer: Optimizer) -> None:
    """Compares the moments with the weights: torch would write beyond those of another shape."""
    groups, moments = state.get("param_groups"), state.get("state")
    if not isinstance(groups, list) or not isinstance(moments, Mapping):
        raise UserError("its optimizer has no param_groups or no state")
    own = [len(group["params"]) for group in optimizer.param_groups]
    if [len(group.get("params", ())) for group in groups] != own:
        raise UserError("its optimizer has other groups of parameters than this one")
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    numbers = [number for group in groups for number in group["params"]]
    for group in groups:
        alike = {frozenset(moments[number]) for number in group["params"] if number in moments}
        if len(alike) > 1 or not set(moments) <= set(numbers):
            raise UserError("its optimizer lacks moments of some weights")
    for number, weight in zip(numbers, weights, strict=True):
        for name, moment in moments.get(number, {}).items():
            _check_moment(name, moment, weight)


def _check_moment(name: str, moment: Any, weight: Tensor) -> None:
    if name not in OF_A_WEIGHT or moment is None:
        return
    if not isinstance(moment, Tensor) or moment.shape != weight.shape:
        shape = tuple(moment.shape) if isinstance(moment, Tensor) else type(moment).__name__
        raise UserError(
            f"its moment {name} has shape {shape}, that of the weight is {tuple(weight.shape)}"
        )
    if moment.dtype != weight.dtype:
        raise UserError(f"its moment {name} is {moment.dtype}, the weight is {weight.dtype}")

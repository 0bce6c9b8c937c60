"""Checks of the `training:` part of a spec, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from asrkit.bounds import refuse_below
from asrkit.errors import UserError
from asrkit.models.kinds import SpeechModel
from asrkit.training.dropout_schedules import DropoutSchedule
from asrkit.training.importing import freeze as freeze_parameters
from asrkit.training.keeping import Checkpoints
from asrkit.training.moving_average import MovingAverage
from asrkit.training.noise import selected
from asrkit.training.optimizers import OptimizerFactory
from asrkit.training.schedules import Schedule
from asrkit.training.updates import Update


def refuse_settings(
    model: nn.Module,
    has_dev: bool,
    epochs: int,
    optimizer: OptimizerFactory,
    schedule: Schedule,
    freeze: Sequence[str] = (),
    early_stopping: int | None = None,
    update: Update = Update(),  # noqa: B008 - frozen
    checkpoints: Checkpoints = Checkpoints(),  # noqa: B008 - frozen
    log_steps: int = 1,
    judged_by: str | None = None,
    moving_average: MovingAverage | None = None,
    dropout_schedules: Mapping[str, DropoutSchedule] = {},  # noqa: B006 - never changed
) -> None:
    """Checks that a model can be trained with these settings.

    Args:
        model: It may be on the meta device; what `freeze` selects is frozen.
        has_dev: Whether there is a dev set.
        epochs: See `Trainer`, as all that follow.
        optimizer: Makes the optimiser.
        schedule: Learning rates.
        freeze: Patterns of parameters that are not trained.
        early_stopping: Epochs without a better dev objective.
        update: How an update is made.
        checkpoints: What is kept.
        log_steps: Updates from one point of a curve to the next.
        judged_by: The dev score that decides.
        moving_average: Of the weights; its own checks are enough.
        dropout_schedules: How dropout changes.

    Raises:
        ValueError: If it can't; lists everything that is wrong.
    """
    changes, kept_by = update.weight_changes.values(), checkpoints.keep_best_by
    numbers = {"epochs": epochs, "early_stopping": early_stopping, "log_steps": log_steps}
    checks: list[Callable[[], object]] = [
        partial(refuse_below, 1, **numbers),
        partial(freeze_parameters, model, freeze),
        partial(_try, optimizer, model),
        *(partial(selected, model, change.pattern) for change in changes),
        *(partial(each.layers, model) for each in dropout_schedules.values()),
        partial(_refuse_save_between, update, checkpoints),
        partial(_refuse_score, model, judged_by, "judged_by"),
        *(partial(_refuse_score, model, n, "checkpoints.keep_best_by") for n in kept_by),
    ]
    problems = []
    for check in checks:
        try:
            check()
        except ValueError as error:
            problems.append(str(error))
    needing = {
        "its schedule": schedule.needs_dev,
        "checkpoints.reload_best": checkpoints.reload_best is not None,
        "early_stopping": early_stopping is not None,
        "judged_by": judged_by is not None,
        "checkpoints.keep_best_by": bool(kept_by),
    }
    if not has_dev:
        for name in (name for name, needs_dev in needing.items() if needs_dev):
            problems.append(f"{name} needs a dev set, but data.dev is empty: name one")
    if problems:
        raise ValueError("; ".join(problems))


def refuse_other_tensors(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Checks that weights are those of a model.

    Args:
        model: The model to train on.
        state: Its weights, of a checkpoint.

    Raises:
        UserError: If a tensor is missing in one of them, or has another shape or precision.
    """
    own = model.state_dict()
    for name, tensor in state.items():
        if name not in own or own[name].shape != tensor.shape:
            shape = tuple(own[name].shape) if name in own else "no such tensor"
            raise UserError(
                f"tensor {name!r} has shape {tuple(tensor.shape)}, the model has "
                f"{shape}; was the vocabulary or a size changed? Choose a new --run"
            )
        if tensor.dtype != own[name].dtype:
            raise UserError(f"tensor {name!r} is {tensor.dtype}, the model's is {own[name].dtype}")
    missing = sorted(own.keys() - state.keys())
    if missing:
        raise UserError(f"tensor {missing[0]!r} is missing ({len(missing)} in all)")


def _refuse_save_between(update: Update, checkpoints: Checkpoints) -> None:
    steps, period = checkpoints.save_steps, update.exchange.period
    if steps is not None and period is None:
        raise ValueError(
            f"checkpoints.save_steps ({steps}) does not fit processes that are alike every "
            "update.exchange.seconds only: expected save_minutes instead, or exchange.steps"
        )
    if steps is not None and period is not None and steps % period:
        raise ValueError(
            f"checkpoints.save_steps ({steps}) must be a multiple of update.exchange.steps"
        )


def _refuse_score(model: nn.Module, name: str | None, key: str) -> None:
    """Refuses the score of a head that a speech model lacks; its parts are known in training."""
    if name is None or not isinstance(model, SpeechModel):
        return
    heads = [*model.named_heads()]
    if name.partition(".")[0] not in heads or "." not in name:
        raise ValueError(
            f"{key}: {name!r} is not a score of a head, such as {heads[0]}.loss; this model "
            f"has the heads {', '.join(heads)}"
        )


def _try(optimizer: OptimizerFactory, model: nn.Module) -> None:
    """Makes the optimiser with placeholders, because a model on the meta device has no values."""
    groups = optimizer.sorted_groups(model)
    for group in groups:
        size = (1,) * min(each.dim() for each in group["params"])
        group["params"] = [nn.Parameter(torch.zeros(size, device="cpu"))]
    optimizer.make(groups)

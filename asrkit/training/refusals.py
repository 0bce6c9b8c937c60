"""Checks of the `training:` part of a spec, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from asrkit.config.ordered import Ordered
from asrkit.errors import UserError
from asrkit.training.checkpoints import ReloadBest
from asrkit.training.importing import freeze as freeze_parameters
from asrkit.training.noise import WeightChange, selected
from asrkit.training.optimizers import OptimizerFactory
from asrkit.training.parameter_groups import parameter_groups
from asrkit.training.schedules import Schedule


def refuse_settings(
    model: nn.Module,
    has_dev: bool,
    optimizer: OptimizerFactory,
    schedule: Schedule,
    accumulate: int | list[tuple[int, int]] = 1,
    freeze: Sequence[str] = (),
    weight_changes: Ordered[WeightChange] = Ordered(),  # noqa: B008 - never changed
    reload_best: ReloadBest | None = None,
    **numbers: Any,
) -> None:
    """Checks that a model can be trained with these settings.

    Args:
        model: It may be on the meta device; what `freeze` selects is frozen.
        has_dev: Whether there is a dev set.
        optimizer: See `Trainer`, as all that follow.
        schedule: Learning rates.
        accumulate: Batches per update.
        freeze: Patterns of parameters that are not trained.
        weight_changes: Noise on weights, and weight dropout, by name.
        reload_best: When to go back to an earlier epoch.
        numbers: All other settings, by name.

    Raises:
        ValueError: If it can't; lists everything that is wrong.
    """
    checks: list[Callable[[], object]] = [
        partial(accumulation, accumulate),
        partial(freeze_parameters, model, freeze),
        partial(_try, optimizer, model),
        *(partial(selected, model, change.pattern) for change in weight_changes.values()),
    ]
    problems = list(_number_problems(numbers))
    for check in checks:
        try:
            check()
        except ValueError as error:
            problems.append(str(error))
    needing = {
        "its schedule": schedule.needs_dev,
        "reload_best": reload_best is not None,
        "early_stopping": numbers.get("early_stopping") is not None,
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


def accumulation(given: int | list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Returns pairs of a first epoch and the batches per update from there on.

    Raises:
        ValueError: If a number is below 1, or epochs do not ascend from 1.
    """
    pairs = [(1, given)] if isinstance(given, int) else list(given)
    starts = [start for start, _ in pairs]
    if starts[:1] != [1] or starts != sorted(set(starts)) or min(n for _, n in pairs) < 1:
        raise ValueError(
            f"accumulate ({given}) must be a positive number, or pairs of ascending epochs, the "
            "first of them 1, and positive numbers"
        )
    return pairs


def _try(optimizer: OptimizerFactory, model: nn.Module) -> None:
    """Makes the optimiser with placeholders, because a model on the meta device has no values."""
    groups = parameter_groups(model, [*optimizer.groups.values()], optimizer.weight_decay)
    for group in groups:
        group["params"] = [nn.Parameter(torch.zeros(1, device="cpu"))]
    optimizer.make(groups)


_COUNTS = ("epochs", "save_steps", "early_stopping", "max_nonfinite", "log_steps")
_MAY_BE_ZERO = ("keep_best", "keep_last")
_POSITIVE = ("max_grad_norm", "save_minutes")


def _number_problems(numbers: dict[str, Any]) -> Iterator[str]:
    """Yields what is wrong with settings that are single numbers; None means not set."""
    for names, least in ((_COUNTS, 1), (_MAY_BE_ZERO, 0)):
        for name in names:
            value = numbers.get(name)
            if value is not None and not float(value) >= least:
                yield f"{name} ({value}) must be at least {least}"
    for name in _POSITIVE:
        value = numbers.get(name)
        if value is not None and not float(value) > 0:
            yield f"{name} ({value}) must be above 0"

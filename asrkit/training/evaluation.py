"""The loss of a dev set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import torch

from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.models.interfaces import LossReport, TrainableModel
from asrkit.training.distributed import World
from asrkit.training.metrics import Totals
from asrkit.training.short_memory import ShortMemory

log = logging.getLogger(__name__)

REMEDY = "cut the long utterances of dev, leave them out of the set, or lower the size of the model"
"""What can be done about a dev set that is too long for the memory: no limit of training is."""


@torch.inference_mode()
def evaluate(
    model: TrainableModel,
    batches: Iterable[Batch],
    step: int,
    world: World,
    autocast: Callable[[], AbstractContextManager[None]],
) -> Totals:
    """Returns the sums of a model's losses over the batches of all processes.

    If memory runs out, a batch is evaluated in halves; an utterance that does not fit on its own is
    left out.

    Args:
        model: It is set to evaluation.
        batches: Those of this process.
        step: How many updates were made.
        world: All processes.
        autocast: Gives the context of a forward pass.

    Raises:
        UserError: If too many were left out.
    """
    model.eval()
    totals, memory = Totals(), ShortMemory("dev", REMEDY)
    for whole in batches:
        waiting = [whole]
        while waiting:
            batch = waiting.pop(0)
            report = _loss(model, batch, step, world, autocast)
            if report is None:
                waiting[:0] = memory.smaller(batch)
            else:
                totals.add(report)
    left_out = int(world.sum(torch.tensor(float(len(memory.left_out)))))
    found = totals.reduced(world)
    if left_out and world.rank == 0:
        log.warning("the dev loss does not include %d utterances", left_out)
    return found


def require_some(found: Totals) -> None:
    """Checks that something of dev was evaluated: no loss is not a loss of 0.

    Raises:
        UserError: If nothing was.
    """
    if not found.values():
        raise UserError(
            "no utterance of dev can be used: it has no loss; the messages above say why"
        )


def _loss(
    model: TrainableModel,
    batch: Batch,
    step: int,
    world: World,
    autocast: Callable[[], AbstractContextManager[None]],
) -> LossReport | None:
    """Returns the losses of a batch, None if memory runs out."""
    try:
        with autocast():
            report: LossReport = model(batch.to(world.device), step)
            return report
    except torch.cuda.OutOfMemoryError:
        return None

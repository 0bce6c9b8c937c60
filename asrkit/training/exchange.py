"""How the processes of a training stay together: by average gradients, or average weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from asrkit.config.registry import Registry
from asrkit.training.distributed import World


class Exchange(ABC):
    """What processes tell each other; nothing where there is only one."""

    @abstractmethod
    def wrap(self, model: nn.Module, world: World) -> nn.Module:
        """Returns what is called instead of the model in training."""

    @abstractmethod
    def accumulating(self, parallel: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Returns the context of a backward pass, which may be the last one of an update."""

    @abstractmethod
    def factor(self, count: Tensor | None, world: World) -> float:
        """Returns what a process multiplies its loss by.

        Args:
            count: () what its loss is a sum over, or None where the sum itself is trained.
            world: All processes.
        """

    @abstractmethod
    def joins(self, step: int) -> bool:
        """Returns whether all processes are alike after so many updates."""

    @abstractmethod
    def join(self, model: nn.Module, optimizer: Optimizer, world: World) -> None:
        """Makes all processes alike."""


exchanges: Registry[Exchange] = Registry("exchange", Exchange)


@exchanges.register("average_gradients")
class GradientAverage(Exchange):
    """Every update is that of one process with all batches."""

    def wrap(self, model: nn.Module, world: World) -> nn.Module:
        """Returns the model, or one that averages gradients."""
        return DistributedDataParallel(model) if world.size > 1 else model

    def accumulating(self, parallel: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Averages in the last backward pass alone."""
        if last or not isinstance(parallel, DistributedDataParallel):
            return nullcontext()
        context: AbstractContextManager[None] = parallel.no_sync()
        return context

    def factor(self, count: Tensor | None, world: World) -> float:
        """Returns processes / count of all: the average over processes is to be a sum."""
        return world.size / (1.0 if count is None else max(float(world.sum(count)), 1.0))

    def joins(self, step: int) -> bool:
        """Returns True: processes are always alike."""
        return True

    def join(self, model: nn.Module, optimizer: Optimizer, world: World) -> None:
        """Has nothing to do."""


@exchanges.register("average_parameters")
class ParameterAverage(Exchange):
    """Every process makes updates of its own, and after some of them their models are averaged.

    So hardly anything is sent from update to update, and each is of one process' batches. Averaged
    are weights, statistics of norms and the optimiser's moments, at the end of an epoch too. A
    checkpoint, and an end on request, waits until then, so that a run that goes on computes what it
    would have computed anyway.

    Args:
        steps: Updates from one average to the next.

    Raises:
        ValueError: If that is not positive.

    Source: McDonald et al. 2010, "Distributed training strategies for the structured perceptron"
        (iterative parameter mixing); Stich 2019, "Local SGD converges fast and communicates
        little".
    """

    def __init__(self, steps: int) -> None:
        if steps < 1:
            raise ValueError(f"steps ({steps}) must be at least 1")
        self.steps = steps

    def wrap(self, model: nn.Module, world: World) -> nn.Module:
        """Returns the model."""
        return model

    def accumulating(self, parallel: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Has nothing to do."""
        return nullcontext()

    def factor(self, count: Tensor | None, world: World) -> float:
        """Returns 1 / count of this process."""
        return 1.0 if count is None else 1.0 / max(float(count), 1.0)

    def joins(self, step: int) -> bool:
        """Returns whether it is time to average."""
        return step % self.steps == 0

    @torch.no_grad()
    def join(self, model: nn.Module, optimizer: Optimizer, world: World) -> None:
        """Averages over all processes what numbers the model and the optimiser hold."""
        if world.size > 1:
            for tensor in _state(model, optimizer):
                tensor.copy_(world.sum(tensor) / world.size)


def _state(model: nn.Module, optimizer: Optimizer) -> Iterator[Tensor]:
    """Yields weights, buffers and moments, in an order that all processes share."""
    yield from (
        each for each in (*model.parameters(), *model.buffers()) if each.is_floating_point()
    )
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            moments = optimizer.state.get(parameter, {})
            # Counts of steps are the same everywhere.
            found = (each for _, each in sorted(moments.items()) if isinstance(each, Tensor))
            yield from (each for each in found if each.dim() and each.is_floating_point())

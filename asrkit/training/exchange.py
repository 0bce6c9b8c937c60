"""How data-parallel processes are synchronised: by averaging gradients, or weights."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from asrkit.bounds import refuse_below, refuse_not_above
from asrkit.config.registry import Registry
from asrkit.training.distributed import World

BUCKET = 1 << 24
"""How many numbers are sent at a time, at least one tensor."""


class Exchange(ABC):
    """How data-parallel processes are synchronised; nothing to do if there is only one.

    All of them make the same number of updates, though one may have no batch left for the last one
    or no memory for its utterances. So nothing is sent from within a backward pass.
    """

    @property
    @abstractmethod
    def period(self) -> int | None:
        """Updates from one state that all processes share to the next; None if that may vary."""

    @abstractmethod
    def factor(self, count: Tensor | None, world: World) -> float:
        """Returns the factor of a process's loss.

        Args:
            count: () what its loss is summed over, or None if the sum itself is trained.
            world: All processes.
        """

    @abstractmethod
    def share(self, model: nn.Module, optimizer: Optimizer, world: World) -> None:
        """Turns the gradients of all processes into those that the update needs.

        One that has calculated none contributes nothing.
        """

    @abstractmethod
    def joins(self, step: int, world: World) -> bool:
        """Returns whether all processes are made alike after a number of updates; all agree."""

    @abstractmethod
    def join(self, model: nn.Module, optimizer: Optimizer, world: World) -> None:
        """Makes all processes alike."""


exchanges: Registry[Exchange] = Registry("exchange", Exchange)


def start_alike(model: nn.Module, world: World) -> None:
    """Gives all processes the weights and statistics of the first one."""
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            world.from_first(tensor)


@exchanges.register("average_gradients")
class GradientAverage(Exchange):
    """Every update is that of one process with all batches."""

    @property
    def period(self) -> int | None:
        """1: processes are always alike."""
        return 1

    def factor(self, count: Tensor | None, world: World) -> float:
        """Returns processes / count of all: the average over processes is to be a sum."""
        return world.size / (1.0 if count is None else max(float(world.sum(count)), 1.0))

    @torch.no_grad()
    def share(self, model: nn.Module, optimizer: Optimizer, world: World) -> None:
        """Averages gradients; statistics of norms are those of the first process."""
        if world.size == 1:
            return
        trained = [each for each in model.parameters() if each.requires_grad]
        found = world.sum(torch.tensor([float(each.grad is not None) for each in trained]))
        shared = (each for each, count in zip(trained, found.tolist(), strict=True) if count)
        for part in _buckets(shared):
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in part]
            flat = torch.cat([each.reshape(-1) for each in gradients]) / world.size
            pieces = world.sum(flat).split([each.numel() for each in part])
            for parameter, piece in zip(part, pieces, strict=True):
                parameter.grad = piece.view_as(parameter)
        for buffer in model.buffers():
            world.from_first(buffer)

    def joins(self, step: int, world: World) -> bool:
        """Returns True: processes are always alike."""
        return True

    def join(self, model: nn.Module, optimizer: Optimizer, world: World) -> None:
        """Has nothing to do."""


@exchanges.register("average_parameters")
class ParameterAverage(Exchange):
    """Every process makes its own updates, and after some of them models are averaged (local SGD).

    So little is sent between updates, and each is based on the batches of one process. They are
    also averaged at the end of an epoch, and count by the updates they made. A checkpoint, and an
    end on request, waits until then, so that a run that continues computes what it would have
    computed anyway: with `seconds`, apart from when it averages; with `averaged: weights`, apart
    from moments, which are those of the first process in all.

    Args:
        steps: Updates from one average to the next.
        seconds: Seconds from one average to the next, instead: after the update in which they have
            passed in any process.
        averaged: `all` averages weights, statistics of norms and the optimiser's moments. With
            `weights`, each process keeps its own moments, and statistics of norms are those of the
            first process.

    Raises:
        ValueError: If not exactly one of steps and seconds is given, or it is not positive.

    Source: McDonald et al. 2010, "Distributed training strategies for the structured perceptron"
        (iterative parameter mixing); Stich 2019, "Local SGD converges fast and communicates
        little". `averaged: weights`: rwth-i6/returnn, torch/distributed.py, `reduce_type: param`,
        where the first process alone evaluates and saves.
    """

    def __init__(
        self,
        steps: int | None = None,
        seconds: float | None = None,
        averaged: Literal["all", "weights"] = "all",
    ) -> None:
        if (steps is None) == (seconds is None):
            raise ValueError(
                "give either steps, such as 100, or seconds, such as 100.0, from one average to "
                "the next"
            )
        refuse_below(1, steps=steps)
        if seconds is not None:
            refuse_not_above(0, seconds=seconds)
        self.steps, self.seconds, self.averaged, self._made = steps, seconds, averaged, 0
        self._joined_at = time.monotonic()
        self._agreed = 0, False
        """The update of which processes have agreed last, and whether they join after it."""

    @property
    def period(self) -> int | None:
        """The steps, if given."""
        return self.steps

    def factor(self, count: Tensor | None, world: World) -> float:
        """Returns 1 / count of this process."""
        return 1.0 if count is None else 1.0 / max(float(count), 1.0)

    def share(self, model: nn.Module, optimizer: Optimizer, world: World) -> None:
        """Keeps the gradients; one without any goes along, and its weights stay."""
        trained = [each for each in model.parameters() if each.requires_grad]
        if any(each.grad is not None for each in trained):
            self._made += 1
            return
        for group in optimizer.param_groups:  # counts of steps must be the same everywhere
            group["lr"] = 0.0
        for parameter in trained:
            if not optimizer.state or parameter in optimizer.state:
                parameter.grad = torch.zeros_like(parameter)

    def joins(self, step: int, world: World) -> bool:
        """Returns whether it is time to average."""
        if self.steps is not None:
            return step % self.steps == 0
        if self._agreed[0] != step:
            assert self.seconds is not None
            due = time.monotonic() - self._joined_at >= self.seconds
            self._agreed = step, world.any(due)
        return self._agreed[1]

    @torch.no_grad()
    def join(self, model: nn.Module, optimizer: Optimizer, world: World) -> None:
        """Averages weights over all processes, and with `all` all other numbers that they have.

        Processes with fewer batches count less.
        """
        self._joined_at = time.monotonic()
        if world.size == 1:
            return
        most, share = world.most(self._made), 1.0
        if most:
            share = self._made / most
        whole = float(world.sum(torch.tensor(share)))
        everything = self.averaged == "all"
        for tensor in _state(model, optimizer) if everything else model.parameters():
            tensor.copy_(world.sum(tensor * share) / whole)
        for buffer in () if everything else model.buffers():
            world.from_first(buffer)
        self._made = 0


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Yields parameters that are sent at once: of one type, and not too many numbers."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        size = sum(each.numel() for each in bucket) + parameter.numel()
        if bucket and (size > BUCKET or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


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

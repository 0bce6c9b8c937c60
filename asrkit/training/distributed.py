"""This process among those started by torchrun; a single one without torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from asrkit.cpu import multiply_with_onednn
from asrkit.errors import UserError


@dataclass(frozen=True)
class World:
    """Rank of this process, number of processes, and its device."""

    rank: int
    size: int
    device: torch.device

    def barrier(self) -> None:
        """Waits for all processes."""
        if self.size > 1:
            dist.barrier()

    def any(self, condition: bool) -> bool:
        """Returns whether a condition holds in any process."""
        return float(self.sum(torch.tensor(float(condition)))) > 0

    @contextmanager
    def alone(self, context: AbstractContextManager[object]) -> Iterator[None]:
        """Enters a context in the first process; if that is refused, all processes get the error.

        Raises:
            UserError: If the first process may not enter.
        """
        with ExitStack() as entered:
            problem = None
            if self.rank == 0:
                try:
                    entered.enter_context(context)
                except UserError as error:
                    problem = str(error)
            problem = self.gather(problem)[0]
            if problem is not None:
                raise UserError(problem)
            yield

    def gather(self, value: Any) -> list[Any]:
        """Returns the value of every process, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def most(self, number: int) -> int:
        """Returns the largest number of all processes."""
        return max(int(each) for each in self.gather(number))

    def from_first(self, tensor: Tensor) -> None:
        """Copies a tensor's values from the first process."""
        if self.size > 1:
            dist.broadcast(tensor, 0)

    def sum(self, values: Tensor) -> Tensor:
        """Returns the sum over all processes."""
        if self.size > 1:
            moved = values.to(self.device)
            dist.all_reduce(moved)
            return moved.to(values.device)
        return values


def init_distributed() -> World:
    """Joins the process group that torchrun's environment describes, once."""
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        multiply_with_onednn()
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(rank, size, device)

"""Batches that are read ahead by other processes.

They come through pipes, as bytes: neither a full /dev/shm nor a low limit of open files can stop
them. A process that is killed is replaced; any other error in one is raised here. However reading
ends, no process is left.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import fields
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asrkit.children import LostProcessError, process_pool
from asrkit.data.batch import Batch
from asrkit.data.utterances import Read
from asrkit.errors import UserError

AHEAD = 4
"""Number of batches that each process reads ahead."""
MAX_LOST = 3
"""Number of processes that may be killed one after the other while reading the same batch."""

log = logging.getLogger(__name__)


def read_ahead(
    read: Callable[[int], Read], numbers: Sequence[int], workers: int
) -> Generator[Read, None, None]:
    """Yields what `read` returns for each number, in order.

    Args:
        read: Reads a batch.
        numbers: The batches to read.
        workers: Number of processes that read; with 0, this process does.

    Raises:
        UserError: If processes can't be started, or are killed again and again.
    """
    if not workers or not numbers:
        yield from map(read, numbers)
        return
    done, lost = 0, 0
    while done < len(numbers):
        try:
            with closing(_from_pool(read, numbers[done:], workers)) as found:
                for packed in found:
                    yield _unpacked(packed)
                    done, lost = done + 1, 0
        except LostProcessError as error:
            lost += 1
            if lost == MAX_LOST:
                raise UserError(
                    f"{error} (0 for none); it happened {lost} times with the same batch; what was "
                    "saved is intact, and the same command continues from there"
                ) from error
            log.warning("while reading audio, %s; others continue", error)


def _from_pool(
    read: Callable[[int], Read], numbers: Sequence[int], workers: int
) -> Generator[dict[str, Any], None, None]:
    def begin() -> None:
        global _read
        _read = read
        torch.set_num_threads(1)

    with process_pool(min(workers, len(numbers)), begin) as pool:
        left = iter(numbers)
        waiting: deque[Future[dict[str, Any]]] = deque()
        while True:
            for number in islice(left, AHEAD * workers - len(waiting)):
                waiting.append(pool.submit(_read_packed, number))
            if not waiting:
                return
            yield waiting.popleft().result()


def _unread(number: int) -> Read:
    raise AssertionError("begin comes first")


_read: Callable[[int], Read] = _unread
"""How a reading process reads; set when it starts."""


def _read_packed(number: int) -> dict[str, Any]:
    """Returns a batch without tensors, which PyTorch would send through /dev/shm."""
    batch, problems = _read(number)
    values = {} if batch is None else {f.name: getattr(batch, f.name) for f in fields(batch)}
    packed = {
        name: value.numpy() if isinstance(value, Tensor) else value
        for name, value in values.items()
    }
    return {"batch": packed, "problems": problems}


def _unpacked(packed: dict[str, Any]) -> Read:
    values: dict[str, Any] = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in packed["batch"].items()
    }
    return Batch(**values) if values else None, packed["problems"]

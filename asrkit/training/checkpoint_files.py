"""Checkpoint files: written completely or not at all, and verified by checksums when read.

A file is a zip archive written by PyTorch. It has a checksum of each of its parts, which PyTorch
does not check: here they are compared before anything is loaded.
"""

from __future__ import annotations

import errno
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.files import replaced

AVERAGED = "average"
"""The key of a moving average of the weights in a checkpoint."""


def write_atomic(state: dict[str, Any], path: Path) -> None:
    """Writes tensors and plain containers so that the path never holds half a file.

    Raises:
        UserError: If it can't be written; nothing older is touched.
    """
    try:
        with replaced(path) as partial, partial.open("wb") as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space" in str(error)
        why = "the disk is full" if full else str(error)
        raise UserError(
            f"can't write {path}: {why}; the checkpoints before it are intact: make room, then "
            "start the same command again"
        ) from error


def load(path: Path) -> dict[str, Any]:
    """Returns the content of a checkpoint file; never runs code from it.

    Raises:
        UserError: If the file is missing or damaged, or holds something else.
    """
    _verify(path)
    return _read(path, mmap=False)


def peek(path: Path) -> dict[str, Any]:
    """Returns the content of a checkpoint file without reading its tensors.

    Raises:
        UserError: If the file is missing or visibly damaged.
    """
    if path.is_file() and not zipfile.is_zipfile(path):
        raise UserError(f"{path} is damaged or not a checkpoint: it is not a zip archive")
    return _read(path, mmap=True)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Returns the weights of a checkpoint file: the moving average of them, if it has one.

    Raises:
        UserError: If the file is missing, damaged, or has no weights.
    """
    state = load(path)
    weights = state.get(AVERAGED, state.get("model"))
    if not isinstance(weights, dict) or not weights:
        raise UserError(f"{path} has no weights")
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise UserError(f"{path}: its weights hold {name!r}, which is not a named tensor")
    return weights


def _verify(path: Path) -> None:
    """Compares all parts of a file with their checksums.

    Raises:
        UserError: If it is missing, or one differs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, no checkpoint") from None
    except Exception as error:  # damaged sizes and offsets may raise anything
        raise UserError(f"{path} is damaged or no checkpoint: {_first_line(error)}") from error
    if wrong is not None:
        raise UserError(
            f"{path} is damaged: its part {wrong} is not what was written (the checksum differs)"
        )


def _read(path: Path, mmap: bool) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}") from None
    except Exception as error:  # unpickling raises anything
        raise UserError(f"{path} is damaged or no checkpoint: {_first_line(error)}") from error
    if not isinstance(state, dict):
        raise UserError(f"{path} is not a checkpoint: it holds a {type(state).__name__}")
    return state


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0]

"""A declarative toolkit for training speech recognisers from scratch.

import asrkit

recogniser = asrkit.load("run/first")
print(recogniser.transcribe("talk.flac"))
"""

from __future__ import annotations

from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING

from asrkit.threads import wait_passively as _wait_passively

if _TYPE_CHECKING:
    import torch

    from asrkit.recogniser import Recogniser

__all__ = ["__version__", "load"]
__version__ = "0.1.0"
_wait_passively()  # before anything loads PyTorch


def __dir__() -> list[str]:
    return __all__


def load(
    run: str | _Path,
    search: str | None = None,
    checkpoint: str | None = None,
    device: str | torch.device | None = None,
) -> Recogniser:
    """Opens a trained run, to transcribe with.

    Args:
        run: Run folder; a copy of it is enough.
        search: Name of a search below the run's `decoding:`; the first one if not given.
        checkpoint: "average", "best", "last" or a path; the average if there is one, else the best.
        device: Where it computes; the GPU if there is one, else the CPU.

    Returns:
        An object whose `transcribe(audio)` returns the text of a file or of samples.
        Its `sample_rate` is that of samples, its `search` the name of the search.

    Raises:
        asrkit.errors.UserError: If the run, the search or the checkpoint can't be used.
    """
    from asrkit.recogniser import Recogniser  # which imports torch

    return Recogniser(run, search, checkpoint, device)

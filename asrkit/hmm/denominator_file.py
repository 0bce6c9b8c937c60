"""The denominator of LF-MMI as a file next to the HMM whose tied states it is of."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from asrkit.errors import UserError
from asrkit.files import replaced
from asrkit.losses.mmi_graphs import Denominator

NAME = "denominator.safetensors"


def write_denominator(found: Denominator, folder: Path) -> Path:
    """Writes the file into the folder of an HMM, wholly or not at all; returns its path."""
    path = folder / NAME
    with replaced(path) as partial:
        save_file(asdict(found), partial)
    return path


def read_denominator(folder: Path) -> Denominator:
    """Returns the denominator of a folder.

    Raises:
        UserError: If it is missing or damaged.
    """
    path = folder / NAME
    if not path.is_file():
        raise UserError(
            f"there is no {path}: LF-MMI needs the states and the phone n-gram that `asrkit chain` "
            "makes of alignments; give its run as data.alignments"
        )
    try:
        arrays = load_file(path)
        return Denominator(**{each.name: arrays[each.name] for each in fields(Denominator)})
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error!r}; make it again") from error

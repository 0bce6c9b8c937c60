"""Alignments of utterances, one symbol per frame, and how they are stored.

The first line of a file says what its symbols are (`# `, and JSON). Then there is a line for each
utterance and speed: name, speed, and the symbols of all frames, each an id or `-` for blank,
separated by spaces. At another speed an utterance has another number of frames, so each speed has
its own alignment. Files of older versions have no first line; their symbols are labels and blank,
one for each encoder frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asrkit.data.frame_targets import FrameTargets, Rate
from asrkit.errors import UserError
from asrkit.records import parse_json
from asrkit.tables import as_line, read_rows, write_rows
from asrkit.text.outputs import OutputFields, Outputs

BLANK = "-"
"""What files call blank; its id depends on the vocabulary."""
HEADER = "# "
"""Begin of a file's first line, which has a single cell."""


@dataclass
class Alignments:
    """The alignments of some sets.

    Args:
        targets: What their symbols are.
        symbols: (N,) one symbol per frame, by utterance and speed.
    """

    targets: FrameTargets
    symbols: dict[tuple[str, float], NDArray[np.int32]] = field(default_factory=dict)

    def of(self, utterance: str, speed: float) -> Tensor:
        """Returns the symbols (N,) of an utterance played at a speed.

        Raises:
            UserError: If it has none.
        """
        found = self.symbols.get((utterance, speed))
        if found is None:
            raise UserError(f"there is no alignment of {utterance} at speed {speed:g}")
        return torch.from_numpy(found).long()

    def add(self, utterance: str, speed: float, symbols: Iterable[int]) -> None:
        """Adds the symbols of an utterance."""
        self.symbols[utterance, speed] = np.fromiter(symbols, np.int32)

    def write(self, path: Path) -> None:
        """Writes a file, wholly or not at all."""
        fields = AlignmentFields(outputs=self.targets.outputs.fields(), rate=self.targets.rate)
        header = HEADER + json.dumps(fields, ensure_ascii=False)
        write_rows(path, [[header], *(self._row(*key) for key in sorted(self.symbols))])

    def _row(self, utterance: str, speed: float) -> list[str]:
        blank = self.targets.outputs.specials.get("blank")
        ids = self.symbols[utterance, speed].tolist()
        words = (BLANK if symbol == blank else str(symbol) for symbol in ids)
        return [utterance, f"{speed:g}", " ".join(words)]


class AlignmentFields(TypedDict):
    """What the first line of a file says of its symbols."""

    outputs: OutputFields
    rate: Rate


def read_alignments(paths: Sequence[Path], targets: FrameTargets) -> Alignments:
    """Returns the alignments of all files.

    Args:
        paths: The files.
        targets: What they must hold.

    Raises:
        UserError: If they hold something else, or a line is not an alignment.
    """
    found = Alignments(targets)
    for path in paths:
        rows = list(read_rows(path))
        headed = bool(rows) and len(rows[0]) == 1 and rows[0][0].startswith(HEADER)
        _require(path, rows[0][0] if headed else None, targets)
        for number, row in enumerate(rows[headed:], start=1 + headed):
            try:
                utterance, speed, symbols = row
                found.add(utterance, float(speed), _ids(symbols, targets.outputs))
            except ValueError as error:
                raise UserError(
                    f"{path}:{number} is not an alignment: {error}; expected name, speed and "
                    f"symbols separated by tabs, got {as_line(row)[:60]!r}"
                ) from error
    return found


def _ids(words: str, outputs: Outputs) -> list[int]:
    """Returns the symbols that words stand for.

    Raises:
        ValueError: If one is not among the outputs.
    """
    blank = outputs.specials.get("blank", -1)
    ids = [blank if word == BLANK else int(word) for word in words.split()]
    wrong = next((i for i in ids if not 0 <= i < len(outputs)), None)
    if wrong is not None:
        raise ValueError(f"symbol {wrong} is not one of {outputs.told()}")
    return ids


def _require(path: Path, header: str | None, targets: FrameTargets) -> None:
    """Checks that a file has the targets of a head.

    Raises:
        UserError: If it holds other ones.
    """
    if header is None:
        if targets.spell_text and targets.rate == "encoder":
            return
        got = "labels and blank, one for each encoder frame, as all files of older versions"
    else:
        held = _held(header.removeprefix(HEADER), f"{path}:1")
        if (held.outputs, held.rate) == (targets.outputs, targets.rate):
            return
        got = held.told() + held.outputs.difference(targets.outputs)
    needed = replace(targets, labels_repeat=False).told()
    raise UserError(
        f"{path}: a head is trained on {needed}; the alignments hold {got}; align with a head of "
        "the same outputs (`asrkit align --head HEAD`)"
    )


def _held(header: str, where: str) -> FrameTargets:
    """Returns what the first line of a file says that it holds."""
    fields = parse_json(header, AlignmentFields, where)
    try:
        return FrameTargets(Outputs.of_fields(fields["outputs"]), rate=fields["rate"])
    except ValueError as error:
        raise UserError(f"{where} is damaged: {error}; write it again") from error

"""The labels of a RETURNN model, from the files that its configuration names."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece

from asrkit.errors import UserError
from asrkit.files import read_lines
from asrkit.foreign.model import Units
from asrkit.foreign.settings import Problems, Settings
from asrkit.foreign.transforms import Rows

LABELS = {
    "vocab_file": None,
    "bpe_file": None,
    "model_file": None,
    "unknown_label": None,
    "eos_label": 0,
}
"""Names of RETURNN: a file of labels with merges, or of labels alone; or a SentencePiece model."""


@dataclass(frozen=True)
class Labels:
    """The labels of a model.

    Args:
        units: Those that texts are made of.
        tree: What the spec says of them.
        order: Their number of each label here.
        end: Their number of end of sentence.
    """

    units: Units
    tree: dict[str, Any]
    order: list[int]
    end: int

    @property
    def rows(self) -> Rows:
        """Their number of each label here, and of end of sentence, which is last."""
        return Rows((*self.order, self.end))


def labels(
    config: Mapping[str, Any], place: Path, sentencepiece: Path | None, problems: Problems
) -> Labels:
    """Returns the labels that a configuration names.

    Args:
        config: The configuration; paths are relative to where it is.
        place: Where it is.
        sentencepiece: The SentencePiece model, if it is given apart.
        problems: Where problems go.
    """
    given = Settings("labels", config.get("labels"), LABELS, problems)
    model, names = sentencepiece or _path(given, "model_file", place), []
    merges, listed = _path(given, "bpe_file", place), _path(given, "vocab_file", place)
    if model is not None:
        names = _pieces(model, problems)
    elif listed is not None:
        names = _listed(listed, problems)
    else:
        problems.add("labels: expected the vocab_file, and the bpe_file of merges; or a model_file")
    end = _end(given["eos_label"], names, problems)
    order = [number for number in range(len(names)) if number != end]
    kind = "words" if merges is None else "subwords"
    unknown = given["unknown_label"]
    tree = {
        "type": "listed",
        "name": "units",
        "units": kind if model is None else "sentencepiece",
        "unknown": unknown if unknown in names else None,
    }
    units = Units([names[number] for number in order], model, None if model else merges)
    return Labels(units, tree, order, end)


def _path(given: Settings, key: str, place: Path) -> Path | None:
    return None if given[key] is None else place.parent / str(given[key])


def _pieces(path: Path, problems: Problems) -> list[str]:
    """Returns the units of a SentencePiece model."""
    model = sentencepiece.SentencePieceProcessor()
    try:
        model.Load(str(path))
    except (OSError, RuntimeError) as error:
        problems.add(f"{path} is not a SentencePiece model: {error}")
        return []
    return [str(model.IdToPiece(number)) for number in range(model.GetPieceSize())]


def _listed(path: Path, problems: Problems) -> list[str]:
    """Returns the labels of a file: a Python dictionary of their numbers, or one per line.

    Of labels with the same number, the last one counts.
    """
    try:
        lines = list(read_lines(path))
    except UserError as error:
        problems.add(str(error))
        return []
    if not lines or not lines[0].lstrip().startswith("{"):
        return lines
    try:
        numbers = ast.literal_eval("\n".join(lines))
    except (ValueError, SyntaxError) as error:
        problems.add(f"{path}: expected a dictionary of labels and numbers: {error}")
        return []
    names = {number: str(name) for name, number in numbers.items()}
    if sorted(names) != list(range(len(names))):
        problems.add(f"{path}: expected the numbers from 0 to {len(names) - 1}, each of a label")
        return []
    return [names[number] for number in range(len(names))]


def _end(given: object, names: list[str], problems: Problems) -> int:
    """Returns the number of end of sentence, which is given by number or name."""
    if isinstance(given, int) and 0 <= given < max(len(names), 1):
        return given
    if given in names:
        return names.index(str(given))
    problems.add(f"labels.eos_label: expected a label or its number, got {given!r}")
    return 0

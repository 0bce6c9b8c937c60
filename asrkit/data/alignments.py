"""Alignments of utterances, one symbol per frame, and how they are stored.

A file (safetensors) has the symbols of all utterances one after the other, in two bytes each where
that is enough, and says what they are. At another speed an utterance has another number of frames,
so each speed has its own alignment. Files of older versions are text (`alignment_text`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from asrkit.data.alignment_text import Key, Symbols, read_text, targets_of_text
from asrkit.data.frame_targets import FrameTargets, TargetFields, targets_of
from asrkit.errors import UserError
from asrkit.files import replaced
from asrkit.records import parse_json
from asrkit.run_folder import RunFolder

ARRAYS = ".safetensors"
"""What names of files of arrays end in; others are text."""


@dataclass
class Alignments:
    """The alignments of some sets.

    Args:
        targets: What their symbols are.
        symbols: (N,) one symbol per frame, by utterance and speed.
        tree: Digest of the decision tree whose states they are; "" where there is none.
    """

    targets: FrameTargets
    symbols: dict[Key, Symbols] = field(default_factory=dict)
    tree: str = ""

    def of(self, utterance: str, speed: float) -> Tensor:
        """Returns the symbols (N,) of an utterance played at a speed.

        Raises:
            UserError: If it has none.
        """
        found = self.symbols.get((utterance, speed))
        if found is None:
            raise UserError(f"there is no alignment of {utterance} at speed {speed:g}")
        return torch.from_numpy(found).long()

    @property
    def is_small(self) -> bool:
        """Whether two bytes are enough for each symbol."""
        return len(self.targets.outputs) <= np.iinfo(np.int16).max

    def add(self, utterance: str, speed: float, symbols: Iterable[int]) -> None:
        """Adds the symbols of an utterance."""
        found = np.fromiter(symbols, np.int32)
        self.symbols[utterance, speed] = found.astype(np.int16) if self.is_small else found

    def write(self, path: Path, more: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Writes a file of arrays, wholly or not at all.

        Args:
            path: The file.
            more: Further arrays for other readers, such as those of phones; utterances and speeds
                are sorted.
        """
        keys = sorted(self.symbols)
        kind = np.int16 if self.is_small else np.int32
        joined = [np.zeros(0, kind), *(self.symbols[key] for key in keys)]
        arrays = {
            "symbols": np.concatenate(joined, dtype=kind, casting="unsafe"),
            "offsets": np.cumsum([0, *(len(self.symbols[key]) for key in keys)]),
            "utterances": np.frombuffer(json.dumps(keys).encode(), np.uint8),
            **(more or {}),
        }
        described = json.dumps({**self.targets.fields(), "tree": self.tree})
        with replaced(path) as partial:
            save_file(arrays, partial, metadata={"alignments": described})


class _Described(TargetFields):
    """What a file of arrays says of its symbols."""

    tree: str


def read_alignments(paths: Sequence[Path], targets: FrameTargets) -> Alignments:
    """Returns the alignments of all files.

    A head of classes, such as tied states, may have more of them than the files know.

    Args:
        paths: The files: of arrays, or text.
        targets: What they must hold.

    Raises:
        UserError: If they hold something else, or a file is damaged, or two are of other trees.
    """
    found = Alignments(targets)
    for path in paths:
        one = _checked(path, targets)
        if found.symbols and found.tree != one.tree:
            raise UserError(
                f"{path} has states of another tree than {paths[0]}: align both with the same model"
            )
        found.symbols |= one.symbols
        found.tree = one.tree
    return found


def _checked(path: Path, targets: FrameTargets) -> Alignments:
    """Returns the alignments of a file, which must be those of the targets."""
    one = read_file(path)
    if one is None:
        if targets.spell_text and targets.rate == "encoder":
            return Alignments(targets, read_text(path, targets.outputs, headed=False))
        got = "labels and blank, one for each encoder frame, as all files of older versions"
        raise _other(path, targets, got, of_labels=True)
    held = one.targets
    if held.rate != targets.rate or not held.outputs.are_among(targets.outputs):
        got = held.told() + held.outputs.difference(targets.outputs)
        raise _other(path, targets, got, held.spell_text)
    return one


def read_file(path: Path) -> Alignments | None:
    """Returns the alignments of a file; None if it is text that doesn't say what its symbols are.

    Raises:
        UserError: If it is missing or damaged.
    """
    if path.suffix == ARRAYS:
        return _read_arrays(path)
    targets = targets_of_text(path)
    if targets is None:
        return None
    return Alignments(targets, read_text(path, targets.outputs, headed=True))


def _read_arrays(path: Path) -> Alignments:
    if not path.is_file():
        raise UserError(f"there are no alignments {path}; write them with `asrkit align`")
    try:
        with safe_open(path, "numpy") as file:
            described = file.metadata()["alignments"]
            names, offsets, symbols = map(file.get_tensor, ("utterances", "offsets", "symbols"))
        keys = [(str(name), float(speed)) for name, speed in json.loads(names.tobytes())]
        parts = [symbols[begin:end] for begin, end in pairwise(offsets.tolist())]
        by_key = dict(zip(keys, parts, strict=True))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}; write it again") from error
    fields = parse_json(described, _Described, str(path))
    targets = targets_of(fields, str(path))
    wrong = symbols[(symbols < 0) | (symbols >= len(targets.outputs))]
    if len(wrong):
        said = f"symbol {wrong[0]} is not one of {targets.outputs.told()}"
        raise UserError(f"{path} is damaged: {said}; write it again")
    return Alignments(targets, by_key, fields["tree"])


def _other(path: Path, targets: FrameTargets, got: str, of_labels: bool) -> UserError:
    needed = replace(targets, labels_repeat=False).told()
    what = "align with a head of the same outputs (`asrkit align --head HEAD`)"
    if of_labels and not targets.spell_text:
        words = RunFolder(path.parent.parent).word_times(path.stem)
        what += (
            f", or make states of words' times: asrkit alignments import {words} --from words "
            "--reach 0.2 --hmm RUN (of a run with an HMM, such as a stage of `asrkit gmm`)"
        )
    return UserError(f"{path}: a head is trained on {needed}; the alignments hold {got}; {what}")

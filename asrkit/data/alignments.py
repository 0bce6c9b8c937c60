"""Alignments of utterances, one symbol per encoder frame: how they are stored, and which fit.

A file has a line for each utterance and speed: name, speed, and the symbols of all frames, each the
id of a label or `-` for blank, separated by spaces. At another speed an utterance has another
number of frames, so each speed has its own alignment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asrkit.data.cuts import num_samples_at, num_samples_of, text_of
from asrkit.data.manifests import Unusable
from asrkit.errors import UserError
from asrkit.lattice.alignments import aligned_labels
from asrkit.tables import as_line, read_rows, write_rows
from asrkit.text.tokenizers import Tokenizer

BLANK = "-"
"""What files call blank; its id depends on the vocabulary."""


@dataclass
class Alignments:
    """The alignments of some sets.

    Args:
        blank: V, the symbol of frames without a label.
        symbols: (T,) one symbol per frame, by utterance and speed.
    """

    blank: int
    symbols: dict[tuple[str, float], NDArray[np.int32]] = field(default_factory=dict)

    def of(self, utterance: str, speed: float) -> Tensor:
        """Returns the symbols (T,) of an utterance played at a speed.

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
        write_rows(path, (self._row(*key) for key in sorted(self.symbols)))

    def _row(self, utterance: str, speed: float) -> list[str]:
        ids = self.symbols[utterance, speed].tolist()
        words = (BLANK if symbol == self.blank else str(symbol) for symbol in ids)
        return [utterance, f"{speed:g}", " ".join(words)]


def read_alignments(paths: Sequence[Path], blank: int) -> Alignments:
    """Returns the alignments of all files; blank gets the given id.

    Raises:
        UserError: If a line is not an alignment.
    """
    found = Alignments(blank)
    for path in paths:
        for number, row in enumerate(read_rows(path), start=1):
            try:
                utterance, speed, symbols = row
                ids = [blank if word == BLANK else int(word) for word in symbols.split()]
                found.add(utterance, float(speed), ids)
            except ValueError as error:
                raise UserError(
                    f"{path}:{number} is not an alignment: {error}; expected name, speed and "
                    f"symbols separated by tabs, got {as_line(row)[:60]!r}"
                ) from error
    return found


def misaligned(
    cuts: Iterable[Any],
    alignments: Alignments,
    speeds: Sequence[float],
    tokenizer: Tokenizer,
    repeats: bool,
    output_frames: Callable[[Tensor], Tensor],
    sample_rate: int,
) -> list[Unusable]:
    """Returns the utterances that can't be trained on their alignments.

    Args:
        cuts: Utterances.
        alignments: What is there.
        speeds: All speeds that an utterance may be played at.
        tokenizer: Turns transcripts into labels.
        repeats: Whether equal labels in a row are one label, as in CTC.
        output_frames: Encoder frames (N,) of so many samples (N,).
        sample_rate: Samples per second.
    """
    pairs = [(cut, speed) for cut in cuts for speed in speeds]
    samples = [num_samples_at(num_samples_of(cut, sample_rate), speed) for cut, speed in pairs]
    expected = output_frames(torch.tensor(samples, dtype=torch.int64)).tolist() if pairs else []
    found: dict[str, Unusable] = {}
    for (cut, speed), frames in zip(pairs, expected, strict=True):
        if cut.id not in found:
            problem = _problem(cut, speed, frames, alignments, tokenizer, repeats)
            if problem:
                found[cut.id] = Unusable(cut.id, *problem)
    return list(found.values())


def _problem(
    cut: Any, speed: float, frames: int, alignments: Alignments, tokenizer: Tokenizer, repeats: bool
) -> tuple[str, str] | None:
    """Returns a reason and its details, None where the alignment fits."""
    try:
        symbols = alignments.of(cut.id, speed)
        labels = tokenizer.encode(text_of(cut))
    except UserError as error:
        return "no alignment", str(error)
    if len(symbols) != frames:
        detail = f"the alignment has {len(symbols)} frames, the encoder {frames}"
        return "alignment of other frames", f"{detail} at speed {speed:g}"
    spelt = aligned_labels(symbols[None], alignments.blank, repeats).labels[0].tolist()
    if spelt != labels:
        detail = f"the alignment has labels {spelt[:8]}, the transcript {labels[:8]}"
        return "alignment of other labels", detail
    return None

"""`asrkit tokenizer`: trains a tokenizer on the transcripts of a set, and on further text."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import sentencepiece

from asrkit.data.manifests import open_set
from asrkit.data_folder import DataFolder
from asrkit.errors import UserError
from asrkit.files import read_lines
from asrkit.names import require_name
from asrkit.owners import owned
from asrkit.text.tokenizers import train_tokenizer

log = logging.getLogger(__name__)


def tokenizer(
    kind: Literal["bpe", "unigram", "characters", "words"],
    data: Path,
    set_name: str,
    size: int | None,
    name: str,
    force: bool = False,
    texts: Sequence[Path] = (),
    lines: int | None = None,
) -> Path:
    """Writes DIR/text/NAME.model or NAME.txt from the transcripts of a set of DIR.

    A tokenizer that is there already stays as it is where the new one has the same units.

    Args:
        kind: What its units are.
        data: Data folder DIR.
        set_name: The set.
        size: Number of units.
        name: Of the tokenizer.
        force: Whether a tokenizer of other units is replaced.
        texts: Further text, a sentence per line (.gz, .xz or plain).
        lines: Of these files at most so many lines together are used, evenly spread over them.

    Raises:
        UserError: If there is a tokenizer of other units, which models may have been trained with.
    """
    folder = DataFolder(data).text
    require_name(name, "a tokenizer")
    found = chain(_transcripts(data, set_name), _spread(texts, lines))
    with (
        owned(folder, "the training of a tokenizer"),
        TemporaryDirectory(dir=folder, prefix=".new-") as place,
    ):
        made = train_tokenizer(kind, found, size, Path(place), name)
        path = folder / made.name
        if path.exists():
            if units_of(path) == units_of(made):
                log.info("%s has these units already", path)
                return path
            _allow_replacing(path, force)
        for file in sorted(Path(place).iterdir()):
            os.replace(file, folder / file.name)
    return path


def _transcripts(data: Path, set_name: str) -> Iterator[str]:
    for cut in open_set(data, [set_name]):
        yield from (segment.text for segment in cut.supervisions if segment.text)


def _spread(texts: Sequence[Path], lines: int | None) -> Iterator[str]:
    """Yields the lines of files; every so many'th one where there are more than wanted."""
    step = 1.0
    if lines is not None:
        step = max(1.0, sum(1 for path in texts for _ in read_lines(path)) / lines)
    due = 0.0
    for number, line in enumerate(line for path in texts for line in read_lines(path)):
        if number >= due:
            due += step
            yield line


def units_of(path: Path) -> list[tuple[str, float]] | None:
    """Returns the units of a tokenizer's file with their scores, None where it is damaged."""
    if path.suffix != ".model":
        try:
            return [(unit, 0.0) for unit in read_lines(path)]
        except UserError:
            return None
    model = sentencepiece.SentencePieceProcessor()
    try:
        model.Load(str(path))
    except (OSError, RuntimeError):
        return None
    return [(model.IdToPiece(i), float(model.GetScore(i))) for i in range(model.GetPieceSize())]


def _allow_replacing(path: Path, force: bool) -> None:
    if not force:
        raise UserError(
            f"{path} is a tokenizer of other units, and models trained with it are useless with "
            "another one: give another --name, or replace it with --force"
        )
    log.warning("%s is replaced: models trained with the old one can't continue", path)

"""`asrkit tokenizer`: trains a tokenizer on the transcripts of a set."""

from __future__ import annotations

import logging
import os
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

    Raises:
        UserError: If there is a tokenizer of other units, which models may have been trained with.
    """
    folder = DataFolder(data).text
    require_name(name, "a tokenizer")
    texts = (
        segment.text
        for cut in open_set(data, [set_name])
        for segment in cut.supervisions
        if segment.text
    )
    with (
        owned(folder, "the training of a tokenizer"),
        TemporaryDirectory(dir=folder, prefix=".new-") as place,
    ):
        made = train_tokenizer(kind, texts, size, Path(place), name)
        path = folder / made.name
        if path.exists():
            if units_of(path) == units_of(made):
                log.info("%s has these units already", path)
                return path
            _allow_replacing(path, force)
        for file in sorted(Path(place).iterdir()):
            os.replace(file, folder / file.name)
    return path


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

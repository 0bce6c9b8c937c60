"""A tokenizer whose labels are listed in a file, in any order, as other toolkits have them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import sentencepiece

from asrkit.errors import UserError
from asrkit.files import read_lines
from asrkit.text.normalization import normalized
from asrkit.text.subwords import Subwords, joined
from asrkit.text.tokenizers import Tokenizer, tokenizers
from asrkit.text.vocabulary import Vocabulary

SPACE = "<space>"


@tokenizers.register("listed")
class ListedUnits(Tokenizer):
    """Units of a SentencePiece model or of merges, characters or words, as a file lists them.

    Args:
        directory: Folder of tokenizer files.
        name: The file is NAME.units.txt, a unit per line; and NAME.model of SentencePiece, or
            NAME.codes, merges of subword-nmt.
        units: What texts are split into; among characters, `<space>` stands between words.
        unknown: The unit for everything that is not listed; without it, that is an error.

    Raises:
        UserError: If a file is missing or holds something else, or `unknown` is not listed.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        units: Literal["sentencepiece", "subwords", "characters", "words"],
        unknown: str | None = None,
    ) -> None:
        path = directory / f"{name}.units.txt"
        if not path.is_file():
            raise UserError(f"there is no tokenizer file {path}")
        self.files = [path]
        self._units, self._unknown = units, unknown
        try:
            self.vocabulary = Vocabulary(list(read_lines(path)), unknown)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
        self._model = sentencepiece.SentencePieceProcessor()
        if units == "sentencepiece":
            model = directory / f"{name}.model"
            self.files = [path, model]
            try:
                self._model.Load(str(model))
            except (OSError, RuntimeError) as error:
                raise UserError(f"{model} is not a SentencePiece model: {error}") from error

        if units == "subwords":
            self.files = [path, directory / f"{name}.codes"]
            self._subwords = Subwords(self.files[1])

    def encode(self, text: str) -> list[int]:
        """Returns the label ids of a text."""
        self._require_known(text)
        found = [self.vocabulary.id_of(unit) for unit in self._split(text)]
        return [label for label in found if label is not None]

    def decode(self, ids: list[int]) -> str:
        """Returns the text of label ids."""
        found = [self.vocabulary.symbols[label] for label in ids]
        if self._units == "sentencepiece":
            return str(self._model.DecodePieces(found))
        if self._units == "subwords":
            return joined(found)
        if self._units == "words":
            return " ".join(found)
        return " ".join("".join(" " if each == SPACE else each for each in found).split())

    def unknown_in(self, text: str) -> list[str]:
        """Returns the units of a text that are not in the vocabulary, if that is an error."""
        if self._unknown is not None:
            return []
        return sorted({unit for unit in self._split(text) if self.vocabulary.id_of(unit) is None})

    def _split(self, text: str) -> list[str]:
        text = normalized(text)
        if self._units == "sentencepiece":
            return [str(piece) for piece in self._model.EncodeAsPieces(text)]
        if self._units == "subwords":
            return self._subwords.split(text)
        if self._units == "words":
            return text.split()
        return [SPACE if sign == " " else sign for sign in text]

"""From text to labels and back: SentencePiece units, characters, words."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import sentencepiece

from asrkit.config.registry import Registry
from asrkit.errors import UserError
from asrkit.escapes import printable
from asrkit.files import read_lines, replaced, write_lines
from asrkit.text.normalization import normalized
from asrkit.text.vocabulary import Vocabulary

SPACE = "▁"
"""Stands for a space between words if units are smaller than words."""
LINE_BYTES = 4192
"""Maximum length in bytes of the lines that SentencePiece trains on by default."""
RESERVED = "▅"
"""SentencePiece's own symbol for unknown pieces: it drops lines that contain it."""

log = logging.getLogger(__name__)


class Tokenizer(ABC):
    """Turns text into label ids of its vocabulary, and back.

    `files` are the files that it was read from; a run keeps copies of them.
    """

    vocabulary: Vocabulary
    files: Sequence[Path] = ()

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Returns the label ids of a text.

        Raises:
            UserError: If the text has symbols that the vocabulary lacks.
        """

    def encode_if_known(self, text: str) -> list[int] | None:
        """Returns the label ids of a text; None for symbols that are not in the vocabulary."""
        try:
            return self.encode(text)
        except UserError:
            return None

    @abstractmethod
    def decode(self, ids: list[int]) -> str:
        """Returns the text of label ids."""

    @abstractmethod
    def unknown_in(self, text: str) -> list[str]:
        """Returns the symbols of a text that are not in the vocabulary."""

    def _require_known(self, text: str) -> None:
        unknown = self.unknown_in(text)
        if unknown:
            raise UserError(
                f"{text!r} has {', '.join(map(repr, unknown[:5]))}, which the tokenizer does not "
                "know: normalise the text or train the tokenizer on text that has it"
            )


tokenizers: Registry[Tokenizer] = Registry("tokenizer", Tokenizer, late=("directory",))


@tokenizers.register("sentencepiece")
class SentencePieceTokenizer(Tokenizer):
    """Units of a SentencePiece model (BPE or unigram).

    `merges` maps the symbols of a unit to the number of the byte-pair merge that made it; it is
    empty for unigram models.

    Args:
        directory: Folder of tokenizer files.
        name: The file is NAME.model.

    Raises:
        UserError: If there is no such file.
    """

    def __init__(self, directory: Path, name: str = "bpe") -> None:
        path = _existing(directory / f"{name}.model")
        self.files = [path]
        self._model = sentencepiece.SentencePieceProcessor()
        try:
            self._model.Load(str(path))
        except (OSError, RuntimeError) as error:
            raise UserError(f"{path} is not a SentencePiece model: {error}") from error
        self._unknown = int(self._model.unk_id())
        # The unknown unit is never a target: it gets an id outside of the labels.
        self._pieces = [i for i in range(self._model.GetPieceSize()) if i != self._unknown]
        self._labels = {piece: label for label, piece in enumerate(self._pieces)}
        self.vocabulary = Vocabulary([self._model.IdToPiece(i) for i in self._pieces])
        # SentencePiece's score of a BPE unit is minus the number of its merge; of others, log p.
        scores = [float(self._model.GetScore(i)) for i in self._pieces]
        ranks = dict(zip(self.vocabulary.symbols, (-round(score) for score in scores), strict=True))
        self.merges = ranks if all(score.is_integer() for score in scores) else {}

    def encode(self, text: str) -> list[int]:
        """Returns the label ids of a text."""
        pieces = self._model.EncodeAsIds(normalized(text))
        if self._unknown in pieces:
            self._require_known(text)
        return [self._labels[piece] for piece in pieces]

    def decode(self, ids: list[int]) -> str:
        """Returns the text of label ids."""
        return str(self._model.DecodeIds([self._pieces[label] for label in ids]))

    def unknown_in(self, text: str) -> list[str]:
        """Returns the characters of a text that are not in any unit."""
        text = normalized(text)
        if self._unknown not in self._model.EncodeAsIds(text):
            return []
        known = set("".join(self.vocabulary.symbols)) | {" "}
        return sorted(set(text) - known) or [text]


@tokenizers.register("characters")
class CharacterTokenizer(Tokenizer):
    """One label per character, and one for the space between words.

    Args:
        directory: Folder of tokenizer files.
        name: The file is NAME.txt, a character per line.

    Raises:
        UserError: If there is no such file.
    """

    def __init__(self, directory: Path, name: str = "characters") -> None:
        self.files = [directory / f"{name}.txt"]
        self.vocabulary = _read_symbols(self.files[0], "a character", lambda line: len(line) == 1)

    def encode(self, text: str) -> list[int]:
        """Returns the label ids of a text."""
        self._require_known(text)
        found = [self.vocabulary.id_of(c) for c in normalized(text).replace(" ", SPACE)]
        return [label for label in found if label is not None]

    def decode(self, ids: list[int]) -> str:
        """Returns the text of label ids."""
        text = "".join(self.vocabulary.symbols[label] for label in ids)
        return " ".join(text.replace(SPACE, " ").split())

    def unknown_in(self, text: str) -> list[str]:
        """Returns the characters of a text that are not in the vocabulary."""
        written = normalized(text).replace(" ", SPACE)
        return sorted({c for c in written if self.vocabulary.id_of(c) is None})


@tokenizers.register("words")
class WordTokenizer(Tokenizer):
    """One label per word.

    Args:
        directory: Folder of tokenizer files.
        name: The file is NAME.txt, a word per line.

    Raises:
        UserError: If there is no such file.
    """

    def __init__(self, directory: Path, name: str = "words") -> None:
        self.files = [directory / f"{name}.txt"]
        self.vocabulary = _read_symbols(
            self.files[0], "a word", lambda line: len(line.split()) == 1
        )

    def encode(self, text: str) -> list[int]:
        """Returns the label ids of a text."""
        self._require_known(text)
        found = [self.vocabulary.id_of(word) for word in normalized(text).split()]
        return [label for label in found if label is not None]

    def decode(self, ids: list[int]) -> str:
        """Returns the text of label ids."""
        return " ".join(self.vocabulary.symbols[label] for label in ids)

    def unknown_in(self, text: str) -> list[str]:
        """Returns the words of a text that are not in the vocabulary."""
        words = set(normalized(text).split())
        return sorted(word for word in words if self.vocabulary.id_of(word) is None)


def train_tokenizer(
    kind: Literal["bpe", "unigram", "characters", "words"],
    texts: Iterable[str],
    size: int | None,
    directory: Path,
    name: str,
) -> Path:
    """Trains a tokenizer on training transcripts, and writes its file.

    Args:
        kind: SentencePiece BPE or unigram units, characters, or words.
        texts: Transcripts; any Unicode space separates words, as when they are encoded.
        size: Number of units; required for BPE and unigram, the most frequent ones for the others.
        directory: Folder of tokenizer files.
        name: NAME.model or NAME.txt is written.

    Returns:
        The path of the file.

    Raises:
        UserError: If there is no text, or too little for the size.
    """
    lines = [line for line in map(normalized, texts) if line]
    if not lines:
        raise UserError("there is no text to train a tokenizer on: all transcripts are empty")
    if kind in ("bpe", "unigram"):
        return _train_sentencepiece(kind, lines, size, directory / f"{name}.model")
    symbols: Counter[str] = Counter()
    for line in lines:
        symbols.update(line.replace(" ", SPACE) if kind == "characters" else line.split())
    kept = sorted(symbol for symbol, _ in symbols.most_common(size))
    path = directory / f"{name}.txt"
    write_lines(path, kept)
    return path


def _train_sentencepiece(kind: str, lines: list[str], size: int | None, path: Path) -> Path:
    if size is None:
        raise UserError(f"a {kind} tokenizer needs a size: --size N")
    if num_reserved := sum(RESERVED in line for line in lines):
        log.warning(
            "the tokenizer is trained without %d of %d texts: SentencePiece needs %s for itself",
            num_reserved,
            len(lines),
            RESERVED,
        )
    with replaced(path.with_suffix(".vocab")) as vocabulary, replaced(path) as model:
        prefix = model.with_suffix("")
        _sentencepiece_files(kind, lines, size, prefix)
        os.replace(f"{prefix}.vocab", vocabulary)
    return path


def _sentencepiece_files(kind: str, lines: Sequence[str], size: int, prefix: Path) -> None:
    """Writes PREFIX.model and PREFIX.vocab."""
    # SentencePiece silently drops lines above its own limit.
    num_bytes = max(len(line.encode()) for line in lines)
    longest: dict[str, Any] = (
        {"max_sentence_length": num_bytes + 1} if num_bytes >= LINE_BYTES else {}
    )
    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=iter(lines),
            model_prefix=str(prefix),
            vocab_size=size + 1,  # the unknown unit is not a label
            model_type=kind,
            character_coverage=1.0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            unk_id=0,
            normalization_rule_name="identity",
            **longest,
            num_threads=1,  # the same units on every machine
            minloglevel=2,
        )
    except RuntimeError as error:
        raise UserError(
            f"a {kind} tokenizer of {size} units can't be trained on this text: {error}"
        ) from error


def _read_symbols(path: Path, what: str, right: Callable[[str], bool]) -> Vocabulary:
    """Returns the symbols of a file, one on each line.

    Args:
        path: The file.
        what: What each line holds, for messages.
        right: Whether a line holds that.

    Raises:
        UserError: If the file is missing or empty, or a line holds something else.
    """
    symbols = []
    for number, line in enumerate(read_lines(_existing(path)), start=1):
        if line and not (right(line) and printable(line) == line):
            raise UserError(f"{path}:{number}: expected {what}, got {line[:40]!r}")
        symbols += [line] if line else []
    if not symbols:
        raise UserError(f"{path} has no symbols: expected {what} on each line")
    try:
        return Vocabulary(symbols)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"there is no tokenizer file {path}; make it with `asrkit tokenizer`")
    return path

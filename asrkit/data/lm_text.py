"""Text for language models: files of any origin, normalised like transcripts."""

from __future__ import annotations

import gzip
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkit.errors import UserError
from asrkit.files import read_lines, replaced
from asrkit.text.normalization import normalized

Normalize = Callable[[str], str | None]
"""Returns a line as it would be transcribed, None if that is not possible."""


@dataclass(frozen=True)
class TextReport:
    """How much text was written, and how much could not be normalised.

    Args:
        path: The file.
        sentences: Number of lines written.
        words: Number of their words.
        left_out: Number of lines left out: they became empty, or have other symbols.
        example: A line with other symbols; empty if there is none.
    """

    path: Path
    sentences: int
    words: int
    left_out: int
    example: str

    def __str__(self) -> str:
        """Returns the report as text."""
        text = f"{self.path}: {self.sentences} sentences, {self.words} words"
        if self.left_out:
            text += f", {self.left_out} lines left out"
        return f"{text}, such as {self.example[:60]!r}" if self.example else text


def write_sentences(files: Sequence[Path], out: Path, normalize: Normalize) -> TextReport:
    """Writes the sentences of some files (.gz, .xz or plain) to one file, normalised.

    Args:
        files: Text files, a sentence per line.
        out: The compressed file to write; its name ends in .gz.
        normalize: Writes a line like a transcript.

    Raises:
        UserError: If a file is missing or not text, or no sentence is left.
    """
    sentences = words = left_out = 0
    example = ""
    with replaced(out) as partial:
        with gzip.open(partial, "wt", encoding="utf-8", compresslevel=3) as file:
            for line in (line for path in files for line in read_lines(path)):
                text = normalize(normalized(line))
                if not text:
                    left_out += 1
                    example = example or (line if text is None else "")
                    continue
                file.write(text + "\n")
                sentences, words = sentences + 1, words + len(text.split())
        if not sentences:
            names = ", ".join(map(str, files))
            raise UserError(f"no sentence of {names} can be written like a transcript")
    return TextReport(out, sentences, words, left_out, example)


def latin_words(line: str, joiners: str = "'") -> str | None:
    """Returns a line in the letters A to Z, a to z and joiners; None if it has digits or others.

    Accents and punctuation are dropped; anything between words becomes a space.

    Args:
        line: Any text.
        joiners: Characters that belong to words.
    """
    plain = unicodedata.normalize("NFKD", line.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    spaced = re.sub(rf"[^\w{re.escape(joiners)}]|_", " ", letters)
    words = [word for word in spaced.split() if word.strip(joiners)]
    known = re.compile(rf"[A-Za-z{re.escape(joiners)}]+")
    return " ".join(words) if all(known.fullmatch(word) for word in words) else None


def capital_words(line: str) -> str | None:
    """Returns a line in capitals and apostrophes, like transcripts of LibriSpeech and AN4."""
    words = latin_words(line)
    return None if words is None else words.upper()

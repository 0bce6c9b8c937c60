"""Switchboard's ISIP (Mississippi State) transcripts: from their notation to plain words.

| transcript            | words           | rule                                                |
| --------------------- | --------------- | --------------------------------------------------- |
| `[noise] [laughter]`  |                 | sounds are dropped; `[vocalized-noise]`, too        |
| `<b_aside> <e_aside>` |                 | marks of speech to others are dropped               |
| `[laughter-yeah]`     | `yeah`          | a laughed word is a word                            |
| `f[or]-`              | `f-`            | partial word: what is heard, and a hyphen           |
| `-[ex]cept`           | `-cept`         | the same at the beginning                           |
| `ammu[n]it-`          | `ammu-it-`      | the same in the middle                              |
| `[it'n/isn't]`        | `it'n`          | mispronounced word: what is heard                   |
| `[lem[guini]-/x]`     | `lem-`          | rules can be nested                                 |
| `ex[p]-/especially]`  | `ex-`           | the same with the first bracket forgotten           |
| `{yuppiedom}`         | `yuppiedom`     | coined words are words                              |
| `them_1's`            | `them's`        | numbers of pronunciations are dropped               |
| `IBM's TVs`           | `i b m's t v's` | acronyms are spelled if their letters are spoken    |
| `AT&T`                | `a t and t`     | so are those with an ampersand                      |
| `I Murphy`            | `i murphy`      | everything in lower case                            |

The words are those of Kaldi's recipe, so that error rates can be compared, except for acronyms and
two rare uses of brackets that it gets wrong; its scoring maps acronyms to letters, too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from asrkit.files import read_lines
from asrkit.text.normalization import normalized

SOUNDS = {"[silence]", "[noise]", "[laughter]", "[vocalized-noise]"}
ASIDE = re.compile(r"<[be]_aside>", re.IGNORECASE)
# Applied in this order: a pattern of a whole token, and its replacement.
RULES = [
    (re.compile(r"_\d"), ""),
    (re.compile(r"^(-?)\[laughter-(.+)\](-?)$", re.IGNORECASE), r"\1\2\3"),
    (re.compile(r"^([^][]+)\[[^][]+\]-/.+\]$"), r"\1-"),
    (re.compile(r"^\[(.+)/.+\](-?)$"), r"\1\2"),
    (re.compile(r"^-?\[[^][]+\](.+)$"), r"-\1"),
    (re.compile(r"^(.+?)-?\[[^][]+\]-?$"), r"\1-"),
    (re.compile(r"^(.*[^][-])-?\[[^][]+\]-?([^][-].*)$"), r"\1-\2"),
    (re.compile(r"^\{(.+)\}$"), r"\1"),
]
ACRONYM = re.compile(r"^([A-Z][A-Z&]*[A-Z])('?s)?(-?)$")


class NotationError(ValueError):
    """A token has brackets that don't match any rule."""


def by_case(word: str) -> bool:
    """Returns whether an acronym is spelled out: without a dictionary, always."""
    return True


def words_of(transcript: str, is_spelled: Callable[[str], bool] = by_case) -> str:
    """Returns the words of a transcript, in lower case.

    Args:
        transcript: As in a `*-trans.text` file, without name and times.
        is_spelled: Whether a word in capitals is spoken letter by letter, such as IBM.

    Raises:
        NotationError: If a token does not match any rule.
    """
    tokens = ASIDE.sub(" ", normalized(transcript)).split()
    words = (_word(token, is_spelled) for token in tokens)
    return " ".join(word for word in words if word)


def _word(token: str, is_spelled: Callable[[str], bool]) -> str:
    if token.lower() in SOUNDS:
        return ""
    word = token
    for pattern, replacement in RULES:
        word = pattern.sub(replacement, word)
    if re.search(r"[][{}<>/]", word):
        raise NotationError(f"{token!r} does not follow the ISIP notation")
    found = ACRONYM.match(word)
    if found and is_spelled(found[1]):
        word = " ".join(found[1]).replace("&", "and") + ("'s" if found[2] else "") + found[3]
    return word.lower()


def spelled_by(dictionary: Iterable[str]) -> Callable[[str], bool]:
    """Returns a test whether a word is spelled out, from the pronunciations of a dictionary.

    It is, unless the dictionary has a pronunciation other than its letters one by one: IBM is
    spelled out, NASA is not.

    Args:
        dictionary: Lines of `sw-ms98-dict.text`: a word and its phones.
    """
    pronunciations: dict[str, set[str]] = defaultdict(set)
    for line in dictionary:
        word, _, phones = line.strip().partition(" ")
        if phones and not word.startswith("#"):
            pronunciations[word].add(" ".join(phones.split()))

    def is_spelled(word: str) -> bool:
        spoken = {""}
        for letter in word:
            spoken = {f"{a} {b}".strip() for a in spoken for b in pronunciations.get(letter, ())}
        known = pronunciations.get(word)
        return known is None or not spoken or bool(known & spoken)

    return is_spelled


def read_dictionary(path: Path) -> Callable[[str], bool]:
    """Returns a test whether a word is spelled out, from a dictionary file."""
    return spelled_by(read_lines(path, errors="replace"))

"""Questions of decision trees that users give: lines of phones, as in Kaldi's questions.txt."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from asrkit.errors import UserError
from asrkit.files import read_lines
from asrkit.hmm.topology import EDGE, Phones

Question = tuple[str, ...]

log = logging.getLogger(__name__)


def read_questions(path: Path, phones: Collection[str]) -> tuple[Question, ...]:
    """Returns the questions of a file, a line of phones each.

    Args:
        path: The file.
        phones: All that there are; others are a mistake.

    Raises:
        UserError: If there are no questions, or a phone is unknown; names the line.
    """
    found: list[Question] = []
    for number, line in enumerate(read_lines(path), start=1):
        question = tuple(dict.fromkeys(line.split()))
        unknown = [phone for phone in question if phone not in phones]
        if unknown:
            close = difflib.get_close_matches(unknown[0], sorted(phones), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UserError(
                f"{path}:{number}: the lexicon has no phone {unknown[0]!r}{hint}; its phones are "
                f"{' '.join(sorted(phones))}"
            )
        if question:
            found.append(question)
    if not found:
        raise UserError(f"{path} is empty: expected questions, a line of phones each")
    return tuple(dict.fromkeys(found))


def given_questions(questions: Iterable[Question], phones: Phones) -> list[list[int]]:
    """Returns sets of phones by number, and those of silence, noise and the utterance's edge.

    Phones that the speech lacks are left out.

    Args:
        questions: Sets of phones.
        phones: Those of the speech.

    Raises:
        UserError: If no question is left.
    """
    asked = list(questions)
    sets = [[phones.ids[name] for name in one if name in phones.ids] for one in asked]
    kept = [one for one in sets if one]
    if not kept:
        raise UserError("no question has a phone of the words that are trained on")
    if len(kept) < len(asked):
        said = "%d of %d questions have no phone of the words that are trained on"
        log.info(said, len(asked) - len(kept), len(asked))
    return [*kept, *around(phones)]


def around(phones: Phones) -> Sequence[list[int]]:
    """Returns the sets that every tree may ask for: edge, silence, noise, all of speech."""
    others = [EDGE, *phones.independent]
    return [*([one] for one in others), others, [phones.ids[name] for name in phones.speech]]

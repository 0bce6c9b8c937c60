"""When words are said, as `asrkit align` has written it: what mixtures can begin with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from asrkit.errors import UserError
from asrkit.hmm.timed_phones import TimedName, reaching
from asrkit.run_folder import RunFolder
from asrkit.scoring.nist.ctm import read_ctm

REACH = 0.2
"""Seconds that words go on around the moments that labels tell of them."""


def read_word_times(run: Path, names: Sequence[str]) -> dict[str, tuple[TimedName, ...]]:
    """Returns the words of utterances and their times.

    Words that labels spell reach into the gaps around them: CTC tells moments only.

    Args:
        run: Folder of a run that has aligned the sets, by labels or by tied states.
        names: Of the sets.

    Raises:
        UserError: If a set is not aligned, or a file is damaged.
    """
    folder, found = RunFolder(run), dict[str, tuple[TimedName, ...]]()
    for name in names:
        path = folder.words_said(name)
        if path is None:
            raise UserError(
                f"data.alignments: there are no times of words in {folder.word_times(name)} or "
                f"{folder.times(name)}: write them with `asrkit align --run {run} --set {name}`"
            )
        reach = REACH if path == folder.word_times(name) else 0.0
        for utterance, words in _by_utterance(path).items():
            found[utterance] = tuple(reaching(words, reach))
    return found


def _by_utterance(path: Path) -> dict[str, list[TimedName]]:
    found: dict[str, list[TimedName]] = defaultdict(list)
    for word in read_ctm(path):
        times = word.start, word.start + word.duration
        found[word.recording].append(TimedName(word.word, *times))
    return {name: sorted(words, key=lambda one: one.start) for name, words in found.items()}

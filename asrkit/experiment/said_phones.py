"""The phones of utterances in the order in which they are said, as alignments of an HMM tell.

An alignment has chosen one pronunciation of each word. Silence is left out, and so is noise, which
stands for words without pronunciation.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrkit.data.alignments import Alignments, read_file
from asrkit.data.frame_targets import FrameTargets
from asrkit.errors import UserError
from asrkit.hmm.alignments import read_alignments
from asrkit.hmm.hmm_folder import require_hmm
from asrkit.hmm.topology import NOISE, SILENCE, Phones
from asrkit.hmm.tree import read_tree

log = logging.getLogger(__name__)

NOT_SAID = -1


def read_phones(paths: Sequence[Path], targets: FrameTargets, hmm: Path) -> Alignments:
    """Returns the phones of all utterances of some files.

    Args:
        paths: Alignments of tied states, as `asrkit align` writes them.
        targets: Phones that a head is trained on, and blank.
        hmm: Folder of the HMM whose states they are.

    Raises:
        UserError: If a file or the HMM is missing or damaged, or the HMM has other phones.
    """
    found = Alignments(targets)
    require_hmm(hmm)
    phones = read_tree(hmm / "tree.json").phones
    symbols = _symbols(phones, targets, hmm)
    for path in paths:
        noise = utterances = 0
        for key, alignment in read_alignments(path).items():
            heard = alignment.phones
            found.add(*key, (said := symbols[heard])[said != NOT_SAID].tolist())
            here = int((heard == phones.ids[NOISE]).sum())
            noise, utterances = noise + here, utterances + (here > 0)
        if noise:
            _tell_noise(path, noise, utterances)
        held = read_file(path)
        found.tree = found.tree if held is None else held.tree
    return found


@cache
def _tell_noise(path: Path, noise: int, utterances: int) -> None:
    """Says once in a process that words have no phones."""
    log.warning(
        "%s: %d words of %d utterances are noise, without pronunciation: they add no phones",
        path, noise, utterances,
    )  # fmt: skip


def _symbols(phones: Phones, targets: FrameTargets, hmm: Path) -> NDArray[np.int64]:
    """Returns the symbol of each phone of an HMM; `NOT_SAID` of silence and noise.

    Raises:
        UserError: If a phone has none.
    """
    names = targets.outputs.names[: targets.outputs.blank]
    lacking = [phone for phone in phones.speech if phone not in names]
    if lacking:
        raise UserError(
            f"the phones of {hmm} are {' '.join(phones.speech)}; a head that is trained on them "
            f"lacks {', '.join(lacking)}: name all of them below the head's `phones`"
        )
    numbers = {name: number for number, name in enumerate(names)}
    unsaid = {SILENCE, NOISE, phones.names[0]}
    return np.array([NOT_SAID if n in unsaid else numbers[n] for n in phones.names])

"""The first alignments: equal lengths, of whole utterances or within words of known times."""

from __future__ import annotations

import logging

from asrkit.errors import UserError
from asrkit.hmm.alignments import Alignment, flat_alignment
from asrkit.hmm.features import Mfcc
from asrkit.hmm.graphs import GraphCompiler, state_graph
from asrkit.hmm.hmm_folder import Hmm
from asrkit.hmm.speech import Speech, Utterance
from asrkit.hmm.timed_phones import TimedName, alignment_of_phones, phones_of_words
from asrkit.hmm.training.given import WordTimes

log = logging.getLogger(__name__)


def first_alignments(
    speech: Speech, compiler: GraphCompiler, hmm: Hmm, times: WordTimes, mfcc: Mfcc
) -> dict[str, Alignment]:
    """Returns the alignments of utterances that are long enough for their words.

    Args:
        speech: The utterances.
        compiler: Makes the graphs of transcripts.
        hmm: States of single phones.
        times: When words are said; others have equal lengths.
        mfcc: Tells how long frames are.

    Raises:
        UserError: If there is none.
    """
    found: dict[str, Alignment] = {}
    timed = 0
    for one in speech.utterances:
        alignment = _of_times(one, times.get(one.name, ()), hmm, mfcc.shift)
        timed += alignment is not None
        if alignment is None:
            phones = compiler.compile(one.words)
            expanded = state_graph(phones, hmm.topology, hmm.tree, hmm.transitions)
            alignment = flat_alignment(phones, expanded, len(one))
        if alignment is not None:
            found[one.name] = alignment
    if times:
        log.log(
            logging.INFO if timed == len(speech.utterances) else logging.WARNING,
            "%d of %d utterances begin with the given times of their words, others with equal "
            "lengths", timed, len(speech.utterances),
        )  # fmt: skip
    if not found:
        raise UserError(
            f"none of the {len(speech.utterances)} shortest utterances is as long as the states of "
            "its words: do transcripts and audio belong together?"
        )
    return found


def _of_times(
    utterance: Utterance, times: tuple[TimedName, ...], hmm: Hmm, shift: float
) -> Alignment | None:
    """Returns the alignment of words whose times are known; None where they are others."""
    if not times or tuple(one.name for one in times) != utterance.words:
        return None
    phones = phones_of_words(times, hmm, shift, unknown_as_noise=True)
    return alignment_of_phones(phones, len(utterance), hmm)

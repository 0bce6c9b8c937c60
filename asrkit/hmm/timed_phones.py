"""States of phones or words whose times are known, such as those of a CTM file.

The states of a phone last equally long, and so do the phones of a word, which is said in its most
probable way. Where nothing is said there is silence. The result is as good as a beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from asrkit.errors import UserError
from asrkit.hmm.alignments import Alignment
from asrkit.hmm.graphs import NO_WORD
from asrkit.hmm.hmm_folder import Hmm
from asrkit.hmm.topology import NOISE, SILENCE, Phones


class TimedPhone(NamedTuple):
    """A phone and its frames, from `start` to before `end`; `word` is its place in the text."""

    phone: int
    start: int
    end: int
    word: int


class TimedName(NamedTuple):
    """A word or the name of a phone, and seconds."""

    name: str
    start: float
    end: float


def alignment_of_phones(phones: Iterable[TimedPhone], num_frames: int, hmm: Hmm) -> Alignment:
    """Returns the alignment of an utterance.

    Args:
        phones: In order; those without a frame of their own are left out.
        num_frames: T.
        hmm: Ties the states.

    Raises:
        ValueError: If there are no frames.
    """
    if num_frames < 1:
        raise ValueError("an utterance without frames has no alignment")
    filled = list(_with_silence(phones, num_frames, hmm.tree.phones))
    ids = np.array([one.phone for one in filled], np.int32)
    starts = np.array([one.start for one in filled], np.int32)
    names = hmm.tree.phones.names
    parts = [
        np.arange(one.end - one.start)
        * hmm.topology.states_of(names[one.phone])
        // (one.end - one.start)
        for one in filled
    ]
    positions = np.concatenate(parts).astype(np.int32)
    words = np.array([one.word for one in filled], np.int32)
    untied = Alignment(np.zeros(num_frames, np.int32), positions, ids, starts, words)
    return untied.tied_by(hmm.tree)


def _with_silence(
    phones: Iterable[TimedPhone], num_frames: int, names: Phones
) -> Iterator[TimedPhone]:
    """Yields phones that follow each other from the first frame to the last."""
    silence, at = names.ids[SILENCE], 0
    for one in phones:
        start, end = max(one.start, at), min(one.end, num_frames)
        if end <= start:
            continue
        if start > at:
            yield TimedPhone(silence, at, start, NO_WORD)
        yield one._replace(start=start, end=end)
        at = end
    if at < num_frames:
        yield TimedPhone(silence, at, num_frames, NO_WORD)


def timed_phones(names: Sequence[TimedName], hmm: Hmm, frame_shift: float) -> list[TimedPhone]:
    """Returns phones that are known by their names; they belong to one word each.

    Raises:
        UserError: If the HMM has no such phone.
    """
    ids = hmm.tree.phones.ids
    found: list[TimedPhone] = []
    for name, start, end in names:
        if name not in ids:
            raise UserError(f"the model has no phone {name!r}; it has {', '.join(list(ids)[1:])}")
        place = NO_WORD if name in (SILENCE, NOISE) else len(found)
        span = round(start / frame_shift), round(end / frame_shift)
        found.append(TimedPhone(ids[name], *span, place))
    return found


def reaching(words: Sequence[TimedName], reach: float) -> list[TimedName]:
    """Returns words that reach into the gaps around them, to the middle of each at most.

    A CTC head tells little more than a moment of each word.

    Args:
        words: In order.
        reach: Seconds that a word may begin earlier, and end later.
    """
    gaps = [max(after.start - before.end, 0.0) / 2 for before, after in pairwise(words)]
    befores, afters = [reach, *gaps], [*gaps, reach]
    return [
        TimedName(one.name, max(one.start - min(before, reach), 0.0), one.end + min(after, reach))
        for one, before, after in zip(words, befores, afters, strict=False)
    ]


def phones_of_words(
    words: Sequence[TimedName], hmm: Hmm, frame_shift: float, unknown_as_noise: bool = False
) -> list[TimedPhone]:
    """Returns the phones of words, equally long within each.

    Args:
        words: In order.
        hmm: Its lexicon pronounces them.
        frame_shift: Seconds between frames.
        unknown_as_noise: Whether words without pronunciation are noise, rather than an error.

    Raises:
        UserError: If a word has no pronunciation.
    """
    ids = hmm.tree.phones.ids
    found: list[TimedPhone] = []
    for place, (word, start, end) in enumerate(words):
        if word not in hmm.lexicon and unknown_as_noise:
            span = round(start / frame_shift), round(end / frame_shift)
            found.append(TimedPhone(ids[NOISE], *span, place))
            continue
        if word not in hmm.lexicon:
            raise UserError(f"there is no pronunciation of {word!r} in {hmm.lexicon.source}")
        said = max(hmm.lexicon[word], key=lambda one: one.probability).phones
        bounds = np.linspace(start, end, len(said) + 1) / frame_shift
        frames = bounds.round().astype(int).tolist()
        spans = zip(said, frames, frames[1:], strict=False)
        found += [TimedPhone(ids[phone], begin, stop, place) for phone, begin, stop in spans]
    return found

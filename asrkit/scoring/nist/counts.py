"""Word errors of the segments of an STM file as NIST's sclite counts them, without sclite.

Upper and lower case are the same, and words belong to segments by their times, as segments overlap
or not; how words are aligned, `asrkit.scoring.nist.word_graph` says.

Source: the documentation and behaviour of SCTK 2.4, `sclite -D`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from asrkit.data.stm import Segment
from asrkit.scoring.edits import AlignedWord, Errors
from asrkit.scoring.nist import word_graph
from asrkit.scoring.nist.ctm import CtmWord


class AlignedText(NamedTuple):
    """The errors of a text, and its words."""

    errors: Errors
    words: list[AlignedWord]


def align(reference: str, hypothesis: str) -> AlignedText:
    """Returns the errors of the cheapest alignment with a reference, and its words.

    Args:
        reference: Words, with alternatives and optional ones.
        hypothesis: Words.

    Raises:
        ValueError: If the reference can't be parsed.
    """
    words = word_graph.line_of(hypothesis.lower().split())
    pairs = word_graph.align(word_graph.parse(reference.lower()), words)
    return AlignedText(word_graph.errors_of(pairs), word_graph.words_of(pairs))


def in_order(segments: Iterable[Segment]) -> list[Segment]:
    """Returns segments with those of a recording's channel together, and in the order of time."""
    places: dict[tuple[str, str], int] = {}
    segments = list(segments)
    for segment in segments:
        places.setdefault((segment.recording, segment.channel), len(places))
    return sorted(segments, key=lambda s: (places[s.recording, s.channel], s.start))


def in_time(segments: Iterable[Segment], words: Iterable[CtmWord]) -> list[CtmWord]:
    """Returns words as a CTM file must have them: by recording, channel and time.

    Those of segments that overlap are mixed then, so that sorting the file again, as NIST's
    programs do, does not change it. Words that begin in the same millisecond keep their order.

    Args:
        segments: Tell the order of recordings and channels; words of others come last.
        words: In any order.
    """
    places: dict[tuple[str, str], int] = {}
    for segment in segments:
        places.setdefault((segment.recording, segment.channel), len(places))

    def key(word: CtmWord) -> tuple[int, float]:
        return places.get((word.recording, word.channel), len(places)), rounded(word.start)

    return sorted(words, key=key)


def words_of_segments(segments: Sequence[Segment], words: Iterable[CtmWord]) -> list[str]:
    """Returns the text that was recognised in each segment.

    Segment by segment, the words whose middle is before its end are taken, until one is not; the
    last segment of a channel takes the rest. So words before a segment count there, and where
    segments overlap, words of the later one count in the earlier one.

    Args:
        segments: As `in_order` returns them.
        words: In any order; those of recordings without segments are left out.
    """
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, segment in enumerate(segments):
        numbers[segment.recording, segment.channel].append(number)
    spoken: dict[tuple[str, str], deque[CtmWord]] = defaultdict(deque)
    for word in in_time(segments, words):
        spoken[word.recording, word.channel].append(word)
    texts = [""] * len(segments)
    for key, own in numbers.items():
        rest = spoken[key]
        for number in own:
            taken = []
            while rest and (number == own[-1] or middle(rest[0]) < segments[number].end):
                taken.append(rest.popleft().word)
            texts[number] = " ".join(taken)
    return texts


def middle(word: CtmWord) -> float:
    """Returns the time of a word's middle, with the precision of a CTM file."""
    return rounded(word.start) + rounded(word.duration) / 2


def rounded(seconds: float) -> float:
    """Returns a time as a CTM file has it."""
    return float(f"{seconds:.3f}")


def overlaps(segments: Iterable[Segment]) -> list[Segment]:
    """Returns the segments that begin before an earlier one of their channel has ended.

    Args:
        segments: As `in_order` returns them.
    """
    ends: dict[tuple[str, str], float] = {}
    found = []
    for segment in segments:
        key = segment.recording, segment.channel
        if segment.start < ends.get(key, 0.0):
            found.append(segment)
        ends[key] = max(ends.get(key, 0.0), segment.end)
    return found

"""Word errors of the segments of an STM file as NIST's sclite counts them, without sclite.

Upper and lower case are the same, and words belong to segments by their times; how words are
aligned, `asrkit.scoring.word_graph` says.

Source: the documentation and behaviour of SCTK 2.4, `sclite -D`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

from asrkit.data.stm import Segment
from asrkit.scoring import word_graph
from asrkit.scoring.ctm import CtmWord
from asrkit.scoring.edits import EMPTY, Aligned


def align(reference: str, hypothesis: str) -> Aligned:
    """Returns the cheapest alignment with a reference and its errors.

    Args:
        reference: Words, with alternatives and optional ones.
        hypothesis: Words.

    Raises:
        ValueError: If the reference can't be parsed.
    """
    words = word_graph.line_of(hypothesis.lower().split())
    pairs = word_graph.align(word_graph.parse(reference.lower()), words)
    shown = [(str(a or EMPTY), str(b or EMPTY)) for a, b in pairs]
    return Aligned(word_graph.errors_of(pairs), shown)


def in_order(segments: Iterable[Segment]) -> list[Segment]:
    """Returns segments with those of a recording's channel together, and in the order of time."""
    places: dict[tuple[str, str], int] = {}
    segments = list(segments)
    for segment in segments:
        places.setdefault((segment.recording, segment.channel), len(places))
    return sorted(segments, key=lambda s: (places[s.recording, s.channel], s.start))


def words_of_segments(segments: Sequence[Segment], words: Iterable[CtmWord]) -> list[str]:
    """Returns the text that was recognised in each segment.

    A word belongs to the first segment of its recording and channel that ends after the word's
    middle, so words before a segment count there; those after the last segment count in that.

    Args:
        segments: As `in_order` returns them.
        words: In any order; those of recordings without segments are left out.
    """
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, segment in enumerate(segments):
        numbers[segment.recording, segment.channel].append(number)
    # A segment that ends before an earlier one gets no words, as its turn comes too late.
    ends: dict[tuple[str, str], list[float]] = {}
    for key, own in numbers.items():
        last, ends[key] = 0.0, []
        for number in own:
            last = max(last, segments[number].end)
            ends[key].append(last)
    texts: list[list[str]] = [[] for _ in segments]
    for word in sorted(words, key=lambda w: w.start):
        key = word.recording, word.channel
        if key in numbers:
            place = bisect_right(ends[key], word.start + word.duration / 2)
            texts[numbers[key][min(place, len(ends[key]) - 1)]].append(word.word)
    return [" ".join(text) for text in texts]

"""Scores of the Hub5 and RT telephone test sets: STM references, GLM rules, results by category.

Where NIST's `hubscr.pl` is on the PATH it counts the errors; otherwise asrkit does, by the same
rules.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asrkit.data.stm import Segment
from asrkit.errors import UserError
from asrkit.run_files import NbestLine
from asrkit.run_folder import DecodedSet
from asrkit.scoring.edits import Aligned, AlignedSet, Errors, count_errors
from asrkit.scoring.nist.counts import in_order, overlaps
from asrkit.scoring.nist.glm import HESITATION, Glm, read_glm
from asrkit.scoring.nist.hub5_stm import read_hub5_stm
from asrkit.scoring.nist.hubscr import run_hubscr
from asrkit.scoring.nist.word_graph import (
    NOTHING,
    SYMBOLS,
    Pair,
    WordGraph,
    agrees_in_part,
    align,
    errors_of,
    parse,
    words_of,
)

log = logging.getLogger(__name__)


class Hub5Scorer:
    """Aligns hypotheses with the segments of an STM file after mapping both by a GLM file.

    Args:
        stm: Segments with their reference texts; utterances must have their names.
        glm: Mapping rules for references and hypotheses.
        drop_hesitations: Whether hesitations and partial words are left out of hypotheses, as
            Kaldi's and ESPnet's recipes do: they may be left out of references without an error.

    Raises:
        UserError: If a file is missing or damaged.
    """

    fills = True

    def __init__(self, stm: Path, glm: Path, drop_hesitations: bool = False) -> None:
        self.stm, self.glm, self.drop_hesitations = stm, glm, drop_hesitations
        self.reference, self.rules = read_hub5_stm(stm), read_glm(glm)
        self.references = _digest(stm, glm)
        overlapping = overlaps(in_order(self.reference.segments))
        if overlapping:
            log.warning(
                "%s: %d segments begin before an earlier one of their channel has ended, such as "
                "%s: asrkit scores each by its own hypothesis, hubscr.pl counts words in between "
                "in the earlier one, so that the two differ",
                *(stm, len(overlapping), overlapping[0].id),
            )

    def __call__(self, lines: Sequence[NbestLine]) -> AlignedSet:
        """Returns the alignment of every segment.

        Raises:
            UserError: If an utterance is not a segment of the STM file.
        """
        found = self.hypotheses(lines)
        segments = self.reference.segments
        return AlignedSet(
            [self._aligned(segment, found[segment.id]) for segment in segments],
            self.reference.titles,
            missing=len(segments) - len(lines),
        )

    def official(self, found: AlignedSet, lines: Sequence[NbestLine], out: Path) -> AlignedSet:
        """Returns the alignments with the errors that hubscr.pl counts, if it is installed."""
        texts = self.hypotheses(lines)
        if not shutil.which("hubscr.pl") or not any(texts.values()):  # sclite refuses empty files
            return found
        reports = DecodedSet(out).hubscr
        errors = run_hubscr(self.reference.segments, texts, self.stm, self.glm, reports)
        counted = [
            replace(each, errors=e) for each, e in zip(found.utterances, errors, strict=True)
        ]
        return replace(found, utterances=counted, scorer="hubscr.pl")

    def hypotheses(self, lines: Sequence[NbestLine]) -> dict[str, str]:
        """Returns the recognised text of each segment; nothing where it was not decoded.

        Raises:
            UserError: If an utterance is not a segment of the STM file.
        """
        texts = {segment.id: "" for segment in self.reference.segments}
        for line in lines:
            if line.id not in texts:
                raise UserError(
                    f"the n-best lists have utterance {line.id}, which is not a segment of the STM "
                    f"file {self.stm}, such as {self.reference.segments[0].id}: score the set with "
                    "the STM file it was prepared from"
                )
            dropped = self.drop_hesitations
            words = [w for w in line.words if not (dropped and _is_hesitation(w, self.rules))]
            texts[line.id] = " ".join(words)
        return texts

    def _aligned(self, segment: Segment, text: str) -> Aligned:
        pairs = aligned(segment, text, self.rules)
        return Aligned(
            segment.id,
            segment.speaker,
            errors_in(pairs),
            _character_errors(pairs),
            words_of(pairs, agrees_in_part),
            segment.labels,
        )


def _is_hesitation(word: str, glm: Glm) -> bool:
    return word.endswith("-") or glm.hypothesis(word) == HESITATION


def aligned(segment: Segment, text: str, glm: Glm) -> list[Pair]:
    """Returns the alignment of a segment's reference and what was recognised.

    Raises:
        UserError: If one of them can't be parsed.
    """
    try:
        reference, found = _graph(glm.reference(segment.text)), _graph(glm.hypothesis(text))
    except ValueError as error:
        raise UserError(
            f"segment {segment.id}: {error}; fix the STM file or its mapping rules"
        ) from error
    return align(reference, found, agrees_in_part)


def _graph(text: str) -> WordGraph:
    """Returns the graph of a text; alternatives may be empty here, as mapping may leave nothing."""
    symbols = " ".join(SYMBOLS.findall(text))
    return parse(re.sub(r"(?<!\S)([{/]) (?=[/}](?!\S))", rf"\1 {NOTHING} ", symbols))


def errors_in(pairs: Sequence[Pair]) -> Errors:
    """Returns the errors of an alignment; partial words agree as far as they are written."""
    return errors_of(pairs, agrees_in_part)


def _character_errors(pairs: list[Pair]) -> Errors:
    """Returns the character errors of an alignment; what may be missing is not counted."""
    reference = [a.word for a, b in pairs if a is not None and (b is not None or not a.optional)]
    found = [b.word for _, b in pairs if b is not None]
    return count_errors(list(" ".join(reference)), list(" ".join(found)))


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()

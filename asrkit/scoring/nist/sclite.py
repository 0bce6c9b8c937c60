"""Scores against an STM file: with NIST's sclite where it is installed, else with our own counts.

Both give the same numbers; sclite's are those that papers quote.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from asrkit.data.stm import Segment, read_stm, write_stm
from asrkit.errors import UserError
from asrkit.run_files import BelievedLine, NbestLine
from asrkit.scoring.edits import Aligned, AlignedSet, Errors, character_errors
from asrkit.scoring.nist.counts import (
    AlignedText,
    align,
    in_order,
    in_time,
    overlaps,
    words_of_segments,
)
from asrkit.scoring.nist.ctm import CtmWord, placed, write_ctm

Counter = Callable[[Sequence[Segment], Sequence[CtmWord]], list[Errors]]
"""Returns the errors of every segment that is not ignored."""

log = logging.getLogger(__name__)


class StmScorer:
    """Aligns hypotheses with the references of an STM file.

    Args:
        path: The STM file; utterances must have the names of its segments.
        counter: Counts instead of ourselves; sclite where None and it is installed.
        times: Times and confidences of words, by utterance, where they are known.

    Raises:
        UserError: If the file can't be read, or two of its segments have the same name.
    """

    fills = False

    def __init__(
        self,
        path: Path,
        counter: Counter | None = None,
        times: Mapping[str, BelievedLine] = MappingProxyType({}),
    ) -> None:
        self.path, self.times = path, times
        self.references = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        self.segments = in_order(read_stm(path))
        self.by_name = {segment.id: segment for segment in self.segments}
        if len(self.by_name) < len(self.segments):
            raise UserError(f"{path} has two segments of the same recording, channel and times")
        overlapping = overlaps(self.segments)
        if overlapping:
            log.warning(
                "%s: %d segments begin before an earlier one of their channel has ended, such as "
                "%s: words in between count in the earlier one, as with sclite",
                *(path, len(overlapping), overlapping[0].id),
            )
        self.counter = counter or installed_sclite()
        if self.counter is None:
            log.info("sclite is not installed: counting word errors as it would do")

    def words(self, lines: Iterable[NbestLine]) -> list[CtmWord]:
        """Returns the best hypotheses of an n-best list as words with times, in order of time.

        Raises:
            UserError: If an utterance is not a segment of the file, or a segment has no hypothesis.
        """
        texts = {line.id: line.text for line in lines}
        unknown = [name for name in texts if name not in self.by_name]
        if unknown:
            raise UserError(
                f"{self.path} has no segment of utterance {unknown[0]} (recording-channel-start-end"
                f" in milliseconds), and {len(unknown) - 1} more; is it the STM file of this set?"
            )
        scored = [s for s in self.segments if s.text and not s.ignored]
        missing = [segment.id for segment in scored if segment.id not in texts]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(scored)} segments of {self.path} were not decoded, such "
                f"as {missing[0]}: a score without them would be for another set"
            )
        words = (
            word
            for s in self.segments
            for word in placed(s, texts.get(s.id, ""), self.times.get(s.id))
        )
        return in_time(self.segments, words)

    def __call__(self, lines: Sequence[NbestLine]) -> AlignedSet:
        """Returns the alignment and errors of each line of an n-best list.

        Raises:
            UserError: If lines and segments differ, or a reference can't be parsed.
        """
        words = self.words(lines)
        scored = [segment for segment in self.segments if not segment.ignored]
        texts = words_of_segments(self.segments, words)
        found = dict(zip((s.id for s in self.segments), texts, strict=True))
        aligned = {segment.id: self._align(segment, found[segment.id]) for segment in scored}
        if self.counter is not None:
            counts = self.counter(self.segments, words)
            aligned = {
                segment.id: aligned[segment.id]._replace(errors=errors)
                for segment, errors in zip(scored, counts, strict=True)
            }
        utterances = []
        for line in lines:
            errors, pairs = aligned.get(line.id, AlignedText(Errors(), []))
            characters = character_errors(line)
            utterances.append(Aligned(line.id, line.speaker, errors, characters, pairs))
        return AlignedSet(utterances, scorer="asrkit" if self.counter is None else "sclite")

    def official(self, found: AlignedSet, lines: Sequence[NbestLine], out: Path) -> AlignedSet:
        """Returns them as they are: sclite has counted already, where it is installed."""
        return found

    def _align(self, segment: Segment, text: str) -> AlignedText:
        try:
            return align(segment.text, text)
        except ValueError as error:
            raise UserError(f"{self.path}: segment {segment.id}: {error}") from error


def installed_sclite() -> Counter | None:
    """Returns what runs sclite, or `sctk sclite` as Debian's package calls it; None without."""
    for name, *words in (["sclite"], ["sctk", "sclite"]):
        program = shutil.which(name)
        if program is not None:
            return Sclite([program, *words])
    return None


class Sclite:
    """Runs sclite.

    Args:
        command: Program and first words of the command line.
    """

    def __init__(self, command: list[str]) -> None:
        self.command = command

    def __call__(self, segments: Sequence[Segment], words: Sequence[CtmWord]) -> list[Errors]:
        """Returns the errors of every segment that is not ignored.

        Args:
            segments: As `in_order` returns them.
            words: Hypotheses, as `in_time` returns them.

        Raises:
            UserError: If sclite fails, or its output is not understood.
        """
        with tempfile.TemporaryDirectory() as folder:
            reference, hypothesis = Path(folder) / "reference.stm", Path(folder) / "hypothesis.ctm"
            # sclite folds the case of ASCII letters only; this folds all, speakers' included.
            folded = (replace(s, text=s.text.lower(), speaker=s.speaker.lower()) for s in segments)
            write_stm(reference, folded)
            write_ctm(hypothesis, [replace(w, word=w.word.lower()) for w in words])
            files = ["-r", str(reference), "stm", "-h", str(hypothesis), "ctm"]
            command = [*self.command, *files, "-D", "-f", "0", "-o", "pralign", "stdout"]
            done = subprocess.run(command, capture_output=True, check=False)
        output = done.stdout.decode("utf-8", errors="replace")
        scored = [segment for segment in segments if not segment.ignored]
        errors = parse_alignments(output, scored)
        if done.returncode or errors is None:
            raise UserError(
                f"{' '.join(self.command)} failed with exit code {done.returncode}; the end of its "
                f"output: {(output + done.stderr.decode(errors='replace'))[-500:].strip()}"
            )
        return errors


SCORES = re.compile(r"^Scores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)\s*$", re.MULTILINE)


def parse_alignments(output: str, segments: Sequence[Segment]) -> list[Errors] | None:
    """Returns the errors of segments from sclite's alignments, which come speaker by speaker.

    Args:
        output: What `sclite -o pralign` printed.
        segments: Those that were scored, in the order they had.

    Returns:
        None if the output is of other segments.
    """
    by_speaker: dict[str, list[int]] = defaultdict(list)
    for number, segment in enumerate(segments):
        by_speaker[segment.speaker.lower()].append(number)
    order = [number for numbers in by_speaker.values() for number in numbers]
    found = [tuple(map(int, row)) for row in SCORES.findall(output)]
    if len(found) != len(order):
        return None
    errors = {
        number: Errors(s, d, i, c + s + d)
        for number, (c, s, d, i) in zip(order, found, strict=True)
    }
    return [errors[number] for number in range(len(segments))]

"""Scores of the Hub5 and RT telephone test sets: STM references, GLM rules, results by category.

Where NIST's `hubscr.pl` is on the PATH it counts the errors; otherwise asrkit does, by the same
rules.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from asrkit.errors import UserError
from asrkit.scoring.glm import HESITATION, Glm, read_glm
from asrkit.scoring.hubscr import run_hubscr
from asrkit.scoring.wer import (
    EMPTY,
    Errors,
    Score,
    bootstrap_interval,
    character_errors,
    paired_test,
    read_nbest,
    write_lines,
)
from asrkit.scoring.word_graph import Pair, align, errors_of, parse

IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"
CHANNELS = {"1": "A", "2": "B"}
LABEL = re.compile(r'^;;\s*LABEL\s+"([^"]*)"\s+"([^"]*)"')
SEGMENT = re.compile(r"^(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)(?:\s+<([^>]*)>)?(.*)$")


@dataclass(frozen=True)
class Segment:
    """One line of an STM file: who says what, when, on which channel (A or B) of a recording.

    Args:
        labels: Categories that the segment belongs to, such as O, en and F.
    """

    recording: str
    channel: str
    speaker: str
    start: float
    end: float
    labels: tuple[str, ...]
    text: str

    @property
    def id(self) -> str:
        """The name of the utterance in manifests: recording, channel, and times in milliseconds."""
        times = f"{round(self.start * 1000):07d}-{round(self.end * 1000):07d}"
        return f"{self.recording}-{self.channel}-{times}"


@dataclass
class Stm:
    """The segments of a test set that are scored, and the titles of its categories."""

    segments: list[Segment] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)


def read_stm(path: Path) -> Stm:
    """Reads an STM file; segments that it says to ignore are left out.

    Raises:
        UserError: If it is missing, has a damaged line, or no segments.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: scoring by segments needs the STM file")
    stm = Stm()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        label = LABEL.match(line)
        if label:
            stm.titles[label[1]] = label[2]
        elif line.strip() and not line.startswith(";;"):
            segment = _segment(path, number, line)
            if segment.text != IGNORED:
                stm.segments.append(segment)
    if not stm.segments:
        raise UserError(f"{path} has no segments to score")
    return stm


def _segment(path: Path, number: int, line: str) -> Segment:
    found = SEGMENT.match(line.strip())
    try:
        if found is None:
            raise ValueError("expected: recording channel speaker start end <labels> words")
        recording, channel, speaker, start, end, labels, text = found.groups()
        channel = CHANNELS.get(channel, channel.upper())
        groups = tuple(label for label in (labels or "").split(",") if label)
        words = " ".join(text.split())
        return Segment(recording, channel, speaker, float(start), float(end), groups, words)
    except ValueError as error:
        raise UserError(f"{path}, line {number}: {line!r} is no segment: {error}") from error


def clean_stm(text: str) -> str:
    """Returns an STM file without what is known to be wrong with the published ones.

    Doubled parentheses become single, marks of asides and gaps between segments are left out, and
    channels are A and B throughout.
    """
    lines = []
    for line in text.splitlines():
        if not line.startswith(";;") and "inter_segment_gap" not in line:
            line = line.replace("((", "(").replace("<B_ASIDE>", "").replace("<E_ASIDE>", "")
            line = re.sub(r"^(\s*\S+\s+)([12])(?=\s)", lambda m: m[1] + CHANNELS[m[2]], line)
        if line.startswith(";;") or "inter_segment_gap" not in line:
            lines.append(line)
    return "".join(line + "\n" for line in lines)


def plain_text(text: str) -> str:
    """Returns the words of an STM text in lower case: first alternatives, optional words as any."""
    alternative = re.compile(r"\{([^{}]*)\}")
    while alternative.search(text):
        text = alternative.sub(lambda found: re.split(r"\s/\s", f" {found[1]} ")[0], text)
    return " ".join(re.sub(r"[()]", " ", text).replace("@", " ").lower().split())


@dataclass(frozen=True)
class Hub5Score(Score):
    """Errors and confidence of a set.

    Args:
        parts: Rate, errors and segments by category of the STM file.
        scorer: What counted the errors.
        missing: Segments that were not decoded: all their words count as deleted.
    """

    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    scorer: str = "asrkit"
    missing: int = 0


def score_hub5(
    nbest: Path,
    out: Path,
    stm: Path,
    glm: Path,
    against: Path | None = None,
    without_hesitations: bool = False,
) -> Hub5Score:
    """Scores the best hypotheses of a set against an STM file.

    Writes score.json, segments.tsv and aligned.txt, and where hubscr.pl counts, its files.

    Args:
        nbest: The n-best file; its utterances are named as the segments of the STM file.
        out: Folder to write to.
        stm: Segments with their reference texts.
        glm: Mapping rules for references and hypotheses.
        against: N-best file of another system for the same set.
        without_hesitations: Whether hesitations and partial words are left out of hypotheses, as
            Kaldi's and ESPnet's recipes do: they may be left out of references without an error.

    Raises:
        UserError: If a file is missing or damaged, or the utterances are not those of the STM file.
    """
    reference, rules = read_stm(stm), read_glm(glm)
    lines = read_nbest(nbest)
    found = hypotheses(lines, reference, nbest, rules, without_hesitations)
    pairs = [_aligned(segment, found[segment.id], rules) for segment in reference.segments]
    errors = [errors_of(pair) for pair in pairs]
    official = None
    if shutil.which("hubscr.pl"):
        official = run_hubscr(reference.segments, found, stm, glm, out / "hubscr")
    low, high = bootstrap_interval(official or errors)
    comparison = None
    if against is not None:
        other = hypotheses(read_nbest(against), reference, against, rules, without_hesitations)
        theirs = [errors_of(_aligned(s, other[s.id], rules)) for s in reference.segments]
        comparison = paired_test(errors, theirs)
    total = sum(official or errors, Errors())
    score = Hub5Score(
        wer=total.rate,
        low=low,
        high=high,
        cer=sum(map(character_errors, lines), Errors()).rate,
        errors=total,
        utterances=len(reference.segments),
        wrong_utterances=sum(1 for e in official or errors if e.total),
        against=comparison,
        parts=_by_category(reference, official or errors),
        scorer="hubscr.pl" if official else "asrkit",
        missing=len(reference.segments) - len(lines),
    )
    write_lines(out / "score.json", [json.dumps(asdict(score), indent=2)])
    write_lines(out / "segments.tsv", _rows(reference.segments, official or errors))
    write_lines(out / "aligned.txt", _pictures(reference.segments, pairs))
    return score


def hypotheses(
    lines: Sequence[dict[str, Any]], stm: Stm, path: Path, glm: Glm, without_hesitations: bool
) -> dict[str, str]:
    """Returns the recognised text of each segment; nothing where it was not decoded.

    Raises:
        UserError: If there are utterances that are no segments of the STM file.
    """
    texts = {segment.id: "" for segment in stm.segments}
    for line in lines:
        if line["id"] not in texts:
            raise UserError(
                f"{path} has utterance {line['id']}, which is no segment of the STM file, such as "
                f"{stm.segments[0].id}: score the set with the STM file it was prepared from"
            )
        words = line["text"].split()
        if without_hesitations:
            words = [word for word in words if not _is_hesitation(word, glm)]
        texts[line["id"]] = " ".join(words)
    return texts


def _is_hesitation(word: str, glm: Glm) -> bool:
    return word.endswith("-") or glm.hypothesis(word) == HESITATION


def _aligned(segment: Segment, text: str, glm: Glm) -> list[Pair]:
    return align(parse(glm.reference(segment.text)), parse(glm.hypothesis(text)))


def _by_category(stm: Stm, errors: Sequence[Errors]) -> dict[str, dict[str, Any]]:
    totals: dict[str, tuple[int, Errors]] = {}
    for segment, found in zip(stm.segments, errors, strict=True):
        for label in segment.labels:
            count, total = totals.get(label, (0, Errors()))
            totals[label] = (count + 1, total + found)
    order = [*(label for label in stm.titles if label in totals), *totals]
    return {
        label: {
            "title": stm.titles.get(label, label),
            "wer": totals[label][1].rate,
            "errors": asdict(totals[label][1]),
            "segments": totals[label][0],
        }
        for label in dict.fromkeys(order)
    }


def _rows(segments: Sequence[Segment], errors: Sequence[Errors]) -> list[str]:
    rows = ["segment\tlabels\twer\twords\tsubstitutions\tdeletions\tinsertions"]
    for segment, e in zip(segments, errors, strict=True):
        counts = (e.words, e.substitutions, e.deletions, e.insertions)
        cells = [segment.id, ",".join(segment.labels), f"{e.rate:.2f}", *map(str, counts)]
        rows.append("\t".join(cells))
    return rows


def _pictures(segments: Sequence[Segment], pairs: Sequence[list[Pair]]) -> list[str]:
    """Returns reference over hypothesis for every segment, with a mark under errors."""
    rows = []
    for segment, path in zip(segments, pairs, strict=True):
        e = errors_of(path)
        rows.append(f"{segment.id}  ({e.total} errors in {e.words} words)")
        columns = [_column(pair) for pair in path]
        widths = [max(map(len, column)) for column in columns]
        for number, title in enumerate(("REF", "HYP", "   ")):
            cells = [c[number].ljust(width) for c, width in zip(columns, widths, strict=True)]
            rows.append(f"{title} {' '.join(cells)}".rstrip())
        rows.append("")
    return rows


def _column(pair: Pair) -> tuple[str, str, str]:
    shown = ["" if a is None else f"({a.word})" if a.optional else a.word for a in pair]
    return shown[0] or EMPTY, shown[1] or EMPTY, "^" if errors_of([pair]).total else ""

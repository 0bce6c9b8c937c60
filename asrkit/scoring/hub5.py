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
    count_errors,
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


def score_hub5(
    nbest: Path,
    out: Path,
    stm: Path,
    glm: Path,
    against: Path | None = None,
    drop_hesitations: bool = False,
) -> Score:
    """Scores the best hypotheses of a set against an STM file.

    Writes score.json, segments.tsv and aligned.txt, and where hubscr.pl counts, its files.

    Args:
        nbest: The n-best file; its utterances are named as the segments of the STM file.
        out: Folder to write to.
        stm: Segments with their reference texts.
        glm: Mapping rules for references and hypotheses.
        against: N-best file of another system for the same set.
        drop_hesitations: Whether hesitations and partial words are left out of hypotheses, as
            Kaldi's and ESPnet's recipes do: they may be left out of references without an error.

    Raises:
        UserError: If a file is missing or damaged, or the utterances are not those of the STM file.
    """
    reference, rules = read_stm(stm), read_glm(glm)
    lines = read_nbest(nbest)
    found = hypotheses(lines, reference, nbest, rules, drop_hesitations)
    pairs = [aligned(segment, found[segment.id], rules) for segment in reference.segments]
    errors = [errors_of(pair) for pair in pairs]
    comparison = None
    if against is not None:
        other = hypotheses(read_nbest(against), reference, against, rules, drop_hesitations)
        theirs = [errors_of(aligned(s, other[s.id], rules)) for s in reference.segments]
        comparison = paired_test(errors, theirs)
    scorer = "asrkit"
    if shutil.which("hubscr.pl"):
        scorer = "hubscr.pl"
        errors = run_hubscr(reference.segments, found, stm, glm, out / "hubscr")
    low, high = bootstrap_interval(errors)
    total = sum(errors, Errors())
    score = Score(
        wer=total.rate,
        low=low,
        high=high,
        cer=sum(map(_character_errors, pairs), Errors()).rate,
        errors=total,
        utterances=len(reference.segments),
        wrong_utterances=sum(1 for e in errors if e.total),
        against=comparison,
        parts=by_category(reference, errors),
        missing=len(reference.segments) - len(lines),
        scorer=scorer,
    )
    write_lines(out / "score.json", [json.dumps(asdict(score), indent=2)])
    write_lines(out / "segments.tsv", _rows(reference.segments, errors))
    write_lines(out / "aligned.txt", _pictures(reference.segments, pairs))
    return score


def hypotheses(
    lines: Sequence[dict[str, Any]], stm: Stm, path: Path, glm: Glm, drop_hesitations: bool
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
        if drop_hesitations:
            words = [word for word in words if not _is_hesitation(word, glm)]
        texts[line["id"]] = " ".join(words)
    return texts


def _is_hesitation(word: str, glm: Glm) -> bool:
    return word.endswith("-") or glm.hypothesis(word) == HESITATION


def aligned(segment: Segment, text: str, glm: Glm) -> list[Pair]:
    """Returns the alignment of a segment's reference and what was recognised."""
    return align(parse(glm.reference(segment.text)), parse(glm.hypothesis(text)))


def _character_errors(pairs: list[Pair]) -> Errors:
    """Returns the character errors of an alignment; what may be missing is not counted."""
    reference = [a.word for a, b in pairs if a is not None and (b is not None or not a.optional)]
    found = [b.word for _, b in pairs if b is not None]
    return count_errors(list(" ".join(reference)), list(" ".join(found)))


def by_category(stm: Stm, errors: Sequence[Errors]) -> dict[str, dict[str, Any]]:
    """Returns the errors of each category that segments are labelled with.

    The group of a category is the place of its label: 0 for all segments, 1 for the corpora.
    """
    parts: dict[str, dict[str, Any]] = {
        label: {"title": title, "segments": 0, "errors": Errors()}
        for label, title in stm.titles.items()
    }
    for segment, found in zip(stm.segments, errors, strict=True):
        for group, label in enumerate(segment.labels):
            part = parts.setdefault(label, {"title": label, "segments": 0, "errors": Errors()})
            part["group"] = group
            part["segments"] += 1
            part["errors"] += found
    return {
        label: {**part, "wer": part["errors"].rate, "errors": asdict(part["errors"])}
        for label, part in parts.items()
        if part["segments"]
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

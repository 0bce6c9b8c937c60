"""Scores of the Hub5 and RT telephone test sets: STM references, GLM rules, results by category.

Where NIST's `hubscr.pl` is on the PATH it counts the errors; otherwise asrkit does, by the same
rules.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asrkit.data.stm import Segment
from asrkit.errors import UserError
from asrkit.escapes import escaped
from asrkit.files import write_lines
from asrkit.scoring.coverage import Coverage
from asrkit.scoring.edits import EMPTY, Errors, count_errors
from asrkit.scoring.error_tables import COLUMNS
from asrkit.scoring.nist.counts import in_order, overlaps
from asrkit.scoring.nist.glm import HESITATION, Glm, read_glm
from asrkit.scoring.nist.hub5_stm import Stm, read_hub5_stm
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
)
from asrkit.scoring.significance import (
    UTTERANCES,
    bootstrap_interval,
    compared,
    speaker_interval,
)
from asrkit.scoring.wer import Score, read_nbest, speakers_as_units
from asrkit.tables import write_rows

log = logging.getLogger(__name__)


def score_hub5(
    nbest: Path,
    out: Path,
    stm: Path,
    glm: Path,
    against: Path | None = None,
    drop_hesitations: bool = False,
    units: str = UTTERANCES,
    coverage: Coverage | None = None,
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
        units: Of the comparison: "utterances", which are segments, or "speakers".
        coverage: How much of the set the n-best file has.

    Raises:
        UserError: If a file is missing or damaged, or the utterances are not those of the STM file.
    """
    reference, rules = read_hub5_stm(stm), read_glm(glm)
    lines = read_nbest(nbest)
    found = hypotheses(lines, reference, nbest, rules, drop_hesitations)
    pairs = [aligned(segment, found[segment.id], rules) for segment in reference.segments]
    errors = [errors_in(path) for path in pairs]
    speakers = [segment.speaker for segment in reference.segments]
    overlapping = overlaps(in_order(reference.segments))
    if overlapping:
        log.warning(
            "%s: %d segments begin before an earlier one of their channel has ended, such as %s: "
            "asrkit scores each by its own hypothesis, hubscr.pl counts words in between in the "
            "earlier one, so that the two differ",
            *(stm, len(overlapping), overlapping[0].id),
        )
    comparison = None
    if against is not None:
        other = hypotheses(read_nbest(against), reference, against, rules, drop_hesitations)
        theirs = [errors_in(aligned(s, other[s.id], rules)) for s in reference.segments]
        comparison = compared(errors, theirs, speakers_as_units(speakers, units, stm))
    scorer = "asrkit"
    if shutil.which("hubscr.pl") and any(found.values()):  # sclite refuses empty files
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
        by_speakers=speaker_interval(errors, speakers),
        references=_digest(stm, glm),
        empty_references=sum(1 for e in errors if not e.words),
        coverage=coverage,
    )
    write_lines(out / "score.json", [json.dumps(asdict(score), indent=2)])
    write_rows(out / "segments.tsv", _rows(reference.segments, errors))
    write_lines(out / "aligned.txt", _pictures(reference.segments, pairs))
    for name in ("utterances.tsv", "speakers.tsv"):
        (out / name).unlink(missing_ok=True)  # of another scoring, by other rules
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
    """Returns the alignment of a segment's reference and what was recognised.

    Raises:
        UserError: If one of them can't be parsed.
    """
    try:
        reference, found = _graph(glm.reference(segment.text)), _graph(glm.hypothesis(text))
    except ValueError as error:
        raise UserError(
            f"segment {segment.id}: {error}; mend the STM file or its mapping rules"
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


def _rows(segments: Sequence[Segment], errors: Sequence[Errors]) -> list[list[str]]:
    rows = [["segment", "labels", *COLUMNS, "speaker"]]
    for segment, e in zip(segments, errors, strict=True):
        counts = (e.words, e.substitutions, e.deletions, e.insertions)
        cells = [segment.id, ",".join(segment.labels), f"{e.rate:.2f}", *map(str, counts)]
        cells.append(segment.speaker)
        rows.append(cells)
    return rows


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def _pictures(segments: Sequence[Segment], pairs: Sequence[list[Pair]]) -> list[str]:
    """Returns reference over hypothesis for every segment, with a mark under errors."""
    rows = []
    for segment, path in zip(segments, pairs, strict=True):
        e = errors_in(path)
        rows.append(f"{escaped(segment.id)}  ({e.total} errors in {e.words} words)")
        columns = [_column(pair) for pair in path]
        widths = [max(map(len, column)) for column in columns]
        for number, title in enumerate(("REF", "HYP", "   ")):
            cells = [c[number].ljust(width) for c, width in zip(columns, widths, strict=True)]
            rows.append(f"{title} {' '.join(cells)}".rstrip())
        rows.append("")
    return rows


def _column(pair: Pair) -> tuple[str, str, str]:
    reference, found = (str(token or EMPTY) for token in pair)
    return reference, found, "^" if errors_in([pair]).total else ""

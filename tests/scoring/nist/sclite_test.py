"""Runs are scored against STM files, by sclite or by our own counts."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from asrkit.data.stm import Segment, write_stm
from asrkit.errors import UserError
from asrkit.run_files import BelievedLine, BelievedWord, NbestLine
from asrkit.scoring.edits import Errors
from asrkit.scoring.nist import sclite
from asrkit.scoring.nist.ctm import CtmWord
from asrkit.scoring.nist.sclite import Sclite, StmScorer, parse_alignments
from asrkit.scoring.wer import score_run

SEGMENTS = [
    Segment("talk", "1", "ann", 0.0, 2.0, "it's { OK / okay } (uh)", ("o",)),
    Segment("talk", "1", "gap", 2.0, 3.0, "ignore_time_segment_in_scoring", ("o",)),
    Segment("talk", "1", "bob", 3.0, 4.0, "", ("o",)),
    Segment("talk", "1", "ann", 4.0, 5.0, "thank you", ("o",)),
]
TEXTS = ["IT'S okay", "thank me"]
OUTPUT = """
id: (ann-000)
Scores: (#C #S #D #I) 3 0 0 0
id: (ann-001)
Scores: (#C #S #D #I) 1 1 0 0
id: (bob-000)
Scores: (#C #S #D #I) 0 0 0 0
"""


@pytest.fixture(autouse=True)
def no_sclite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sclite, "installed_sclite", lambda: None)


def lines(texts: Sequence[str] = TEXTS) -> list[NbestLine]:
    spoken = [SEGMENTS[0], SEGMENTS[3]]
    return [
        NbestLine(id=s.id, speaker=s.speaker, reference=s.text, text=text)
        for s, text in zip(spoken, texts, strict=True)
    ]


def stm(tmp_path: Path, segments: Sequence[Segment] = SEGMENTS) -> Path:
    write_stm(tmp_path / "dev.stm", segments)
    return tmp_path / "dev.stm"


def test_a_run_is_scored_by_the_rules_of_nist(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nbest = tmp_path / "nbest.jsonl"
    nbest.write_text("".join(json.dumps(line.as_json()) + "\n" for line in lines()))
    other = tmp_path / "other.jsonl"
    theirs = lines(["it's fine", "thank you"])
    other.write_text("".join(json.dumps(line.as_json()) + "\n" for line in theirs))
    with caplog.at_level(logging.INFO):
        scorer = StmScorer(stm(tmp_path))
    assert "sclite is not installed" in caplog.text
    score = score_run(nbest, tmp_path, other, scorer)
    assert score.errors == Errors(1, 0, 0, 5)
    assert score.wer == 20.0
    assert score.against is not None
    assert score.against.other == 20.0
    assert "REF it's okay (uh)\nHYP it's okay *\n" in (tmp_path / "aligned.txt").read_text()


def test_a_counter_decides_the_errors(tmp_path: Path) -> None:
    seen: list[str] = []

    def counter(segments: Sequence[Segment], words: Sequence[CtmWord]) -> list[Errors]:
        seen.extend(word.word for word in words)
        return [Errors(1, 2, 3, 4), Errors(), Errors(5, 6, 7, 8)]

    first, second = StmScorer(stm(tmp_path), counter)(lines()).utterances
    assert (first.errors, second.errors) == (Errors(1, 2, 3, 4), Errors(5, 6, 7, 8))
    assert seen == ["IT'S", "okay", "thank", "me"]
    assert [word[:2] for word in second.words] == [("thank", "thank"), ("you", "me")]


def test_overlapping_segments_are_said_and_counted_as_sclite_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlapping = [
        Segment("talk", "1", "ann", 0.0, 4.0, "one two three four"),
        Segment("talk", "1", "bob", 2.0, 6.0, "five six seven eight"),
    ]
    path = stm(tmp_path, overlapping)
    found = [NbestLine(id=s.id, speaker="", reference="", text=s.text) for s in overlapping]
    with caplog.at_level(logging.WARNING):
        scorer = StmScorer(path)
    assert "1 segments begin before an earlier one" in caplog.text
    starts = [word.start for word in scorer.words(found)]
    assert starts == sorted(starts)
    errors = scorer(found).errors
    assert errors == [Errors(0, 0, 2, 4), Errors(0, 2, 0, 4)]
    monkeypatch.undo()
    program = sclite.installed_sclite()
    if program is None:
        pytest.skip("sclite (SCTK) is not installed: its counts can't be compared with ours")
    assert StmScorer(path, program)(found).errors == errors


def test_words_have_their_own_times_where_they_are_known(tmp_path: Path) -> None:
    (line, *_) = lines()
    words = [BelievedWord(word, 0.01 * n, 0.01, 0.5, 0.5) for n, word in enumerate(line.words)]
    known = {line.id: BelievedLine(line.id, True, words)}
    timed = StmScorer(stm(tmp_path), times=known).words(lines())
    plain = StmScorer(stm(tmp_path)).words(lines())
    assert [word.word for word in timed] == [word.word for word in plain]
    assert sum(word.confidence is not None for word in timed) == len(words) > 0
    assert [word for word in plain if word not in timed] != []


def test_other_sets_are_refused(tmp_path: Path) -> None:
    scorer = StmScorer(stm(tmp_path))
    with pytest.raises(UserError, match="1 of 2 segments .* not decoded, such as talk-1-00004000"):
        scorer(lines()[:1])
    with pytest.raises(UserError, match="has no segment of utterance u1 .* and 0 more"):
        scorer([*lines(), replace(lines()[0], id="u1")])
    with pytest.raises(UserError, match="two segments of the same recording, channel and times"):
        StmScorer(stm(tmp_path, [SEGMENTS[0], SEGMENTS[0]]))
    with pytest.raises(UserError, match="segment talk-1-00000000-00001000: '{' without '}'"):
        StmScorer(stm(tmp_path, [Segment("talk", "1", "s", 0.0, 1.0, "{ a", ())]))(
            [NbestLine(id="talk-1-00000000-00001000", speaker="", reference="", text="a")]
        )


def test_output_of_sclite_is_put_in_the_order_of_segments() -> None:
    scored = [SEGMENTS[0], SEGMENTS[2], SEGMENTS[3]]
    assert parse_alignments(OUTPUT, scored) == [Errors(0, 0, 0, 3), Errors(), Errors(1, 0, 0, 2)]
    assert parse_alignments(OUTPUT, scored[:2]) is None


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return path


def test_sclite_gets_references_and_hypotheses(tmp_path: Path) -> None:
    program = script(tmp_path / "sclite", f"cp $2 $5 {tmp_path}\ncat <<'E'\n{OUTPUT}E\n")
    scorer = StmScorer(stm(tmp_path), Sclite([str(program)]))
    assert scorer(lines()).errors == [Errors(0, 0, 0, 3), Errors(1, 0, 0, 2)]
    assert "<o> it's { ok / okay } (uh)" in (tmp_path / "reference.stm").read_text()
    assert "talk 1 4.500 0.500 me" in (tmp_path / "hypothesis.ctm").read_text()


@pytest.mark.parametrize("text", ["echo no such option >&2; exit 3", "echo Scores: none"])
def test_a_failing_sclite_is_shown(tmp_path: Path, text: str) -> None:
    program = script(tmp_path / "sclite", text)
    with pytest.raises(UserError, match="sclite failed with exit code .*(no such option|none)"):
        StmScorer(stm(tmp_path), Sclite([str(program)]))(lines())


def test_sclite_is_looked_for_under_both_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sclite.installed_sclite() is None
    script(tmp_path / "sctk", "")
    found = sclite.installed_sclite()
    assert isinstance(found, Sclite)
    assert found.command == [str(tmp_path / "sctk"), "sclite"]

from __future__ import annotations

import json
import logging
import random
import shutil
from pathlib import Path

import pytest

from asrkit.data.stm import Segment
from asrkit.errors import UserError
from asrkit.scoring.edits import Errors
from asrkit.scoring.nist.ctm import CtmWord
from asrkit.scoring.nist.glm import read_glm
from asrkit.scoring.nist.hub5 import Hub5Scorer, aligned, errors_in
from asrkit.scoring.nist.hub5_stm import clean_stm, plain_text, read_hub5_stm
from asrkit.scoring.nist.hubscr import counted, ctm_words
from asrkit.scoring.wer import Score, score_run
from tests.scoring.nist.glm_test import RULES

STM = """;; CATEGORY "0" "" ""
;; LABEL "O" "Overall" "Overall"
;; LABEL "en" "CallHome" "CallHome English"
;; LABEL "sw" "Swbd" "Switchboard"
en_1 A en_1_A 0.00 2.00 <O,en> HE IS (%HESITATION) A POLICE OFFICER
en_1 A en_1_A 2.50 4.00 <O,en> { GONNA / GOING TO / @ } (WOR-) YES

en_1 B en_1_B 0.00 2.00 <O,en> (%HESITATION)
sw_1 A sw_1_A 0.00 2.00 <O,sw> CAN NOT GO
sw_1 A sw_1_A 2.00 3.00 <O,sw> IGNORE_TIME_SEGMENT_IN_SCORING
sw_1 A sw_1_A 3.00 4.00 <O,sw> A B C D E
sw_1 B sw_1_B 0.00 2.00 <O,sw> HELLO
"""
FOUND = {
    "en_1-A-00000000-00002000": "he's a police",  # one deletion in 6 words
    "en_1-A-00002500-00004000": "gonna word yes",  # right: GOING TO (WOR-) YES
    "en_1-B-00000000-00002000": "uh",  # right
    "sw_1-A-00000000-00002000": "can't go",  # right
    "sw_1-A-00003000-00004000": "x a b uh",  # X inserted, A B right, 2 deleted, 1 substituted
    "sw_1-B-00000000-00002000": "",  # one deletion
}


def write(folder: Path, found: dict[str, str], stm: str = STM) -> tuple[Path, Path, Path]:
    lines = [
        {"id": name, "speaker": "s", "seconds": 1.0, "reference": "a", "text": text}
        for name, text in found.items()
    ]
    paths = folder / "nbest.jsonl", folder / "test.stm", folder / "test.glm"
    paths[0].write_text("".join(json.dumps(line) + "\n" for line in lines))
    paths[1].write_text(stm)
    paths[2].write_text(RULES)
    return paths


def score_hub5(
    nbest: Path, out: Path, stm: Path, glm: Path, against: Path | None = None, **options: bool
) -> Score:
    return score_run(nbest, out, against, Hub5Scorer(stm, glm, **options))


@pytest.fixture
def without_hubscr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")


@pytest.mark.usefixtures("without_hubscr")
def test_a_set_is_scored_by_category(tmp_path: Path) -> None:
    score = score_hub5(*_order(write(tmp_path, FOUND), tmp_path))
    assert score.scorer == "asrkit"
    assert score.errors == Errors(1, 4, 1, 20)
    assert score.wer == 30.0
    assert (score.utterances, score.wrong_utterances, score.missing) == (6, 3, 0)
    written = json.loads((tmp_path / "score.json").read_text())
    parts = {name: (part["title"], part["wer"]) for name, part in written["parts"].items()}
    assert parts == {
        "O": ("Overall", 30.0),
        "en": ("CallHome", pytest.approx(100 / 11)),
        "sw": ("Swbd", pytest.approx(500 / 9)),
    }
    aligned = (tmp_path / "aligned.txt").read_text()
    assert "REF HE IS (%HESITATION) A POLICE OFFICER\nHYP HE IS *             A POLICE *" in aligned
    row = (tmp_path / "utterances.tsv").read_text().splitlines()[5]
    assert row == "sw_1-A-00003000-00004000\t80.00\t5\t1\t2\t1\tsw_1_A\tO,sw"


@pytest.mark.usefixtures("without_hubscr")
def test_overlapping_segments_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        score_hub5(*_order(write(tmp_path, FOUND), tmp_path))
        assert caplog.text == ""
        later = STM.replace("en_1 A en_1_A 2.50 4.00", "en_1 A en_1_A 1.50 4.00")
        found = {name.replace("00002500", "00001500"): text for name, text in FOUND.items()}
        score_hub5(*_order(write(tmp_path, found, later), tmp_path))
    assert "1 segments begin before an earlier one of their channel has ended" in caplog.text


def _order(paths: tuple[Path, Path, Path], out: Path) -> tuple[Path, Path, Path, Path]:
    return paths[0], out, paths[1], paths[2]


@pytest.mark.usefixtures("without_hubscr")
def test_hesitations_of_hypotheses_may_be_left_out(tmp_path: Path) -> None:
    found = {**FOUND, "sw_1-B-00000000-00002000": "uh hel- hello"}
    paths = _order(write(tmp_path, found), tmp_path)
    assert score_hub5(*paths).parts["sw"].errors.insertions == 3
    kept = score_hub5(*paths, drop_hesitations=True)
    assert kept.errors == Errors(0, 4, 1, 20), "E is deleted now, and nothing inserted but X"


@pytest.mark.usefixtures("without_hubscr")
def test_systems_are_compared_and_missing_segments_counted(tmp_path: Path) -> None:
    paths = _order(write(tmp_path, FOUND), tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    fewer = {name: text for name, text in FOUND.items() if not name.startswith("en_1-A")}
    theirs = write(other, fewer)[0]
    against = score_hub5(*paths, against=theirs).against
    assert against is not None
    # 5 + 2 words more are deleted: the alternatives of the second segment have @.
    assert against.other == pytest.approx(100 * (6 - 1 + 5 + 1) / 18)
    assert score_hub5(theirs, other, paths[2], paths[3]).missing == 2


@pytest.mark.usefixtures("without_hubscr")
def test_utterances_of_another_set_are_refused(tmp_path: Path) -> None:
    paths = _order(write(tmp_path, {"u1": "a"}), tmp_path)
    with pytest.raises(UserError, match="utterance u1, which is not a segment of the STM file"):
        score_hub5(*paths)


def test_stm_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.stm"
    path.write_text(STM)
    stm = read_hub5_stm(path)
    assert [segment.id for segment in stm.segments] == list(FOUND)
    assert stm.segments[0].labels == ("O", "en")
    assert stm.titles == {"O": "Overall", "en": "CallHome", "sw": "Swbd"}
    path.write_text(
        "sw_1 1 s 0.0 1.0 NO LABELS < HERE\nsw_1 2 s 0 1 <O,,sw>YES\n"
        "sw_1 A s 1 2 <O> ignore_time_segment_in_scoring\n"
    )
    assert read_hub5_stm(path).segments[0].text == "NO LABELS < HERE"
    assert [segment.channel for segment in read_hub5_stm(path).segments] == ["A", "B"]
    assert read_hub5_stm(path).segments[1].labels == ("O", "sw")
    path.write_text(";; fine\nsw_1 A s 0.0 one <O> WORDS\n")
    with pytest.raises(UserError, match=r"a.stm:2: expected seconds .* got 'one'"):
        read_hub5_stm(path)
    path.write_text(";; nothing\n")
    with pytest.raises(UserError, match="no segments"):
        read_hub5_stm(path)


def test_segments_with_bad_or_empty_alternatives(tmp_path: Path) -> None:
    rules = read_glm(write(tmp_path, {})[2])
    empty, bad = (Segment("sw_1", "A", "s", 0, 1, text) for text in ("A { B / } C", "A } B"))
    assert errors_in(aligned(empty, "a c", rules)) == Errors(0, 0, 0, 2)
    with pytest.raises(UserError, match="segment sw_1-A-00000000-00001000: '}' without '{'"):
        aligned(bad, "a", rules)


def test_known_mistakes_of_stm_files_are_mended() -> None:
    text = (
        ";; LABEL 1 ((x\nen_1 A s 0 1 <O> ((%HESITATION) <B_ASIDE> HI <E_ASIDE>\n"
        "fsh_1 1 inter_segment_gap 0 1 <O>\nfsh_1 2 s 1 2 <O> NUMBER 2 1\n"
    )
    assert clean_stm(text.split("\n")[:-1]) == [
        ";; LABEL 1 ((x",
        "en_1 A s 0 1 <O> (%HESITATION)  HI ",
        "fsh_1 B s 1 2 <O> NUMBER 2 1",
    ]


def test_references_of_manifests_are_plain_words() -> None:
    assert plain_text("HE (%HESITATION) { GONNA / GOING TO / @ } (WOR-)") == (
        "he %hesitation gonna wor-"
    )
    assert plain_text("{ @ / A { B / C } } D") == "d"


def test_recognised_words_share_the_time_of_a_segment(tmp_path: Path) -> None:
    path = tmp_path / "a.stm"
    path.write_text("sw_1 B s 3 4 A\nsw_1 A s 1.0 2.0 A\n")
    segments = read_hub5_stm(path).segments
    texts = {segments[0].id: "yes", segments[1].id: "oh no"}
    assert ctm_words(segments, texts) == [
        CtmWord("sw_1", "A", 1.0, 0.5, "oh"),
        CtmWord("sw_1", "A", 1.5, 0.5, "no"),
        CtmWord("sw_1", "B", 3.0, 1.0, "yes"),
    ]


def test_reports_of_sclite_are_read() -> None:
    sgml = (
        '<PATH id="(x-000)" word_cnt="4" labels="<o,sw>" file="sw_1" channel="a" sequence="4" '
        'R_T1="3.000" R_T2="4.000" word_aux="h_t1+t2">\n'
        'I,,"x",3.100+3.200:C,"a","a",3.2+3.3:D,"c:d",,:S,"e","%hesitation",3.4+3.5\n</PATH>\n'
    )
    assert counted(sgml) == {("sw_1", "a", 3000, 4000): Errors(1, 1, 1, 3)}


@pytest.mark.skipif(not shutil.which("hubscr.pl"), reason="needs NIST's SCTK on the PATH")
@pytest.mark.parametrize("choices", [[], ["{ A / B A / @ }", "{ UH / { @ / A UH } B }"]])
def test_hubscr_counts_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choices: list[str]
) -> None:
    draw = random.Random(3)
    words = ["GONNA", "A", "B", "(UH)", "UH", "(WOR-)", "FATHER-IN-LAW", "-ORD", *choices]
    heard = ["gonna", "a", "b", "uh", "he's", "word", "can't", "father-in-law", "wor-"]
    lines = [f';; LABEL "{label}" "{label}" ""' for label in ("O", "en", "sw")]
    found = {}
    for number in range(300):
        place, start = f"sw_{number // 50} {'AB'[number // 25 % 2]}", number % 25
        text = " ".join(draw.choice(words) for _ in range(draw.randrange(1, 9)))
        label = draw.choice(["en", "sw"])
        lines.append(f"{place} s 1{start:02d}.00 1{start:02d}.75 <O,{label}> {text}")
        name = f"{place.replace(' ', '-')}-001{start:02d}000-001{start:02d}750"
        found[name] = " ".join(draw.choice(heard) for _ in range(draw.randrange(0, 9)))
    paths = _order(write(tmp_path, found, "\n".join(lines) + "\n"), tmp_path)
    official = score_hub5(*paths)
    assert official.scorer == "hubscr.pl"
    theirs = (tmp_path / "utterances.tsv").read_text().splitlines()
    monkeypatch.setenv("PATH", "/nowhere")
    ours = score_hub5(*paths)
    rows = (tmp_path / "utterances.tsv").read_text().splitlines()
    assert rows == theirs
    assert ours.errors == official.errors

from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.errors import UserError
from asrkit.scoring.nist.glm import Rule, parse_rule, read_glm

RULES = """;; A few rules of each kind.
* name "small.glm"
* format = 'NIST1'
* max_nrules = '2500'
* copy_no_hit = 'T'
* case_sensitive = 'F'
;; hesitations
UH      =>  %HESITATION     / [ ] __ [ ] ;; hesitation token
%uh     =>  %HESITATION     / [ ] __ [ ]
UH-HUH  =>  %BCACK / [ ] __ [ ]
GONNA            => GOING TO ;; anywhere
GOOD BY            => GOOD BYE ;; first that matches
BINYAMIN           => BENJAMIN / __ [ NETANYAHU]
;; INPUT_DEPENDENT_APPLICATION = "ctm"
[CAN'T] => [{CAN NOT / CANNOT}] / [ ] __ [ ]
[HE'S] => [{HE IS/HE HAS}] / [ ] __ [ ]
;; INPUT_DEPENDENT_APPLICATION = "stm"
ONLY => REFERENCE / [ ] __ [ ]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "small.glm"
    path.write_text(RULES)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("uh yes", "%HESITATION YES"),
        ("(uh) (%uh)", "(%HESITATION) (%HESITATION)"),
        ("uhm huh", "UHM HUH"),
        ("uh-huh uh-hum", "%BCACK UH HUM"),
        ("i'm gonna say good by", "I'M GOING TO SAY GOOD BYE"),
        ("binyamin netanyahu binyamin", "BENJAMIN NETANYAHU BINYAMIN"),
        ("(he can't go)", "(HE) (CAN'T) (GO)"),
        ("father-in-law (wor-) -ord", "FATHER IN LAW (WOR-) -ORD"),
        ("{ uh / um / @ } only", "{ %HESITATION / UM / @ } REFERENCE"),
    ],
)
def test_references_are_mapped_as_whole_lines(path: Path, text: str, expected: str) -> None:
    assert read_glm(path).reference(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("uh can't", "%HESITATION { CAN NOT / CANNOT }"),
        ("he's", "{ HE IS / HE HAS }"),
        ("good by", "GOOD BY"),
        ("only uh-huh", "ONLY %BCACK"),
        ("", ""),
    ],
)
def test_hypotheses_are_mapped_word_by_word(path: Path, text: str, expected: str) -> None:
    assert read_glm(path).hypothesis(text) == expected


def test_options_are_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "options.glm"
    path.write_text("* case_sensitive = 'T'\n* copy_no_hit = 'F'\nA => [B ]\nB => c\na => x\n")
    assert read_glm(path).reference("ab xb") == "B cc"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("A => B", Rule("A", "B")),
        ("[A ] => [ B] / [c] __ [ d]", Rule("A ", " B", "c", " d")),
        ("A => {B / C}", Rule("A", "{B / C}")),
        ("A => [{B / C}] / [ ] __", Rule("A", "{B / C}", " ")),
        ("A =>", Rule("A", "")),
        ("A = B", None),
        ("=> B", None),
    ],
)
def test_rules_are_read(line: str, rule: Rule | None) -> None:
    assert parse_rule(line) == rule


def test_what_is_no_rule_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.glm"
    path.write_text(";; fine\nUH HESITATION\n")
    with pytest.raises(UserError, match=r"bad.glm, line 2: 'UH HESITATION' is not a rule"):
        read_glm(path)
    with pytest.raises(UserError, match="missing"):
        read_glm(tmp_path / "none.glm")

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkit.errors import UserError
from asrkit.scoring.edits import Errors, align, count_errors
from asrkit.scoring.error_tables import read_counts
from asrkit.scoring.wer import read_nbest, score_run

words = st.lists(st.sampled_from(["a", "b", "*", ""]), max_size=6).map(tuple)


@functools.cache
def distance(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    if not a or not b:
        return len(a) + len(b)
    same = distance(a[1:], b[1:]) + (a[0] != b[0])
    return min(same, distance(a[1:], b) + 1, distance(a, b[1:]) + 1)


@given(words, words)
def test_errors_are_the_edit_distance(a: tuple[str, ...], b: tuple[str, ...]) -> None:
    errors = count_errors(a, b)
    assert errors.total == distance(a, b)
    assert errors.words == len(a)
    assert errors.insertions - errors.deletions == len(b) - len(a)


@given(words, words)
def test_alignments_hold_both_texts_and_the_fewest_errors(
    a: tuple[str, ...], b: tuple[str, ...]
) -> None:
    pairs = align(a, b)
    assert tuple(one for one, _ in pairs if one is not None) == a
    assert tuple(other for _, other in pairs if other is not None) == b
    assert sum(one != other for one, other in pairs) == distance(a, b)


def test_alignment_shows_both_texts() -> None:
    pairs = align(["THE", "CAT", "SAT"], ["A", "CAT", "SAT", "DOWN"])
    assert pairs == [("THE", "A"), ("CAT", "CAT"), ("SAT", "SAT"), (None, "DOWN")]


def write_nbest(path: Path, texts: dict[str, tuple[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        {"id": name, "speaker": name[0], "seconds": 1.0, "reference": r, "text": t}
        for name, (r, t) in texts.items()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_texts_may_hold_unusual_ends_of_lines(tmp_path: Path) -> None:
    line = {"id": "a1", "speaker": "a", "reference": "ONE\u2028TWO", "text": "ONE\x85TWO"}
    path = tmp_path / "nbest.jsonl"
    path.write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    found = read_nbest(path)[0]
    assert {key: getattr(found, key) for key in line} == line


def test_a_set_is_scored_by_utterance_and_speaker(tmp_path: Path) -> None:
    texts = {"a1": ("ONE TWO", "ONE TOO"), "a2": ("SIX", "SIX"), "b1": ("NO", "NO NO NO")}
    nbest = write_nbest(tmp_path / "nbest.jsonl", texts)
    score = score_run(nbest, tmp_path)
    assert score.errors == Errors(1, 0, 2, 4)
    assert score.wer == 75.0
    assert (score.utterances, score.wrong_utterances) == (3, 2)
    assert (tmp_path / "speakers.tsv").read_text().splitlines()[1] == "b\t200.00\t1\t0\t0\t2"
    aligned = (tmp_path / "aligned.txt").read_text()
    assert "a1  (1 errors in 2 words)\nREF ONE TWO\nHYP ONE TOO\n        ^" in aligned
    assert json.loads((tmp_path / "score.json").read_text())["wer"] == 75.0
    perfect = {name: (reference, reference) for name, (reference, _) in texts.items()}
    other = write_nbest(tmp_path / "other" / "nbest.jsonl", perfect)
    against = score_run(nbest, tmp_path, against=other).against
    assert against is not None
    assert against.difference == 75.0
    assert against.other == 0.0
    fewer = write_nbest(tmp_path / "fewer" / "nbest.jsonl", {"a1": ("A", "A")})
    with pytest.raises(UserError, match="has other utterances than .*no a2"):
        score_run(nbest, tmp_path, against=fewer)
    with pytest.raises(UserError, match="is missing; decode"):
        score_run(tmp_path / "none.jsonl", tmp_path)


def test_systems_are_compared_by_utterances_or_speakers(tmp_path: Path) -> None:
    texts = {f"{s}{n}": ("ONE TWO", "ONE TOO") for s in "abcd" for n in range(3)}
    right = {name: (reference, reference) for name, (reference, _) in texts.items()}
    nbest = write_nbest(tmp_path / "nbest.jsonl", right)
    other = write_nbest(tmp_path / "other" / "nbest.jsonl", texts)
    by_utterances = score_run(nbest, tmp_path, other).against
    by_speakers = score_run(nbest, tmp_path, other, units="speakers").against
    assert by_utterances is not None
    assert by_speakers is not None
    assert (by_utterances.count, by_utterances.probability_of_noise) == (12, 2 / 2**12)
    assert (by_speakers.count, by_speakers.probability_of_noise) == (4, 2 / 2**4)
    written = json.loads((tmp_path / "score.json").read_text())
    assert written["against"]["units"] == "speakers"
    assert written["by_speakers"] == {"low": 0.0, "high": 0.0, "units": 4}
    lonely = write_nbest(tmp_path / "lonely" / "nbest.jsonl", {"a1": ("A", "A")})
    with pytest.raises(UserError, match="names one speaker only"):
        score_run(lonely, tmp_path, lonely, units="speakers")


@pytest.mark.parametrize("text", ["", "broken\n"])
def test_a_table_that_was_cut_off_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "utterances.tsv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"utterances.tsv has no counts of utterances; score"):
        read_counts(path, 2)


def test_other_references_are_not_compared(tmp_path: Path) -> None:
    nbest = write_nbest(tmp_path / "nbest.jsonl", {"a1": ("ONE TWO", "ONE")})
    other = write_nbest(tmp_path / "other" / "nbest.jsonl", {"a1": ("ONE TOO", "ONE")})
    with pytest.raises(UserError, match="other references, such as 'ONE TOO' and 'ONE TWO' of a1"):
        score_run(nbest, tmp_path, against=other)

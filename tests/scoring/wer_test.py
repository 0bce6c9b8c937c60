from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkit.errors import UserError
from asrkit.scoring.wer import (
    Errors,
    align,
    bootstrap_interval,
    count_errors,
    paired_test,
    read_nbest,
    score_run,
)

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
    a, b = (tuple(word.replace("*", "c") for word in text) for text in (a, b))
    pairs = align(a, b)
    assert tuple(one for one, _ in pairs if one != "*") == a
    assert tuple(other for _, other in pairs if other != "*") == b
    assert sum(one != other for one, other in pairs) == distance(a, b)


def test_alignment_shows_both_texts() -> None:
    pairs = align(["THE", "CAT", "SAT"], ["A", "CAT", "SAT", "DOWN"])
    assert pairs == [("THE", "A"), ("CAT", "CAT"), ("SAT", "SAT"), ("*", "DOWN")]


def test_interval_covers_the_true_rate() -> None:
    random, covered = np.random.default_rng(0), 0
    for _ in range(60):
        errors = [Errors(int(e), 0, 0, 20) for e in random.binomial(20, 0.2, size=80)]
        low, high = bootstrap_interval(errors)
        covered += low <= 20.0 <= high
    assert 52 <= covered <= 60


def test_paired_test_tells_better_from_equal() -> None:
    random = np.random.default_rng(1)
    base = [Errors(int(e), 0, 0, 10) for e in random.binomial(10, 0.3, size=200)]
    better = [Errors(max(e.substitutions - 1, 0), 0, 0, 10) for e in base]
    assert paired_test(better, base).probability_better > 0.999
    assert paired_test(base, better).probability_better < 0.001
    assert paired_test(better, base).probability_of_noise < 0.002
    assert paired_test(base, base).probability_better == 0.5
    assert paired_test(base, base).probability_of_noise == 1.0
    with pytest.raises(ValueError, match="can't be compared"):
        paired_test(base, base[:3])


def test_noise_is_called_noise_as_often_as_it_should() -> None:
    random, small = np.random.default_rng(2), 0
    for _ in range(60):
        one, two = random.binomial(10, 0.3, size=(2, 100))
        errors = [[Errors(int(e), 0, 0, 10) for e in system] for system in (one, two)]
        small += paired_test(*errors).probability_of_noise < 0.1
    assert 1 <= small <= 14  # 6 expected


def test_resampling_is_the_normal_approximation_for_large_sets() -> None:
    counts = np.random.default_rng(3).binomial(10, 0.1, size=3000)
    low, high = bootstrap_interval([Errors(int(e), 0, 0, 10) for e in counts])
    half = 1.96 * 10 * counts.std() / np.sqrt(len(counts))
    assert low == pytest.approx(10 * counts.mean() - half, abs=0.03)
    assert high == pytest.approx(10 * counts.mean() + half, abs=0.03)


def write_nbest(path: Path, texts: dict[str, tuple[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        {"id": name, "speaker": name[0], "seconds": 1.0, "reference": r, "text": t}
        for name, (r, t) in texts.items()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_texts_may_hold_unusual_ends_of_lines(tmp_path: Path) -> None:
    line = {"id": "a1", "reference": "ONE\u2028TWO", "text": "ONE\x85TWO"}
    path = tmp_path / "nbest.jsonl"
    path.write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_nbest(path) == [line]


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

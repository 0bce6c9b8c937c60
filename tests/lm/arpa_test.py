"""ARPA files survive writing and reading, and damaged ones are named with their lines."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from asrkit.errors import UserError
from asrkit.lm import arpa
from asrkit.lm.arpa import read_arpa, write_arpa
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate
from tests.lm.kneser_ney_test import sentences

GOOD = """made by another tool

\\data\\
ngram 1=4
ngram  2 = 2

\\1-grams:
-1.5 <unk>
-99\t<s>\t-0.25
-1 </s>
-0.5\tä\t-0.125

\\2-grams:
-0.25\t<s> ä
-0.75 ä </s>

\\end\\
"""


@pytest.mark.parametrize("name", ["model.arpa", "model.arpa.gz"])
@pytest.mark.parametrize("order", [1, 3])
def test_what_is_written_is_read_back(
    tmp_path: Path, name: str, order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arpa, "CHUNK", 7)
    ngrams = estimate(index_sentences(sentences(1)), order).ngrams
    path = write_arpa(ngrams, tmp_path / "lm" / name)
    again = read_arpa(path)
    assert again.symbols == ngrams.symbols
    for before, after in zip(ngrams.tables, again.tables, strict=True):
        np.testing.assert_array_equal(before.words, after.words)
        np.testing.assert_allclose(before.log_probs, after.log_probs, atol=1e-6)
        np.testing.assert_allclose(before.log_backoffs, after.log_backoffs, atol=1e-6)
    first = path.read_bytes()
    assert write_arpa(ngrams, path).read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_files_of_other_tools_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.arpa"
    path.write_text(GOOD, encoding="utf-8")
    ngrams = read_arpa(path)
    assert ngrams.symbols == ["<unk>", "<s>", "</s>", "ä"]
    assert ngrams.order == 2
    assert ngrams.tables[0].log_probs.tolist() == [-1.5, -99, -1, -0.5]
    assert ngrams.tables[0].log_backoffs.tolist() == [0, -0.25, 0, -0.125]
    assert ngrams.tables[1].words.tolist() == [[1, 3], [3, 2]]


def test_back_off_weights_of_zero_may_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_arpa(estimate(index_sentences(sentences(1)), 3).ngrams, tmp_path / "m.arpa")
    whole = read_arpa(path)
    text = path.read_text()
    assert text.count("\t0\n") > 10
    path.write_text(text.replace("\t0\n", "\n"))
    for size in (1, 2, 3, 5, 1000):
        monkeypatch.setattr(arpa, "CHUNK", size)
        again = read_arpa(path)
        for before, after in zip(whole.tables, again.tables, strict=True):
            np.testing.assert_array_equal(before.words, after.words)
            np.testing.assert_array_equal(before.log_probs, after.log_probs)
            np.testing.assert_array_equal(before.log_backoffs, after.log_backoffs)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "data", r"model.arpa:17: got the end of the file, expected \\data\\"),
        ("ngram 1=4", "ngram 1=four", r":4: got 'ngram 1=four', expected `ngram 1=COUNT`"),
        ("ngram 1=4", "ngram 2=4", r":4: .*expected `ngram 1=COUNT`"),
        ("\\1-grams:", "\\one-grams:", r":7: got .*expected \\1-grams:"),
        ("-1 </s>", "minus </s>", r":10: got 'minus </s>', expected the log10 probability, 1 word"),
        ("-1 </s>", "-1 <s>", r":10: .*this word occurs twice"),
        ("-1 </s>\n", "", r":11: .*the header promises 4 1-grams, the section ends after 3"),
        ("-1 </s>", "-1 </s>\n-1 b", r":12: got .*expected \\2-grams:"),
        (
            "-0.75 ä </s>",
            "-0.75 ö </s>",
            r":15: .*words are unigrams of the file; these are not: ö",
        ),
        ("-0.75 ä </s>", "-0.75 ä", r":15: got '-0.75 ä', expected the log10 probability, 2 word"),
        ("-0.75 ä </s>", "-0.75 ä ä </s> -1", r":15: .*2 word"),
        ("\\end\\", "", r":17: got the end of the file, expected \\end\\"),
        ("-99\t<s>\t-0.25\n", "-2 x\n", "unigrams of the file; these are not: <s>"),
        ("</s>", "x", "has no unigram </s>"),
    ],
)
def test_damaged_files_are_named_with_the_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "model.arpa"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_arpa(path)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no n-gram model .*make it with `asrkit ngram`"):
        read_arpa(tmp_path / "none.arpa")
    packed = gzip.compress(GOOD.encode())
    path = tmp_path / "short.arpa.gz"
    path.write_bytes(packed[:-20])
    with pytest.raises(UserError, match="short.arpa.gz: can't be read after line"):
        read_arpa(path)
    path.write_bytes(b"plain text")
    with pytest.raises(UserError, match="can't be read after line 0: Not a gzipped file"):
        read_arpa(path)
    path = tmp_path / "latin.arpa"
    path.write_bytes(GOOD.encode("latin-1"))
    with pytest.raises(UserError, match=r"the unigram b'\\xe4' is not UTF-8 text"):
        read_arpa(path)

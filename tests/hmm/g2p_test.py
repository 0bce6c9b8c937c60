"""Division of words into pairs against all divisions; pronunciation of words that were not seen."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrkit.errors import UserError
from asrkit.hmm.g2p import G2p, read_g2p, train_g2p
from asrkit.hmm.letter_phones import FEWER, Pair, divide
from asrkit.hmm.lexicon import Lexicon, Pronunciation
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate

ENTRIES = [("ab", "AB"), ("xa", "KSA"), ("ax", "AKS"), ("be", "B"), ("eba", "BA"), ("xx", "KSKS")]
SAID = {"a": ["A"], "b": ["B"], "c": ["K"], "x": ["K", "S"], "e": []}


def divisions(word: str, phones: str) -> Iterator[list[Pair]]:
    """Yields all ways to give each letter none to two of the phones."""
    for counts in itertools.product(range(3), repeat=len(word)):
        if sum(counts) == len(phones):
            ends = list(itertools.accumulate(counts))
            yield [
                (letter, tuple(phones[end - count : end]))
                for letter, count, end in zip(word, counts, ends, strict=True)
            ]


def test_em_is_that_over_all_divisions() -> None:
    letters, phones = "abex", "ABKS"
    pairs = [
        (letter, said)
        for letter in letters
        for size in range(3)
        for said in itertools.product(phones, repeat=size)
    ]
    weights = {pair: FEWER if len(pair[1]) == 2 else 1.0 for pair in pairs}
    likelihoods = []
    for _ in range(5):
        total = sum(weights.values())
        counts: dict[Pair, float] = defaultdict(float)
        likelihood = 0.0
        for word, said in ENTRIES:
            ways = list(divisions(word, said))
            shares = [math.prod(weights[p] / total for p in way) for way in ways]
            likelihood += math.log(sum(shares)) / len(ENTRIES)
            for way, share in zip(ways, shares, strict=True):
                for pair in way:
                    counts[pair] += share / sum(shares)
        weights = {pair: counts[pair] for pair in pairs}
        likelihoods.append(likelihood)
    found = divide(ENTRIES, iterations=5)
    assert found.log_likelihoods == pytest.approx(likelihoods)
    assert found.log_likelihoods == sorted(found.log_likelihoods)
    for (word, said), chosen in zip(ENTRIES, found.words, strict=True):
        best = max(divisions(word, said), key=lambda way: math.prod(weights[p] for p in way))
        assert chosen == best


def test_words_of_more_than_two_phones_per_letter_are_counted() -> None:
    found = divide([*ENTRIES, ("b", "ABAB"), ("", "A")])
    assert found.left_out == 2
    assert len(found.words) == len(ENTRIES)


def toy_lexicon() -> Lexicon:
    words = [
        "".join(letters) for n in (2, 3, 4) for letters in itertools.product("abcex", repeat=n)
    ]
    said = {word: [phone for letter in word for phone in SAID[letter]] for word in words}
    return Lexicon({w: [Pronunciation(tuple(p))] for w, p in said.items() if p})


@pytest.fixture(scope="module")
def model() -> G2p:
    pytest.importorskip("kaldifst")
    return train_g2p(toy_lexicon(), order=3)


def test_a_word_that_was_not_seen_is_said_as_it_is_spelt(model: G2p) -> None:
    said = model.pronounce("xabecab")
    assert [" ".join(one.phones) for one in said] == ["K S A B K A B"]
    assert said[0].probability == 1.0


def test_variants_are_different_and_the_best_comes_first(model: G2p) -> None:
    lexicon = Lexicon(
        {f"{c}a{d}": [Pronunciation((c, v, d)) for v in vowels]
         for c in "bcdfg" for d in "bcdfg" for vowels in [("A", "E") if c < d else ("A",)]}
    )  # fmt: skip
    found = train_g2p(lexicon, order=2).pronounce("bag", variants=3)
    assert {one.phones for one in found[:2]} == {("b", "A", "g"), ("b", "E", "g")}
    assert found[0].probability == 1.0
    assert 0 < found[1].probability < 1
    assert len({one.phones for one in found}) == len(found) <= 3


def test_words_with_unknown_letters_are_left_out(model: G2p) -> None:
    assert model.pronounce("azb") == []
    assert model.pronounce("") == []
    assert list(model.lexicon(["ab", "azb", "ba"])) == ["ab", "ba"]


def test_a_file_keeps_the_model(model: G2p, tmp_path: Path) -> None:
    path = tmp_path / "g2p.arpa"
    model.write(path)
    again = read_g2p(path)
    for word in ("xabec", "cab", "eexa"):
        one, other = model.pronounce(word, 2), again.pronounce(word, 2)
        assert [p.phones for p in one] == [p.phones for p in other]


def test_models_of_other_things_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("kaldifst")
    words = estimate(index_sentences([["some", "words"]]), 1).ngrams
    with pytest.raises(
        UserError, match="is not a pair of a letter and phones: is this a G2P model"
    ):
        G2p(words)
    long = Lexicon({"a": [Pronunciation(("A", "B", "C"))]}, "mine")
    with pytest.raises(UserError, match="no word of mine has at most two phones per letter"):
        train_g2p(long)

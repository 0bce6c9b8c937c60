from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from asrkit.errors import UserError
from asrkit.text.segmentations import BestSegmentation, BpeDropout
from asrkit.text.tokenizers import SentencePieceTokenizer, WordTokenizer, train_tokenizer

TEXTS = [
    "the cat sat on the mat and the rat ate the other mat",
    "there is another other hat that the rat has not seen",
    "a tattered hat sat there on that seat",
    "",
]


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> SentencePieceTokenizer:
    folder = tmp_path_factory.mktemp("units")
    train_tokenizer("bpe", TEXTS, 40, folder, "bpe")
    return SentencePieceTokenizer(folder)


def test_without_dropout_the_units_are_those_of_sentencepiece(
    units: SentencePieceTokenizer,
) -> None:
    for text in [*TEXTS, "tethered seats", "  that   is  ", "ttttt hhh"]:
        assert BpeDropout(0.0).encode(units, text, Random(0)) == units.encode(text)
        assert BestSegmentation().encode(units, text, Random(0)) == units.encode(text)


def test_dropout_of_everything_leaves_characters(units: SentencePieceTokenizer) -> None:
    labels = BpeDropout(1.0).encode(units, "the cat", Random(0))
    assert [units.vocabulary.symbols[label] for label in labels] == list("▁the▁cat")


def test_draws_differ_but_spell_the_same(units: SentencePieceTokenizer) -> None:
    best = [len(units.encode(text)) for text in TEXTS]
    found = {
        p: [BpeDropout(p).encode(units, TEXTS[0], Random(n)) for n in range(50)] for p in (0.1, 0.5)
    }
    for labels in (labels for each in found.values() for labels in each):
        assert units.decode(labels) == TEXTS[0]
    assert BpeDropout(0.1).encode(units, TEXTS[0], Random(3)) == found[0.1][3]
    assert len({tuple(labels) for labels in found[0.1]}) > 10
    means = {p: sum(map(len, each)) / 50 for p, each in found.items()}
    assert best[0] < means[0.1] < means[0.5] < len(TEXTS[0]) + 1


def test_a_merge_is_left_out_as_often_as_asked_for(tmp_path: Path) -> None:
    train_tokenizer("bpe", ["ab ab ab"], 4, tmp_path, "bpe")
    units = SentencePieceTokenizer(tmp_path)
    assert len(units.merges) == 4
    assert len(units.encode("ab")) == 2  # one merge of three characters
    sizes = [len(BpeDropout(0.3).encode(units, "ab", Random(n))) for n in range(2000)]
    assert set(sizes) == {2, 3}
    assert sizes.count(3) / 2000 == pytest.approx(0.3, abs=0.04)


def test_other_tokenizers_and_unknown_symbols_are_refused(
    units: SentencePieceTokenizer, tmp_path: Path
) -> None:
    BpeDropout(0.1).require(units)
    with pytest.raises(UserError, match="which the tokenizer does not know"):
        BpeDropout(0.1).encode(units, "Zoo", Random(0))
    train_tokenizer("words", TEXTS, None, tmp_path, "words")
    train_tokenizer("unigram", TEXTS, 20, tmp_path, "unigram")
    others = (WordTokenizer(tmp_path), SentencePieceTokenizer(tmp_path, "unigram"))
    for other in others:
        BestSegmentation().require(other)
        with pytest.raises(UserError, match="bpe_dropout needs the merges"):
            BpeDropout(0.1).require(other)
    with pytest.raises(ValueError, match=r"probability \(1.1\)"):
        BpeDropout(1.1)

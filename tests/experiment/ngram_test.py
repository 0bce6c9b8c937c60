"""`asrkit ngram`: from transcripts and text files to an ARPA file and perplexities."""

from __future__ import annotations

import gzip
import json
import lzma
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asrkit.cli import main
from asrkit.experiment import ngram
from asrkit.experiment.ngram import Units
from asrkit.lm.arpa import read_arpa
from asrkit.lm.ngram import NgramModel
from asrkit.text.tokenizers import (
    CharacterTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
    train_tokenizer,
)
from tests.lm.textbook import Textbook

TRAIN = ["THE CAT SAT ON THE MAT", "A CAT ATE THE RAT", "THE RAT AND THE BAT"]
DEV = ["THE CAT ATE A DOG", "THE RAT"]


def manifest(data: Path, name: str, texts: list[str]) -> None:
    """Writes a manifest of utterances whose audio is not needed."""
    path = data / "manifests" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    source = {"type": "file", "channels": [0], "source": "none.wav"}
    rows = []
    for index, text in enumerate(texts):
        key = f"{name}{index}"
        recording = {"id": key, "sources": [source], "sampling_rate": 16000}
        recording |= {"num_samples": 16000, "duration": 1.0, "channel_ids": [0]}
        segment = {"id": key, "recording_id": key, "start": 0.0, "duration": 1.0, "channel": 0}
        cut = {"id": key, "start": 0.0, "duration": 1.0, "channel": 0, "type": "MonoCut"}
        rows.append(cut | {"supervisions": [segment | {"text": text}], "recording": recording})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    manifest(folder, "train", TRAIN)
    manifest(folder, "dev", DEV)
    return folder


def asrkit(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_a_word_model_of_sets_and_texts_with_its_perplexity(data: Path, tmp_path: Path) -> None:
    extra = ["A BAT SAT", "", "THE  MAT\tAND A MAT"]
    plain, packed, small = tmp_path / "a.txt", tmp_path / "b.txt.gz", tmp_path / "c.txt.xz"
    plain.write_text(extra[0] + "\n")
    packed.write_bytes(gzip.compress((extra[1] + "\n").encode()))
    small.write_bytes(lzma.compress(extra[2].encode()))
    report = ngram(data, ["train"], [plain, packed, small], 2, "words", "two", dev="dev")
    assert report.path == data / "lm" / "two.arpa.gz"
    assert (report.sentences, report.left_out) == (5, 0)
    textbook = Textbook([text.split() for text in [*TRAIN, *extra]], 2)
    assert {s for s in read_arpa(report.path).symbols if s != "<s>"} == textbook.words
    assert report.dev is not None
    prediction = report.dev.prediction
    expected = 0.0
    for text in DEV:
        tokens = ("<s>", *text.split(), "</s>")
        for place in range(1, len(tokens)):
            expected += math.log(textbook.prob(tokens[:place], tokens[place]))
    assert prediction.log_prob == pytest.approx(expected, rel=1e-5)
    assert (report.dev.words, prediction.tokens, report.dev.unknown_words) == (7, 9, 1)


@pytest.mark.parametrize(
    ("units", "tokenizer", "size"),
    [
        ("bpe", SentencePieceTokenizer, 24),
        ("unigram", SentencePieceTokenizer, 16),
        ("characters", CharacterTokenizer, None),
        ("words", WordTokenizer, None),
    ],
)
def test_label_models_fit_the_vocabularies_of_their_tokenizers(
    data: Path, units: Units, tokenizer: Callable[[Path, str], Tokenizer], size: int | None
) -> None:
    train_tokenizer(units, TRAIN, size, data / "text", "mine")
    report = ngram(data, ["train"], [], 3, units, "label", "mine", dev="dev")
    model = NgramModel(read_arpa(report.path), tokenizer(data / "text", "mine").vocabulary)
    total = model.log_probs(model.begin(1)).exp().sum().item()
    assert 0.5 < total < 1.0  # the rest is that of <unk>
    assert report.dev is not None
    whole = units == "words"
    assert report.dev.left_out == (0 if whole else 1)  # G of DOG is no label
    assert report.dev.unknown_words == 1
    assert report.dev.words == (7 if whole else 2)
    prediction = report.dev.prediction
    per_word = math.exp(-prediction.log_prob / (report.dev.words + prediction.sentences))
    assert prediction.per_word(report.dev.words) == pytest.approx(per_word)


def test_training_text_without_labels_is_left_out_with_a_warning(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train_tokenizer("bpe", TRAIN, 24, data / "text", "bpe")
    report = ngram(data, ["train", "dev"], [], 2, "bpe", "two")
    assert (report.sentences, report.left_out, report.dev) == (4, 1, None)
    assert "1 sentences are left out" in caplog.text
    assert "'G' in 'THE CAT ATE A DOG'; normalise the text" in caplog.text


def test_the_verb_prints_what_it_did(data: Path) -> None:
    options = ("--data", data, "--set", "train", "--units", "words", "--name", "three")
    result = asrkit("ngram", *options, "--order", 3, "--prune", 0, "--prune", 1, "--dev", "dev")
    assert result.exit_code == 0, result.output
    assert "three.arpa.gz: 3 sentences, 19 tokens with their ends" in result.output
    assert "dev: 2 sentences, 7 words, 9 tokens with their ends, 1 words out of" in result.output
    assert len(read_arpa(data / "lm" / "three.arpa.gz").tables[1]) == 2  # <s> THE, THE RAT


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--units", "words"], "name a set (--set) or a text file (--text)"),
        (["--units", "words", "--set", "none"], "there is no set 'none'"),
        (["--units", "words", "--text", "none.txt"], "there is no text file none.txt"),
        (["--units", "words", "--text", "{bad}"], "bad.txt:2: can't be read as UTF-8 text"),
        (["--units", "bpe", "--set", "train"], "there is no tokenizer file"),
        (
            ["--units", "words", "--set", "train", "--prune", "2", "--prune", "1"],
            "never decreasing",
        ),
    ],
)
def test_problems_are_one_message_and_exit_code_2(
    data: Path, words: list[str], message: str
) -> None:
    bad = data / "bad.txt"
    bad.write_bytes(b"good\n\xe4\n")
    words = [word.replace("{bad}", str(bad)) for word in words]
    result = asrkit("ngram", "--data", data, "--order", 3, "--name", "m", *words)
    assert result.exit_code == 2
    assert message in result.output.replace("\n", " ")
    assert not (data / "lm").exists()

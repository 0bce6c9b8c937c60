"""Lists of decoded sets, combined from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from asrkit.experiment.interpolation import read_interpolation
from asrkit.lm.interpolation import InterpolationWeights
from asrkit.reports.results import write_results
from tests.graph_cli_test import done, lists, place, verb

__all__ = ["place"]
pytest.importorskip("kaldifst")
COMBINED = """
tuning: {ctc: [0.5, 1.5], full: [0.2, 0.8]}
decoding:
  again:
    type: combination
    scorers: {apart: {type: lists, search: apart, weight: 1.0}}
  combined:
    type: combination
    scorers:
      said: {type: lists, search: apart, scorer: graph, weight: 0.5}
      ctc: {type: lists, search: apart, scorer: ctc, weight: 1.0}
      full: {type: word_ngram, weight: 0.5, arpa: lm/two.arpa.gz}
  placed_again:
    type: combination
    scorers: {placed: {type: lists, search: placed, weight: 1.0}}
  mixed:
    type: combination
    scorers:
      ctc: {type: lists, search: apart, scorer: ctc, weight: 1.0}
      lm:
        type: interpolation
        weight: 0.5
        arpa: lm/two.arpa.gz
        run: lm
        weights: {ngram: 0.25, neural: 0.75}
  voted:
    type: rover
    scorers:
      apart: {type: lists, search: apart, weight: 0.6}
      words: {type: lists, search: words, weight: 0.4}
  none:
    type: combination
    scorers: {none: {type: lists, search: never, weight: 1.0}}
  part:
    type: combination
    scorers: {part: {type: lists, search: words, scorer: lm, weight: 1.0}}
"""
NEURAL = """
text: {type: sentencepiece, name: lm}
data: {type: text, train: [train], dev: [dev], batch_labels: 100}
model:
  type: language_model
  softmax_chunk: 16
  decoder: {type: stacked_lstm, embedding_dim: 4, hidden_dim: 6, num_layers: 1, tied: true}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 0.01}}
"""
DEV = ("--run", "run", "--data", "data", "--set", "dev")


def decode(place: Path, search: str, *more: object) -> list[dict[str, Any]]:
    done(place, "decode", *DEV, "--search", search, *more)
    return lists(place, search)


@pytest.fixture
def spec(place: Path) -> Path:
    """Searches among what `apart`, with lattices, and `words` have found."""
    for search in ("apart", "words", "placed"):
        if not (place / "run" / "decode" / search / "dev" / "nbest.jsonl").is_file():
            decode(place, search)
    path = place / "combined.yaml"
    path.write_text(COMBINED)
    return path


def test_lists_are_chosen_from_without_another_search(place: Path, spec: Path) -> None:
    done(place, "check", spec)
    first = lists(place, "apart")
    for line, found in zip(first, decode(place, "again", "--spec", spec), strict=True):
        assert [one["text"] for one in found["hypotheses"]] == [
            one["text"] for one in line["hypotheses"]
        ]
        for one, other in zip(found["hypotheses"], line["hypotheses"], strict=True):
            assert one["score"] == pytest.approx(other["score"], abs=1e-2)
            assert one["scores"] == {"apart": one["score"]}
    searched = decode(place, "replaced")
    common = 0
    for line, found in zip(searched, decode(place, "combined", "--spec", spec), strict=True):
        known = {one["text"]: one["score"] for one in line["hypotheses"]}
        for one in found["hypotheses"]:
            if one["text"] in known:
                common += 1
                assert one["score"] == pytest.approx(known[one["text"]], abs=2e-2)
    assert common > 8
    done(place, "tune", *DEV, "--search", "combined", "--spec", spec, "--decodes", 1)
    tuned = json.loads((place / "run" / "tune" / "combined.json").read_text())
    assert {"ctc", "full"} <= tuned[-1]["weights"].keys()
    assert len([*(place / "run" / "tune" / "combined").iterdir()]) == len(tuned) > 1
    done(place, "score", "--run", "run", "--set", "dev", "--search", "combined")


def test_lists_are_ranked_by_an_ngram_model_and_a_neural_one_of_other_labels(
    place: Path, spec: Path
) -> None:
    (place / "lm.yaml").write_text(NEURAL)
    lm, data = place / "lm", place / "data"
    done(place, "tokenizer", "bpe", "--data", "data", "--size", 14, "--name", "lm")
    done(place, "train", place / "lm.yaml", "--data", "data", "--run", lm)
    done(place, "average", "--run", lm, "--best", 1)
    arpa = data / "lm" / "two.arpa.gz"
    lists_of_mixed = decode(place, "mixed", "--spec", spec)
    weights = InterpolationWeights(0.25, 0.75)
    models = read_interpolation(arpa, lm, "average", weights, torch.device("cpu"))
    for line in lists_of_mixed:
        texts = [one["text"] for one in line["hypotheses"]]
        expected = models.sentence_log_probs(texts)
        for one, score in zip(line["hypotheses"], expected, strict=True):
            assert one["scores"]["lm"] == pytest.approx(score, abs=1e-3)
    said = done(place, "perplexity", "--run", lm, "--data", "data", "--set", "dev", "--arpa", arpa)
    numbers = [float(n) for n in re.findall(r"perplexity ([0-9.]+) per word", said.output)]
    neural, ngram, interpolated = numbers
    assert interpolated <= min(neural, ngram) + 0.01
    assert "without 0 words that it does not know" in said.output.replace("\n", " ")


def test_systems_vote(place: Path, spec: Path) -> None:
    found = decode(place, "voted", "--spec", spec)
    known = {name: lists(place, name) for name in ("apart", "words")}
    for row, line in enumerate(found):
        texts = {one["text"] for of in known.values() for one in of[row]["hypotheses"]}
        assert set(line["text"].split()) <= {word for text in texts for word in text.split()}
        assert len(line["hypotheses"]) == 1
        assert line["hypotheses"][0]["score"] <= 0


@pytest.mark.parametrize("search", ["placed", "placed_again"])
def test_words_have_times_and_confidences(place: Path, spec: Path, search: str) -> None:
    options = ("--spec", spec) if search == "placed_again" else ()
    decode(place, search, *options)
    folder = place / "run" / "decode" / search / "dev"
    said = done(place, "words", *DEV, "--search", search).output
    assert "of 4 utterances" in said
    found = [json.loads(line) for line in (folder / "words.jsonl").read_text().splitlines()]
    for one, line in zip(found, lists(place, search), strict=True):
        assert [word["word"] for word in one["words"]] == line["text"].split()
        at = 0.0
        for word in one["words"]:
            assert at - 2e-3 <= word["begin"] <= line["seconds"]
            assert 0 < word["posterior"] <= 1
            assert word["confidence"] == word["posterior"]
            at = word["begin"] + word["duration"]
    done(place, "calibrate", "--run", "run", "--set", "dev", "--search", search)
    assert (place / "run" / "calibration" / f"{search}.png").is_file()
    said = done(place, "words", *DEV, "--search", search).output
    after = [json.loads(line) for line in (folder / "words.jsonl").read_text().splitlines()]
    changed = [word for one in after for word in one["words"]]
    assert any(word["confidence"] != word["posterior"] for word in changed)
    done(place, "score", "--run", "run", "--set", "dev", "--search", search)
    write_results([place / "run"], place / "RESULTS.md")
    told = (place / "RESULTS.md").read_text()
    assert f"- {search} on dev: " in told
    assert f"results/run-{search}-confidences.png" in told
    if search == "placed":
        (folder / "lattices.jsonl.gz").rename(folder / "lattices")
        said = " ".join(done(place, "words", *DEV, "--search", search).output.split())
        assert "4 of them are not calibrated: the calibration learnt from lattices" in said
        written = (folder / "words.jsonl").read_text().splitlines()
        shares = [word for row in written for word in json.loads(row)["words"]]
        assert all(one["confidence"] == one["posterior"] for one in shares)
        (folder / "lattices").rename(folder / "lattices.jsonl.gz")
    decode(place, search, *options)
    assert not (folder / "words.jsonl").exists()  # it was said of older lists
    (place / "run" / "calibration" / f"{search}.json").unlink()


def test_what_was_not_decoded_is_named(place: Path, spec: Path) -> None:
    for search, said in (
        ("none", "run has no lists of a search 'never' to choose from; first `asrkit decode"),
        (
            "part",
            "the lists of search 'words' have no score of a scorer 'lm'; they have ctc, graph",
        ),
    ):
        wrong = verb(place, "decode", *DEV, "--search", search, "--spec", spec)
        assert wrong.exit_code == 2
        assert said in " ".join(wrong.output.split())
    wrong = verb(place, "search-errors", *DEV, "--search", "voted", "--spec", spec)
    assert wrong.exit_code == 2


def test_lists_of_one_utterance_in_two_sets_are_refused_where_they_differ(
    place: Path, spec: Path
) -> None:
    decoded = place / "run" / "decode" / "words"
    lines = (decoded / "dev" / "nbest.jsonl").read_text().splitlines()
    other = json.loads(lines[0])
    other["hypotheses"][0]["score"] -= 1
    (decoded / "copy").mkdir()
    (decoded / "copy" / "nbest.jsonl").write_text(json.dumps(other) + "\n")
    try:
        wrong = verb(place, "decode", *DEV, "--search", "voted", "--spec", spec)
    finally:
        (decoded / "copy" / "nbest.jsonl").unlink()
        (decoded / "copy").rmdir()
    assert wrong.exit_code == 2
    assert f"say different things of utterance {other['id']}" in " ".join(wrong.output.split())

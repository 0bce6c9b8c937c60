"""Graphs of words from the command line: n-gram, graph, decode, score, tune, second passes."""

from __future__ import annotations

import json
import logging
import math
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import Result

from asrkit.data.manifests import Source, write_manifest
from asrkit.experiment.lattice_lists import has_lattices
from asrkit.lm.arpa import read_arpa
from asrkit.lm.tables import BEGIN, END, UNKNOWN, Ngrams
from asrkit.scoring.nist.ctm import CtmWord, read_ctm
from asrkit.search.lattices import hypotheses_of
from asrkit.wfst.lattice_file import read_lattices
from tests.cli_test import asrkit

pytest.importorskip("kaldifst")
WORDS = ["one", "two", "three", "four", "five"]
SPEC = """
text: {type: sentencepiece, name: bpe}
data: {train: [train], dev: [dev], batch_seconds: 20.0, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 12}
  encoder: {type: blstm, hidden_dim: 8, num_layers: 1, pools: [2], dropout: 0.0}
  heads: {ctc: {type: ctc, weight: 1.0}}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 0.01}}
decoding:
  words:
    type: graph
    scorers: {ctc: 1.0, graph: {type: graph, weight: 0.5, graph: lm/two.graph.safetensors}}
  apart:
    type: graph
    lattices: true
    beam: 60.0
    lattice_beam: 8.0
    scorers:
      ctc: 1.0
      lm: {type: graph_lm, weight: 0.5}
      graph: {type: graph, weight: 0.5, graph: lm/two.graph.safetensors}
  placed:
    type: two_pass
    first:
      type: graph
      lattices: true
      lattice_beam: 5.0
      nbest: 100
      scorers:
        ctc: 0.01
        lm: {type: graph_lm, weight: 1.0}
        graph: {type: graph, weight: 0.5, graph: lm/two.graph.safetensors}
    # Longer sentences are preferred: a network that has seen so little hears none.
    scorers: {words: {type: word_ngram, weight: -2.0, arpa: lm/three.arpa.gz}}
  passes:
    type: two_pass
    first:
      type: graph
      scorers: {ctc: 1.0, graph: {type: graph, weight: 0.5, graph: lm/two.graph.safetensors}}
    first_weight: 0.5
    scorers: {ctc: 0.5}
  labels:
    type: label_sync
    beam_size: 4
    nbest: 4
    recombination: sum
    scorers: {ctc: 1.0, words: {type: word_ngram, weight: 0.7, arpa: lm/three.arpa.gz}}
  by_frame:
    type: time_sync
    beam_size: 4
    strings: words
    scorers: {ctc: 1.0, words: {type: word_ngram, weight: 0.7, arpa: lm/three.arpa.gz}}
  full:
    type: two_pass
    first:
      type: graph
      scorers: {ctc: 1.0, graph: {type: graph, weight: 0.5, graph: lm/two.graph.safetensors}}
    first_weight: 0.5
    scorers: {words: {type: word_ngram, weight: 0.7, arpa: lm/three.arpa.gz}}
  replaced:
    type: two_pass
    first:
      type: graph
      nbest: 100
      scorers:
        ctc: 1.0
        lm: {type: graph_lm, weight: 0.5}
        graph: {type: graph, weight: 0.5, graph: lm/two.graph.safetensors}
    scorers:
      ctc: {type: first_pass, weight: 1.0}
      said: {type: first_pass, weight: 0.5, scorer: graph}
      full: {type: word_ngram, weight: 0.5, arpa: lm/two.arpa.gz}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a trained run, an n-gram model and a graph."""
    folder, draw = tmp_path_factory.mktemp("graph"), np.random.default_rng(0)
    for name, count in (("train", 12), ("dev", 4)):
        sources = []
        for index in range(count):
            path = folder / f"{name}{index}.wav"
            samples = draw.integers(-3000, 3000, 14000 + 100 * index).astype(np.int16)
            soundfile.write(path, samples, 16000, subtype="PCM_16")
            text = " ".join(draw.choice(WORDS, 3))
            sources.append(Source(path.stem, path, text, f"{name}{index % 2}"))
        write_manifest(folder / "data", name, sources)
    (folder / "spec.yaml").write_text(SPEC)
    done(folder, "tokenizer", "bpe", "--data", "data", "--size", 16)
    done(folder, "ngram", "--data", "data", "--set", "train", "--order", 2, "--units", "words",
         "--name", "two")  # fmt: skip
    done(folder, "ngram", "--data", "data", "--set", "train", "--order", 3, "--units", "words",
         "--name", "three")  # fmt: skip
    done(folder, "train", "spec.yaml", "--data", "data", "--run", "run")
    done(folder, "average", "--run", "run", "--best", 1)
    made = done(folder, "graph", "--run", "run", "--data", "data", "--arpa", "two", "--name", "two")
    assert "5 words" in made.output
    return folder


def verb(folder: Path, *words: object) -> Result:
    """Runs a verb with the paths of a folder."""
    named = {"data", "run", "spec.yaml"}
    return asrkit(*(folder / str(w) if w in named else w for w in words))


def done(folder: Path, *words: object) -> Result:
    result = verb(folder, *words)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("search", ["words", "passes"])
def test_sets_are_decoded_into_words_of_the_language_model_and_scored(
    place: Path, search: str
) -> None:
    options = ("--run", "run", "--data", "data", "--set", "dev", "--search", search)
    done(place, "decode", *options)
    done(place, "score", "--run", "run", "--set", "dev", "--search", search)
    lines = (place / "run" / "decode" / search / "dev" / "nbest.jsonl").read_text().splitlines()
    assert len(lines) == 4
    for line in map(json.loads, lines):
        assert line["hypotheses"]
        for hypothesis in line["hypotheses"]:
            assert set(hypothesis["text"].split()) <= set(WORDS)


def by_table(ngrams: Ngrams, text: str) -> float:
    """Returns log p of a sentence, word by word, as the ARPA format defines it."""
    tables = [
        {
            tuple(ngrams.symbols[word] for word in row): (float(prob), float(backoff))
            for row, prob, backoff in zip(
                table.words, table.log_probs, table.log_backoffs, strict=True
            )
        }
        for table in ngrams.tables
    ]
    known = [word if (word,) in tables[0] else UNKNOWN for word in text.split()]

    def log10(history: tuple[str, ...], word: str) -> float:
        found = tables[len(history)].get((*history, word))
        if found is not None:
            return found[0]
        backoff = tables[len(history) - 1].get(history, (0.0, 0.0))[1]
        return backoff + log10(history[1:], word)

    words = [BEGIN, *known, END]
    most = ngrams.order - 1
    terms = (log10(tuple(words[max(n - most, 0) : n]), words[n]) for n in range(1, len(words)))
    return math.log(10) * sum(terms)


@pytest.mark.parametrize("search", ["labels", "by_frame", "full"])
def test_words_score_labels_as_in_the_table_of_the_model(
    place: Path, search: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        done(place, "decode", "--run", "run", "--data", "data", "--set", "dev", "--search", search)
    assert "5 words; others count as its <unk>" in caplog.text
    ngrams = read_arpa(place / "data" / "lm" / "three.arpa.gz")
    lines = (place / "run" / "decode" / search / "dev" / "nbest.jsonl").read_text().splitlines()
    found = [hypothesis for line in map(json.loads, lines) for hypothesis in line["hypotheses"]]
    assert len(found) > len(lines)
    for hypothesis in found:
        expected = by_table(ngrams, hypothesis["text"])
        assert hypothesis["scores"]["words"] == pytest.approx(expected, rel=1e-6)
    tuned = done(place, "tune", "--run", "run", "--data", "data", "--set", "dev", "--search",
                 search, "--vary", "words=0.1:2", "--decodes", 1)  # fmt: skip
    assert "words" in tuned.output


def test_weights_of_graph_and_frames_are_tuned(place: Path) -> None:
    done(place, "decode", "--run", "run", "--data", "data", "--set", "dev", "--search", "words")
    tuned = done(place, "tune", "--run", "run", "--data", "data", "--set", "dev", "--search",
                 "words", "--vary", "graph=0.1:2", "--decodes", 1)  # fmt: skip
    assert "graph" in tuned.output


@pytest.fixture
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are changed twice on what was decoded; more take long."""
    monkeypatch.setattr(import_module("asrkit.experiment.tune"), "ON_LATTICES", 2)


@pytest.mark.usefixtures("few_trials")
def test_another_language_model_takes_the_place_of_that_of_the_graph(place: Path) -> None:
    options = ("--run", "run", "--data", "data", "--set", "dev", "--search", "replaced")
    done(place, "decode", *options)
    for line in lists(place, "replaced"):
        for hypothesis in line["hypotheses"]:
            assert set(hypothesis["scores"]) == {"ctc", "said", "full", "first"}
            scores = hypothesis["scores"]
            # The first pass scored with the same model, of which back-offs may cost less.
            before = 1.0 * scores["ctc"] + 0.5 * (scores["said"] + scores["full"])
            assert scores["first"] >= before - 1e-2
            assert hypothesis["score"] == pytest.approx(before, abs=1e-2)
    done(place, "tune", *options, "--vary", "full=0.1:9", "--decodes", 1)
    published = lists(place, "replaced")
    done(place, "decode", *options, "--spec", place / "run" / "tune" / "replaced.yaml")
    for told, found in zip(published, lists(place, "replaced"), strict=True):
        assert told["text"] == found["text"]
        one, other = told["hypotheses"][0], found["hypotheses"][0]
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)


def lists(place: Path, search: str) -> list[dict[str, Any]]:
    path = place / "run" / "decode" / search / "dev" / "nbest.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_words_of_lattices_have_times_and_confidences(place: Path) -> None:
    done(place, "decode", "--run", "run", "--data", "data", "--set", "dev", "--search", "placed")
    decoded = place / "run" / "decode" / "placed" / "dev"
    assert not [*decoded.glob("*partial*")]
    said: dict[str, list[CtmWord]] = {}
    for word in read_ctm(decoded / "words.ctm"):
        said.setdefault(word.recording, []).append(word)
    kept = dict(read_lattices(decoded / "lattices.jsonl.gz"))
    for line in lists(place, "placed"):
        words, lattice = said[line["id"]], kept[line["id"]]
        assert " ".join(word.word for word in words) == line["text"]
        at = 0.0
        for word in words:
            assert word.start >= at - 2e-3
            at = word.start + word.duration
            assert at > word.start
        assert at <= line["seconds"] + 0.02
        assert lattice is not None
        # All sentences of the lattice: each word is as probable as those that have it, at least as
        # the one that was chosen, at most as all that have it anywhere.
        weights = {"ctc": 0.01, "lm": 1.0, "graph": 0.5}
        shares = {
            tuple(one.labels): math.exp(one.score) for one in hypotheses_of(lattice, weights, 10**5)
        }
        total, chosen = sum(shares.values()), line["hypotheses"][0]["labels"]
        names = dict(zip(lattice.words, lattice.spellings, strict=True))
        for word in words:
            spelled = " ".join(map(str, names[word.word]))
            having = sum(p for ids, p in shares.items() if spelled in " ".join(map(str, ids)))
            assert word.confidence is not None
            assert shares[tuple(chosen)] / total - 1e-3 <= word.confidence <= having / total + 1e-3
            assert word.confidence < 0.999


@pytest.mark.usefixtures("few_trials")
def test_weights_tuned_on_lattices_find_what_decoding_with_them_finds(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = property(lambda history: len(history.trials) - 1)  # one that was not decoded
    monkeypatch.setattr(import_module("asrkit.experiment.tune")._History, "best", last)
    options = ("--run", "run", "--data", "data", "--set", "dev", "--search", "apart")
    done(place, "decode", *options)
    decoded = place / "run" / "decode" / "apart" / "dev"
    assert (decoded / "lattices.jsonl.gz").is_file()
    assert not [*decoded.glob("*partial*")]
    done(place, "tune", *options, "--vary", "lm=0.4:0.6", "--vary", "graph=0.4:0.6", "--decodes", 1)
    trials = json.loads((place / "run" / "tune" / "apart.json").read_text())
    assert len(trials) > 1
    assert {"lm", "graph"} <= trials[-1]["weights"].keys()
    folders = sorted((place / "run" / "tune" / "apart").iterdir())
    assert [(folder / "lattices.jsonl.gz").is_file() for folder in folders].count(True) == 1
    published = lists(place, "apart")
    # The lattices are published with the lists that were made of them.
    assert has_lattices(decoded)
    weights = trials[-1]["weights"]
    kept = read_lattices(decoded / "lattices.jsonl.gz")
    for line, (name, lattice) in zip(published, kept, strict=True):
        assert lattice is not None
        assert line["id"] == name
        best = hypotheses_of(lattice, weights, 1)[0]
        assert best.score == pytest.approx(line["hypotheses"][0]["score"], abs=1e-3)
    done(place, "decode", *options, "--spec", place / "run" / "tune" / "apart.yaml")
    for told, found in zip(published, lists(place, "apart"), strict=True):
        assert told["text"] == found["text"]
        for one, other in zip(told["hypotheses"][:3], found["hypotheses"][:3], strict=True):
            assert one["score"] == pytest.approx(other["score"], abs=2e-2)
            assert one["scores"] == pytest.approx(other["scores"], abs=2e-2)


WIDE = (
    "{{type: graph, beam: 1000.0, lattice_beam: 1000.0, max_active: 100000, nbest: 500, "
    "scorers: {{ctc: 1.0, lm: {{type: graph_lm, weight: 0.5}}, "
    "graph: {{type: graph, weight: 0.5, graph: lm/{0}.graph.safetensors}}}}}}"
)
REPLACED = (
    "{whole: {type: word_ngram, weight: 0.5, arpa: lm/two.arpa.gz}, "
    "ctc: {type: first_pass, weight: 1.0}, graph: {type: first_pass, weight: 0.5}}"
)


def test_a_second_pass_puts_the_whole_model_in_the_place_of_a_pruned_one(place: Path) -> None:
    few = done(place, "graph", "--run", "run", "--data", "data", "--arpa", "two", "--name", "few",
               "--entropy", 0.05)  # fmt: skip
    assert "5 words" in few.output
    (place / "whole.yaml").write_text(
        f"""
decoding:
  rescored: {{type: two_pass, first: {WIDE.format("few")}, scorers: {REPLACED}}}
  whole: {WIDE.format("two")}
"""
    )
    found = {}
    for search in ("rescored", "whole"):
        done(place, "decode", "--run", "run", "--data", "data", "--set", "dev", "--search", search,
             "--spec", place / "whole.yaml")  # fmt: skip
        found[search] = [
            {each["text"]: each["score"] for each in line["hypotheses"]}
            for line in lists(place, search)
        ]
    for rescored, direct in zip(found["rescored"], found["whole"], strict=True):
        best = next(iter(direct))
        assert next(iter(rescored)) == best
        common = set(rescored) & set(direct)
        assert len(common) > 5
        for text in common:
            assert rescored[text] == pytest.approx(direct[text], abs=1e-3)


@pytest.mark.parametrize("search", ["words", "passes"])
def test_search_errors_are_counted_by_paths_of_the_references(place: Path, search: str) -> None:
    options = ("--run", "run", "--data", "data", "--set", "dev", "--search", search)
    done(place, "decode", *options)
    told = done(place, "search-errors", *options)
    path = place / "run" / "decode" / search / "dev" / "search_errors.json"
    report = json.loads(path.read_text())
    assert f"{report['search_errors']} search errors in 4 sentences" in told.output
    assert report["unreachable_references"] == 0
    # The second pass sees 10 sentences, and may like others more.
    assert report["search_errors"] == 0 or search == "passes"
    for error in report["list"]:
        assert error["reference_score"] > error["found_score"]


def test_words_that_the_tokenizer_lacks_letters_for_are_named(place: Path) -> None:
    (place / "more.txt").write_text("one qu\u00e9\none two\n")
    text = ("--set", "train", "--text", place / "more.txt")
    done(place, "ngram", "--data", "data", *text, "--order",
         2, "--units", "words", "--name", "more")  # fmt: skip
    names = ("--arpa", "more", "--name", "more")
    made = done(place, "graph", "--run", "run", "--data", "data", *names)
    assert "1 words of the language model can't be recognised" in made.output
    assert "qu\u00e9" in made.output


def test_a_model_of_pieces_or_none_at_all_is_refused(place: Path) -> None:
    missing = verb(place, "graph", "--run", "run", "--data", "data", "--arpa", "no", "--name", "x")
    assert missing.exit_code == 2
    assert "there is no n-gram model" in missing.output

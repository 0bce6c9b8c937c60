"""Hybrid systems from the command line: mixtures, their features, graphs, decoding, alignments."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import Result

from asrkit.cpu import multiply_with_onednn
from asrkit.data.cuts import read_cut
from asrkit.data.feature_sets import write_feature_set
from asrkit.data.manifests import Source, open_set, write_manifest
from asrkit.experiment.runs import open_run
from asrkit.hmm.alignments import read_alignments
from asrkit.hmm.features import Mfcc
from asrkit.hmm.lexicon_files import read_lexicon
from asrkit.hmm.model import read_model
from asrkit.hmm.training import trainer
from asrkit.scorers.interfaces import StateSource
from asrkit.scoring.nist.ctm import read_ctm
from tests.cli_test import asrkit
from tests.tones import spoken

pytest.importorskip("kaldifst")
WORDS = ["ab", "ca", "d", "bad", "cab"]
SPEC = """
text: words
data: {train: [train]}
lexicon: letters
mixtures:
  min_speaker_frames: 50
  monophones: {schedule: {gaussians: 30, iterations: 8, grow_until: 4, align_at: [2, 3, 4, 6]}}
  triphones:
    states: 20
    min_frames: 10
    schedule: {gaussians: 40, iterations: 4, grow_until: 2, align_at: [2]}
  projected: &transformed
    states: 20
    min_frames: 10
    schedule: {gaussians: 40, iterations: 4, grow_until: 2, align_at: [3], transform_at: [2]}
  adapted: *transformed
"""
SEARCHES = """
tuning: {states: [0.05, 0.5]}
decoding:
  words: &words
    type: graph
    frames: states
    scorers:
      graph: {type: graph, weight: 1.0, graph: graph/words.safetensors}
      states: {type: states, weight: 0.1}
  placed:
    type: graph
    frames: states
    lattices: true
    scorers:
      graph: {type: graph, weight: 1.0, graph: graph/words.safetensors}
      states: {type: states, weight: 0.1}
  first:
    type: graph
    frames: first
    scorers:
      graph: {type: graph, weight: 1.0, graph: graph/words.safetensors}
      first: {type: states, weight: 0.1}
"""
MISUSED = (
    "decoding: {sync: {type: time_sync, beam_size: 2, frames: states, scorers: {states: 1.0}}}"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a lexicon, an n-gram model, and mixtures of all stages."""
    multiply_with_onednn()  # as decoding does, which changes the last digits of features
    folder, draw = tmp_path_factory.mktemp("gmm"), np.random.default_rng(0)
    for name, count in (("train", 40), ("dev", 8)):
        sources = []
        for index in range(count):
            path = folder / f"{name}{index}.wav"
            text, shift = " ".join(draw.choice(WORDS, 4)), 1 + 0.1 * (index % 2)
            soundfile.write(path, spoken(text, shift, draw), 16000, subtype="PCM_16")
            sources.append(Source(path.stem, path, text, f"s{index % 2}"))
        write_manifest(folder / "data", name, sources)
    (folder / "gmm.yaml").write_text(SPEC)
    (folder / "searches.yaml").write_text(SEARCHES)
    train = ("--data", folder / "data", "--set", "train")
    done("tokenizer", "words", *train)
    done("lexicon", *train, "--from", "graphemes", "--name", "letters")
    done("ngram", *train, "--order", 2, "--units", "words", "--name", "words")
    done("gmm", folder / "gmm.yaml", "--data", folder / "data", "--run", folder / "gmm")
    return folder


def done(*words: object) -> Result:
    result = asrkit(*words)
    assert result.exit_code == 0, result.output
    return result


def decoded(place: Path, stage: str, set_name: str, search: str) -> float:
    """Returns the WER of a set."""
    run = place / "gmm" / stage
    if not (run / "graph/words.safetensors").exists():
        done("graph", "--run", run, "--data", place / "data", "--arpa", "words", "--name", "words")
    at = ("--run", run, "--set", set_name, "--search", search)
    done("decode", *at, "--data", run / "data", "--spec", place / "searches.yaml")
    done("score", *at)
    score = json.loads((run / "decode" / search / set_name / "score.json").read_text())
    return float(score["wer"])


@pytest.mark.parametrize("stage", ["mono", "tri", "lda_mllt"])
def test_a_stage_decodes_what_is_said(place: Path, stage: str) -> None:
    run = place / "gmm" / stage
    done("features", "--run", run, "--data", place / "data", "--set", "dev")
    assert decoded(place, stage, "dev", "words") < 15


def test_speakers_are_adapted_to_the_words_of_a_first_pass(place: Path) -> None:
    run = place / "gmm/sat"
    at = ("features", "--run", run, "--data", place / "data", "--set", "dev")
    done(*at)
    first = decoded(place, "sat", "dev-first", "first")
    said = done(*at, "--adapt", "first").output
    assert "transformed for 2 of 2 speakers" in said
    assert decoded(place, "sat", "dev", "words") <= first < 30


def test_scores_of_the_run_are_those_of_the_mixtures(place: Path) -> None:
    run = place / "gmm/lda_mllt"
    done("features", "--run", run, "--data", place / "data", "--set", "train")
    model, _ = open_run(run).speech_model("average")
    cut = next(iter(open_set(run / "data", ["train"])))
    frames = torch.from_numpy(cut.load_features())
    encoded = model.encode(frames[None], torch.tensor([len(frames)]))
    head: object = model.named_heads()["states"]
    assert isinstance(head, StateSource)
    found = head.state_scores(encoded).log_probs[0]
    torch.testing.assert_close(found, read_model(run).mixtures.log_likelihoods(frames))


def test_a_run_aligns_as_its_training_did(place: Path) -> None:
    run = place / "gmm/tri"
    done("features", "--run", run, "--data", place / "data", "--set", "train")
    done("align", "--run", run, "--data", run / "data", "--set", "train")
    trained = read_alignments(run / "alignments.safetensors")
    aligned = read_alignments(run / "align/train.safetensors")
    assert aligned.keys() == trained.keys()
    same = [
        (aligned[key].states == trained[key].states)
        & (aligned[key].positions == trained[key].positions)
        for key in trained
    ]
    assert np.concatenate(same).mean() > 0.98  # the last update of the mixtures came after it
    names = [path.name for path in (run / "data" / "text").iterdir()]
    assert names == [path.name for path in (run / "text").iterdir()]


def test_words_of_lattices_are_timed_as_alignments_of_the_transcripts_are(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = place / "gmm/tri"
    done("features", "--run", run, "--data", place / "data", "--set", "dev")
    decoded(place, "tri", "dev", "placed")
    done("align", "--run", run, "--data", run / "data", "--set", "dev")
    words = [*read_ctm(run / "decode/placed/dev/words.ctm")]
    assert all(word.confidence is not None and 0 < word.confidence <= 1 for word in words)
    expected = [replace(word, confidence=None) for word in read_ctm(run / "align/dev.ctm")]
    lines = (run / "decode/placed/dev/nbest.jsonl").read_text().splitlines()
    right = {one["id"] for one in map(json.loads, lines) if one["text"] == one["reference"]}
    assert len(right) > 4
    found = [replace(word, confidence=None) for word in words if word.recording in right]
    assert found == [word for word in expected if word.recording in right]
    # The graph may have words that the states were not trained with: its own lexicon counts.
    (lexicon,) = (run / "graph").glob("*.lexicon.txt")
    whole = lexicon.read_text()
    lexicon.write_text("".join(x for x in whole.splitlines(True) if x.split()[0] != WORDS[0]))
    decoded(place, "tri", "dev", "placed")
    lexicon.write_text(whole)
    assert f"no pronunciation of '{WORDS[0]}' in {lexicon}" in caplog.text


def test_alignments_of_features_at_a_speed_have_names_of_their_own(place: Path) -> None:
    run = place / "gmm/sat"
    done("features", "--run", run, "--data", place / "data", "--set", "train",
         "--adapt", "reference", "--speed", 0.9)  # fmt: skip
    names = [cut.id for cut in open_set(run / "data", ["train-sp0.9"])]
    assert names[0].startswith("sp0.9-train")
    done("align", "--run", run, "--data", run / "data", "--set", "train-sp0.9", "--head", "states")
    words = (run / "align/train-sp0.9.ctm").read_text().splitlines()
    assert len(words) == 40 * 4
    assert {line.split()[-1] for line in words} == set(WORDS)


def test_a_graph_of_another_tree_is_refused(place: Path) -> None:
    done("features", "--run", place / "gmm/tri", "--data", place / "data", "--set", "dev")
    decoded(place, "tri", "dev", "words")
    graph = place / "gmm/mono/graph/words.safetensors"
    done("graph", "--run", place / "gmm/mono", "--data", place / "data", "--arpa", "words",
         "--name", "words")  # fmt: skip
    kept = (place / "gmm/tri/graph/words.safetensors").read_bytes()
    (place / "gmm/tri/graph/words.safetensors").write_bytes(graph.read_bytes())
    at = ("--run", place / "gmm/tri", "--data", place / "gmm/tri/data", "--set", "dev")
    said = asrkit("decode", *at, "--search", "words", "--spec", place / "searches.yaml")
    (place / "gmm/tri/graph/words.safetensors").write_bytes(kept)
    assert said.exit_code != 0
    assert "tied states of another tree" in said.output.replace("\n", " ")


def test_states_are_not_labels(place: Path) -> None:
    (place / "misused.yaml").write_text(MISUSED)
    at = ("--run", place / "gmm/tri", "--data", place / "gmm/tri/data", "--set", "dev")
    said = asrkit("decode", *at, "--search", "sync", "--spec", place / "misused.yaml")
    assert said.exit_code != 0
    assert "scores tied states or phones, not frames" in said.output.replace("\n", " ")


def test_a_stage_without_transforms_can_not_be_adapted(place: Path) -> None:
    said = asrkit("features", "--run", place / "gmm/tri", "--data", place / "data", "--set", "dev",
                  "--adapt", "reference")  # fmt: skip
    assert said.exit_code != 0
    assert "stage sat" in said.output


def test_training_again_keeps_what_is_complete(place: Path) -> None:
    before = (place / "gmm/sat/model.safetensors").stat().st_mtime_ns
    done("gmm", place / "gmm.yaml", "--data", place / "data", "--run", place / "gmm")
    assert (place / "gmm/sat/model.safetensors").stat().st_mtime_ns == before


def test_a_missing_lexicon_is_named(place: Path) -> None:
    said = asrkit("gmm", place / "gmm.yaml", "--data", place / "data", "--run", place / "other",
                  "lexicon=english")  # fmt: skip
    assert said.exit_code != 0
    assert "lexicon/english.txt" in said.output.replace("\n", "")


def test_a_spec_of_mixtures_is_checked_with_its_words(place: Path) -> None:
    at = ("--data", place / "data")
    said = done("check", place / "gmm.yaml", *at).output
    assert "no problems" in said
    assert "40 utterances" in said
    assert "all 5 words have a pronunciation" in said
    wrong = asrkit("check", place / "gmm.yaml", *at, "mixtures.trifones=3", "lexicon=[a]")
    assert wrong.exit_code != 0
    assert "did you mean 'triphones'" in wrong.output.replace("\n", " ")
    assert "override: lexicon: expected a text" in wrong.output.replace("\n", " ")
    none = asrkit("check", place / "gmm.yaml", "data.train=[]")
    assert "data: train names no set" in none.output.replace("\n", " ")
    said = done("explain", place / "gmm.yaml", "mixtures.triphones.states").output
    assert "Number of tied states" in said


def test_trees_ask_the_questions_of_a_file(place: Path, tmp_path: Path) -> None:
    asked, other = tmp_path / "questions.txt", f"questions={tmp_path / 'questions.txt'}"
    asked.write_text("a b\n\nc d c\nSIL\n")
    at = ("gmm", place / "gmm.yaml", "--data", place / "data", "--run", tmp_path / "gmm")
    done(*at, other, "--last", "tri")
    nodes = json.loads((tmp_path / "gmm/tri/tree.json").read_text())["nodes"]
    questions = {frozenset(n["yes_if"]) for n in nodes if n["key"] in ("left", "right")}
    edge = next(iter(frozenset().union(*questions) - set("abcd") - {"SIL", "SPN"}), "")
    usual = [{edge}, {"SIL"}, {"SPN"}, {edge, "SIL", "SPN"}, set("abcd")]
    assert questions & {frozenset("ab"), frozenset("cd")}
    assert questions <= {frozenset(one) for one in ({"a", "b"}, {"c", "d"}, *usual)}
    before = (tmp_path / "gmm/mono/model.safetensors").stat().st_mtime_ns
    asked.write_text("a c\n")
    assert "1 questions of trees" in done("check", *at[1:4], other).output
    done(*at, other, "--last", "tri")
    assert (tmp_path / "gmm/mono/model.safetensors").stat().st_mtime_ns == before
    nodes = json.loads((tmp_path / "gmm/tri/tree.json").read_text())["nodes"]
    assert frozenset("ab") not in {frozenset(n["yes_if"]) for n in nodes}


CTC = """
text: words
data: {train: [train], dev: [], batches: {max_seconds: 20.0}, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 12}
  encoder: {type: blstm, hidden_dim: 8, num_layers: 1, pools: [2], dropout: 0.0}
  heads: {ctc: {type: ctc, weight: 1.0}}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 0.01}}
"""
STATES = """
extends: ctc.yaml
data: {alignments: other}
model:
  encoder: {pools: [1]}
  heads: {ctc: null, states: {type: frame_cross_entropy, weight: 1.0, states: 40}}
"""


def test_times_of_a_ctc_head_begin_mixtures_and_train_networks(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    for name, text in (("ctc", CTC), ("states", STATES)):
        (tmp_path / f"{name}.yaml").write_text(text)
    data = ("--data", place / "data")
    done("train", "ctc.yaml", *data, "--run", "ctc")
    done("average", "--run", "ctc", "--best", 1)
    mixtures = ("gmm", place / "gmm.yaml", *data, "--run", "mixtures", "data.alignments=ctc")
    said = asrkit(*mixtures)
    assert said.exit_code != 0
    assert "write them with `asrkit align --run ctc --set train`" in said.output.replace("\n", " ")
    done("align", "--run", "ctc", *data, "--set", "train")
    assert "times of words of 40 utt" in done("check", *mixtures[1:4], mixtures[-1]).output
    done(*mixtures, "--last", "mono")
    assert "40 of 40 utterances begin with the given times" in caplog.text
    trained = ("train", "states.yaml", *data, "--run", "network")
    said = asrkit(*trained, "data.alignments=ctc")
    assert said.exit_code != 0
    hint = "import ctc/align/train.words.ctm --from words --reach 0.2"
    assert hint in said.output.replace("\n", " ")
    done("alignments", "import", "ctc/align/train.words.ctm", "--from", "words", "--reach", 0.2,
         "--hmm", "mixtures/mono", *data, "--set", "train", "--run", "other")  # fmt: skip
    done(*trained)
    assert (tmp_path / "network/hmm/tree.json").is_file()


def test_ready_made_cepstra_train_the_same_mixtures_as_their_audio(
    place: Path, tmp_path: Path
) -> None:
    made = [
        (cut, Mfcc()(read_cut(cut, 16000)).numpy()) for cut in open_set(place / "data", ["train"])
    ]
    write_feature_set(tmp_path / "data", "train", made)
    for part in ("text", "lexicon"):
        shutil.copytree(place / "data" / part, tmp_path / "data" / part)
    at = ("gmm", place / "gmm.yaml", "--data", tmp_path / "data", "--run")
    done(*at, tmp_path / "gmm", "--last", "mono")
    ours, theirs = read_model(tmp_path / "gmm/mono"), read_model(place / "gmm/mono")
    torch.testing.assert_close(ours.mixtures.means, theirs.mixtures.means, atol=1e-3, rtol=1e-3)
    data = ("--data", tmp_path / "data", "--set", "train")
    done("features", "--run", tmp_path / "gmm/mono", *data)
    assert len(open_set(tmp_path / "gmm/mono/data", ["train"])) == len(made)
    refused = asrkit("features", "--run", tmp_path / "gmm/mono", *data, "--speed", 0.9)
    assert "can't be played at speed 0.9" in refused.output.replace("\n", " ")
    write_feature_set(tmp_path / "data", "train", made, frame_shift=0.02)
    refused = asrkit(*at, tmp_path / "other")
    assert "every 0.02 s, expected them every 0.01 s" in refused.output.replace("\n", " ")
    write_feature_set(tmp_path / "data", "train", [made[0], (made[1][0], made[1][1][:, 1:])])
    refused = asrkit(*at, tmp_path / "other")
    assert "needs features of one kind" in refused.output.replace("\n", " ")


def test_pronunciations_are_as_probable_as_they_were_frequent(place: Path, tmp_path: Path) -> None:
    run, source = place / "gmm/mono", tmp_path / "variants.txt"
    source.write_text("cab b a d\ncab c a b\nca c a\nab a b\nd d\nbad b a d\nbad d d d d\n")
    data = ("--data", place / "data", "--set", "train")
    done("features", "--run", run, *data)
    done("align", "--run", run, "--data", run / "data", "--set", "train", "--lexicon", source)
    learning = ("lexicon", *data, "--from", source, "--name", "learnt", "--alignments")
    said = done(*learning, run).output.replace("\n", " ")
    texts = [cut.supervisions[0].text.split() for cut in open_set(place / "data", ["train"])]
    counts = {word: sum(text.count(word) for text in texts) for word in ("cab", "bad")}
    assert "2 words with several pronunciations were heard" in said
    assert "1 have another likeliest one than before" in said
    found = read_lexicon(place / "data/lexicon/learnt.txt")
    probable = {(w, one.phones): one.probability for w in counts for one in found[w]}
    assert probable["cab", ("c", "a", "b")] == probable["bad", ("b", "a", "d")] == 1.0
    assert probable["cab", ("b", "a", "d")] == pytest.approx(1 / (counts["cab"] + 1), rel=0.3)
    assert [one.probability for one in found["ca"]] == [1.0]
    refused = asrkit("lexicon", "--data", place / "data", "--text", source, "--from", source,
                  "--name", "x", "--alignments", run)  # fmt: skip
    assert "name them (--set)" in refused.output
    refused = asrkit(*learning, place / "gmm/lda_mllt")
    assert refused.exit_code == 2
    assert "there are no alignments in" in refused.output.replace("\n", " ")


def test_a_start_from_right_times_is_likelier_than_one_from_equal_lengths(
    place: Path, tmp_path: Path
) -> None:
    sat = place / "gmm/sat"
    done("features", "--run", sat, "--data", place / "data", "--set", "train", "--adapt",
         "reference")  # fmt: skip
    done("align", "--run", sat, "--data", sat / "data", "--set", "train")
    at = ("gmm", place / "gmm.yaml", "--data", place / "data", "--run", tmp_path, "--last", "mono")
    done(*at, f"data.alignments={sat}")
    found = [
        [json.loads(line)["log_likelihood"] for line in path.read_text().splitlines()]
        for path in (tmp_path / "mono/iterations.jsonl", place / "gmm/mono/iterations.jsonl")
    ]
    assert found[0][0] > found[1][0] + 0.5
    assert found[0][-1] > found[1][-1] - 0.5


def test_a_phone_that_is_unknown_is_named_with_its_line(place: Path, tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text("a b\nc AH0\n")
    at = ("check", place / "gmm.yaml", "--data", place / "data")
    said = asrkit(*at, f"questions={tmp_path / 'questions.txt'}")
    assert said.exit_code != 0
    text = said.output.replace("\n", " ")
    assert "questions.txt:2: the lexicon has no phone 'AH0'" in text
    (tmp_path / "questions.txt").write_text("\n")
    assert (
        "is empty: expected questions" in asrkit(*at, f"questions={tmp_path}/questions.txt").output
    )
    assert "there is no text file" in asrkit(*at, f"questions={tmp_path}/none.txt").output


def test_the_spec_of_a_model_is_none_of_mixtures(place: Path) -> None:
    resolved = place / "gmm/mono/resolved.yaml"
    said = asrkit("gmm", resolved, "--data", place / "data", "--run", place / "other")
    assert said.exit_code != 0
    assert "is the spec of a model, for `asrkit train`" in said.output.replace("\n", " ")


def test_a_stage_is_a_run_as_soon_as_it_is_trained(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    command = ("gmm", place / "gmm.yaml", "--data", place / "data", "--run", tmp_path)
    with monkeypatch.context() as patch:
        patch.setitem(trainer.STAGES, "tri", killed)
        stopped = asrkit(*command, "--last", "tri")
    assert stopped.exit_code == 130
    assert open_run(tmp_path / "mono").speech_model("average")
    assert not (tmp_path / "tri/resolved.yaml").exists()
    done(*command, "--last", "tri")
    weights = "checkpoints/average.pt"
    for stage in ("mono", "tri"):
        assert (tmp_path / stage / weights).read_bytes() == (
            place / "gmm" / stage / weights
        ).read_bytes()


CHAIN = """
text: words
data:
  train: [train]
  dev: [dev]
  alignments: {chain}
  sample_rate: 100
  batches: {{max_seconds: 20.0, order: random, num_buckets: 1}}
  num_workers: 0
model:
  features: {{type: ready_made, dim: 40, normalization: global}}
  encoder:
    type: conformer
    dim: 32
    num_layers: 1
    frontend: {{stacking: {{type: frame_stacking, window: 3, stride: 3, right: 1}}}}
    blocks: {{ffn: {{module: {{type: feed_forward, hidden_dim: 64}}}}}}
  heads: {{chain: {{type: lf_mmi, weight: 1.0, states: 40}}}}
training:
  epochs: 6
  optimizer: adamw
  schedule: {{type: constant, value: 5e-3}}
decoding:
  words:
    type: graph
    frames: chain
    scorers:
      graph: {{type: graph, weight: 1.0, graph: graph/words.safetensors}}
      chain: {{type: states, weight: 1.0}}
"""


def test_a_network_learns_by_lf_mmi_and_decodes(place: Path) -> None:
    mixtures, chain, run = place / "gmm/lda_mllt", place / "chain", place / "lfmmi"
    for name in ("train", "dev"):
        done("features", "--run", mixtures, "--data", place / "data", "--set", name)
        done("align", "--run", mixtures, "--data", mixtures / "data", "--set", name)
    said = done("chain", "--run", chain, "--data", mixtures / "data", "--alignments", mixtures,
                "--set", "train", "--dev", "dev", "--states", 40).output  # fmt: skip
    assert "48 aligned utterances" in said
    (place / "lfmmi.yaml").write_text(CHAIN.format(chain=chain))
    done("train", place / "lfmmi.yaml", "--data", mixtures / "data", "--run", run)
    epochs = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [epoch["train"]["chain.loss"] for epoch in epochs]
    assert losses[-1] < losses[0] / 2
    assert epochs[-1]["train"]["chain.no_path"] == 0
    for name in ("tree.json", "denominator.safetensors"):
        assert (run / "hmm" / name).read_bytes() == (chain / "hmm" / name).read_bytes()
    done("graph", "--run", run, "--data", place / "data", "--arpa", "words", "--name", "words")
    at = ("--run", run, "--set", "dev", "--search", "words")
    done("decode", *at, "--data", mixtures / "data", "--checkpoint", "last")
    done("score", *at)
    assert json.loads((run / "decode/words/dev/score.json").read_text())["wer"] < 60
    done("align", "--run", run, "--data", mixtures / "data", "--set", "dev", "--head", "chain",
         "--checkpoint", "last")  # fmt: skip
    trained, aligned = ([*read_ctm(of / "align/dev.ctm")] for of in (mixtures, run))
    assert [word.word for word in aligned] == [word.word for word in trained]
    apart = [abs(a.start - b.start) for a, b in zip(aligned, trained, strict=True)]
    assert float(np.median(apart)) <= 0.06


def test_a_network_learns_from_transcripts_alone(place: Path) -> None:
    mixtures, flat, run = place / "gmm/lda_mllt", place / "flat", place / "flat-run"
    for name in ("train", "dev"):
        done("features", "--run", mixtures, "--data", place / "data", "--set", name)
    at = ("chain", "--run", flat, "--data", place / "data", "--set", "train")
    lexicon = mixtures / "hmm/lexicon.txt"
    assert " transcripts" in done(*at, "--lexicon", lexicon).output
    assert not (flat / "align").exists()
    spec = CHAIN.format(chain=flat).replace("epochs: 6", "epochs: 2")
    head = "states: 400, tolerance: null, chunk: null"
    (place / "flat.yaml").write_text(spec.replace("states: 40", head))
    done("train", place / "flat.yaml", "--data", mixtures / "data", "--run", run)
    epochs = [json.loads(line)["train"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert epochs[-1]["chain.loss"] < epochs[0]["chain.loss"]
    assert epochs[-1]["chain.no_path"] == 0
    assert (run / "hmm/tree.json").read_bytes() == (flat / "hmm/tree.json").read_bytes()
    for wrong, told in (
        ((), "either --alignments or --lexicon"),
        (("--lexicon", lexicon, "--states", 9), "--states are of alignments"),
    ):
        refused = asrkit(*at, *wrong)
        assert refused.exit_code == 2
        assert told in " ".join(refused.output.split())

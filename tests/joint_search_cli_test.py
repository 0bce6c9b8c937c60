"""Language models, priors, joint searches, search errors and tuning from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from asrkit.data.manifests import Source, write_manifest
from asrkit.experiment.tuned_values import values_of
from asrkit.run_files import NbestLine, read_nbest
from asrkit.scoring.weights import Decoded, pool
from asrkit.search.lengths import LengthNorm
from asrkit.search.two_pass import TwoPassSearch
from asrkit.training.checkpoints import load_weights, resolve
from tests.cli_test import asrkit, place

__all__ = ["place"]

LANGUAGE_MODEL = """
text: characters
data: {type: text, train: [train], dev: [dev], files: [extra.txt], batch_labels: 40}
model:
  type: language_model
  decoder: {type: stacked_lstm, embedding_dim: 8, hidden_dim: 12, num_layers: 2}
training: {epochs: 3, optimizer: adamw, schedule: {type: constant, value: 1e-2}}
"""

SEARCHES = """
decoding:
  everything:
    type: label_sync
    beam_size: 4
    length_norm: 1.0
    scorers:
      attention: 0.6
      ctc: {type: ctc, weight: 0.4, prior: RUN/prior/ctc.json, prior_scale: 0.3}
      lm: {type: language_model, weight: 0.3, run: LM}
      ngram: {type: ngram, weight: 0.1, arpa: DATA/lm/two.arpa.gz}
      ilm: {type: internal_lm, weight: -0.2}
      length: {type: length, weight: 0.1}
      other: {type: head, weight: 0.2, head: ctc, run: RUN, checkpoint: last}
  by_frame:
    type: time_sync
    beam_size: 4
    scorers:
      attention: 0.6
      ctc: 0.4
      lm: {type: language_model, weight: 0.3, run: LM}
  second_pass:
    type: two_pass
    first: {type: label_sync, beam_size: 4, scorers: {attention: 1.0}}
    scorers: {attention: 0.7, ctc: 0.3}
"""


@pytest.fixture(scope="module")
def joint(place: Path) -> Path:  # noqa: F811 - the fixture
    """The folder of a trained model, with a language model, an n-gram, a prior and a spec."""
    data = place / "data"
    (data / "text" / "extra.txt").write_text("ABBA AB\nBA\nA$B\n")
    (place / "lm.yaml").write_text(LANGUAGE_MODEL)
    for words in (
        ["train", place / "lm.yaml", "--data", data, "--run", place / "lm"],
        ["average", "--run", place / "lm", "--best", 2],
        ["average", "--run", place / "run", "--best", 2],
        ["prior", "--run", place / "run", "--data", data, "--set", "train"],
        ["ngram", "--data", data, "--set", "train", "--order", 2, "--units", "characters",
         "--name", "two"],
    ):  # fmt: skip
        result = asrkit(*words)
        assert result.exit_code == 0, result.output
    text = SEARCHES.replace("RUN", str(place / "run")).replace("LM", str(place / "lm"))
    (place / "joint.yaml").write_text(text.replace("DATA", str(data)))
    return place


def decode(folder: Path, search: str, file: str = "joint.yaml") -> dict[str, float]:
    options = ("--data", folder / "data", "--run", folder / "run", "--set", "dev")
    result = asrkit("decode", *options, "--spec", folder / file, "--search", search)
    assert result.exit_code == 0, result.output
    nbest = (folder / "run" / "decode" / search / "dev" / "nbest.jsonl").read_text()
    first = json.loads(nbest.splitlines()[0])["hypotheses"][0]
    scores: dict[str, float] = first["scores"]
    return {**scores, "total": first["score"], "labels": len(first["labels"])}


def test_language_models_are_trained_and_measured(joint: Path) -> None:
    found = asrkit("perplexity", "--run", joint / "lm", "--data", joint / "data", "--set", "dev")
    assert found.exit_code == 0, found.output
    assert "per word" in found.output
    log = [json.loads(line) for line in (joint / "lm" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["dev"]["loss"] < log[0]["dev"]["loss"]
    refused = asrkit("perplexity", "--run", joint / "run", "--data", joint / "data", "--set", "dev")
    assert refused.exit_code == 2
    assert "not of a language model" in refused.output


def test_all_scorers_add_up(joint: Path) -> None:
    scores = decode(joint, "everything")
    weights = {
        "attention": 0.6, "ctc": 0.4, "lm": 0.3, "ngram": 0.1, "ilm": -0.2, "length": 0.1,
        "other": 0.2,
    }  # fmt: skip
    total = sum(weight * scores[name] for name, weight in weights.items())
    assert scores["length"] == scores["labels"]
    assert scores["total"] == pytest.approx(total / (scores["labels"] + 1), abs=1e-4)
    assert scores["ctc"] != pytest.approx(scores["other"], abs=1e-3)  # the prior


@pytest.mark.parametrize("search", ["everything", "by_frame", "second_pass"])
def test_search_errors_are_counted(joint: Path, search: str) -> None:
    decode(joint, search)
    options = ("--data", joint / "data", "--run", joint / "run", "--set", "dev")
    found = asrkit("search-errors", *options, "--search", search)
    assert found.exit_code == 0, found.output
    folder = joint / "run" / "decode" / search / "dev"
    report = json.loads((folder / "search_errors.json").read_text())
    assert report["sentences"] == 2
    assert report["search_errors"] == len(report["list"])
    for entry in report["list"]:
        assert entry["reference_score"] > entry["found_score"]


def test_references_that_no_labels_spell_are_left_out_not_in_the_way(joint: Path) -> None:
    sources = [
        Source("odd", joint / "u6.wav", "A? B", "s0"),
        Source("even", joint / "u7.wav", "AB BA", "s1"),
    ]
    write_manifest(joint / "data", "odd", sources)
    options = ("--data", joint / "data", "--run", joint / "run", "--set", "odd")
    spec = ("--spec", joint / "joint.yaml", "--search", "by_frame")
    for words in (["decode", *options, *spec], ["search-errors", *options, "--search", "by_frame"]):
        done = asrkit(*words)
        assert done.exit_code == 0, done.output
    folder = joint / "run" / "decode" / "by_frame" / "odd"
    report = json.loads((folder / "search_errors.json").read_text())
    assert report["sentences"] == 2
    assert report["unreachable_references"] >= 1
    assert "odd" not in {entry["id"] for entry in report["list"]}
    found = asrkit("perplexity", "--run", joint / "lm", "--data", joint / "data", "--set", "odd")
    assert found.exit_code == 0, found.output
    assert "(1 sentences with 2 words" in " ".join(found.output.split())


@pytest.mark.parametrize(
    ("search", "settings"),
    [
        ("second_pass", ["first_weight=0.5", "length_norm=0.5"]),
        ("everything", ["length_reward=0.3", "pre_beam=9"]),
    ],
)
def test_lists_tell_what_other_weights_would_give(
    joint: Path, search: str, settings: list[str]
) -> None:
    def lists(ctc: str) -> list[NbestLine]:
        options = ("--data", joint / "data", "--run", joint / "run", "--set", "dev")
        spec = ("--spec", joint / "joint.yaml", "--search", search)
        done = asrkit("decode", *options, *spec, *settings, ctc)
        assert done.exit_code == 0, done.output
        return read_nbest(joint / "run" / "decode" / search / "dev" / "nbest.jsonl")

    key = "scorers.ctc" if search == "second_pass" else "scorers.ctc.weight"
    node = yaml.safe_load((joint / "joint.yaml").read_text())["decoding"][search]
    weights = {**values_of(node, []), "ctc": 0.4}
    before, after = lists(f"{key}=0.4"), lists(f"{key}=0.9")
    norm = 0.5 if search == "second_pass" else 1.0
    found = pool([Decoded(before, weights)], LengthNorm(norm))
    vector = np.array([{**weights, "ctc": 0.9}[name] for name in found.names])
    totals = (found.scores @ vector + found.rest) / found.norms
    flat = [h for line in before for h in line.hypotheses]
    expected = {(line.id, tuple(h.labels)): h.score for line in after for h in line.hypotheses}
    ids = [line.id for line in before for _ in line.hypotheses]
    both = 0
    for name, hypothesis, total in zip(ids, flat, totals, strict=True):
        actual = expected.get((name, tuple(hypothesis.labels)))
        if actual is not None:
            both += 1
            assert total == pytest.approx(actual, abs=1e-4)
    assert both


def test_searches_that_cannot_be_forced_say_so(
    joint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode(joint, "second_pass")
    # Searches of one's own may have no way to be held to sequences.
    monkeypatch.setattr(TwoPassSearch, "can_be_forced", False)
    options = ("--data", joint / "data", "--run", joint / "run", "--set", "dev")
    found = asrkit("search-errors", *options, "--search", "second_pass")
    assert found.exit_code == 2
    assert "can't be forced to given sentences" in found.output


def test_tuning_never_ends_worse_than_it_began(joint: Path) -> None:
    options = ("--data", joint / "data", "--run", joint / "run", "--set", "dev")
    spec = ("--spec", joint / "joint.yaml", "--search", "everything")
    vary = ("--vary", "ctc=0.1:0.9", "--vary", "lm=0:1", "--decodes", 2)
    found = asrkit("tune", *options, *spec, *vary)
    assert found.exit_code == 0, found.output
    trials = json.loads((joint / "run" / "tune" / "everything.json").read_text())
    assert min(trial["wer"] for trial in trials) <= trials[0]["wer"]
    assert (joint / "run" / "tune" / "everything.png").stat().st_size > 1000
    tuned = joint / "run" / "tune" / "everything.yaml"
    again = asrkit("decode", *options, "--spec", tuned, "--search", "everything")
    assert again.exit_code == 0, again.output
    lists = sorted((joint / "run" / "tune" / "everything").glob("*/nbest.jsonl"))
    written = [path.stat().st_mtime_ns for path in lists]
    continued = asrkit("tune", *options, *spec, *vary)
    assert continued.exit_code == 0, continued.output
    assert [path.stat().st_mtime_ns for path in lists] == written, "nothing is decoded twice"
    wrong = asrkit("tune", *options, *spec, "--vary", "none=0:1")
    assert wrong.exit_code == 2
    assert "no scorer 'none' to tune" in wrong.output


def test_prior_scales_are_tuned_with_the_weights(joint: Path) -> None:
    options = ("--data", joint / "data", "--run", joint / "run", "--set", "dev")
    spec = ("--spec", joint / "joint.yaml", "--search", "everything", "--decodes", 3)
    vary = ("--vary", "ctc.prior_scale=0:0.6", "--vary", "lm=0:1")
    found = asrkit("tune", *options, *spec, *vary)
    assert found.exit_code == 0, found.output
    trials = json.loads((joint / "run" / "tune" / "everything.json").read_text())
    tried = {trial["weights"]["ctc.prior_scale"] for trial in trials}
    assert len(tried) >= 3
    best = min(trials, key=lambda trial: trial["wer"])["weights"]
    chosen = yaml.safe_load((joint / "run" / "tune" / "everything.yaml").read_text())
    entry = chosen["decoding"]["everything"]["scorers"]["ctc"]
    assert entry["prior_scale"] == best["ctc.prior_scale"]
    alone = asrkit("tune", *options, *spec, "--vary", "ctc.prior_scale=0:0.6")
    assert alone.exit_code == 0, alone.output
    for wrong, message in (
        ("attention.prior_scale=0:1", "no number attention.prior_scale to tune"),
        ("lm=1.2.3:4", "expected SCORER=LOW:HIGH"),
    ):
        refused = asrkit("tune", *options, *spec, "--vary", wrong)
        assert refused.exit_code == 2
        assert message in " ".join(refused.output.split())


def test_searches_are_tuned_and_compared_by_the_spec_alone(joint: Path) -> None:
    options = ("--data", joint / "data", "--run", joint / "run")
    (joint / "table.yaml").write_text(
        "tuning: {attention: [0.1, 0.9], lm: [0.0, 1.0]}\n"
        "decoding:\n"
        "  alone: {type: label_sync, beam_size: 2, scorers: {attention: 1.0}}\n"
        "  fused:\n"
        "    type: label_sync\n"
        "    beam_size: 2\n"
        "    scorers: {attention: 1.0, lm: {type: language_model, weight: 0.3, run: lm}}\n"
    )
    for search in ("alone", "fused"):
        name = ("--search", search)
        spec = ("--spec", joint / "table.yaml", "--decodes", 1)
        tuned = asrkit("tune", *options, "--set", "dev", *name, *spec)
        assert tuned.exit_code == 0, tuned.output
        note = json.loads((joint / "run/decode" / search / "dev/search.json").read_text())
        assert note["search"]["scorers"]["attention"] == 1.0, "tuning decodes the set it tunes on"
        found = joint / "run" / "tune" / f"{search}.yaml"
        test = ("--set", "train", *name)
        for words in (
            ["score", "--run", joint / "run", "--set", "dev", *name],
            ["decode", *options, *test, "--spec", found],
            ["score", "--run", joint / "run", *test],
            ["search-errors", *options, *test],
        ):
            done = asrkit(*words)
            assert done.exit_code == 0, done.output
    assert not (joint / "run" / "tune" / "alone.json").exists(), "it has nothing to tune"
    trials = json.loads((joint / "run" / "tune" / "fused.json").read_text())
    assert {trial["weights"]["attention"] for trial in trials} == {1.0}
    made = asrkit(
        "table", "--run", joint / "run", "--dev", "dev", "--test", "train", "--out",
        joint / "SEARCHES.md", "--search", "alone", "--search", "fused",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    assert "of 6)" in made.output
    rows = (joint / "SEARCHES.md").read_text().splitlines()
    assert sum(row.startswith(("| alone", "| fused")) for row in rows) == 2 * 2 + 2


def test_tuning_needs_ranges(joint: Path) -> None:
    options = ("--data", joint / "data", "--run", joint / "run", "--set", "dev")
    found = asrkit("tune", *options, "--search", "joint")
    assert found.exit_code == 2
    assert "no weights to tune are named" in found.output
    (joint / "wrong.yaml").write_text(
        "tuning: {ctc: [1.0, 0.5]}\n"
        "decoding:\n"
        "  joint: {type: label_sync, beam_size: 2, scorers: {attention: 0.5, ctc: 0.5}}\n"
    )
    found = asrkit("tune", *options, "--search", "joint", "--spec", joint / "wrong.yaml")
    assert found.exit_code == 2
    assert "tuning.ctc: expected [LOW, HIGH]" in found.output.replace("\n", " ")


def test_priors_of_other_weights_are_refused(joint: Path) -> None:
    options = ("--data", joint / "data", "--run", joint / "run", "--set", "dev")
    spec = ("--spec", joint / "joint.yaml", "--search", "everything", "--checkpoint", "last")
    found = asrkit("decode", *options, *spec)
    assert found.exit_code == 2
    assert "was estimated with other weights" in found.output.replace("\n", " ")


def test_priors_of_nothing_are_refused(joint: Path) -> None:
    (joint / "data" / "manifests" / "none.jsonl").touch()
    before = (joint / "run" / "prior" / "ctc.json").read_text()
    options = ("--data", joint / "data", "--run", joint / "run", "--set", "none")
    found = asrkit("prior", *options)
    assert found.exit_code == 2
    assert "has no frames to average over" in found.output.replace("\n", " ")
    assert (joint / "run" / "prior" / "ctc.json").read_text() == before


def test_frames_are_not_asked_of_what_scores_labels(joint: Path) -> None:
    options = ("--data", joint / "data", "--run", joint / "run", "--set", "dev")
    (joint / "no-frames.yaml").write_text(
        "decoding:\n"
        "  frames: {type: time_sync, beam_size: 2, frames: attention, scorers: {attention: 1.0}}\n"
        "  greedy: {type: ctc_greedy, scorers: {attention: 1.0}}\n"
        "  prefix:\n"
        "    type: label_sync\n"
        "    beam_size: 2\n"
        "    scorers: {attention: {type: ctc, weight: 1.0}}\n"
    )
    for search in ("frames", "greedy", "prefix"):
        spec = ("--spec", joint / "no-frames.yaml", "--search", search)
        found = asrkit("decode", *options, *spec)
        assert found.exit_code == 2, found.output
        assert "AttentionHead scores labels, not frames" in " ".join(found.output.split())


MINI_LSTM = """
text: characters
data: {type: text, train: [train], dev: [dev], batch_labels: 40}
model:
  type: language_model
  decoder:
    type: mini_lstm
    frame_dim: 8
    units: 5
    decoder: {type: transformer, dim: 8, num_layers: 1, num_heads: 2, hidden_dim: 8}
imports:
  - run: RUN
    checkpoint: average
    renames: {heads.attention.decoder.: decoder.decoder.}
training:
  epochs: 3
  optimizer: {type: adamw, weight_decay: 0.1}
  schedule: {type: constant, value: 1e-2}
  freeze: ['^decoder[.]decoder[.]']
"""

ESTIMATED = """
decoding:
  estimated:
    type: TYPE
    beam_size: 4
    scorers:
      attention: 0.6
      ctc: 0.4
      coverage: {type: coverage, weight: 0.1}
      ilm: {type: internal_lm, weight: -0.2, estimation: {type: mini_lstm, run: ILM}}
"""


def test_mini_lstms_are_trained_beside_a_frozen_decoder_and_subtracted(joint: Path) -> None:
    run, ilm = joint / "run", joint / "ilm"
    (joint / "ilm.yaml").write_text(MINI_LSTM.replace("RUN", str(run)))
    for words in (
        ["train", joint / "ilm.yaml", "--data", joint / "data", "--run", ilm],
        ["average", "--run", ilm, "--best", 2],
    ):
        result = asrkit(*words)
        assert result.exit_code == 0, result.output
    before, after = load_weights(resolve(run, "average")), load_weights(resolve(ilm, "last"))
    copied = {name: tensor for name, tensor in after.items() if ".decoder." in name}
    for name, tensor in copied.items():
        assert torch.equal(tensor, before[f"heads.attention.{name.removeprefix('decoder.')}"])
    assert {n.rsplit(".", 1)[0] for n in after.keys() - copied.keys()} == {
        "decoder.lstm",
        "decoder.context",
    }
    log = [json.loads(line) for line in (ilm / "log.jsonl").read_text().splitlines()]
    assert log[-1]["dev"]["loss"] < log[0]["dev"]["loss"]
    for kind in ("label_sync", "time_sync"):
        text = ESTIMATED.replace("ILM", str(ilm)).replace("TYPE", kind)
        (joint / "estimated.yaml").write_text(text)
        scores = decode(joint, "estimated", "estimated.yaml")
        assert scores["ilm"] < 0
        assert scores["coverage"] >= 0
    options = ("--data", joint / "data", "--run", run, "--set", "dev", "--checkpoint", "last")
    found = asrkit("decode", *options, "--spec", joint / "estimated.yaml", "--search", "estimated")
    assert found.exit_code == 2
    assert "is not the internal language model of" in " ".join(found.output.split())

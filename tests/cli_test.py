"""The command line from data folder to score, and what it says when something is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from asrkit.cli import main
from asrkit.cli.data import data
from asrkit.data.manifests import Source, write_manifest
from asrkit.decoding.partial_results import PartialResults
from asrkit.errors import UserError

SPEC = """
text: characters
data: {train: [train], dev: [dev], batches: {max_seconds: 4.0, num_buckets: 2}, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 12, normalization: global}
  encoder:
    type: conformer
    dim: 8
    num_layers: 1
    frontend: [{type: conv2d, channels: [2, 2], strides: [2, 2], dim: 8}]
    blocks:
      - {name: ffn, module: {type: feed_forward, hidden_dim: 8}}
      - {name: attention, module: {type: self_attention, num_heads: 2}}
  heads:
    ctc: {type: ctc, weight: 0.5}
    attention:
      type: attention
      weight: 0.5
      decoder: {type: transformer, dim: 8, num_layers: 1, num_heads: 2, hidden_dim: 8}
training: {epochs: 2, optimizer: adamw, schedule: {type: constant, value: 1e-3}}
decoding:
  joint: {type: label_sync, beam_size: 3, scorers: {attention: 0.5, ctc: 0.5}}
  greedy: ctc_greedy
"""


def asrkit(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/, spec.yaml and a trained run/."""
    folder = tmp_path_factory.mktemp("cli")
    random = np.random.default_rng(0)
    sources = []
    for index in range(8):
        path = folder / f"u{index}.wav"
        samples = random.integers(-3000, 3000, 8000 + 800 * index).astype(np.int16)
        soundfile.write(path, samples, 16000, subtype="PCM_16")
        sources.append(Source(f"u{index}", path, "AB BA"[: 2 + index % 4], f"s{index % 2}"))
    for name, part in (("train", sources[:6]), ("dev", sources[6:])):
        write_manifest(folder / "data", name, part)
    (folder / "spec.yaml").write_text(SPEC)
    assert asrkit("tokenizer", "characters", "--data", folder / "data").exit_code == 0
    result = train(folder)
    assert result.exit_code == 0, result.output
    return folder


def train(folder: Path, *overrides: str) -> Result:
    options = ("--data", folder / "data", "--run", folder / "run")
    return asrkit("train", folder / "spec.yaml", *options, *overrides)


def decode(folder: Path, *words: str) -> Result:
    options = ("--data", folder / "data", "--run", folder / "run", "--set", "dev")
    return asrkit("decode", *options, *words)


def test_from_training_to_score(place: Path) -> None:
    assert asrkit("average", "--run", place / "run", "--best", 2).exit_code == 0
    for search, words in (("joint", ("beam_size=2", "length_norm=1.0")), ("greedy", ())):
        result = decode(place, "--search", search, *words)
        assert result.exit_code == 0, result.output
        result = asrkit("score", "--run", place / "run", "--set", "dev", "--search", search)
        assert result.exit_code == 0, result.output
        assert "WER" in result.output
    nbest = (place / "run" / "decode" / "joint" / "dev" / "nbest.jsonl").read_text()
    lines = [json.loads(line) for line in nbest.splitlines()]
    assert [line["id"] for line in lines] == ["u6", "u7"]
    assert 1 <= len(lines[0]["hypotheses"]) <= 2
    assert set(lines[0]["hypotheses"][0]["scores"]) == {"attention", "ctc"}
    summary = json.loads((place / "run" / "decode" / "joint" / "dev" / "summary.json").read_text())
    assert summary["rtf"] > 0
    log = [json.loads(line) for line in (place / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in log] == [1, 2]
    for name in ("resolved.yaml", "environment.json", "commands.txt", "curves.png"):
        assert (place / "run" / name).is_file()


def test_an_interrupted_decode_leaves_the_result_of_before(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decode(place, "--search", "joint", "beam_size=2").exit_code == 0
    folder = place / "run" / "decode" / "joint" / "dev"
    files = ("nbest.jsonl", "search.json", "summary.json")
    before = [(folder / name).read_bytes() for name in files]

    def killed(self: PartialResults, *_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PartialResults, "add", killed)
    assert decode(place, "--search", "joint", "beam_size=1").exit_code != 0
    monkeypatch.undo()
    assert [(folder / name).read_bytes() for name in files] == before
    judge = ("score", "--run", place / "run", "--set", "dev", "--search", "joint")
    refused = asrkit(*judge)
    assert refused.exit_code != 0
    assert "interrupted decode with other settings" in refused.output
    assert decode(place, "--search", "joint", "beam_size=1").exit_code == 0
    assert '"beam_size": 1' in (folder / "search.json").read_text()
    assert asrkit(*judge).exit_code == 0


def test_tensorboard_shows_dev_utterances_and_their_attention(place: Path) -> None:
    events = EventAccumulator(str(place / "run" / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"train/ctc.loss", "dev/attention.loss", "dev/ctc.loss"} <= set(tags["scalars"])
    text = events.Tensors("dev/ctc/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| u6 | AB B |" in text
    assert events.Images("dev/attention")[0].width > 100


def test_training_on_goes_from_the_last_epoch(place: Path) -> None:
    assert train(place, "training.epochs=3").exit_code == 0
    log = [json.loads(line) for line in (place / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in log] == [1, 2, 3]


def test_a_run_of_a_version_with_fewer_keys_goes_on(place: Path) -> None:
    resolved = place / "run" / "resolved.yaml"
    text = resolved.read_text()
    assert "eos: false\n" in text
    kept = [line for line in text.splitlines() if line.strip() != "eos: false"]
    resolved.write_text("\n".join(kept) + "\n")
    result = train(place, "training.epochs=4")
    assert result.exit_code == 0, result.output
    assert resolved.read_text() != text, "the number of epochs is another"
    assert "eos: false\n" in resolved.read_text()


def test_a_check_of_other_utterances_does_not_change_a_run_that_goes_on(place: Path) -> None:
    before = (place / "run" / "left_out.tsv").read_text()
    assert before == ""
    found = asrkit(
        "check", place / "spec.yaml", "--data", place / "data", "data.limits.max_seconds=0.6"
    )
    assert "x too long" in found.output
    assert "dev: 2 of 2" in found.output, "nothing is left out of dev sets for being long"
    found = asrkit(
        "check", place / "spec.yaml", "--data", place / "data", "data.limits.min_seconds=0.62"
    )
    assert "3 x too short, such as u0: 0.500 s, data.limits.min_seconds is 0.62" in found.output
    assert "dev: 2 of 2" in found.output, "nothing is left out of dev sets for being short"
    found = asrkit(
        "check", place / "spec.yaml", "--data", place / "data", "data.limits.max_labels=3"
    )
    assert "too many labels, such as" in found.output
    asrkit("check", place / "spec.yaml", "--data", place / "data", "data.limits.max_seconds=0.6")
    assert (place / "data" / "unusable" / "train.tsv").read_text() != ""
    assert train(place, "training.epochs=4").exit_code == 0
    assert (place / "run" / "left_out.tsv").read_text() == before
    assert asrkit("check", place / "spec.yaml", "--data", place / "data").exit_code == 0


def test_dev_that_cant_be_evaluated_is_refused_before_anything_is_written(place: Path) -> None:
    options = ("--data", place / "data", "data.decoding.max_seconds=0.81")
    problem = "utterance u7 is 0.8 s long, data.decoding.max_seconds is 0.81"
    found = asrkit("check", place / "spec.yaml", *options)
    assert found.exit_code == 2
    shown = " ".join(found.output.split())
    assert f"override: data.decoding.max_seconds: dev: {problem}" in shown
    found = asrkit("train", place / "spec.yaml", *options, "--run", place / "refused")
    assert found.exit_code == 2
    assert problem in " ".join(found.output.split())
    assert not (place / "refused" / "resolved.yaml").exists()


def test_a_check_of_another_spec_does_not_change_a_new_run(place: Path) -> None:
    asrkit("check", place / "spec.yaml", "--data", place / "data", "data.limits.max_seconds=0.6")
    options = ("--data", place / "data", "--run", place / "fresh", "training.epochs=1")
    result = asrkit("train", place / "spec.yaml", *options)
    assert result.exit_code == 0, result.output
    assert (place / "fresh" / "left_out.tsv").read_text() == ""
    result = asrkit("train", place / "spec.yaml", *options, "training.optimizer=sgd")
    assert result.exit_code == 2
    assert "whose training.optimizer.type differ" in result.output.replace("\n", " ")


def test_a_run_does_not_go_on_with_other_labels_of_the_same_number(place: Path) -> None:
    symbols = place / "data" / "text" / "characters.txt"
    before, trained = symbols.read_text(), (place / "run" / "vocabulary.txt").read_text()
    try:
        symbols.write_text("B\nA\n▁\n")
        result = train(place, "training.epochs=9")
    finally:
        symbols.write_text(before)
    assert result.exit_code == 2
    assert "label 0 was 'A' and is 'B' now" in result.output.replace("\n", " ")
    assert (place / "run" / "vocabulary.txt").read_text() == trained


def test_without_a_dev_set_the_newest_checkpoints_are_averaged(place: Path) -> None:
    options = ("--data", place / "data", "--run", place / "all")
    words = (
        "data.train=[train,dev]",
        "data.dev=[]",
        "training.checkpoints.keep_best=2",
        "training.epochs=3",
    )
    result = asrkit("train", place / "spec.yaml", *options, *words)
    assert result.exit_code == 0, result.output
    assert asrkit("average", "--run", place / "all", "--best", 2).exit_code == 0
    log = [json.loads(line) for line in (place / "all" / "log.jsonl").read_text().splitlines()]
    assert [entry["dev"] for entry in log] == [{}, {}, {}]
    steps = [f"step-{entry['step']:08}.pt" for entry in log[1:]]
    found = torch.load(place / "all" / "checkpoints" / "average.pt", weights_only=True)
    assert sorted(found["averaged"]) == steps
    assert (place / "all" / "curves.png").is_file()
    for setting in ("training.early_stopping=2", "training.schedule={type: newbob, start: 1e-3}"):
        refused = asrkit("train", place / "spec.yaml", *options[:3], place / "no", *words, setting)
        assert refused.exit_code == 2
        assert "needs a dev set, but data.dev is empty" in refused.output


def test_alignments_are_in_order(place: Path) -> None:
    options = ("--data", place / "data", "--run", place / "run", "--set", "dev")
    result = asrkit("align", *options, "--checkpoint", "last")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in (place / "run" / "align" / "dev.ctm").read_text().splitlines()]
    assert {row[0] for row in rows} == {"u6", "u7"}
    starts = [float(row[2]) for row in rows if row[0] == "u7"]
    assert starts == sorted(starts)


def test_reading_aids(place: Path) -> None:
    spec = place / "spec.yaml"
    assert f"from: {spec}:20" in asrkit("explain", spec, "training.epochs").output
    assert "from: default" in asrkit("explain", spec, "training.update.max_grad_norm").output
    overridden = asrkit("explain", spec, "training.epochs", "training.epochs=9").output
    assert "training.epochs = 9" in overridden
    assert "from: override" in overridden
    assert "conformer: " in asrkit("list", "encoder").output
    assert "encoder" in asrkit("list").output
    shown = asrkit("show", spec, "--data", place / "data").output
    assert "model: AsrModel" in shown
    other = place / "other.yaml"
    other.write_text("extends: spec.yaml\nseed: 5\n")
    assert asrkit("diff", spec, other).output == "seed: 1 -> 5\n"
    assert asrkit("diff", spec, spec).output == "no difference\n"
    report = asrkit("check", spec, "--data", place / "data")
    assert report.exit_code == 0, report.output
    assert "train: 6 of 6 utterances can be used" in report.output


def test_stm_files_are_references(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "decode" / "joint" / "dev"
    folder.mkdir(parents=True)
    line = {"id": "talk-1-00001000-00003000", "speaker": "ann", "reference": "it's on"}
    written = json.dumps({**line, "text": "it's off", "hypotheses": []})
    (folder / "nbest.jsonl").write_text(written + "\n")
    stm = tmp_path / "dev.stm"
    stm.write_text(";; comment\ntalk 1 ann 1.0 3.0 <o,f0> IT'S { on / off }\n")
    words = ["score", "--run", tmp_path / "run", "--set", "dev", "--search", "joint"]
    assert "WER 50.00 %" in asrkit(*words).output
    assert "WER 0.00 %" in asrkit(*words, "--stm", stm).output
    ctm = (folder / "hypotheses.ctm").read_text()
    assert ctm == "talk 1 1.000 1.000 it's\ntalk 1 2.000 1.000 off\n"
    assert (folder / "hypotheses.trn").read_text() == "it's off (talk-1-00001000-00003000)\n"
    failed = asrkit(*words, "--stm", tmp_path / "none.stm")
    assert failed.exit_code == 2
    assert "none.stm is missing: expected an STM file" in failed.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "none.yaml"], "there is no spec file none.yaml"),
        (["check", "{spec}", "model.encoder.dimm=3"], "did you mean 'dim'?"),
        (["check", "{spec}", "decoding.joint.scorers.lm=0.5"], "the model has no head 'lm'"),
        (["check", "{spec}", "model.encoder.dim=7"], "num_heads (2) must divide dim (7)"),
        (["check", "{spec}", "data.sample_rate=8000"], "sample_rate is 16000, data.sample_rate is"),
        (["check", "{spec}", "plugins=[none_such]"], "can't import 'none_such'"),
        (
            ["check", "{spec}", "data.batches.num_buckets=0", "model.encoder.dim=7"],
            "num_buckets (0) must",
        ),
        (
            ["check", "{spec}", "data.batches.num_buckets=0", "model.encoder.dim=7"],
            "must divide dim (7)",
        ),
        (["check", "{spec}", "seed=-1"], "seed (-1) must be at least 0 and below 4294967296"),
        (["check", "{spec}", "seed=99999999999999999999"], "is too large"),
        (
            ["train", "{spec}", "--data", "{place}/data", "--run", "{place}/r", "seed=4294967296"],
            "seed (4294967296) must be at least 0",
        ),
        (["check", "{spec}", "model.encoder.num_layers=1000000000"], "is a number of layers too l"),
        (["check", "{spec}", "model.encoder.dim=4000000000000000000"], "model.encoder"),
        (["check", "{spec}", "training.epochs=0"], "training: epochs (0) must be at least 1"),
        (["check", "{spec}", "training.schedule.value=-1"], "value (-1.0) must be at least 0"),
        (
            ["check", "{spec}", "--data", "{place}/data", "imports=[{run: none}]"],
            "imports: there is no run folder none; train that run first",
        ),
        (
            ["check", "{spec}", "--data", "{place}/data", "data.limits.max_seconds=0.11"],
            "train: none of its 6 utterances can be used",
        ),
        (
            ["check", "{spec}", "data.dev=[]", "training.early_stopping=3"],
            "early_stopping needs a dev set",
        ),
        (
            ["train", "{spec}", "--data", "{place}/data", "--run", "{spec}/run"],
            "Not a directory; what was written before is intact",
        ),
        (["list", "nothing"], "unknown kind 'nothing'"),
        (["list", "encodr"], "unknown kind 'encodr'; did you mean 'encoder'?"),
        (["check", "{spec}", "model.heads.ctc.weight=-1"], "weight (-1.0) must be at least 0"),
        (["check", "{spec}", "model.heads.attention.weight=-1"], "weight (-1.0) must be at least"),
        (
            ["check", "{spec}", "decoding.joint.scorers.lm={type: language_model, weight: 0.5}"],
            "decoding.joint.scorers.lm: missing key 'run'",
        ),
        (["check", "{spec}", "decoding.joint.scorers.lm=[1]"], "expected a number or a scorer"),
        (["check", "{spec}", "data.train=[../train]", "--data", "{place}/data"], "of a set"),
        (["explain", "{spec}", "training.epoch"], "there is no key 'training.epoch'"),
        (["average", "--run", "{place}/none"], "there is no run folder"),
        (
            ["train", "{spec}", "--data", "{place}", "--run", "{place}/r"],
            "there is no tokenizer file",
        ),
        (
            ["train", "{spec}", "--data", "{place}/data", "--run", "{place}/run", "seed=3"],
            "holds a run whose seed differ",
        ),
        (
            ["train", "{spec}", "--data", "{place}/data", "--run", "{place}/r", "data.dev=[odd]"],
            "there is no set 'odd'",
        ),
        (
            ["score", "--run", "{place}/run", "--set", "dev", "--search", "none"],
            "is missing; first `asrkit decode",
        ),
        (
            ["score", "--run", "{place}/run", "--set", "dev", "--search", "x", "--glm", "a.glm"],
            "give --stm as well",
        ),
    ],
)
def test_problems_are_one_message_and_exit_code_2(
    place: Path, words: list[str], message: str
) -> None:
    spec = str(place / "spec.yaml")
    result = asrkit(*(w.replace("{spec}", spec).replace("{place}", str(place)) for w in words))
    assert result.exit_code == 2
    assert message in result.output.replace("\n", " ")
    assert "Traceback" not in result.output


def test_searches_and_checkpoints_that_are_not_there_are_named(place: Path) -> None:
    result = decode(place, "--search", "beam")
    assert result.exit_code == 2
    assert "there are: joint, greedy" in result.output
    result = decode(place, "--search", "greedy", "--checkpoint", "none.pt")
    assert "there is no checkpoint 'none.pt'" in result.output


def test_a_vocabulary_that_does_not_match_the_checkpoint_is_named(
    place: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "text").mkdir(parents=True)
    (data / "text" / "characters.txt").write_text("A\nB\nC\nD\n▁\n")
    (data / "manifests").symlink_to(place / "data" / "manifests")
    # Of an older run, which did not keep its tokenizer.
    shutil.copytree(place / "run", tmp_path / "run", ignore=shutil.ignore_patterns("text"))
    result = asrkit(
        "decode", "--run", tmp_path / "run", "--data", data, "--set", "dev", "--search", "greedy",
        "--checkpoint", "last",
    )  # fmt: skip
    assert result.exit_code == 2
    message = "was trained with 3 labels, the data folder's tokenizer has 5: label 2 was '▁'"
    assert message in result.output.replace("\n", " ")


def test_plugins_that_fail_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_plugin.py").write_text("x = 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = asrkit("--plugin", "broken_plugin", "list")
    assert result.exit_code == 2
    assert "--plugin: can't import 'broken_plugin': ZeroDivisionError" in result.output


def test_debug_shows_the_traceback() -> None:
    result = asrkit("--debug", "check", "none.yaml")
    assert isinstance(result.exception, UserError)


def test_help_has_an_example_for_every_verb() -> None:
    forms = {f"data {name}": verb for name, verb in data.commands.items()}
    for name, verb in {**main.commands, **forms}.items():
        text = " ".join(asrkit(*name.split(), "--help").output.split())
        assert f"Example: asrkit {name}" in text, name
        assert verb.help


def test_the_command_line_starts_without_what_takes_long_to_import() -> None:
    code = "import sys, asrkit.cli; sys.exit(bool({'torch', 'numpy'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)

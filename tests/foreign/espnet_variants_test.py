"""Imported ESPnet models of many kinds compute and find what ESPnet does, and go back to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
import yaml
from click.testing import CliRunner
from safetensors import safe_open
from torch import Tensor

from asrkit.cli import main
from asrkit.data.manifests import Source, write_manifest
from asrkit.errors import UserError
from asrkit.experiment import decode, export_model, import_model
from asrkit.experiment.import_model import describe
from asrkit.experiment.runs import open_run
from asrkit.foreign.espnet.labels import END
from asrkit.losses.ctc import ctc_loss
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.interfaces import Encoded
from asrkit.nn.masking import length_mask
from asrkit.run_files import read_nbest
from asrkit.run_folder import RunFolder
from tests.foreign.stored_models import HERE, StoredModel, put_espnet, put_one_of

FILE = "espnet-variants"
VOLUME = "speech_volume_normalize:"
KINDS = {
    "transformer-char": "joint",
    "transformer-bpe": "joint",
    "conformer-word": "joint",
    "conformer-ctc": "ctc",
    "e_branchformer-char": "joint",
}
"""The search that decodes with each."""


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def stored(kind: str, tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    return put_one_of(FILE, kind, tmp_path_factory.mktemp(kind) / "there")


@pytest.fixture(scope="module")
def run(stored: StoredModel) -> Path:
    return import_model("espnet", stored.checkpoint, stored.checkpoint.parent / "run").run


@pytest.fixture(scope="module")
def model(run: Path) -> Iterator[AsrModel]:
    found, _ = open_run(run).model("average")
    assert isinstance(found, AsrModel)
    with torch.no_grad():
        yield found


@pytest.fixture(scope="module")
def encoded(model: AsrModel, stored: StoredModel) -> Encoded:
    signal = stored.tensors["signal"][None]
    return model.encode(signal, torch.tensor([signal.shape[1]]))


def agree(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=5e-5)


def same(ours: Tensor, theirs: Tensor) -> None:
    """Statistics are there in double precision."""
    torch.testing.assert_close(ours, theirs.to(ours.dtype), rtol=1e-6, atol=1e-7)


def test_all_variants_are_tested() -> None:
    with safe_open(HERE / f"{FILE}.safetensors", "pt") as file:
        names = [name.removesuffix("/config") for name in file.metadata() if "/config" in name]
    assert sorted(names) == sorted(KINDS)


def test_frames_and_log_probabilities_agree(
    model: AsrModel, stored: StoredModel, encoded: Encoded
) -> None:
    agree(encoded.frames, stored.tensors["frames"])
    ctc, size = model.heads["ctc"], len(model.vocabulary)
    assert isinstance(ctc, CtcHead)
    frames = stored.tensors["ctc"]
    log_probs = ctc.symbol_log_probs(encoded)
    agree(log_probs, torch.cat([frames[..., 1 : size + 1], frames[..., :1]], dim=-1))
    labels = stored.tensors["text"][None] - 1
    lengths = torch.tensor([labels.shape[1]])
    agree(ctc_loss(log_probs, encoded.lengths, labels, lengths)[0], stored.tensors["loss_ctc"])
    if "attention" in model.heads:
        head = model.heads["attention"]
        assert isinstance(head, AttentionHead)
        read = F.pad(labels, (1, 0), value=head.eos)
        logits = head.decoder(read, encoded.frames, length_mask(encoded.lengths))
        agree(logits[..., : size + 1], stored.tensors["attention"][..., 1:])
    else:
        assert "attention" not in stored.tensors


def test_the_same_is_found(kind: str, run: Path, stored: StoredModel, tmp_path: Path) -> None:
    signal = stored.tensors["signal"].numpy()
    soundfile.write(tmp_path / "a.wav", signal, 16000)
    write_manifest(tmp_path / "data", "test", [Source("a", tmp_path / "a.wav", "one", "s")])
    search = KINDS[kind]
    decode(run, tmp_path / "data", "test", search, overrides=["nbest=3", "beam_size=5"])
    (line,) = read_nbest(RunFolder(run).decoded_set(search, "test").nbest)
    text, tokens, total = stored.hypotheses[0][0]
    best = line.hypotheses[0]
    symbols = open_run(run).vocabulary.symbols
    # At its limit of labels, ESPnet adds a second end of sentence to hypotheses that have ended.
    assert [symbols[label] for label in best.labels] == [each for each in tokens if each != END]
    assert line.text == " ".join(text.removesuffix(END).split())
    agree(torch.tensor(best.score), torch.tensor(total))


def test_an_exported_model_has_all_tensors_that_espnet_has(
    run: Path, stored: StoredModel, tmp_path: Path
) -> None:
    command = f"export espnet {run} --out {tmp_path}/there"
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 0, result.output
    theirs = torch.load(tmp_path / "there" / "model.pth", weights_only=True)
    before = {n.removeprefix("model."): t for n, t in stored.tensors.items() if "model." in n}
    assert theirs.keys() - before.keys() == {"frontend.logmel.melmat"}  # not stored: it is computed
    assert not before.keys() - theirs.keys()
    for name, tensor in before.items():
        same(theirs[name], tensor)
    config = yaml.safe_load((tmp_path / "there" / "config.yaml").read_text())
    given = json.loads((stored.checkpoint.parent / "config.yaml").read_text())
    paths = {"bpemodel", "normalize_conf"}
    assert all(config[key] == given[key] for key in given.keys() - paths)
    if config["token_type"] == "bpe":
        assert Path(config["bpemodel"]).is_file()
    again = import_model("espnet", tmp_path / "there" / "model.pth", tmp_path / "run").run
    ours, new = (open_run(each).model("average")[0].state_dict() for each in (run, again))
    assert ours.keys() == new.keys()
    for name, tensor in ours.items():
        same(new[name], tensor)


def test_filters_and_statistics_are_exported_as_espnet_has_them(tmp_path: Path) -> None:
    run = import_model("espnet", put_espnet(tmp_path / "exp"), tmp_path / "run").run
    export_model("espnet", run, tmp_path / "there")
    theirs = torch.load(tmp_path / "there" / "model.pth", weights_only=True)
    before = torch.load(tmp_path / "exp" / "valid.acc.ave.pth", weights_only=True)
    assert theirs.keys() == before.keys()
    for name, tensor in before.items():
        same(theirs[name], tensor)
    config = yaml.safe_load((tmp_path / "there" / "config.yaml").read_text())
    statistics = np.load(config["normalize_conf"]["stats_file"])
    mean = statistics["sum"] / statistics["count"]
    deviation = np.sqrt(statistics["sum_square"] / statistics["count"] - mean**2)
    np.testing.assert_allclose(mean, before["normalize.mean"], rtol=1e-6)
    np.testing.assert_allclose(deviation, before["normalize.std"], rtol=1e-5)


def test_only_the_configuration_of_this_model_is_exported(tmp_path: Path) -> None:
    run = import_model("espnet", put_espnet(tmp_path / "exp"), tmp_path / "run").run
    config = (tmp_path / "exp" / "config.yaml").read_text()
    (tmp_path / "more.yaml").write_text(
        config.replace("  rel_pos_type", "  dropout_rate: 0.3\n  rel_pos_type")
    )
    export_model("espnet", run, tmp_path / "more", tmp_path / "more.yaml")  # dropout is of training
    (tmp_path / "other.yaml").write_text(
        config.replace("  num_blocks: 2\n  output", "  num_blocks: 3\n  output")
    )
    with pytest.raises(UserError, match=r"encoder\.num_layers: 2, there 3"):
        export_model("espnet", run, tmp_path / "other", tmp_path / "other.yaml")
    louder = config.replace(f"{VOLUME} null", f"{VOLUME} 0.5")
    (tmp_path / "other.yaml").write_text(louder)
    with pytest.raises(UserError, match=r"features\.signal_normalization.*peak"):
        export_model("espnet", run, tmp_path / "other", tmp_path / "other.yaml")
    assert not (tmp_path / "other").exists()
    RunFolder(run).foreign_config.unlink()
    with pytest.raises(UserError, match="was not imported"):
        export_model("espnet", run, tmp_path / "there")


def test_a_volume_that_recordings_are_brought_to_is_imported(tmp_path: Path) -> None:
    checkpoint = put_espnet(tmp_path)
    config = (tmp_path / "config.yaml").read_text()
    assert f"{VOLUME} null" in config
    (tmp_path / "config.yaml").write_text(config.replace(f"{VOLUME} null", f"{VOLUME} 0.5"))
    model, _ = open_run(import_model("espnet", checkpoint, tmp_path / "run").run).model("average")
    assert isinstance(model, AsrModel)
    signal = torch.randn(1, 4000)
    found = model.features.samples_of(signal, torch.tensor([4000]))
    torch.testing.assert_close(found, signal * 0.5 / signal.abs().max())


REFUSED = {
    "rel_pos_type: latest": ("rel_pos_type: legacy", "encoder_conf.rel_pos_type is 'legacy'"),
    "encoder: conformer": ("encoder: branchformer", "encoder is 'branchformer'"),
    "frontend: default": ("frontend: s3prl", "frontend is 's3prl'"),
    "token_type: bpe": ("token_type: phn", "token_type is 'phn'"),
    "normalize: global_mvn": ("normalize: other", "normalize is 'other'"),
    "model: espnet": ("model: maskctc", "model is 'maskctc'"),
    f"{VOLUME} null": (f"{VOLUME} loud", "speech_volume_normalize is 'loud', expected a number"),
    "cleaner: null": ("cleaner: tacotron", "cleaner is 'tacotron'"),
}


def test_what_can_not_be_imported_is_refused_by_name(tmp_path: Path) -> None:
    put_espnet(tmp_path)
    config = (tmp_path / "config.yaml").read_text()
    for known, (other, said) in REFUSED.items():
        assert f"\n{known}" in f"\n{config}" or f"  {known}" in config, known
        (tmp_path / "other.yaml").write_text(config.replace(known, other, 1))
        with pytest.raises(UserError) as refused:
            describe("espnet", tmp_path / "other.yaml", tmp_path / "bpe.model")
        assert said in str(refused.value)

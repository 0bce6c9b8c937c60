"""Imported language models of ESPnet give its log-probabilities, alone and in a joint search."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch import Tensor

from asrkit.data.manifests import Source, write_manifest
from asrkit.errors import UserError
from asrkit.experiment import decode, export_model, import_model
from asrkit.experiment.import_model import describe
from asrkit.experiment.runs import open_run
from asrkit.models.language_model import LanguageModel
from asrkit.run_files import read_nbest
from asrkit.run_folder import RunFolder
from tests.foreign.stored_models import HERE, StoredModel, put_espnet, put_one_of

FILE = "espnet-lms"
KINDS = ["transformer", "transformer-sinusoidal", "seq_rnn", "seq_rnn-tied"]


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recogniser")
    for number in range(2):
        signal = load_file(HERE / "espnet-conformer" / "tensors.safetensors")[f"signal.{number}"]
        soundfile.write(folder / f"{number}.wav", signal.numpy(), 16000)
    sources = [Source(str(n), folder / f"{n}.wav", "one two", "speaker") for n in range(2)]
    write_manifest(folder / "data", "test", sources)
    return import_model("espnet", put_espnet(folder / "exp"), folder / "run").run


@pytest.fixture(scope="module", params=KINDS)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    return put_one_of(FILE, request.param, tmp_path_factory.mktemp("lm") / "there")


@pytest.fixture(scope="module")
def run(stored: StoredModel) -> Path:
    return import_model("espnet", stored.checkpoint, stored.checkpoint.parent / "run").run


def agree(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=5e-5)


@torch.no_grad()
def test_log_probabilities_agree_at_once_and_step_by_step(run: Path, stored: StoredModel) -> None:
    model, _ = open_run(run).model("average")
    assert isinstance(model, LanguageModel)
    labels = stored.tensors["labels"] - 1
    read = torch.cat([torch.tensor([model.outputs.eos]), labels])
    theirs = stored.tensors["log_probs"][0, :, 1:]  # without blank
    nothing = torch.zeros(1, 0).bool()
    logits = model.decoder(read[None], None, nothing)
    agree(logits.log_softmax(2)[0, :, :-1], theirs)
    memory = model.decoder.begin(None, nothing)
    state = model.decoder.initial_state(memory)
    for label, expected in zip(read, theirs, strict=True):
        found, state = model.decoder.step(state, label[None], memory)
        agree(found[0], expected)


def test_the_same_is_found_with_it(run: Path, stored: StoredModel, recogniser: Path) -> None:
    spec = recogniser.parent / f"{run.parent.parent.name}.yaml"
    spec.write_text(
        "decoding: {with_lm: {type: label_sync, beam_size: 5, scorers: {attention: 0.7, ctc: 0.3, "
        f"lm: {{type: language_model, weight: 0.5, run: {run}}}}}}}}}\n"
    )
    decode(recogniser, recogniser.parent / "data", "test", "with_lm", spec=spec)
    symbols = open_run(recogniser).vocabulary.symbols
    lines = read_nbest(RunFolder(recogniser).decoded_set("with_lm", "test").nbest)
    assert len(lines) == len(stored.hypotheses)
    for line, lists in zip(lines, stored.hypotheses, strict=True):
        text, tokens, total = lists[0]
        best = line.hypotheses[0]
        assert (line.text, [symbols[label] for label in best.labels]) == (text, tokens)
        agree(torch.tensor(best.score), torch.tensor(total))


def test_weights_go_back_as_espnet_has_them(run: Path, stored: StoredModel, tmp_path: Path) -> None:
    export_model("espnet", run, tmp_path / "there")
    theirs = torch.load(tmp_path / "there" / "model.pth", weights_only=True)
    before = {n.removeprefix("model."): t for n, t in stored.tensors.items() if "model." in n}
    assert theirs.keys() == before.keys()
    for name, tensor in before.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=1e-6, atol=1e-7)


def test_language_models_of_other_kinds_are_refused(tmp_path: Path) -> None:
    put_one_of(FILE, "seq_rnn", tmp_path)
    config = (tmp_path / "config.yaml").read_text()
    for known, other, said in [
        ('"lm": "seq_rnn"', '"lm": "transformer_opt"', "lm is 'transformer_opt'"),
        ('"unit": 6', '"rnn_type": "gru", "unit": 6', "lm_conf.rnn_type is 'gru'"),
    ]:
        assert known in config
        (tmp_path / "other.yaml").write_text(config.replace(known, other))
        with pytest.raises(UserError) as refused:
            describe("espnet", tmp_path / "other.yaml", tmp_path / "bpe.model")
        assert said in str(refused.value)

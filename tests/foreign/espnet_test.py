"""An imported ESPnet model computes what ESPnet computes, layer by layer, and finds the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from safetensors import safe_open
from torch import Tensor, nn

from asrkit.cli import main
from asrkit.errors import UserError
from asrkit.experiment import import_model, score
from asrkit.experiment.import_model import describe
from asrkit.experiment.runs import open_run
from asrkit.foreign.rules import restored
from asrkit.losses.cross_entropy import cross_entropy
from asrkit.losses.ctc import ctc_loss
from asrkit.models.asr_model import AsrModel
from asrkit.models.decoders.transformer import TransformerDecoder
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.interfaces import Encoded
from asrkit.nn.masking import length_mask
from tests.foreign.comparison import agree, found_by, layers_of, least_loss
from tests.foreign.stored_models import put_espnet

HERE = Path(__file__).parent
KINDS = ["conformer", "e_branchformer"]
UTTERANCES = ["0", "1"]


@dataclass(frozen=True)
class Stored:
    """What ESPnet had and computed.

    Args:
        folder: Its files, with model.pth as ESPnet writes it.
        tensors: Weights, inputs and outputs.
        hypotheses: N-best lists of (text, tokens, score).
    """

    folder: Path
    tensors: dict[str, Tensor]
    hypotheses: list[Any]

    def columns(self, last: str) -> list[int]:
        """Returns their number of each output here, `last` of which comes after the labels."""
        size = len(self.tensors["model.ctc.ctc_lo.bias"])
        ends = [0, size - 1] if last == "blank" else [size - 1, 0]
        return [*range(1, size - 1), *ends]

    def labels(self, number: str) -> Tensor:
        """Returns the labels (U,) of an utterance by their ids here."""
        return self.tensors[f"text.{number}"] - 1


@pytest.fixture(scope="module", params=KINDS)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder = tmp_path_factory.mktemp("espnet")
    source = HERE / f"espnet-{request.param}"
    put_espnet(folder, request.param, "model.pth")
    with safe_open(source / "tensors.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        hypotheses = json.loads(file.metadata()["hypotheses"])
    return Stored(folder, tensors, hypotheses)


@pytest.fixture(scope="module")
def run(stored: Stored) -> Path:
    return import_model("espnet", stored.folder / "model.pth", stored.folder / "run").run


@pytest.fixture(scope="module")
def model(run: Path) -> Iterator[AsrModel]:
    found, _ = open_run(run).model("average")
    assert isinstance(found, AsrModel)
    with torch.no_grad():
        yield found


def encoded_alone(model: AsrModel, stored: Stored, number: str) -> Encoded:
    signal = stored.tensors[f"signal.{number}"][None]
    return model.encode(signal, torch.tensor([signal.shape[1]]))


@pytest.mark.parametrize("number", UTTERANCES)
def test_features_and_each_layer_of_the_encoder_agree(
    model: AsrModel, stored: Stored, number: str
) -> None:
    encoded, found = layers_of(model, stored.tensors[f"signal.{number}"])
    for name, output in found.items():
        agree(output, stored.tensors[f"{number}.{name}"])
    assert encoded.lengths.tolist() == stored.tensors[f"{number}.lengths"].tolist()


@pytest.mark.parametrize("number", UTTERANCES)
def test_log_probabilities_agree(model: AsrModel, stored: Stored, number: str) -> None:
    encoded = encoded_alone(model, stored, number)
    ctc = model.heads["ctc"]
    assert isinstance(ctc, CtcHead)
    frames = stored.tensors[f"{number}.ctc"][..., stored.columns("blank")]
    agree(ctc.symbol_log_probs(encoded), frames[..., :-1])
    agree(logits_of(model, stored, encoded, number), attention_of(stored, number))


def attention_of(stored: Stored, number: str) -> Tensor:
    return stored.tensors[f"{number}.attention"][..., stored.columns("eos")]


def logits_of(model: AsrModel, stored: Stored, encoded: Encoded, number: str) -> Tensor:
    head = model.heads["attention"]
    assert isinstance(head, AttentionHead)
    read = F.pad(stored.labels(number), (1, 0), value=head.eos)[None]
    mask = length_mask(encoded.lengths)
    logits: Tensor = head.decoder(read, encoded.frames, mask)
    return logits


@pytest.mark.parametrize("number", UTTERANCES)
def test_losses_agree(model: AsrModel, stored: Stored, number: str) -> None:
    encoded = encoded_alone(model, stored, number)
    ctc, labels = model.heads["ctc"], stored.labels(number)[None]
    assert isinstance(ctc, CtcHead)
    found, _ = ctc_loss(
        ctc.symbol_log_probs(encoded), encoded.lengths, labels, torch.tensor([labels.shape[1]])
    )
    agree(found, stored.tensors[f"{number}.loss_ctc"])
    targets = F.pad(labels, (0, 1), value=len(model.vocabulary))
    logits = logits_of(model, stored, encoded, number)
    smoothed = cross_entropy(logits, targets, torch.ones_like(targets).bool(), 0.1)
    least = targets.shape[1] * least_loss(0.1, logits.shape[2])
    agree(smoothed - least, stored.tensors[f"{number}.loss_att"])


def test_steps_of_the_decoder_give_what_all_at_once_give(model: AsrModel, stored: Stored) -> None:
    encoded = encoded_alone(model, stored, "0")
    head = model.heads["attention"]
    assert isinstance(head, AttentionHead)
    assert isinstance(head.decoder, TransformerDecoder)
    memory = head.decoder.begin(encoded.frames, length_mask(encoded.lengths))
    state = head.decoder.initial_state(memory)
    expected = attention_of(stored, "0").log_softmax(2)[0, :, : len(model.vocabulary) + 1]
    read = [head.eos, *stored.labels("0").tolist()]
    for label, log_probs in zip(read, expected, strict=True):
        found, state = head.decoder.step(state, torch.tensor([label]), memory)
        agree(found[0], log_probs)


def test_padding_changes_nothing_here(model: AsrModel, stored: Stored) -> None:
    signals = [stored.tensors[f"signal.{number}"] for number in UTTERANCES]
    lengths = torch.tensor([len(signal) for signal in signals])
    batch = nn.utils.rnn.pad_sequence(signals, batch_first=True)
    encoded = model.encode(batch, lengths)
    for row, number in enumerate(UTTERANCES):
        alone = stored.tensors[f"{number}.frames"][0]
        agree(encoded.frames[row, : len(alone)], alone)
    # Where there is no padding, ESPnet's batch agrees, too; where there is, its frames differ.
    agree(encoded.frames[0], stored.tensors["batch.frames"][0])


def test_the_same_is_found(run: Path, stored: Stored) -> None:
    signals = [stored.tensors[f"signal.{number}"] for number in UTTERANCES]
    lines = found_by(run, signals, "joint", "nbest=5")
    assert score(run, "test", "joint") is not None
    symbols = open_run(run).vocabulary.symbols
    assert [line.id for line in lines] == UTTERANCES
    for line, expected in zip(lines, stored.hypotheses, strict=True):
        assert line.text == expected[0][0]
        theirs = {tuple(tokens): total for _, tokens, total in expected}
        ours = {tuple(symbols[n] for n in each.labels): each.score for each in line.hypotheses}
        assert list(ours)[0] == list(theirs)[0]
        # Lower ranks may differ: among the candidates for CTC, ESPnet also has eos and blank.
        shared = [tokens for tokens in ours if tokens in theirs]
        assert len(shared) >= 3
        for tokens in shared:
            agree(torch.tensor(ours[tokens]), torch.tensor(theirs[tokens]))


def test_weights_go_back_to_the_other_layout(run: Path, stored: Stored) -> None:
    described = describe("espnet", stored.folder / "config.yaml", None)
    weights = open_run(run).model("average")[0].state_dict()
    theirs = restored(weights, described.rules)
    for name, tensor in stored.tensors.items():
        if name.startswith("model.") and not name.startswith("model.frontend"):
            back = theirs[name.removeprefix("model.")]
            agree(back, tensor.to(back.dtype))


def test_what_does_not_fit_is_refused_by_name(stored: Stored, tmp_path: Path) -> None:
    weights = torch.load(stored.folder / "model.pth", weights_only=True)
    weights["extra.weight"] = weights.pop("ctc.ctc_lo.bias")
    torch.save(weights, tmp_path / "other.pth")
    command = f"import espnet {tmp_path}/other.pth --out {tmp_path}/run"
    command += f" --config {stored.folder}/config.yaml"
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code != 0
    assert "heads.ctc.output.bias (looked for ctc.ctc_lo.bias)" in result.output
    assert "extra.weight" in result.output
    assert not (tmp_path / "run").exists()
    result = CliRunner().invoke(
        main, [*command.split(), "--may-miss", "ctc", "--may-leave", "extra"]
    )
    assert result.exit_code == 0, result.output
    assert "starts afresh: heads.ctc.output.bias" in result.output


def test_all_settings_that_can_not_be_expressed_are_named_at_once(
    stored: Stored, tmp_path: Path
) -> None:
    config = (stored.folder / "config.yaml").read_text()
    config = config.replace("decoder: transformer", "decoder: rnn")
    config = config.replace(
        "  attention_heads: 2", "  qk_norm: true\n  attention_heads: 2\n  depth: 1"
    )
    (tmp_path / "config.yaml").write_text(config)
    with pytest.raises(UserError) as refused:
        describe("espnet", tmp_path / "config.yaml", stored.folder / "bpe.model")
    for part in ("decoder is 'rnn'", "encoder_conf.qk_norm is True", "encoder_conf.depth: unknown"):
        assert part in str(refused.value)

"""Losses of training, and their gradients, are those that RETURNN computes of the same models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from asrkit.data.batch import Batch
from asrkit.experiment import import_model
from asrkit.experiment.runs import open_run
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.heads.ctc import CtcHead
from tests.foreign.comparison import agree, decoder_loss, layers_of, least_loss, outputs_of
from tests.foreign.stored_models import put_returnn

HERE = Path(__file__).parent / "returnn"
INPUTS = load_file(HERE / "aed.safetensors")
SIZE = len(INPUTS["model.target_embed.weight"])
ENDED = [*range(1, SIZE), 0]
"""RETURNN's number of each label here, and of end of sentence."""


def imported(folder: Path, kind: str, suffix: str) -> AsrModel:
    run = import_model("returnn", put_returnn(folder, kind, suffix), folder / "run").run
    model, _ = open_run(run).model("average")
    assert isinstance(model, AsrModel)
    return model


def batch_of(number: str) -> Batch:
    signal, labels = INPUTS[f"signal.{number}"], INPUTS[f"text.{number}"] - 1
    lengths = torch.tensor([len(signal)]), torch.tensor([len(labels)])
    return Batch([number], signal[None], lengths[0], labels[None], lengths[1])


def decoder_of(model: AsrModel) -> AttentionHead:
    head = model.heads["attention"]
    assert isinstance(head, AttentionHead)
    return head


def test_losses_and_gradients_of_tensorflow_layers_agree(tmp_path: Path) -> None:
    model, expected = imported(tmp_path, "tf", ".safetensors"), load_file(HERE / "tf.safetensors")
    batch = batch_of("0")
    encoded, found = layers_of(model, INPUTS["signal.0"])
    head = decoder_of(model)
    found |= (kept := outputs_of({"attention": head.decoder}))
    ctc_head = model.heads["ctc"]
    assert isinstance(ctc_head, CtcHead)
    ctc = ctc_head.loss(encoded, batch)["loss"].total
    agree(ctc, expected["0.loss_ctc"])
    smoothed = decoder_loss(head, encoded, batch, smoothed=True)
    agree(
        smoothed - len(expected["0.attention"][0]) * least_loss(0.1, SIZE),
        expected["0.loss_attention"],
    )
    places = [found["embed"], found["frames"], kept["attention"]]
    embed, frames, scores = torch.autograd.grad(ctc + smoothed, places)
    agree(embed, expected["0.gradient_embed"])
    agree(frames, expected["0.gradient_frames"])
    agree(scores, expected["0.gradient_attention"][..., ENDED])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> AsrModel:
    return imported(tmp_path_factory.mktemp("returnn"), "aed", ".pt")


@pytest.mark.parametrize("number", ["0", "1"])
def test_loss_of_the_decoder_agrees_and_its_smoothed_gradient(model: AsrModel, number: str) -> None:
    batch, head = batch_of(number), decoder_of(model)
    kept = outputs_of({"attention": head.decoder})
    encoded = model.encode(batch.signal, batch.signal_lengths)
    plain = decoder_loss(head, encoded, batch, smoothed=False)
    agree(plain, INPUTS[f"{number}.loss_attention"][0])
    # There, smoothing changes the gradient alone.
    smoothed = decoder_loss(head, encoded, batch, smoothed=True)
    (gradient,) = torch.autograd.grad(smoothed, kept["attention"])
    agree(gradient, INPUTS[f"{number}.gradient_attention"][..., ENDED])

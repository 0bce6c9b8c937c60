"""The attention models of RETURNN: how many parameters they have, and the details that count."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest
import torch
from torch import nn

from asrkit.experiment import load_spec
from asrkit.experiment.spec import resolve_spec
from asrkit.models.asr_model import AsrModel
from asrkit.models.decoders.lstm import LstmDecoder
from asrkit.nn.dropout import Dropout
from asrkit.nn.lstm_cell import LstmCell
from asrkit.nn.signal_normalization import NoSignalNormalization, PeakNormalization
from asrkit.text.vocabulary import Vocabulary

RECIPES = Path(__file__).parents[2] / "recipes"
LIBRISPEECH, TEDLIUM = "librispeech/conf/aed.yaml", "tedlium2/conf/aed.yaml"
UNITS = {LIBRISPEECH: 10024, TEDLIUM: 1056}  # and end of sentence; small models have fewer


def build(name: str) -> AsrModel:
    experiment, _ = resolve_spec(load_spec(RECIPES / name))
    with torch.device("meta"):
        model = experiment.model(
            vocabulary=Vocabulary([f"l{i}" for i in range(UNITS.get(name, 50))])
        )
    assert isinstance(model, AsrModel)
    return model


def published_shapes(labels: int, embedding: int, ctc_heads: int) -> list[tuple[int, ...]]:
    """Returns the shapes of the public definition, `labels` with end of sentence, without blank.

    Source: rwth-i6/i6_experiments, users/zeyer/experiments/exp2023_04_25_rf,
        conformer_import_moh_att_2023_06_30.py; rwth-i6/returnn, returnn/frontend.
    """
    dim, ff, key, lstm, readout = 512, 2048, 1024, 1024, 1024
    shapes: list[tuple[int, ...]] = [(32, 1, 3, 3), (32,), (64, 32, 3, 3), (64,), (64, 64, 3, 3)]
    shapes += [(64,), (64 * 40, dim)]  # 80 bands, pooled by 2; no bias
    norm = [(dim,), (dim,)]
    feed_forward = [(dim, ff), (ff,), (ff, dim), (dim,), *norm]
    attention = [(dim, 3 * dim), (dim, dim), (2 * 16 + 1, 64), *norm]
    convolution = [(dim, 2 * dim), (2 * dim,), (dim, 1, 32), (dim,), *norm, (dim, dim), (dim,)]
    shapes += 12 * [*feed_forward, *attention, *convolution, *norm, *feed_forward, *norm]
    shapes += [(dim, key), (key,), (dim, 1), (labels, embedding)]
    shapes += [(4 * lstm, embedding + dim), (4 * lstm, lstm), (4 * lstm,)]
    shapes += [(1, key), (lstm, key), (key, 1)]
    shapes += [(lstm + embedding + dim, readout), (readout,), (readout // 2, labels), (labels,)]
    return shapes + ctc_heads * [(dim, labels + 1), (labels + 1,)]


@pytest.mark.parametrize(
    ("name", "sizes", "published"),
    [(LIBRISPEECH, (10025, 640, 2), 108_668_093), (TEDLIUM, (1057, 256, 1), None)],
)
def test_parameters_are_those_of_the_definition(
    name: str, sizes: tuple[int, int, int], published: int | None
) -> None:
    found = [tuple(parameter.shape) for parameter in build(name).parameters()]
    expected = published_shapes(*sizes)
    assert sorted(map(prod, found)) == sorted(map(prod, expected))  # a linear layer is transposed
    count = sum(map(prod, found))
    assert published in (None, count)
    assert count == sum(map(prod, expected))


@pytest.mark.parametrize("name", ["an4/conf/aed.yaml", "an4/conf/aed-chunked.yaml"])
def test_small_models_that_hear_streams_hear_recordings_as_loud_as_they_are(name: str) -> None:
    assert isinstance(build(name).features.signal_normalization, NoSignalNormalization)


@pytest.mark.parametrize("name", [LIBRISPEECH, TEDLIUM])
def test_details_are_those_of_the_definition(name: str) -> None:
    model = build(name)
    norms = [m for m in model.modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 12 * 5
    assert {norm.eps for norm in norms} == {1e-6}
    batch_norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]
    assert [norm.eps for norm in batch_norms] == [1e-3] * 12
    dropouts = [m for m in model.modules() if isinstance(m, Dropout) and m.shareable]
    embeddings = model.get_submodule("heads.attention.decoder.embedding_dropout")
    shared = {m.shared for m in dropouts if m is not embeddings}
    assert shared == {frozenset({"batch", "time"})}
    decoder = model.heads["attention"].get_submodule("decoder")
    assert isinstance(decoder, LstmDecoder)
    assert decoder.first_input == "zeros"
    assert (decoder.zoneout.cell, decoder.zoneout.output) == (0.15, 0.05)
    read = LstmCell(biases="one", read="plain", share_zoneout=True)
    zoned = LstmCell(biases="one", read="zoned", forget_bias=1.0, share_zoneout=True)
    assert decoder.lstm == (read if name == LIBRISPEECH else zoned)
    loudest = model.features.signal_normalization
    assert isinstance(loudest, PeakNormalization)
    assert loudest.level == 1.0
    frames = model.output_frames(torch.tensor([400, 160 * 60 + 240, 160 * 60 + 400]))
    assert frames.tolist() == [1, 10, 11]  # of 60 ms: 1, 60 and 61 whole windows

"""What is special to the Conformer: kinds and places of sublayers, spans, size, precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from asrkit.config.build import build
from asrkit.config.problems import SpecError
from asrkit.config.registry import Factory, import_all
from asrkit.models.interfaces import Encoder
from asrkit.nn.residual import Residual, StochasticDepth

import_all()
CONV2D = {"type": "conv2d", "channels": [4, 4], "strides": [2, 2], "dim": 8}


class Holder:
    def __init__(self, encoder: Factory[Encoder]) -> None:
        self.encoder = encoder


def blocks(hidden_dim: int = 12, num_heads: int = 2, **convolution: Any) -> list[dict[str, Any]]:
    ffn = {"type": "feed_forward", "hidden_dim": hidden_dim}
    attention = {
        "type": "self_attention",
        "num_heads": num_heads,
        "position": "transformer_xl",
    }
    return [
        {"name": "ffn1", "scale": 0.5, "module": ffn},
        {"name": "attention", "module": attention},
        {"name": "convolution", "module": {"type": "convolution", "kernel_size": 5} | convolution},
        {"name": "ffn2", "scale": 0.5, "module": ffn},
    ]


def make(**changes: Any) -> Encoder:
    spec = {"type": "conformer", "dim": 8, "num_layers": 3, "frontend": [CONV2D]}
    spec = {**spec, "blocks": blocks(), **changes}
    return build(Holder, {"encoder": spec}).encoder(input_dim=80)


def make_transformer(**changes: Any) -> Encoder:
    sizes = {"dim": 8, "num_layers": 2, "num_heads": 2, "feed_forward": {"hidden_dim": 12}}
    spec = {"type": "transformer", "frontend": {}, "dropout": 0.0, **sizes, **changes}
    return build(Holder, {"encoder": spec}).encoder(input_dim=80)


def test_survival_counts_the_sublayers_of_one_kind() -> None:
    depth = {"type": "stochastic_depth", "survival": 0.5, "profile": "linear"}
    encoder = make(blocks=[{**part, "keep": depth} for part in blocks()])
    survivals: dict[str, list[float]] = {}
    for part in encoder.modules():
        if isinstance(part, Residual):
            assert isinstance(part.keep, StochasticDepth)
            survivals.setdefault(type(part.module).__name__, []).append(part.keep.survival)
    assert survivals["FeedForward"] == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert survivals["SelfAttention"] == survivals["Convolution"] == pytest.approx([1, 0.75, 0.5])


def test_finding_the_kinds_draws_no_random_numbers() -> None:
    torch.manual_seed(0)
    first = make(num_layers=1)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    make(num_layers=1, blocks=blocks())
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 4, 3)
    assert torch.equal(next(first.parameters()), convolution.weight)
    assert not any(parameter.is_meta for parameter in first.parameters())


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"gate": {"type": "squeeze_excitation", "bottleneck_dim": 2}}, "SqueezeExcitation"),
        ({"norm": "group_norm"}, "GroupNorm"),
    ],
)
def test_a_causal_encoder_refuses_parts_that_need_all_frames(
    part: dict[str, Any], name: str
) -> None:
    make(blocks=blocks(**part))
    with pytest.raises(SpecError, match=f"{name} at blocks.0.convolution.module.* needs all"):
        make(blocks=blocks(**part), context={"span": "causal"})


def still(**convolution: Any) -> list[dict[str, Any]]:
    """Returns blocks without dropout."""
    parts = [{**part, "dropout": 0.0} for part in blocks(**convolution)]
    for part in parts:
        if part["name"] != "convolution":
            part["module"] = {**part["module"], "dropout": 0.0}
    return parts


@pytest.mark.parametrize("frontend", [[], [CONV2D]])
@pytest.mark.parametrize("training", [False, True])
def test_nan_in_the_padding_changes_neither_frames_nor_gradients(
    frontend: list[Any], training: bool
) -> None:
    torch.manual_seed(0)
    encoder = make(frontend=frontend, blocks=still(), dropout=0.0).train(training)
    lengths = torch.tensor([21, 9])
    features = torch.randn(2, 21, 80)
    results = []
    for padding in (0.0, float("nan")):
        features[1, 9:] = padding
        encoded = encoder(features, lengths)
        valid = torch.cat([f[: int(n)] for f, n in zip(*_both(encoded), strict=True)])
        gradients = torch.autograd.grad(valid.square().sum(), list(encoder.parameters()))
        results.append((valid, *gradients))
    for clean, dirty in zip(*results, strict=True):
        torch.testing.assert_close(clean, dirty)


def test_chunks_of_training_are_utterances_of_their_own() -> None:
    torch.manual_seed(0)
    encoder = make(
        frontend=[],
        blocks=still(norm="layer_norm"),
        dropout=0.0,
        taps=[1],
        context={"training_chunks": {"size": 8}},
    )
    features, lengths = torch.randn(2, 21, 80), torch.tensor([21, 9])
    found = encoder.train()(features, lengths)
    assert torch.equal(found.lengths, lengths)
    assert found.frames.shape == found.taps[1].shape == (2, 21, 8)
    encoder.eval()
    for utterance, start, end in [(0, 0, 8), (0, 8, 16), (0, 16, 21), (1, 0, 8), (1, 8, 9)]:
        alone = encoder(features[[utterance], start:end], torch.tensor([end - start]))
        for one, other in ((found.frames, alone.frames), (found.taps[1], alone.taps[1])):
            torch.testing.assert_close(one[utterance, start:end], other[0], rtol=1e-4, atol=1e-5)
    whole = encoder(features, lengths).frames
    assert not torch.allclose(whole[0], found.frames[0], atol=1e-3)
    with pytest.raises(SpecError, match="expected step: null"):
        make(context={"training_chunks": {"size": 8, "step": 4}})


def test_chunks_of_a_transformer_begin_at_the_first_position() -> None:
    torch.manual_seed(0)
    encoder = make_transformer(context={"training_chunks": {"size": 8}})
    features, lengths = torch.randn(1, 21, 80), torch.tensor([21])
    found = encoder.train()(features, lengths).frames
    alone = encoder.eval()(features[:, 8:16], torch.tensor([8])).frames
    torch.testing.assert_close(found[:, 8:16], alone, rtol=1e-4, atol=1e-5)


def test_a_window_of_training_changes_no_evaluation() -> None:
    encoders = []
    for span in ("full", {"type": "training_only", "span": {"type": "window", "size": 3}}):
        torch.manual_seed(0)
        encoders.append(make(blocks=still(norm="layer_norm"), dropout=0.0, context={"span": span}))
    features, lengths = torch.randn(1, 41, 80), torch.tensor([41])
    full, limited = (encoder.train()(features, lengths).frames for encoder in encoders)
    assert not torch.allclose(full, limited, atol=1e-3)
    full, limited = (encoder.eval()(features, lengths).frames for encoder in encoders)
    assert torch.equal(full, limited)


def _both(encoded: Any) -> tuple[Any, Any]:
    return encoded.frames, encoded.lengths


def test_bf16_autocast_is_close_to_fp32() -> None:
    torch.manual_seed(0)
    encoder = make().eval()
    features, lengths = torch.randn(2, 21, 80), torch.tensor([21, 9])
    exact = encoder(features, lengths).frames
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = encoder(features, lengths).frames
    torch.testing.assert_close(rough.float()[0], exact[0], rtol=0.1, atol=0.1)
    encoder.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        encoder(features, lengths).frames.float().square().mean().backward()
    assert all(
        bool(torch.isfinite(p.grad).all()) for p in encoder.parameters() if p.grad is not None
    )


def test_twelve_layers_of_512_have_the_usual_size() -> None:
    with torch.device("meta"):
        encoder = make(
            dim=512,
            num_layers=12,
            blocks=blocks(2048, 8, kernel_size=31),
            frontend=[{**CONV2D, "channels": [512, 512], "dim": 512}],
        )
    # Per block: 4.2 M in feed-forward layers, 1.3 M in attention, 0.8 M in convolution.
    assert 80e6 < sum(parameter.numel() for parameter in encoder.parameters()) < 85e6


def test_wrong_taps_and_doubled_names_are_refused() -> None:
    with pytest.raises(SpecError, match=r"taps \[4\] are not blocks: there are blocks 1 to 3"):
        make(taps=[1, 4])
    with pytest.raises(SpecError, match="two parts are named 'ffn1'"):
        make(blocks=[blocks()[0], blocks()[0]])


def test_the_layer_before_the_blocks_may_have_no_bias() -> None:
    made = (make(dim=12, input_bias=bias) for bias in (True, False))
    with_bias, without = (dict(encoder.named_parameters()) for encoder in made)
    assert with_bias.keys() - without.keys() == {"input.bias"}
    assert without.keys() < with_bias.keys()

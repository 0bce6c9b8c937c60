"""The Conformer of RETURNN's frontend, as an encoder here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from asrkit.foreign.layouts import Chained, ChannelsLast, HeadsFirst, Transposed, Zeros
from asrkit.foreign.part import Part
from asrkit.foreign.returnn.tensors import Tensors, layer_norm, linear
from asrkit.foreign.rules import Rule, rename
from asrkit.foreign.settings import Problems, Settings

FEATURES = {
    "num_mels": 80,
    "sampling_rate": 16000,
    "window_len": 0.025,
    "step_len": 0.010,
    "log_base": math.exp(2.3026),
    "mean_file": None,
    "stdev_file": None,
    "peak_normalization": True,
}
"""Of `log_mel_filterbank_from_raw`, files of numbers that features are normalised with, and of
`ExtractAudioFeatures`, through which the audio of a data set comes."""
ENCODER = {
    "strides": [[1, 1], [3, 1], [2, 1]],
    "pool_sizes": [[1, 2]],
    "ff_activation": "relu_square",
    "input_dropout": 0.1,
    "dropout": 0.1,
    "att_dropout": 0.1,
    "pos_emb_dropout": 0.0,
    "layer_norm_eps": 1e-6,
    "batch_norm_eps": 1e-3,
    "behavior_version": 16,
}
"""What tensors don't tell of a `ConformerEncoder`, with what the public setups have."""
ACTIVATIONS = {
    "relu_square": "squared_relu",
    "relu": "relu",
    "swish": "swish",
    "silu": "swish",
    "gelu": "gelu",
}
OURS, THEIRS = "encoder.blocks.*", "encoder.layers.*"


def features(config: Mapping[str, Any], problems: Problems) -> Part:
    """Returns the features of a configuration."""
    given = Settings("features", config.get("features"), FEATURES, problems)
    files = given["mean_file"], given["stdev_file"]
    if (files[0] is None) != (files[1] is None):
        problems.add("features: expected mean_file and stdev_file, or none of them")
    tree = {
        "type": "log_mel",
        "num_mels": given.number("num_mels"),
        "sample_rate": given.number("sampling_rate"),
        "window": given.share("window_len"),
        "shift": given.share("step_len"),
        "low_frequency": 0.0,
        "log_base": given.share("log_base"),
        "whole_windows": True,
        "normalization": "none" if None in files else "global",
        "signal_normalization": "peak" if given["peak_normalization"] else "none",
    }
    given.require("peak_normalization", True, False)
    rules = [
        rename("features.normalization.mean", "features.mean"),
        rename("features.normalization.deviation", "features.stdev"),
    ]
    return Part(tree, [] if None in files else rules)


def encoder(config: Mapping[str, Any], tensors: Tensors, problems: Problems) -> Part:
    """Returns the encoder of a checkpoint."""
    given = Settings("encoder", config.get("encoder"), ENCODER, problems)
    front, size = _front(given, tensors, problems)
    norm = {"type": "layer_norm", "eps": given.share("layer_norm_eps")}
    blocks = {
        "ffn1": _feed_forward(given, tensors, "ffn1", norm),
        "attention": _attention(given, tensors, norm),
        "convolution": _convolution(given, tensors, norm),
        "ffn2": _feed_forward(given, tensors, "ffn2", norm),
    }
    layers = tensors.numbers(r"encoder\.layers\.(\d+)\..*")
    tree = {
        "type": "conformer",
        "dim": size,
        "num_layers": len(layers),
        "dropout": given.share("input_dropout"),
        "frontend": {"conv2d": front.tree},
        "blocks": {name: block.tree for name, block in blocks.items()},
        "final_norm": norm,
    }
    rules = [
        *front.rules,
        *(rule for block in blocks.values() for rule in block.rules),
        *layer_norm("encoder.norms.*.norm", f"{THEIRS}.final_layer_norm"),
    ]
    return Part(tree, rules)


def _front(given: Settings, tensors: Tensors, problems: Problems) -> tuple[Part, int]:
    """Returns the convolutions and the linear layer after them, and its size."""
    layers = tensors.numbers(r"encoder\.input_layer\.conv_layers\.(\d+)\.filter")
    shapes = [tensors.shape(f"encoder.input_layer.conv_layers.{n}.filter", 4) for n in layers]
    strides, pools = _pairs(given["strides"]), _pairs(given["pool_sizes"] or [])
    pools += [(1, 1)] * (len(strides) - len(pools))
    if not len(shapes) == len(strides) == len(pools):
        problems.add(
            f"encoder.strides: expected as many as there are convolutions, {len(shapes)}, each "
            f"with two numbers, and at most as many pool_sizes; got {given['strides']!r} and "
            f"{given['pool_sizes']!r}"
        )
    size = tensors.shape("encoder.input_projection.weight", 2)[1]
    tree = {
        "type": "conv2d",
        "channels": [shape[0] for shape in shapes],
        "kernel_sizes": [shape[2] for shape in shapes],
        "strides": [time for time, _ in strides],
        "frequency_strides": [frequency for _, frequency in strides],
        "time_pools": [time for time, _ in pools],
        "frequency_pools": [frequency for _, frequency in pools],
        "windows": "middle" if given.number("behavior_version") < 24 else "first",
        "dim": size,
        "bias": "encoder.input_projection.bias" in tensors,
    }
    merged = Chained((Transposed(), ChannelsLast(shapes[-1][0] if shapes else 1)))
    ours, theirs = "encoder.frontends.0", "encoder.input_layer.conv_layers"
    rules = [
        rename(f"{ours}.convolutions.*.weight", f"{theirs}.*.filter"),
        rename(f"{ours}.convolutions.*.bias", f"{theirs}.*.bias"),
        rename(f"{ours}.output.weight", "encoder.input_projection.weight", transform=merged),
        rename(f"{ours}.output.bias", "encoder.input_projection.bias"),
    ]
    return Part(tree, rules), size


def _pairs(given: object) -> list[tuple[int, int]]:
    """Returns pairs of numbers of time and frequency; fewer where something else is given."""
    pairs = given if isinstance(given, list) else []
    return [(each[0], each[1]) for each in pairs if isinstance(each, list) and len(each) == 2]


def _residual(given: Settings, name: str, there: str, norm: Any, module: Part) -> Part:
    """Returns a sublayer with its norm and what is added to it."""
    half = name.startswith("ffn")
    tree = {
        "scale": 0.5 if half else 1.0,
        "dropout": given.share("dropout"),
        "norm": norm,
        "module": module.tree,
    }
    norms = layer_norm(f"{OURS}.{name}.norm.norm", f"{THEIRS}.{there}_layer_norm")
    return Part(tree, [*norms, *module.rules])


def _feed_forward(given: Settings, tensors: Tensors, name: str, norm: Any) -> Part:
    tree = {
        "type": "feed_forward",
        "hidden_dim": tensors.shape(f"encoder.layers.0.{name}.linear_ff.weight", 2)[1],
        "activation": given.chosen("ff_activation", ACTIVATIONS),
        "dropout": given.share("dropout"),
    }
    rules = [
        linear(f"{OURS}.{name}.module.expand", f"{THEIRS}.{name}.linear_ff"),
        linear(f"{OURS}.{name}.module.contract", f"{THEIRS}.{name}.linear_out"),
    ]
    return _residual(given, name, name, norm, Part(tree, rules))


def _attention(given: Settings, tensors: Tensors, norm: Any) -> Part:
    """Returns self-attention with a table of clipped distances (Shaw et al. 2018)."""
    there = "encoder.layers.0.self_att"
    for part in ("linear_pos.weight", "pos_bias_u", "pos_bias_v"):
        if f"{there}.{part}" in tensors:
            tensors.problems.add(f"{there}.{part}: expected learned distances of keys alone")
    rows, size = tensors.shape(f"{there}.learned_pos_emb.pos_emb", 2)
    width = tensors.shape(f"{there}.qkv.weight", 2)[1] // 3
    heads = max(width // size, 1)
    tree = {
        "type": "self_attention",
        "num_heads": heads,
        "dropout": given.share("att_dropout"),
        "position": {
            "type": "clipped_relative",
            "clip": rows // 2,
            "dropout": given.share("pos_emb_dropout"),
            "dropped": "distances",
        },
        "projections": {"bias": f"{there}.qkv.bias" in tensors},
    }
    ours, theirs = f"{OURS}.attention.module", f"{THEIRS}.self_att"
    joined = Chained((Transposed(), HeadsFirst(heads)))
    rules = [
        rename(f"{ours}.query_key_value", f"{theirs}.qkv", transform=joined),
        linear(f"{ours}.output", f"{theirs}.proj"),
        rename(f"{ours}.position.table", f"{theirs}.learned_pos_emb.pos_emb"),
    ]
    return _residual(given, "attention", "self_att", norm, Part(tree, rules))


def _convolution(given: Settings, tensors: Tensors, norm: Any) -> Part:
    there = "encoder.layers.0.conv_block"
    batch = f"{there}.norm.running_mean" in tensors
    tree = {
        "type": "convolution",
        "kernel_size": tensors.shape(f"{there}.depthwise_conv.filter", 3)[2],
        "norm": {"type": "batch_norm", "eps": given.share("batch_norm_eps")} if batch else norm,
    }
    ours, theirs = f"{OURS}.convolution.module", f"{THEIRS}.conv_block"
    rules = [
        linear(f"{ours}.expand", f"{theirs}.positionwise_conv1"),
        rename(f"{ours}.depthwise.weight", f"{theirs}.depthwise_conv.filter"),
        rename(f"{ours}.depthwise.bias", f"{theirs}.depthwise_conv.bias"),
        *(_batch_norm(f"{ours}.norm.norm", f"{theirs}.norm") if batch else []),
        *([] if batch else layer_norm(f"{ours}.norm.norm", f"{theirs}.norm")),
        linear(f"{ours}.contract", f"{theirs}.positionwise_conv2"),
    ]
    return _residual(given, "convolution", "conv", norm, Part(tree, rules))


def _batch_norm(ours: str, theirs: str) -> list[Rule]:
    return [
        rename(f"{ours}.weight", f"{theirs}.gamma"),
        rename(f"{ours}.bias", f"{theirs}.beta"),
        rename(f"{ours}.running_mean", f"{theirs}.running_mean"),
        rename(f"{ours}.running_var", f"{theirs}.running_variance"),
        rename(f"{ours}.num_batches_tracked", transform=Zeros(())),
    ]

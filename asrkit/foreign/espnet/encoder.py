"""ESPnet's encoders here: Conformer and E-Branchformer are blocks of named sublayers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asrkit.foreign.espnet.input_layers import NORM, input_layer, linear_layer
from asrkit.foreign.espnet.shared import FIXED, OURS, SHARED, THEIRS, attention_rules
from asrkit.foreign.espnet.transformer import transformer
from asrkit.foreign.part import Part
from asrkit.foreign.rules import Rule, rename
from asrkit.foreign.settings import Problems, Settings
from asrkit.foreign.transforms import (
    HeadBias,
    OppositeDistances,
    PointwiseConvolution,
    Scaled,
)

BLOCKS = {
    **SHARED,
    "pos_enc_layer_type": "rel_pos",
    "zero_triu": False,
    "max_pos_emb_len": 5000,
}
CONFORMER = {
    **BLOCKS,
    "num_blocks": 6,
    "normalize_before": True,
    "concat_after": False,
    "positionwise_conv_kernel_size": 3,
    "macaron_style": False,
    "rel_pos_type": "legacy",
    "selfattention_layer_type": "rel_selfattn",
    "activation_type": "swish",
    "use_cnn_module": True,
    "cnn_module_kernel": 31,
    "ctc_trim": False,
    "stochastic_depth_rate": 0.0,
}
E_BRANCHFORMER = {
    **BLOCKS,
    "num_blocks": 12,
    "attention_layer_type": "rel_selfattn",
    "rel_pos_type": "latest",
    "cgmlp_linear_units": 2048,
    "cgmlp_conv_kernel": 31,
    "use_linear_after_conv": False,
    "gate_activation": "identity",
    "use_ffn": False,
    "macaron_ffn": False,
    "ffn_activation_type": "swish",
    "merge_conv_kernel": 3,
    "gradient_checkpoint_layers": [],
}
ACTIVATIONS = {"swish": "swish", "relu": "relu", "gelu": "gelu"}
IDENTITY = {"type": "identity"}


def encoder(config: Mapping[str, Any], problems: Problems) -> Part:
    """Returns the encoder of a configuration."""
    kind = config.get("encoder")
    makers: dict[object, Callable[[object, Problems], Part]] = {
        "conformer": _conformer,
        "e_branchformer": _e_branchformer,
        "transformer": transformer,
    }
    if kind not in makers:
        problems.add(f"encoder is {kind!r}, expected {', '.join(map(repr, makers))}")
        return Part({"dim": 1})
    return makers[kind](config.get("encoder_conf"), problems)


def _conformer(conf: object, problems: Problems) -> Part:
    given = Settings("encoder_conf", conf, CONFORMER, problems)
    for key in ("normalize_before", "concat_after", "ctc_trim", "rel_pos_type"):
        given.require(key, "latest" if key == "rel_pos_type" else CONFORMER[key])
    given.require("selfattention_layer_type", "rel_selfattn")
    activation = given.chosen("activation_type", ACTIVATIONS)
    scale = 0.5 if given["macaron_style"] else 1.0
    last = _feed_forward(given, activation, scale, "feed_forward", "norm_ff")
    parts = {"attention": _residual(given, _attention(given), "norm_mha")}
    if given["use_cnn_module"]:
        parts["convolution"] = _residual(given, _convolution(given, activation), "norm_conv")
    if given["macaron_style"]:
        first = _feed_forward(given, activation, scale, "feed_forward_macaron", "norm_ff_macaron")
        parts = {"ffn1": first, **parts}
    parts["ffn2"] = last
    # ESPnet's blocks end in a norm only where they have convolutions.
    return _whole(given, parts, NORM if given["use_cnn_module"] else IDENTITY)


def _e_branchformer(conf: object, problems: Problems) -> Part:
    given = Settings("encoder_conf", conf, E_BRANCHFORMER, problems)
    given.require("rel_pos_type", "latest")
    given.require("attention_layer_type", "rel_selfattn")
    activation = given.chosen("ffn_activation_type", ACTIVATIONS)
    scale = 0.5 if given["macaron_ffn"] else 1.0
    parts = {"branches": _branches(given)}
    if given["use_ffn"] and given["macaron_ffn"]:
        first = _feed_forward(given, activation, scale, "feed_forward_macaron", "norm_ff_macaron")
        parts = {"ffn1": first, **parts}
    if given["use_ffn"]:
        parts["ffn2"] = _feed_forward(given, activation, scale, "feed_forward", "norm_ff")
    return _whole(given, parts, NORM)


def _whole(given: Settings, parts: Mapping[str, Part], final_norm: Mapping[str, Any]) -> Part:
    """Returns the encoder of such blocks."""
    for key in (*FIXED, "zero_triu"):
        given.require(key, BLOCKS[key])
    dim = given.number("output_size")
    below = input_layer(given, dim, dim)
    tree = {
        "type": "conformer",
        "dim": dim,
        "num_layers": given.number("num_blocks"),
        "dropout": given.share("positional_dropout_rate"),
        "frontend": below.tree,
        "blocks": {name: part.tree for name, part in parts.items()},
        "final_norm": dict(final_norm),
        "last_norm": NORM,
    }
    rules = [
        *below.rules,
        rename("encoder.frontends.0.output", linear_layer(given), transform=Scaled(dim**0.5)),
        *(
            Rule(rule.ours.format(part=f"{OURS}.{name}"), rule.theirs, rule.transform)
            for name, part in parts.items()
            for rule in part.rules
        ),
        rename("encoder.norms.*.norm", f"{THEIRS}.norm_final"),
        rename("encoder.last_norm.norm", "encoder.after_norm"),
    ]
    return Part(tree, rules)


def _residual(given: Settings, module: Part, norm: str, scale: float = 1.0) -> Part:
    tree = {
        "scale": scale,
        "dropout": given.share("dropout_rate"),
        "norm": NORM,
        "module": module.tree,
    }
    return Part(tree, [rename("{part}.norm.norm", f"{THEIRS}.{norm}"), *module.rules])


def _feed_forward(given: Settings, activation: str, scale: float, name: str, norm: str) -> Part:
    tree = {
        "type": "feed_forward",
        "hidden_dim": given.number("linear_units"),
        "activation": activation,
        "dropout": given.share("dropout_rate"),
    }
    rules = [
        rename("{part}.module.expand", f"{THEIRS}.{name}.w_1"),
        rename("{part}.module.contract", f"{THEIRS}.{name}.w_2"),
    ]
    return _residual(given, Part(tree, rules), norm, scale)


def _attention(given: Settings, module: str = "{part}.module", name: str = "self_attn") -> Part:
    position = {
        "type": "transformer_xl",
        "dropout": given.share("positional_dropout_rate"),
        "layout": "interleaved",
    }
    tree = {
        "type": "self_attention",
        "num_heads": given.number("attention_heads"),
        "dropout": given.share("attention_dropout_rate"),
        "position": position,
    }
    there, here = f"{THEIRS}.{name}", f"{module}.position"
    rules = [
        *attention_rules(module, there),
        rename(
            f"{here}.projection.weight",
            f"{there}.linear_pos.weight",
            transform=OppositeDistances(),
        ),
        rename(f"{here}.content_bias", f"{there}.pos_bias_u", transform=HeadBias()),
        rename(f"{here}.distance_bias", f"{there}.pos_bias_v", transform=HeadBias()),
    ]
    return Part(tree, rules)


def _convolution(given: Settings, activation: str) -> Part:
    tree = {
        "type": "convolution",
        "kernel_size": given.number("cnn_module_kernel"),
        "norm": "batch_norm",
        "activation": activation,
    }
    there = f"{THEIRS}.conv_module"
    pointwise = PointwiseConvolution()
    rules = [
        rename("{part}.module.expand", f"{there}.pointwise_conv1", transform=pointwise),
        rename("{part}.module.depthwise", f"{there}.depthwise_conv"),
        rename("{part}.module.norm.norm", f"{there}.norm"),
        rename("{part}.module.contract", f"{there}.pointwise_conv2", transform=pointwise),
    ]
    return Part(tree, rules)


def _branches(given: Settings) -> Part:
    """Returns the two branches of an E-Branchformer and what merges them."""
    given.require("use_linear_after_conv", False)
    gate = given.chosen("gate_activation", {"identity": "identity", **ACTIVATIONS})
    attention = _attention(given, "{part}.module.first.module", "attn")
    gating = {
        "type": "convolutional_gating",
        "hidden_dim": given.number("cgmlp_linear_units"),
        "kernel_size": given.number("cgmlp_conv_kernel"),
        "gate_activation": gate,
        "norm": NORM,
        "dropout": given.share("dropout_rate"),
    }
    branch = {"norm": NORM, "dropout": given.share("dropout_rate")}
    module = {
        "type": "merged_branches",
        "kernel_size": given.number("merge_conv_kernel"),
        "first": {**branch, "module": attention.tree},
        "second": {**branch, "module": gating},
    }
    tree = {"norm": "identity", "dropout": given.share("dropout_rate"), "module": module}
    here, there = "{part}.module.second.module", f"{THEIRS}.cgmlp"
    rules = [
        *attention.rules,
        rename("{part}.module.first.norm.norm", f"{THEIRS}.norm_mha"),
        rename("{part}.module.second.norm.norm", f"{THEIRS}.norm_mlp"),
        rename(f"{here}.expand", f"{there}.channel_proj1.0"),
        rename(f"{here}.norm.norm", f"{there}.csgu.norm"),
        rename(f"{here}.depthwise", f"{there}.csgu.conv"),
        rename(f"{here}.contract", f"{there}.channel_proj2"),
        rename("{part}.module.depthwise", f"{THEIRS}.depthwise_conv_fusion"),
        rename("{part}.module.merge", f"{THEIRS}.merge_proj"),
    ]
    return Part(tree, rules)

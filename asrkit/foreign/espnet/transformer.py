"""ESPnet's Transformer encoder, as an encoder here."""

from __future__ import annotations

from asrkit.foreign.espnet.input_layers import NORM, input_layer, linear_layer
from asrkit.foreign.part import Part
from asrkit.foreign.rules import rename
from asrkit.foreign.settings import Problems, Settings
from asrkit.foreign.transforms import Joined

TRANSFORMER = {
    "output_size": 256,
    "attention_heads": 4,
    "linear_units": 2048,
    "num_blocks": 6,
    "dropout_rate": 0.1,
    "positional_dropout_rate": 0.1,
    "attention_dropout_rate": 0.0,
    "input_layer": "conv2d",
    "pos_enc_layer_type": "abs_pos",
    "normalize_before": True,
    "concat_after": False,
    "positionwise_layer_type": "linear",
    "positionwise_conv_kernel_size": 1,
    "padding_idx": -1,
    "interctc_layer_idx": None,
    "interctc_use_conditioning": False,
    "layer_drop_rate": 0.0,
    "qk_norm": False,
    "use_flash_attn": True,
}
FIXED = (
    *("pos_enc_layer_type", "normalize_before", "concat_after", "positionwise_layer_type"),
    *("interctc_use_conditioning", "qk_norm"),
)
BLOCK, THEIRS = "encoder.blocks.*", "encoder.encoders.*"


def transformer(conf: object, problems: Problems) -> Part:
    """Returns the encoder of `encoder_conf`."""
    given = Settings("encoder_conf", conf, TRANSFORMER, problems)
    for key in FIXED:
        given.require(key, TRANSFORMER[key])
    dim = given.number("output_size")
    below = input_layer(given, dim, None)
    tree = {
        "type": "transformer",
        "dim": dim,
        "num_layers": given.number("num_blocks"),
        "num_heads": given.number("attention_heads"),
        "feed_forward": {"hidden_dim": given.number("linear_units"), "activation": "relu"},
        "frontend": below.tree,
        "dropout": given.share("dropout_rate"),
        "attention_dropout": given.share("attention_dropout_rate"),
        "norm": NORM,
        "layout": "interleaved",
    }
    parts = [f"{THEIRS}.self_attn.linear_{part}" for part in "qkv"]
    attention, ffn = f"{BLOCK}.attention", f"{BLOCK}.ffn"
    rules = [
        *below.rules,
        rename("encoder.input", linear_layer(given)),
        rename(f"{attention}.norm.norm", f"{THEIRS}.norm1"),
        rename(f"{attention}.module.query_key_value", *parts, transform=Joined(3)),
        rename(f"{attention}.module.output", f"{THEIRS}.self_attn.linear_out"),
        rename(f"{ffn}.norm.norm", f"{THEIRS}.norm2"),
        rename(f"{ffn}.module.expand", f"{THEIRS}.feed_forward.w_1"),
        rename(f"{ffn}.module.contract", f"{THEIRS}.feed_forward.w_2"),
        rename("encoder.norm.norm", "encoder.after_norm"),
    ]
    return Part(tree, rules)

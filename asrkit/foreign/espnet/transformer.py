"""ESPnet's Transformer encoder, as an encoder here."""

from __future__ import annotations

from asrkit.foreign.espnet.input_layers import NORM, input_layer, linear_layer
from asrkit.foreign.espnet.shared import FIXED, OURS, SHARED, THEIRS, attention_rules
from asrkit.foreign.part import Part
from asrkit.foreign.rules import rename
from asrkit.foreign.settings import Problems, Settings

TRANSFORMER = {
    **SHARED,
    "num_blocks": 6,
    "pos_enc_layer_type": "abs_pos",
    "normalize_before": True,
    "concat_after": False,
    "positionwise_conv_kernel_size": 1,
}


def transformer(conf: object, problems: Problems) -> Part:
    """Returns the encoder of `encoder_conf`."""
    given = Settings("encoder_conf", conf, TRANSFORMER, problems)
    for key in (*FIXED, "normalize_before", "concat_after"):
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
    attention, ffn = f"{OURS}.attention", f"{OURS}.ffn"
    rules = [
        *below.rules,
        rename("encoder.input", linear_layer(given)),
        rename(f"{attention}.norm.norm", f"{THEIRS}.norm1"),
        *attention_rules(f"{attention}.module", f"{THEIRS}.self_attn"),
        rename(f"{ffn}.norm.norm", f"{THEIRS}.norm2"),
        rename(f"{ffn}.module.expand", f"{THEIRS}.feed_forward.w_1"),
        rename(f"{ffn}.module.contract", f"{THEIRS}.feed_forward.w_2"),
        rename("encoder.norm.norm", "encoder.after_norm"),
    ]
    return Part(tree, rules)

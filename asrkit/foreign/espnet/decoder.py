"""ESPnet's output layers: CTC and the Transformer decoder, as heads here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asrkit.foreign.part import Part
from asrkit.foreign.rules import Rule, rename
from asrkit.foreign.settings import Problems, Settings
from asrkit.foreign.transforms import Joined, Rows

DECODER = {
    "attention_heads": 4,
    "linear_units": 2048,
    "num_blocks": 6,
    "dropout_rate": 0.1,
    "positional_dropout_rate": 0.1,
    "self_attention_dropout_rate": 0.0,
    "src_attention_dropout_rate": 0.0,
    "input_layer": "embed",
    "use_output_layer": True,
    "normalize_before": True,
    "concat_after": False,
    "layer_drop_rate": 0.0,
    "qk_norm": False,
    "use_flash_attn": True,
    "gradient_checkpoint_layers": [],
}
FIXED = ("input_layer", "use_output_layer", "normalize_before", "concat_after", "qk_norm")
NORM_EPS = 1e-12
"""Of ESPnet's LayerNorm."""


def ctc(config: Mapping[str, Any], weight: float, order: Sequence[int]) -> Part:
    """Returns the CTC head.

    Args:
        config: The configuration.
        weight: Of its loss.
        order: Their number of each output here: labels, blank, end of sentence.
    """
    conf = config.get("ctc_conf")
    dropout = conf.get("dropout_rate", 0.0) if isinstance(conf, Mapping) else 0.0
    tree = {"type": "ctc", "weight": weight, "dropout": float(dropout), "unused_outputs": 1}
    return Part(tree, [rename("heads.ctc.output", "ctc.ctc_lo", transform=Rows(tuple(order)))])


def attention(
    config: Mapping[str, Any], weight: float, dim: int, order: Sequence[int], problems: Problems
) -> Part:
    """Returns the attention head.

    Args:
        config: The configuration.
        weight: Of its loss.
        dim: D of the encoder, which is that of the decoder.
        order: Their number of each output here: labels, end of sentence, blank.
        problems: Where problems go.
    """
    if config.get("decoder") != "transformer":
        problems.add(f"decoder is {config.get('decoder')!r}, expected 'transformer'")
        return Part({})
    given = Settings("decoder_conf", config.get("decoder_conf"), DECODER, problems)
    for key in FIXED:
        given.require(key, DECODER[key])
    smoothing = config.get("model_conf", {}).get("lsm_weight", 0.0)
    decoder = {
        "type": "transformer",
        "dim": dim,
        "num_layers": given.number("num_blocks"),
        "num_heads": given.number("attention_heads"),
        "hidden_dim": given.number("linear_units"),
        "dropout": given.share("dropout_rate"),
        "activation": "relu",
        "position": "interleaved",
        "norm_eps": NORM_EPS,
        "unused_outputs": 1,
    }
    tree = {
        "type": "attention",
        "weight": weight,
        "label_smoothing": float(smoothing),
        "decoder": decoder,
    }
    rows = Rows(tuple(order))
    return Part(tree, decoder_rules("heads.attention.decoder", "decoder", rows))


def decoder_rules(here: str, there: str, rows: Rows) -> list[Rule]:
    """Returns where the tensors of a Transformer decoder come from.

    Args:
        here: The decoder's name here.
        there: The decoder's name there.
        rows: The order of the labels.
    """
    block, theirs = f"{here}.blocks.*", f"{there}.decoders.*"
    own = [f"{theirs}.self_attn.linear_{part}" for part in "qkv"]
    cross = [f"{theirs}.src_attn.linear_{part}" for part in "kv"]
    return [
        rename(f"{here}.embedding", f"{there}.embed.0", transform=rows),
        rename(f"{block}.attention_norm", f"{theirs}.norm1"),
        rename(f"{block}.attention.query_key_value", *own, transform=Joined(3)),
        rename(f"{block}.attention.output", f"{theirs}.self_attn.linear_out"),
        rename(f"{block}.cross_norm", f"{theirs}.norm2"),
        rename(f"{block}.cross.query", f"{theirs}.src_attn.linear_q"),
        rename(f"{block}.cross.key_value", *cross, transform=Joined(2)),
        rename(f"{block}.cross.output", f"{theirs}.src_attn.linear_out"),
        rename(f"{block}.feed_forward.0", f"{theirs}.norm3"),
        rename(f"{block}.feed_forward.1", f"{theirs}.feed_forward.w_1"),
        rename(f"{block}.feed_forward.4", f"{theirs}.feed_forward.w_2"),
        rename(f"{here}.norm", f"{there}.after_norm"),
        rename(f"{here}.output", f"{there}.output_layer", transform=rows),
    ]

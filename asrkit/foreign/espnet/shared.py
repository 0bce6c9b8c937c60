"""What ESPnet's encoders share: settings, names of blocks, and rules of attention."""

from __future__ import annotations

from asrkit.foreign.rules import Rule, rename
from asrkit.foreign.transforms import Joined

SHARED = {
    "output_size": 256,
    "attention_heads": 4,
    "linear_units": 2048,
    "dropout_rate": 0.1,
    "positional_dropout_rate": 0.1,
    "attention_dropout_rate": 0.0,
    "input_layer": "conv2d",
    "positionwise_layer_type": "linear",
    "padding_idx": -1,
    "layer_drop_rate": 0.0,
    "interctc_layer_idx": None,
    "interctc_use_conditioning": False,
    "qk_norm": False,
    "use_flash_attn": True,
}
"""Settings of all encoders, with ESPnet's defaults."""
FIXED = ("pos_enc_layer_type", "positionwise_layer_type", "interctc_use_conditioning", "qk_norm")
"""Those that must have their defaults."""
OURS, THEIRS = "encoder.blocks.*", "encoder.encoders.*"


def attention_rules(module: str, there: str) -> list[Rule]:
    """Returns the rules of an attention's linear layers.

    Args:
        module: The attention here.
        there: That of ESPnet.
    """
    parts = [f"{there}.linear_{part}" for part in "qkv"]
    return [
        rename(f"{module}.query_key_value", *parts, transform=Joined(3)),
        rename(f"{module}.output", f"{there}.linear_out"),
    ]

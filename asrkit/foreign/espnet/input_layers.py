"""ESPnet's convolutions below its encoders, as a frontend here."""

from __future__ import annotations

from asrkit.foreign.part import Part
from asrkit.foreign.rules import rename
from asrkit.foreign.settings import Settings

CONVOLUTIONS = {
    "conv2d": ([3, 3], [2, 2]),
    "conv2d1": ([3, 3], [1, 1]),
    "conv2d2": ([3, 3], [2, 1]),
    "conv2d6": ([3, 5], [2, 3]),
    "conv2d8": ([3, 3, 3], [2, 2, 2]),
}
"""Kernel sizes and strides of the input layers."""
OUTPUTS = {"conv2d8": "encoder.embed.out"}
"""Linear layers after them that have another name than most."""
NORM = {"type": "layer_norm", "eps": 1e-12}
"""ESPnet's LayerNorm."""


def input_layer(given: Settings, channels: int, dim: int | None) -> Part:
    """Returns the convolutions.

    Args:
        given: Of the encoder.
        channels: Of each convolution.
        dim: D of the linear layer that is part of the frontend here; None where it is not.
    """
    given.require("input_layer", *CONVOLUTIONS)
    kernels, strides = CONVOLUTIONS.get(given["input_layer"], CONVOLUTIONS["conv2d"])
    tree = {
        "conv2d": {
            "type": "conv2d",
            "channels": [channels] * len(kernels),
            "strides": list(strides),
            "kernel_sizes": list(kernels),
            "dim": dim,
            "windows": "whole",
        }
    }
    rules = [
        rename(f"encoder.frontends.0.convolutions.{n}", f"encoder.embed.conv.{2 * n}")
        for n in range(len(kernels))
    ]
    return Part(tree, rules)


def linear_layer(given: Settings) -> str:
    """Returns the name there of the linear layer after the convolutions."""
    return OUTPUTS.get(given["input_layer"], "encoder.embed.out.0")

"""Keys of encoders that had other names: specs and stored runs with the old ones are still read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from asrkit.config.build import build
from asrkit.config.registry import Factory, import_all
from asrkit.config.yaml_loader import load
from asrkit.models.interfaces import Encoder
from asrkit.nn.activations import Swish
from asrkit.nn.attention import SelfAttention
from asrkit.nn.chunks import Chunking
from asrkit.nn.feed_forward import FeedForward
from asrkit.nn.spans import CausalSpan, WindowSpan

import_all()


class Holder:
    def __init__(self, encoder: Factory[Encoder]) -> None:
        self.encoder = encoder


def loaded(folder: Path, encoder: dict[str, Any]) -> Any:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump({"model": {"encoder": encoder}}))
    tree = load(path).tree["model"]["encoder"]
    return build(Holder, {"encoder": tree}).encoder(input_dim=8)


def test_old_keys_of_a_conformer_are_read(tmp_path: Path) -> None:
    attention = {"type": "self_attention", "num_heads": 2, "bias": False, "initial_scale": 0.5}
    encoder = loaded(
        tmp_path,
        {
            "type": "conformer",
            "dim": 8,
            "num_layers": 1,
            "frontend": {},
            "blocks": {"attention": {"module": attention}},
            "span": {"type": "window", "size": 3},
            "training_chunks": {"size": 5},
        },
    )
    assert isinstance(encoder.context.span, WindowSpan)
    assert encoder.context.training_chunks == Chunking(5)
    layer = encoder.blocks[0]["attention"].module
    assert isinstance(layer, SelfAttention)
    assert layer.query_key_value.bias is layer.output.bias is None
    assert float(layer.query_key_value.weight.detach().abs().max()) <= (1.5 / 8) ** 0.5


def test_old_keys_of_a_transformer_are_read(tmp_path: Path) -> None:
    sizes = {"dim": 8, "num_layers": 1, "num_heads": 2, "hidden_dim": 12}
    old = {"activation": "swish", "span": "causal"}
    encoder = loaded(tmp_path, {"type": "transformer", "frontend": {}, **sizes, **old})
    assert isinstance(encoder.context.span, CausalSpan)
    layer = encoder.blocks[0]["ffn"].module
    assert isinstance(layer, FeedForward)
    assert layer.expand.out_features == 12
    assert isinstance(layer.activation, Swish)

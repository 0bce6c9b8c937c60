"""RETURNN's language models, of a Transformer or of LSTMs, as decoders here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asrkit.foreign.layouts import Chained, HeadsFirst, RowsWithBias, Transposed, Zeros
from asrkit.foreign.part import Part
from asrkit.foreign.returnn.heads import outputs
from asrkit.foreign.returnn.tensors import Tensors, layer_norm, linear
from asrkit.foreign.rules import Rule, rename
from asrkit.foreign.settings import Problems, Settings
from asrkit.foreign.transforms import Rows, Scaled, Transform

TRANSFORMER = {
    "num_heads": 8,
    "ff_activation": "relu",
    "pos_enc": "sinusoidal",
    "input_embedding_scale": 1.0,
    "dropout": 0.1,
    "layer_norm_eps": 1e-6,
}
"""What tensors don't tell of a `TransformerDecoder`, with what LibriSpeech's public one has."""
LSTM = {"dropout": 0.0}
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "swish", "silu": "swish"}
OURS, THEIRS = "decoder.blocks.*", "layers.*"


def transformer(
    config: Mapping[str, Any], tensors: Tensors, rows: Rows, problems: Problems
) -> Part:
    """Returns the decoder of a Transformer language model.

    Args:
        config: The configuration.
        tensors: The checkpoint.
        rows: Their number of each label here, end of sentence last.
        problems: Where problems go.
    """
    given = Settings("language_model", config.get("language_model"), TRANSFORMER, problems)
    for name in ("layers.0.cross_att.q.weight", "layers.0.ff.linear_gate.weight"):
        if name in tensors:
            problems.add(f"{name}: expected self-attention and plain feed-forward layers alone")
    given.require("pos_enc", "sinusoidal", None)
    embedding, inner = tensors.shape("input_embedding.weight", 2)[1], "layers.0.ff.linear_ff.weight"
    dim, hidden = tensors.shape(inner, 2)
    heads = given.number("num_heads")
    widened = "input_embedding_proj.weight" in tensors
    tree = {
        "type": "transformer",
        "dim": dim,
        "embedding_dim": embedding if widened else None,
        "num_layers": len(tensors.numbers(r"layers\.(\d+)\..*")),
        "num_heads": heads,
        "hidden_dim": hidden,
        "dropout": given.share("dropout"),
        "activation": given.chosen("ff_activation", ACTIVATIONS),
        "position": "none" if given["pos_enc"] is None else "sinusoidal",
        "position_first": widened and given["pos_enc"] is not None,
        "norm_eps": given.share("layer_norm_eps"),
    }
    scale = Scaled(given.share("input_embedding_scale") / embedding**0.5)
    joined = Chained((Transposed(), HeadsFirst(heads)))
    inside = f"{OURS}.attention"
    rules = [
        rename("decoder.embedding", "input_embedding", transform=Chained((rows, scale))),
        *(_widening(dim) if widened else []),
        *layer_norm(f"{OURS}.attention_norm", f"{THEIRS}.self_att_layer_norm"),
        *_attended(tensors, f"{inside}.query_key_value", "qkv", 3 * dim, joined),
        *_attended(tensors, f"{inside}.output", "proj", dim, Transposed()),
        *layer_norm(f"{OURS}.feed_forward.0", f"{THEIRS}.ff_layer_norm"),
        linear(f"{OURS}.feed_forward.1", f"{THEIRS}.ff.linear_ff"),
        linear(f"{OURS}.feed_forward.4", f"{THEIRS}.ff.linear_out"),
        *layer_norm("decoder.norm", "final_layer_norm"),
        *_scores(tensors, rows),
    ]
    return Part(tree, rules)


def _widening(dim: int) -> list[Rule]:
    return [
        linear("decoder.widen.weight", "input_embedding_proj.weight"),
        rename("decoder.widen.bias", transform=Zeros((dim,))),
    ]


def _attended(
    tensors: Tensors, ours: str, part: str, size: int, transform: Transform
) -> list[Rule]:
    """Returns the rules of a linear layer of self-attention, which may have no bias there."""
    theirs = f"{THEIRS}.self_att.{part}"
    if f"layers.0.self_att.{part}.bias" in tensors:
        return [rename(ours, theirs, transform=transform)]
    return [
        rename(f"{ours}.weight", f"{theirs}.weight", transform=transform),
        rename(f"{ours}.bias", transform=Zeros((size,))),
    ]


def _scores(tensors: Tensors, rows: Rows) -> list[Rule]:
    if "logits.bias" in tensors:
        return outputs("decoder.output", "logits", rows)
    zeros = rename("decoder.output.bias", transform=Zeros((len(rows.order),)))
    shape = tensors.shape("logits.weight", 2)
    if shape[0] != len(rows.order):
        return [zeros, *outputs("decoder.output.weight", "logits.weight", rows)]
    # Shared with the embeddings, which have labels first.
    return [zeros, rename("decoder.output.weight", "logits.weight", transform=rows)]


def lstm(config: Mapping[str, Any], tensors: Tensors, rows: Rows, problems: Problems) -> Part:
    """Returns the decoder of a language model of LSTMs.

    Args:
        config: The configuration.
        tensors: The checkpoint.
        rows: Their number of each label here, end of sentence last.
        problems: Where problems go.
    """
    given = Settings("language_model", config.get("language_model"), LSTM, problems)
    size = tensors.shape("layers.0.rec_weight", 2)[1]
    tree = {
        "type": "stacked_lstm",
        "embedding_dim": tensors.shape("input.weight", 2)[1],
        "hidden_dim": size,
        "num_layers": len(tensors.numbers(r"layers\.(\d+)\..*")),
        "dropout": given.share("dropout"),
    }
    named = ["input.weight", *(["input_bias"] if "input_bias" in tensors else [])]
    summed = (RowsWithBias(), rows) if len(named) == 2 else (rows,)
    rules = [
        rename("decoder.embedding.weight", *named, transform=Chained(summed)),
        *lstm_layer("decoder.layers.*", "layers.*", size),
        *outputs("decoder.output", "output", rows),
    ]
    return Part(tree, rules)


def lstm_layer(ours: str, theirs: str, size: int) -> list[Rule]:
    """Returns the rules of an LSTM (D of `size`), which has one bias there, and PyTorch's gates."""
    return [
        rename(f"{ours}.weight_ih_l0", f"{theirs}.ff_weight"),
        rename(f"{ours}.weight_hh_l0", f"{theirs}.rec_weight"),
        rename(f"{ours}.bias_ih_l0", f"{theirs}.bias"),
        rename(f"{ours}.bias_hh_l0", transform=Zeros((4 * size,))),
    ]

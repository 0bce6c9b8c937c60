"""An ESPnet2 language model: its config.yaml as a spec here, with the rules for its tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asrkit.foreign.espnet.decoder import NORM_EPS
from asrkit.foreign.espnet.labels import Labels, more_training
from asrkit.foreign.model import ForeignModel, Given
from asrkit.foreign.part import Part
from asrkit.foreign.rules import Rule, rename
from asrkit.foreign.settings import Problems, Settings
from asrkit.foreign.transforms import InTurn, Joined, Rows, Scaled

TRANSFORMER = {
    "pos_enc": None,
    "embed_unit": 128,
    "att_unit": 256,
    "head": 2,
    "unit": 1024,
    "layer": 4,
    "dropout_rate": 0.1,
    "positional_dropout_rate": 0.1,
    "attention_dropout_rate": 0.1,
}
RECURRENT = {
    "unit": 650,
    "nhid": None,
    "nlayers": 2,
    "dropout_rate": 0.0,
    "tie_weights": False,
    "rnn_type": "lstm",
    "ignore_id": 0,
}
POSITIONS = {None: "none", "sinusoidal": "interleaved"}
OURS, THEIRS = "decoder.blocks.*", "lm.encoder.encoders.*"


def language_model(given: Given) -> ForeignModel:
    """Returns what a configuration says.

    Args:
        given: What config.yaml holds.

    Raises:
        UserError: If something can't be expressed here; names everything.
    """
    config, problems = given.config, Problems(str(given.place))
    if config.get("model", "lm") != "lm":
        problems.add(f"model is {config['model']!r}, expected 'lm'")
    labels = Labels.of(given, problems)
    makers: dict[object, Callable[[object, Rows, Problems], Part]] = {
        "transformer": _transformer,
        "seq_rnn": _recurrent,
    }
    kind = config.get("lm")
    if kind not in makers:
        problems.add(f"lm is {kind!r}, expected {' or '.join(map(repr, makers))}")
        problems.refuse()
    decoder = makers[kind](config.get("lm_conf"), Rows(tuple(labels.label_order)), problems)
    problems.refuse()
    tree = {
        "text": labels.tree(),
        "data": {"type": "text", "train": ["train"], "dev": ["dev"], "batch_labels": 2000},
        "model": {"type": "language_model", "decoder": decoder.tree},
        "training": more_training(),
    }
    return ForeignModel(tree, labels.units(), decoder.rules, notes=_notes(config))


def _transformer(conf: object, rows: Rows, problems: Problems) -> Part:
    given = Settings("lm_conf", conf, TRANSFORMER, problems)
    given.require("pos_enc", *POSITIONS)
    size, dim = given.number("embed_unit"), given.number("att_unit")
    position = POSITIONS.get(given["pos_enc"], "none")
    tree = {
        "type": "transformer",
        "dim": dim,
        "num_layers": given.number("layer"),
        "num_heads": given.number("head"),
        "hidden_dim": given.number("unit"),
        "dropout": given.share("dropout_rate"),
        "activation": "relu",
        "embedding_dim": size,
        "widening": "normalized",
        "position": position,
        "norm_eps": NORM_EPS,
        "unused_outputs": 1,
    }
    # Here, embeddings are scaled, and what is added to positions is not: ReLU keeps a factor.
    embedding = InTurn((rows, Scaled(size**-0.5)))
    scaled = Scaled(dim**0.5 if position != "none" else 1.0)
    rules = [
        rename("decoder.embedding", "lm.embed", transform=embedding),
        rename("decoder.widen.0", "lm.encoder.embed.0"),
        rename("decoder.widen.1", "lm.encoder.embed.1", transform=scaled),
        *_block_rules(),
        rename("decoder.norm", "lm.encoder.after_norm"),
        rename("decoder.output", "lm.decoder", transform=rows),
    ]
    return Part(tree, rules)


def _block_rules() -> list[Rule]:
    own = [f"{THEIRS}.self_attn.linear_{part}" for part in "qkv"]
    return [
        rename(f"{OURS}.attention_norm", f"{THEIRS}.norm1"),
        rename(f"{OURS}.attention.query_key_value", *own, transform=Joined(3)),
        rename(f"{OURS}.attention.output", f"{THEIRS}.self_attn.linear_out"),
        rename(f"{OURS}.feed_forward.0", f"{THEIRS}.norm2"),
        rename(f"{OURS}.feed_forward.1", f"{THEIRS}.feed_forward.w_1"),
        rename(f"{OURS}.feed_forward.4", f"{THEIRS}.feed_forward.w_2"),
    ]


def _recurrent(conf: object, rows: Rows, problems: Problems) -> Part:
    given = Settings("lm_conf", conf, RECURRENT, problems)
    given.require("rnn_type", "lstm", "LSTM")
    given.require("ignore_id", 0)
    size, layers = given.number("unit"), given.number("nlayers")
    tree = {
        "type": "stacked_lstm",
        "embedding_dim": size,
        "hidden_dim": size if given["nhid"] is None else given.number("nhid"),
        "num_layers": layers,
        "dropout": given.share("dropout_rate"),
        "unused_outputs": 1,
    }
    parts = [f"{kind}_{of}" for kind in ("weight", "bias") for of in ("ih", "hh")]
    rules = [
        rename("decoder.embedding", "lm.encoder", transform=rows),
        *(rename(f"decoder.layers.*.{part}_l0", f"lm.rnn.{part}_l*") for part in parts),
        rename("decoder.output", "lm.decoder", transform=rows),
    ]
    return Part(tree, rules)


def _notes(config: Mapping[str, Any]) -> list[str]:
    notes = ["training starts with asrkit's settings: optimizer, schedule and batches are new"]
    conf = config.get("lm_conf") or {}
    if conf.get("tie_weights"):
        notes.append("tied embeddings and output weights (tie_weights) are two here")
    if config.get("lm") == "transformer" and len(_dropouts(conf)) > 1:
        notes.append("positions and attention are dropped out as all else is: dropout_rate")
    return notes


def _dropouts(conf: Mapping[str, Any]) -> set[Any]:
    keys = ("dropout_rate", "positional_dropout_rate", "attention_dropout_rate")
    return {conf.get(key, TRANSFORMER[key]) for key in keys}

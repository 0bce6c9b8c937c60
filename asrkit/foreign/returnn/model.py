"""A RETURNN model: its tensors, and what they don't tell, as a spec here with rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.files import read_lines
from asrkit.foreign.model import ForeignModel, Given
from asrkit.foreign.part import Part
from asrkit.foreign.returnn import language_models
from asrkit.foreign.returnn.encoder import encoder, features
from asrkit.foreign.returnn.heads import DECODER, attention, ctc_heads, gate_order, speaking
from asrkit.foreign.returnn.labels import Labels, labels
from asrkit.foreign.returnn.tensorflow import as_frontend, is_left, of_tensorflow
from asrkit.foreign.returnn.tensors import Tensors, linear
from asrkit.foreign.rules import rename
from asrkit.foreign.settings import Problems, Settings

KEYS = {
    "recogniser": ("features", "encoder", "ctc", "decoder"),
    "mini_lstm": ("decoder",),
    "transformer_lm": ("language_model",),
    "lstm_lm": ("language_model",),
}
"""What a configuration may say of each kind of model, besides labels and prefix."""
NEW = "training starts with asrkit's settings: optimizer, schedule and batches are new"


@dataclass(frozen=True)
class Source:
    """What a model is made of.

    Args:
        given: The configuration and the checkpoint.
        tensors: The tensors, by the names of RETURNN's frontend.
        labels: The labels.
        problems: Where problems go.
    """

    given: Given
    tensors: Tensors
    labels: Labels
    problems: Problems


def returnn_model(given: Given) -> ForeignModel:
    """Returns what a checkpoint and its configuration say.

    Args:
        given: The tensors, and what they don't tell.

    Raises:
        UserError: If something can't be expressed here; names everything.
    """
    problems = Problems(str(given.place))
    named, left = _below(given, problems)
    tensors = Tensors(named, problems)
    kind = tensors.kind()
    known = ("labels", "prefix", *(KEYS[kind] if kind else set().union(*KEYS.values())))
    for key in given.config.keys() - set(known):
        problems.add(f"{key}: unknown, expected {', '.join(known)}")
    found = labels(given.config, given.place, given.sentencepiece, problems)
    source = Source(given, tensors, found, problems)
    makers = {
        "recogniser": _recogniser,
        "mini_lstm": _mini_lstm,
        "transformer_lm": _transformer_lm,
        "lstm_lm": _lstm_lm,
    }
    model, extra = makers[kind](source) if kind is not None else (Part({}), {})
    problems.refuse()
    tree = {"text": found.tree, "training": _training(), **model.tree}
    notes = [NEW, *left]
    if kind == "recogniser":
        notes.append("augmentation is left out: add model.augment before training")
        notes.append("dropout masks are of each frame: model.dropout_masks shares them as there")
    return ForeignModel(
        tree, found.units, model.rules, {r"decoder_of\..*": "as there"}, notes, named | extra
    )


def _below(given: Given, problems: Problems) -> tuple[dict[str, Tensor], list[str]]:
    """Returns the tensors of the model by the names of the frontend, and what is said of others."""
    prefix = str(given.config.get("prefix") or "")
    named = {n.removeprefix(prefix): t for n, t in given.tensors.items() if n.startswith(prefix)}
    if not named:
        problems.add(f"prefix: no tensor's name begins with {prefix!r}")
    found = {name: tensor for name, tensor in named.items() if not is_left(name)}
    notes = []
    if len(given.tensors) > len(named):
        notes.append(f"{len(given.tensors) - len(named)} tensors outside of {prefix} are left out")
    if len(named) > len(found):
        notes.append(f"{len(named) - len(found)} tensors of optimizers and counters are left out")
    return as_frontend(found), notes


def _recogniser(source: Source) -> tuple[Part, dict[str, Tensor]]:
    config, tensors, problems = source.given.config, source.tensors, source.problems
    speech, encoded = features(config, problems), encoder(config, tensors, problems)
    heads = ctc_heads(config, tensors, source.labels.order, source.labels.end, problems)
    decoder = attention(config, tensors, source.labels.rows, problems)
    if decoder is not None:
        heads["attention"] = decoder
    if not heads:
        problems.add("expected ctc, enc_aux_logits or a decoder, got a bare encoder")
    encoded.tree["taps"] = sorted({h.tree["tap"] for h in heads.values() if h.tree.get("tap")})
    model = {
        "features": speech.tree,
        "encoder": encoded.tree,
        "heads": {name: head.tree for name, head in heads.items()},
    }
    tree = {
        "data": {
            "train": ["train"],
            "dev": ["dev"],
            "sample_rate": speech.tree["sample_rate"],
            "batches": {"max_seconds": 240.0},
        },
        "model": model,
        "decoding": _decoding(list(heads), of_tensorflow(source.given.tensors)),
    }
    rules = [*speech.rules, *encoded.rules, *(rule for h in heads.values() for rule in h.rules)]
    return Part(tree, rules), _statistics(source) if speech.rules else {}


def _statistics(source: Source) -> dict[str, Tensor]:
    """Returns the numbers that features are normalised with."""
    found, conf = {}, source.given.config["features"]
    for name, key in (("features.mean", "mean_file"), ("features.stdev", "stdev_file")):
        path = source.given.place.parent / str(conf[key])
        found[name] = torch.tensor(_numbers(path, source.problems))
    return found


def _numbers(path: Path, problems: Problems) -> list[float]:
    try:
        return [float(word) for line in read_lines(path) for word in line.split()]
    except (UserError, ValueError) as error:
        problems.add(f"{path}: expected numbers: {error}")
        return []


def _transformer_lm(source: Source) -> tuple[Part, dict[str, Tensor]]:
    found = language_models.transformer(
        source.given.config, source.tensors, source.labels.rows, source.problems
    )
    return _language_model(found), {}


def _lstm_lm(source: Source) -> tuple[Part, dict[str, Tensor]]:
    found = language_models.lstm(
        source.given.config, source.tensors, source.labels.rows, source.problems
    )
    return _language_model(found), {}


def _language_model(decoder: Part) -> Part:
    data = {"type": "text", "train": ["train"], "dev": ["dev"], "batch_labels": 15000}
    model = {"type": "language_model", "decoder": decoder.tree}
    return Part({"data": data, "model": model}, decoder.rules)


def _mini_lstm(source: Source) -> tuple[Part, dict[str, Tensor]]:
    """Returns the internal language model, whose decoder is that of a run.

    Where the checkpoint has a decoder of its own (`prior_`), that one is taken, except for what
    listens; it should be the same.
    """
    decoder_of, tensors, problems = source.given.decoder_of, source.tensors, source.problems
    if decoder_of is None:
        problems.add("it is an internal language model: say whose, with --decoder-of RUN")
        return Part({}), {}
    size = tensors.shape("mini_att_lstm.rec_weight", 2)[1]
    tree = {
        "type": "mini_lstm",
        "units": size,
        "frame_dim": decoder_of.frame_dim,
        "decoder": decoder_of.decoder,
    }
    given = Settings("decoder", source.given.config.get("decoder"), DECODER, problems)
    gates = gate_order(given, problems)
    rules = [
        *language_models.lstm_layer("decoder.lstm", "mini_att_lstm", size),
        linear("decoder.context", "mini_att"),
        rename("decoder.decoder.embedding", "decoder_of.embedding"),
        *(
            speaking("decoder.decoder", gates, source.labels.rows, "prior_", "")
            if "prior_s.ff_weight" in tensors
            else []
        ),
        rename("decoder.decoder", "decoder_of"),
    ]
    extra = {f"decoder_of.{name}": tensor for name, tensor in decoder_of.weights.items()}
    found = _language_model(Part(tree, rules))
    found.tree["training"] = {**_training(), "freeze": [r"^decoder\.decoder\."]}
    return found, extra


def _training() -> dict[str, Any]:
    """Returns settings for more training: those of the other toolkit are of the past."""
    return {
        "epochs": 10,
        "optimizer": {"type": "adamw"},
        "schedule": {"type": "constant", "value": 0.0001},
        "update": {"max_grad_norm": 5.0},
    }


def _decoding(heads: list[str], end_counts: bool) -> Mapping[str, Any]:
    """Returns searches; that with attention alone is the other toolkit's own.

    Args:
        heads: Their names.
        end_counts: Whether lengths count end of sentence, as in `ChoiceLayer` of TensorFlow layers;
            in `model_recog` of the public setups they don't.
    """
    searches: dict[str, Any] = {}
    ctc = next(
        (name for name in ("ctc", *reversed(heads)) if name in heads and "ctc" in name), None
    )
    if "attention" in heads and ctc is not None:
        both = {"attention": 0.7, ctc: 0.3}
        searches["joint"] = {"type": "label_sync", "beam_size": 12, "scorers": both}
    if "attention" in heads:
        searches["attention"] = {
            "type": "label_sync",
            "beam_size": 12,
            "length_norm": 1.0,
            "length_offset": 0 if end_counts else -1,
            "ended": "in_beam",
            "scorers": {"attention": 1.0},
        }
    if ctc is not None:
        searches["ctc_greedy"] = {"type": "ctc_greedy", "scorers": {ctc: 1.0}}
    return searches

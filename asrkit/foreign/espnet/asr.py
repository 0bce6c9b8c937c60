"""An ESPnet2 recogniser: its config.yaml as a spec here, with the rules for its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asrkit.foreign.espnet.decoder import attention, ctc
from asrkit.foreign.espnet.encoder import encoder
from asrkit.foreign.espnet.features import features
from asrkit.foreign.espnet.labels import BLANK, END, Labels, more_training
from asrkit.foreign.model import ForeignModel, Given
from asrkit.foreign.settings import Problems

ABSENT = ("preencoder", "postencoder", "cleaner")
"""Parts that can't be expressed here."""
NOT_NEEDED = {
    r"frontend\.logmel\.melmat": "filters are computed",
    r"frontend\.stft\..*": "windows are computed",
}


def asr_model(given: Given) -> ForeignModel:
    """Returns what a configuration says.

    Args:
        given: What config.yaml holds.

    Raises:
        UserError: If something can't be expressed here; names everything.
    """
    config, problems = given.config, Problems(str(given.place))
    for key in ABSENT:
        if config.get(key) is not None:
            problems.add(f"{key} is {config[key]!r}, expected null")
    if config.get("model", "espnet") != "espnet":
        problems.add(f"model is {config['model']!r}, expected 'espnet'")
    units = Labels.of(given, problems)
    speech = features(config, problems)
    encoded = encoder(config, problems)
    heads, rules = _heads(config, int(encoded.tree["dim"]), units, problems)
    problems.refuse()
    tree = {
        "text": units.tree(),
        "data": _data(speech.tree["sample_rate"]),
        "model": {"features": speech.tree, "encoder": encoded.tree, "heads": heads},
        "training": more_training(),
        "decoding": _decoding(heads),
    }
    return ForeignModel(
        tree,
        units.units(),
        [*speech.rules, *encoded.rules, *rules],
        NOT_NEEDED,
        _notes(config),
        buffers={"frontend.logmel.melmat": "features.filters"},
    )


def _heads(
    config: Mapping[str, Any], dim: int, units: Labels, problems: Problems
) -> tuple[dict[str, Any], list[Any]]:
    settings = config.get("model_conf") or {}
    weight = float(settings.get("ctc_weight", 0.5))
    for key, symbol in (("sym_blank", BLANK), ("sym_sos", END), ("sym_eos", END)):
        if settings.get(key, symbol) != symbol:
            problems.add(f"model_conf.{key} is {settings[key]!r}, expected {symbol!r}")
    parts = {}
    if weight > 0:
        parts["ctc"] = ctc(config, weight, units.frame_order)
    if weight < 1:
        parts["attention"] = attention(config, 1 - weight, dim, units.label_order, problems)
    rules = [rule for part in parts.values() for rule in part.rules]
    return {name: part.tree for name, part in parts.items()}, rules


def _data(sample_rate: int) -> dict[str, Any]:
    return {
        "train": ["train"],
        "dev": ["dev"],
        "sample_rate": sample_rate,
        "batches": {"max_seconds": 240.0},
    }


def _decoding(heads: Mapping[str, Any]) -> dict[str, Any]:
    searches: dict[str, Any] = {}
    if len(heads) == 2:
        both = {"attention": 0.7, "ctc": 0.3}
        searches["joint"] = {"type": "label_sync", "beam_size": 10, "scorers": both}
    if "attention" in heads:
        alone = {"attention": 1.0}
        searches["attention"] = {"type": "label_sync", "beam_size": 10, "scorers": alone}
    elif "ctc" in heads:
        searches["ctc"] = {"type": "label_sync", "beam_size": 10, "scorers": {"ctc": 1.0}}
    if "ctc" in heads:
        searches["ctc_greedy"] = {"type": "ctc_greedy"}
    return searches


def _notes(config: Mapping[str, Any]) -> list[str]:
    notes = ["training starts with asrkit's settings: optimizer, schedule and batches are new"]
    if config.get("specaug") is not None:
        notes.append("specaug is left out: add model.augment before training")
    conf = config.get("encoder_conf") or {}
    if conf.get("interctc_layer_idx"):
        notes.append("CTC of encoder layers in between (interctc) is left out")
    if conf.get("stochastic_depth_rate") or conf.get("layer_drop_rate"):
        notes.append("layers are not dropped in training: add `keep` to the blocks before it")
    return notes

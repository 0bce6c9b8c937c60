"""An ESPnet2 recogniser: its config.yaml as a spec here, with the rules for its tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkit.foreign.espnet.decoder import attention, ctc
from asrkit.foreign.espnet.encoder import encoder
from asrkit.foreign.espnet.features import features
from asrkit.foreign.model import ForeignModel, Given, Units
from asrkit.foreign.settings import Problems

BLANK, END, UNKNOWN = "<blank>", "<sos/eos>", "<unk>"
KINDS = {"bpe": "sentencepiece", "char": "characters", "word": "words"}
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
    tokens = _tokens(config, problems)
    kind = config.get("token_type")
    if kind not in KINDS:
        problems.add(f"token_type is {kind!r}, expected {', '.join(KINDS)}")
    speech = features(config, problems)
    encoded = encoder(config, problems)
    heads, rules = _heads(config, int(encoded.tree["dim"]), tokens, problems)
    there = (given.place, given.sentencepiece, problems)
    sentencepiece = units_file(config, *there) if kind == "bpe" else None
    problems.refuse()
    tree = {
        "text": _text(tokens, KINDS[str(kind)]),
        "data": _data(speech.tree["sample_rate"]),
        "model": {"features": speech.tree, "encoder": encoded.tree, "heads": heads},
        "training": _training(),
        "decoding": _decoding(heads),
    }
    return ForeignModel(
        tree,
        Units(tokens[1:-1], sentencepiece),
        [*speech.rules, *encoded.rules, *rules],
        NOT_NEEDED,
        _notes(config),
    )


def _tokens(config: Mapping[str, Any], problems: Problems) -> list[str]:
    """Returns the list of tokens, blank first, end of sentence last."""
    tokens = config.get("token_list")
    if not isinstance(tokens, list) or len(tokens) < 3:
        problems.add("token_list: expected a list of blank, labels and end of sentence")
        return [BLANK, UNKNOWN, END]
    ends = str(tokens[0]), str(tokens[-1])
    if ends != (BLANK, END):
        problems.add(f"token_list begins and ends with {ends}, expected {(BLANK, END)}")
    return list(map(str, tokens))


def units_file(
    config: Mapping[str, Any], place: Path, given: Path | None, problems: Problems
) -> Path | None:
    """Returns the SentencePiece model: that which is given, or what the configuration names."""
    named = Path(str(config.get("bpemodel")))
    around = [folder / named for folder in (Path(), *place.resolve().parents)]
    places = [given] if given is not None else [*around, place.parent / named.name]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        problems.add(
            f"there is no SentencePiece model {given or named} (bpemodel): say where it is with "
            "--bpe FILE"
        )
    return found


def _heads(
    config: Mapping[str, Any], dim: int, tokens: Sequence[str], problems: Problems
) -> tuple[dict[str, Any], list[Any]]:
    settings = config.get("model_conf") or {}
    weight = float(settings.get("ctc_weight", 0.5))
    for key, symbol in (("sym_blank", BLANK), ("sym_sos", END), ("sym_eos", END)):
        if settings.get(key, symbol) != symbol:
            problems.add(f"model_conf.{key} is {settings[key]!r}, expected {symbol!r}")
    labels, blank, end = range(1, len(tokens) - 1), 0, len(tokens) - 1
    parts = {}
    if weight > 0:
        parts["ctc"] = ctc(config, weight, [*labels, blank, end])
    if weight < 1:
        parts["attention"] = attention(config, 1 - weight, dim, [*labels, end, blank], problems)
    rules = [rule for part in parts.values() for rule in part.rules]
    return {name: part.tree for name, part in parts.items()}, rules


def _text(tokens: Sequence[str], units: str) -> dict[str, Any]:
    unknown = UNKNOWN if UNKNOWN in tokens else None
    return {"type": "listed", "name": "units", "units": units, "unknown": unknown}


def _data(sample_rate: int) -> dict[str, Any]:
    return {
        "train": ["train"],
        "dev": ["dev"],
        "sample_rate": sample_rate,
        "batches": {"max_seconds": 240.0},
    }


def _training() -> dict[str, Any]:
    """Returns settings for more training: those of the other toolkit are of the past."""
    return {
        "epochs": 10,
        "optimizer": {"type": "adamw"},
        "schedule": {"type": "constant", "value": 0.0001},
        "update": {"max_grad_norm": 5.0},
    }


def _decoding(heads: Mapping[str, Any]) -> dict[str, Any]:
    searches: dict[str, Any] = {}
    if len(heads) == 2:
        both = {"attention": 0.7, "ctc": 0.3}
        searches["joint"] = {"type": "label_sync", "beam_size": 10, "scorers": both}
    if "attention" in heads:
        alone = {"attention": 1.0}
        searches["attention"] = {"type": "label_sync", "beam_size": 10, "scorers": alone}
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

"""Loads exported models into ESPnet2, and compares what they compute with what was stored.

    export PYTHONPATH=.
    python tools/parity/espnet_back.py FOLDER
    espnet-venv/bin/python tools/parity/espnet_load.py FOLDER

Each folder of FOLDER is named like a model of tests/foreign. It is loaded as ESPnet does, and with
`strict=True`; ESPnet's recogniser then searches with it. Printed are the largest differences, of
scores those of hypotheses that have the same texts and labels: others end the program.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from espnet2.bin.asr_inference import Speech2Text
from espnet2.tasks.asr import ASRTask
from espnet2.tasks.lm import LMTask
from safetensors import safe_open

from asrkit.utf8 import use_utf8
from tools.parity.espnet_asr import ENCODERS, outputs, plain, text_of
from tools.parity.espnet_variants import BEAM, LMS, VARIANTS, computed

STORED = Path("tests/foreign")
FIRST_BEAM = {"beam_size": 10, "nbest": 5}
"""With which espnet_asr.py searched."""


@dataclass(frozen=True)
class Stored:
    """What was stored of a model: tensors by name, and lists of (text, tokens, score)."""

    tensors: dict[str, torch.Tensor]
    hypotheses: list[Any]


def main() -> None:
    """Reads the command line, and prints the largest differences of each model."""
    use_utf8()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    places = sorted(path for path in parser.parse_args().folder.iterdir() if path.is_dir())
    for place in places:
        gaps = differences(place)
        print(place.name, *(f"{name} {gap:.2e}" for name, gap in gaps.items()))
    assert places, "no exported models"


def differences(place: Path) -> dict[str, float]:
    """Returns the largest difference of each output of an exported model."""
    kind = place.name
    if kind in LMS:
        return language_model(place, stored_of("espnet-lms", f"{kind}/"))
    if kind in VARIANTS:
        return variant(place, stored_of("espnet-variants", f"{kind}/"))
    assert kind in ENCODERS, f"{kind} is not in tests/foreign"
    return recogniser(place, stored_of(f"espnet-{kind}/tensors", ""))


def stored_of(file: str, prefix: str) -> Stored:
    """Returns what a file has of a model."""
    with safe_open(STORED / f"{file}.safetensors", "pt") as stored:
        tensors = {n.removeprefix(prefix): stored.get_tensor(n) for n in stored.keys()}  # noqa: SIM118
        return Stored(tensors, json.loads(stored.metadata()[f"{prefix}hypotheses"]))


def recogniser(place: Path, stored: Stored) -> dict[str, float]:
    """Compares features, layers, losses and searches of two utterances."""
    tensors = stored.tensors
    model, signals = loaded(place), [tensors["signal.0"], tensors["signal.1"]]
    found: dict[str, torch.Tensor] = {}
    for n, signal in enumerate(signals):
        found |= outputs(model, [signal], [tensors[f"text.{n}"]], f"{n}.")
    gaps: dict[str, float] = {}
    for name, tensor in found.items():
        kind = name.split(".", 1)[1]
        gaps[kind] = max(gaps.get(kind, 0.0), largest(tensor, tensors[name]))
    return gaps | {"search": searched(place, signals, stored, ctc_weight=0.3, **FIRST_BEAM)}


def variant(place: Path, stored: Stored) -> dict[str, float]:
    """Compares frames, log-probabilities, losses and the search of one utterance."""
    model, signal = loaded(place), stored.tensors["signal"]
    found = computed(model, signal, stored.tensors["text"])
    gaps = {name: largest(tensor, stored.tensors[name]) for name, tensor in found.items()}
    weight = 1.0 if model.decoder is None else 0.3
    return gaps | {"search": searched(place, [signal], stored, ctc_weight=weight, **BEAM)}


def language_model(place: Path, stored: Stored) -> dict[str, float]:
    """Compares log-probabilities of a language model."""
    config = completed(place, LMTask)
    model, arguments = LMTask.build_model_from_file(config, place / "model.pth")
    model.load_state_dict(torch.load(place / "model.pth", weights_only=True), strict=True)
    read = torch.cat([torch.tensor([len(arguments.token_list) - 1]), stored.tensors["labels"]])
    with torch.no_grad():
        found = model.eval().lm(read[None], None)[0].log_softmax(2)
    return {"log_probs": largest(found, stored.tensors["log_probs"])}


def loaded(place: Path) -> Any:
    """Returns a recogniser, all of whose tensors are in the file, and no others."""
    model, _ = ASRTask.build_model_from_file(completed(place, ASRTask), place / "model.pth")
    model.load_state_dict(torch.load(place / "model.pth", weights_only=True), strict=True)
    return model.eval()


def completed(place: Path, task: Any) -> Path:
    """Returns a configuration with all keys: those of the tests are short, training writes all."""
    config = yaml.safe_load((place / "config.yaml").read_text(encoding="utf-8"))
    defaults = vars(task.get_parser().parse_args(["--output_dir", "exp"]))
    path = place / "completed.yaml"
    defaults = {key: value for key, value in defaults.items() if plain(value)}
    if "specaug_conf" not in config:
        config["specaug"] = None  # of training alone
    path.write_text(text_of(defaults | config), encoding="utf-8")
    return path


def searched(place: Path, signals: list[torch.Tensor], stored: Stored, **options: Any) -> float:
    """Returns the largest difference of scores of what ESPnet finds and what it found."""
    search = Speech2Text(completed(place, ASRTask), place / "model.pth", **options)
    gap = 0.0
    for signal, expected in zip(signals, stored.hypotheses, strict=True):
        found = search(signal.numpy() / np.float32(32768))
        for (text, tokens, _, hypothesis), other in zip(found, expected, strict=True):
            assert [text, tokens] == other[:2], f"{place.name}: {text!r} {tokens}, stored: {other}"
            gap = max(gap, abs(float(hypothesis.score) - other[2]))
    return gap


def largest(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Returns the largest difference of two tensors of one shape."""
    assert found.shape == expected.shape, f"{found.shape}, stored: {expected.shape}"
    return float((found - expected).abs().max())


if __name__ == "__main__":
    main()

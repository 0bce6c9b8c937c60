"""Loads exported models into ESPnet2, and compares what they compute with what was stored.

    export PYTHONPATH=.
    espnet-venv/bin/python tools/parity/espnet_load.py FOLDER

FOLDER has an exported model per folder, named as in tests/foreign/espnet-variants.safetensors or
tests/foreign/espnet-lms.safetensors. Each is loaded as ESPnet does, and with `strict=True`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from espnet2.tasks.asr import ASRTask
from espnet2.tasks.lm import LMTask
from safetensors import safe_open

from asrkit.utf8 import use_utf8
from tools.parity.espnet_variants import computed

STORED = Path("tests/foreign")


def main() -> None:
    """Reads the command line, and prints the largest difference of each model."""
    use_utf8()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    compared = 0
    for file, compare in (("espnet-variants", recogniser), ("espnet-lms", language_model)):
        with safe_open(STORED / f"{file}.safetensors", "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        for place in sorted(folder.iterdir()):
            theirs = {n.removeprefix(f"{place.name}/"): t for n, t in tensors.items()}
            if any(name.startswith(f"{place.name}/") for name in tensors):
                gaps = compare(place, theirs)
                compared += 1
                print(place.name, *(f"{name} {gap:.2e}" for name, gap in gaps.items()))
    assert compared, f"{folder} has no exported models"


def recogniser(place: Path, theirs: dict[str, torch.Tensor]) -> dict[str, float]:
    """Returns the largest difference of each output of a recogniser."""
    model, _ = ASRTask.build_model_from_file(place / "config.yaml", place / "model.pth")
    model.load_state_dict(torch.load(place / "model.pth", weights_only=True), strict=True)
    found = computed(model.eval(), theirs["signal"], theirs["text"])
    return {name: float((tensor - theirs[name]).abs().max()) for name, tensor in found.items()}


def language_model(place: Path, theirs: dict[str, torch.Tensor]) -> dict[str, float]:
    """Returns the largest difference of the log-probabilities of a language model."""
    model, arguments = LMTask.build_model_from_file(place / "config.yaml", place / "model.pth")
    model.load_state_dict(torch.load(place / "model.pth", weights_only=True), strict=True)
    read = torch.cat([torch.tensor([len(arguments.token_list) - 1]), theirs["labels"]])
    with torch.no_grad():
        found = model.eval().lm(read[None], None)[0].log_softmax(2)
    return {"log_probs": float((found - theirs["log_probs"]).abs().max())}


if __name__ == "__main__":
    main()

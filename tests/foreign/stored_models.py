"""Models of other toolkits, put into a folder as those toolkits write them."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

HERE = Path(__file__).parent
LABELS = "labels: {vocab_file: bpe.vocab, bpe_file: bpe.codes}\n"
RECOGNISER = LABELS + "features: {num_mels: 12, peak_normalization: false}\n"
RETURNN = {
    "aed": RECOGNISER,
    "tf": RECOGNISER,
    "mini_lstm": LABELS,
    "lstm_lm": LABELS,
    "transformer_lm": LABELS + "language_model: {num_heads: 2}\n",
    "transformer_lm-gelu": LABELS
    + "language_model: {num_heads: 2, ff_activation: gelu, pos_enc: null}\n",
}
"""What the tensors of the small models don't tell, and what is not as in the public setups."""
TF_DECODER = "enc_ctx|inv_fertility|output/"
"""Beginnings of names of what only attention needs, in TensorFlow layers."""


def put_espnet(folder: Path, kind: str = "conformer", name: str = "valid.acc.ave.pth") -> Path:
    """Returns the path of an ESPnet checkpoint, next to its configuration and units.

    Args:
        folder: Where they are put.
        kind: Of the encoder.
        name: Of the checkpoint.
    """
    source = HERE / f"espnet-{kind}"
    folder.mkdir(parents=True, exist_ok=True)
    for each in ("config.yaml", "bpe.model"):
        shutil.copy(source / each, folder)
    tensors = load_file(source / "tensors.safetensors")
    weights = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
    torch.save(weights, folder / name)
    return folder / name


def put_returnn(
    folder: Path, kind: str = "aed", suffix: str = ".pt", without: str = "nothing"
) -> Path:
    """Returns the path of a RETURNN checkpoint, next to its configuration and labels.

    Args:
        folder: Where they are put.
        kind: Of the model.
        suffix: Of the checkpoint: PyTorch's, or that of a dump of TensorFlow's.
        without: Pattern of names of tensors that are left out.
    """
    source = HERE / "returnn"
    folder.mkdir(parents=True, exist_ok=True)
    for each in ("bpe.vocab", "bpe.codes"):
        shutil.copy(source / each, folder)
    tensors = load_file(source / f"{kind}.safetensors")
    weights = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
    weights = {name: t for name, t in weights.items() if re.match(without, name) is None}
    path = folder / f"{kind}{suffix}"
    if suffix == ".pt":
        torch.save({"model": weights, "epoch": 1, "step": 0}, path)
    else:
        save_file(weights, path)
    (folder / "config.yaml").write_text(RETURNN[kind], encoding="utf-8")
    return path


def put_returnn_models(folder: Path) -> None:
    """Puts recognisers, a language model and an internal one into folders of their own.

    One recogniser has attention and CTC, the other another encoder and CTC alone.
    """
    for name, kind in {"aed": "aed", "ilm": "mini_lstm", "lm": "transformer_lm"}.items():
        put_returnn(folder / name, kind)
    checkpoint = put_returnn(folder / "ctc", "tf", ".safetensors", without=TF_DECODER)
    checkpoint.rename(folder / "ctc" / "ctc.safetensors")


@dataclass(frozen=True)
class StoredModel:
    """One of several models of a file, put into a folder as ESPnet writes it.

    Args:
        checkpoint: Its weights, next to config.yaml and, for BPE, bpe.model.
        tensors: What it computed, and its weights below `model.`, by name.
        hypotheses: N-best lists of (text, tokens, score).
    """

    checkpoint: Path
    tensors: dict[str, Tensor]
    hypotheses: list[Any]


def put_one_of(
    file: str, name: str, folder: Path, checkpoint: str = "valid.ave.pth"
) -> StoredModel:
    """Returns a model of a file of several.

    Args:
        file: Name of the file, without its ending.
        name: Of the model.
        folder: Where it is put.
        checkpoint: Name of its weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with safe_open(HERE / f"{file}.safetensors", "pt") as stored:
        metadata = stored.metadata()
        names = [each for each in stored.keys() if "/" not in each or each.startswith(f"{name}/")]  # noqa: SIM118
        tensors = {each.removeprefix(f"{name}/"): stored.get_tensor(each) for each in names}
    (folder / "config.yaml").write_text(metadata[f"{name}/config"], encoding="utf-8")
    shutil.copy(HERE / "espnet-conformer" / "bpe.model", folder)
    weights = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
    torch.save(weights, folder / checkpoint)
    hypotheses = json.loads(metadata[f"{name}/hypotheses"])
    return StoredModel(folder / checkpoint, tensors, hypotheses)

"""Models of other toolkits, put into a folder as those toolkits write them."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent


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

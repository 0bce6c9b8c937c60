"""Writes ESPnet2's files: configuration, weights, statistics and units."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from asrkit.errors import UserError
from asrkit.files import copy_file, write_text

CONFIG, WEIGHTS, STATISTICS, UNITS = "config.yaml", "model.pth", "feats_stats.npz", "bpe.model"


def write_espnet(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], units: Path | None
) -> Path:
    """Writes a model as ESPnet2 loads it; paths in its configuration are those of the new files.

    Args:
        folder: Where it is written; it must exist.
        config: Its configuration.
        tensors: Its tensors by their names there.
        units: Its SentencePiece model, of BPE.

    Returns:
        The path of the weights.

    Raises:
        UserError: If the configuration ties weights that differ.
    """
    _require_tied(config, tensors)
    changed = dict(config)
    if units is not None:
        copy_file(units, folder / UNITS)
        changed["bpemodel"] = str(folder / UNITS)
    if config.get("normalize") == "global_mvn":
        _write_statistics(folder / STATISTICS, tensors)
        settings = {**(config.get("normalize_conf") or {}), "stats_file": str(folder / STATISTICS)}
        changed["normalize_conf"] = settings
    write_text(folder / CONFIG, yaml.safe_dump(changed, allow_unicode=True, sort_keys=False))
    torch.save(dict(tensors), folder / WEIGHTS)
    return folder / WEIGHTS


def _write_statistics(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes sums of one frame that have these means and deviations: ESPnet opens the file."""
    mean, deviation = (tensors[f"normalize.{name}"].double().numpy() for name in ("mean", "std"))
    np.savez(path, count=1, sum=mean, sum_square=deviation**2 + mean**2)


def _require_tied(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    tied = (config.get("lm_conf") or {}).get("tie_weights") and config.get("lm") == "seq_rnn"
    if tied and not torch.equal(tensors["lm.encoder.weight"], tensors["lm.decoder.weight"]):
        raise UserError(
            "lm_conf.tie_weights is true, but after training here embeddings and output weights "
            "differ: set it to false in the configuration"
        )

"""What an imported model computes next to what the other toolkit computed."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor, nn

from asrkit.data.batch import Batch
from asrkit.data.manifests import Source, write_manifest
from asrkit.experiment import decode
from asrkit.models.asr_model import AsrModel
from asrkit.models.conformer import Conformer
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.interfaces import Encoded
from asrkit.run_files import NbestLine, read_nbest
from asrkit.run_folder import RunFolder


def agree(ours: Tensor, theirs: Tensor) -> None:
    """Asserts that tensors agree as far as single precision does."""
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=5e-5)


def outputs_of(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Returns where the modules' outputs go when they compute."""
    found: dict[str, Tensor] = {}
    for name, module in modules.items():

        def keep(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            found[name] = output[0] if isinstance(output, tuple) else output

        module.register_forward_hook(keep)
    return found


def layers_of(model: AsrModel, signal: Tensor) -> tuple[Encoded, dict[str, Tensor]]:
    """Returns the frames of a signal (N,), and the outputs of features and each layer before."""
    encoder = model.encoder
    assert isinstance(encoder, Conformer)
    places: dict[str, nn.Module] = {"features": model.features, "embed": encoder.frontends}
    places |= {f"block{n}": norm for n, norm in enumerate(encoder.norms, start=1)}
    found = outputs_of(places)
    encoded = model.encode(signal[None], torch.tensor([len(signal)]))
    return encoded, found | {"frames": encoded.frames}


def found_by(run: Path, signals: list[Tensor], search: str, *overrides: str) -> list[NbestLine]:
    """Returns the n-best list of each signal (N,), by a search of a run, from audio files."""
    data, sources = run.parent / "data", []
    data.mkdir(exist_ok=True)
    for number, signal in enumerate(signals):
        path = data / f"{number}.wav"
        soundfile.write(path, signal.numpy(), 16000)
        sources.append(Source(str(number), path, "one two", "speaker"))
    write_manifest(data, "test", sources)
    decode(run, data, "test", search, overrides=list(overrides))
    return read_nbest(RunFolder(run).decoded_set(search, "test").nbest)


def decoder_loss(head: AttentionHead, encoded: Encoded, batch: Batch, smoothed: bool) -> Tensor:
    """Returns () the loss, with labels smoothed or not, and without dropout."""
    head.training = smoothed
    return head.loss(encoded, batch)["loss"].total


def least_loss(smoothing: float, size: int) -> float:
    """Returns the least loss of a smoothed label of so many, which other toolkits subtract."""
    right, others = 1 - smoothing, smoothing / (size - 1)
    return -right * log(right) - (size - 1) * others * log(others)

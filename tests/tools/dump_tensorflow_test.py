"""A dump of a TensorFlow checkpoint holds its numbers as they are, and is read as a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from asrkit.experiment.import_model import read_tensors
from tools.dump_tensorflow import main

TENSORS: dict[str, Any] = {
    "source_linear/W": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "conv0/W": np.arange(8, dtype=np.float64).reshape(2, 2, 2)[:, ::-1],
    "global_step": np.int64(12),
    "saver": b"a graph",
}
"""What TensorFlow's reader returns: arrays of any strides, scalars, and text."""


class Reader:
    """A checkpoint, as TensorFlow reads it."""

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        return {name: list(np.shape(value)) for name, value in TENSORS.items()}

    def get_tensor(self, name: str) -> Any:
        return TENSORS[name]


def test_numbers_are_written_and_text_is_left_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def load(checkpoint: str) -> Reader:
        asked.append(checkpoint)
        return Reader()

    tensorflow = SimpleNamespace(train=SimpleNamespace(load_checkpoint=load))
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
    path = tmp_path / "network.023.safetensors"
    monkeypatch.setattr(sys, "argv", ["dump", "net/network.023.index", str(path)])
    main()
    assert asked == ["net/network.023"]
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["left: saver, which holds no numbers", f"{path}: 3 tensors"]
    found = read_tensors(path)
    assert found.keys() == TENSORS.keys() - {"saver"}
    for name, tensor in found.items():
        expected = torch.from_numpy(np.array(TENSORS[name]))
        torch.testing.assert_close(tensor, expected, rtol=0, atol=0)

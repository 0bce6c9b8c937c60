"""Plugins: found beside the spec, kept with the run, told with file and line where they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from asrkit.cli import main
from asrkit.data.manifests import Source, write_manifest

SPEC = """
plugins: [my_parts]
text: characters
data: {train: [train], dev: [], batches: {max_seconds: 4.0, num_buckets: 2}, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 12}
  encoder:
    type: conformer
    dim: 8
    num_layers: 1
    frontend: [{type: conv2d, channels: [2, 2], strides: [2, 2], dim: 8}]
    blocks:
      - {name: ffn, module: {type: feed_forward, hidden_dim: 8, activation: {type: mine}}}
  heads:
    ctc: {type: ctc, weight: 0.5}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 1e-3}}
decoding: {greedy: ctc_greedy}
"""
PLUGIN = '''
from torch import Tensor, nn

from asrkit.nn.activations import Activation, activations


@activations.register("mine")
class Mine(Activation):
    """x.

    Args:
        factor: Of x.
    """

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x
'''


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder conf/ with spec and plugin, and data/."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spec.yaml").write_text(SPEC)
    (tmp_path / "conf" / "my_parts.py").write_text(PLUGIN)
    random = np.random.default_rng(0)
    sources = []
    for name in ("a", "b"):
        samples = random.integers(-3000, 3000, 12000).astype(np.int16)
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
        sources.append(Source(name, tmp_path / f"{name}.wav", "AB", name))
    write_manifest(tmp_path / "data", "train", sources)
    return tmp_path


def asrkit(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def message(result: Result) -> str:
    assert result.exit_code == 2, result.output
    return result.output.replace("\n", " ")


def test_plugins_beside_the_spec_go_with_the_run(place: Path) -> None:
    spec, data, run = place / "conf" / "spec.yaml", place / "data", place / "run"
    (place / "other").mkdir()
    (place / "other" / "variant.yaml").write_text("extends: ../conf/spec.yaml\nseed: 2\n")
    assert asrkit("check", place / "other" / "variant.yaml").exit_code == 0
    assert asrkit("files", "spec", spec).output.split() == [
        str(spec),
        str(spec.with_name("my_parts.py")),
    ]
    assert asrkit("tokenizer", "characters", "--data", data).exit_code == 0
    result = asrkit("train", spec, "--data", data, "--run", run)
    assert result.exit_code == 0, result.output
    assert (run / "my_parts.py").read_text() == PLUGIN
    spec.with_name("my_parts.py").unlink()
    code = """if True:
        from click.testing import CliRunner
        from asrkit.cli import main
        for words in (
            ["average", "--run", "run"],
            ["decode", "--run", "run", "--data", "data", "--set", "train", "--search", "greedy"],
            ["diff", "run", "run"],
            ["check", "run/resolved.yaml", "--data", "data"],
        ):
            result = CliRunner().invoke(main, words)
            assert result.exit_code == 0, (words, result.output, result.exception)
        """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], cwd=place, env=environment, check=True)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("factor: float = 2.0", "factor", "the argument 'factor' of my_parts.Mine has no annota"),
        ("factor: float", "factor: 'Flaot'", "the annotations of my_parts.Mine can't be read"),
        ("factor: float = 2.0", "factor: complex", "missing key 'factor' (a complex)"),
        ('"mine"', '"relu"', "ValueError: activation 'relu' is already registered"),
        ("return self", "return self self", "my_parts.py:20)"),
        ("from torch import", "from torhc import", "my_parts.py:2)"),
        (
            "from torch import",
            "import sys; sys.exit(3)\nfrom torch import",
            "SystemExit: 3 (",
        ),
        ("self.factor = factor", "self.factor = fatcor", "NameError: name 'fatcor' is not defined"),
        ("super().__init__()", "raise ValueError('no')", "blocks[0].module.activation: no"),
    ],
)
def test_what_is_wrong_with_a_plugin_is_one_message(
    place: Path, old: str, new: str, expected: str
) -> None:
    (place / "conf" / "my_parts.py").write_text(PLUGIN.replace(old, new))
    said = message(asrkit("check", place / "conf" / "spec.yaml"))
    assert expected in said
    assert "PYTHONPATH" not in said


def test_a_plugin_that_is_nowhere_is_looked_for_where_the_message_says(place: Path) -> None:
    (place / "conf" / "my_parts.py").unlink()
    said = message(asrkit("check", place / "conf" / "spec.yaml"))
    assert (
        f"spec.yaml:2: plugins: can't import 'my_parts': there is no my_parts.py in {place}" in said
    )


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("return None", "activation gave None"),
        ("return x[..., :3]", "activation gave a tensor"),
        ("return x @ x", "Mine.forward"),
        ("raise KeyError('k')", "Mine.forward"),
        ("return x.long()", "model.encoder"),
        ("return x.cuda().no_such", "Mine.forward"),
    ],
)
def test_a_wrong_forward_is_found_before_training(place: Path, wrong: str, expected: str) -> None:
    text = PLUGIN.replace("return self.factor * x", wrong)
    (place / "conf" / "my_parts.py").write_text(text)
    said = message(asrkit("check", place / "conf" / "spec.yaml"))
    assert "a batch of noise fails" in said
    assert expected in said


def test_a_wrong_gradient_is_found_before_training(place: Path) -> None:
    text = PLUGIN.replace("return self.factor * x", "y = x.exp(); y.add_(1); return y")
    (place / "conf" / "my_parts.py").write_text(text)
    said = message(asrkit("check", place / "conf" / "spec.yaml"))
    assert "modified by an inplace operation" in said

"""The published hybrid models have exactly the published parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asrkit.config.yaml_loader import Spec, change
from asrkit.experiment import load_spec
from asrkit.experiment.spec import resolve_spec
from asrkit.text.vocabulary import Vocabulary

CONF = Path(__file__).parents[2] / "recipes" / "librispeech" / "conf"
CONVOLUTION = "model.encoder.blocks.convolution.module"


def counted(name: str, changes: dict[str, object], without: list[str]) -> tuple[int, int]:
    """Returns the numbers of parameters, and of the running statistics of norms."""
    tree = load_spec(CONF / f"{name}.yaml").tree
    change(tree, changes, without)
    experiment, _ = resolve_spec(Spec(tree))
    with torch.device("meta"):
        model = experiment.model(vocabulary=Vocabulary(["a", "b"]))
    trained = sum(parameter.numel() for parameter in model.parameters())
    running = [b for name, b in model.named_buffers() if "running" in name]
    return trained, sum(buffer.numel() for buffer in running)


def test_published_models_have_the_published_parameters() -> None:
    assert counted("hybrid-ping", {}, []) == (86_828_450, 0)
    assert counted("hybrid-small", {}, []) == (28_138_737, 28_144_881 - 28_138_737)


@pytest.mark.parametrize(
    ("changes", "without", "expected"),
    [
        ({"model.encoder.taps": []}, ["model.heads.aux_6"], 82_760_129),
        ({f"{CONVOLUTION}.norm": "group_norm"}, [], 86_828_450),
    ],
)
def test_variants_have_theirs(
    changes: dict[str, object], without: list[str], expected: int
) -> None:
    assert counted("hybrid-ping", changes, without) == (expected, 0)

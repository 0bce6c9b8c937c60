"""Whatever regularises or is random in training counts what it does, or says here why it need not.

A setting that is read by mistake, or never, is only seen by what it does. So each class that draws
random numbers in training, or has a setting of regularisation, counts with `Applied`, or hands the
setting to a part that does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from asrkit.config.registry import import_all
from asrkit.training.optimizers import optimizers

ROOT = Path(__file__).parents[2] / "asrkit"
FOLDERS = ("nn", "models", "losses", "training", "text", "data")
DRAWS = re.compile(r"(rand|randn|randint|randperm|bernoulli|dropout)(_like|_)?|random_?|normal_")
"""Functions that draw random numbers."""
SETTINGS = re.compile(
    r"(.*_)?(dropout|smoothing|focal|noise|decay|l2|penalty|survival|zoneout|switchout|deviation"
    r"|strengths?|max_change|probability|consistency|flows|masks)"
)
"""Settings that regularise."""
COUNTS = re.compile(r"\.applied\b|\bapplied\.count|applied=|Dropout\(|Zoneout\(|Switchout\(")
"""What a class has that counts, or has a part that does."""
OF_OPTIMIZERS = "weight_decay"
"""What all optimisers have, and `count_decay` counts."""
WHY_NOT = {
    "Branch": "EBranchformer's branches have Dropout of this probability",
    "TdnnfEncoder": "its layers have ContinuousDropout of this probability",
    "LstmCell": "Zoneout counts",
    "WeightNoise": "changed_weights counts",
    "Update": "GradientNoise counts",
    "Newbob": "decay of learning rates, which the log has",
    "MovingAverage": "what is trained does not know of it",
    "GlobalNormalization": "deviation of features, which is measured",
    "VarianceScaling": "draws weights once, before training",
    "NormalInitialization": "draws weights once, before training",
    "Features": "noise to try a model on",
    "ReadyMade": "noise to try a model on",
    "draw_masks": "SpecAugment counts",
    "uniform": "SpecAugment counts",
    "dropout": "its callers count",
}
"""Classes and functions that need not count, and why."""


Definition = ast.ClassDef | ast.FunctionDef


def definitions(text: str) -> Iterator[tuple[Definition, str]]:
    """Yields the classes and functions of a module with their text."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node, ast.get_source_segment(text, node) or ""


def called(node: Definition) -> set[str]:
    """Returns the names of functions that are called within a definition."""
    functions = [each.func for each in ast.walk(node) if isinstance(each, ast.Call)]
    return {
        each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "")
        for each in functions
    }


def settings(node: Definition) -> set[str]:
    """Returns the arguments of a class's constructor, or the fields of a dataclass."""
    found = set()
    for each in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            found |= {argument.arg for argument in (*each.args.args, *each.args.kwonlyargs)}
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            found.add(each.target.id)
    return found - {OF_OPTIMIZERS}


def uncounted(text: str) -> dict[str, set[str]]:
    """Returns what is random, or regularises, in definitions of a module that do not count."""
    found = {}
    for node, source in definitions(text):
        names = {name for name in settings(node) if SETTINGS.fullmatch(name)}
        names |= {name for name in called(node) if DRAWS.fullmatch(name)}
        if names and not COUNTS.search(source):
            found[node.name] = names
    return found


def test_what_regularises_counts_what_it_does_or_says_why_not() -> None:
    found: dict[str, set[str]] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found |= uncounted(path.read_text("utf-8"))
    assert {name: each for name, each in found.items() if name not in WHY_NOT} == {}, (
        "count it with `self.applied = Applied()`, or say in WHY_NOT why it need not count"
    )
    assert sorted(WHY_NOT.keys() - found.keys()) == [], "these count now, or are gone"


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    def __init__(self, label_smoothing: float) -> None: ...",
        "@dataclass\nclass A:\n    noise: float",
        "class A:\n    def forward(self, x):\n        return x * torch.rand_like(x)",
        "def A(x):\n    return F.dropout(x, 0.1)",
    ],
)
def test_what_does_not_count_is_seen(text: str) -> None:
    assert list(uncounted(text)) == ["A"]
    assert uncounted(text + "\n    applied.count('x', 1, 1)") == {}


def test_optimizers_tell_what_their_weight_decay_is() -> None:
    import_all()
    layer = torch.nn.Linear(4, 4)
    for name, entry in optimizers.entries.items():
        factory = entry()
        group = factory(layer).param_groups[0]
        assert factory.is_decoupled() == group.get("decoupled_weight_decay", name == "muon"), name

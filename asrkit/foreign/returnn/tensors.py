"""What the tensors of a RETURNN checkpoint tell of its model: which kind it is, and sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from asrkit.foreign.layouts import Transposed
from asrkit.foreign.rules import Rule, rename
from asrkit.foreign.settings import Problems

KINDS = {
    "recogniser": r"encoder\.layers\.0\..*",
    "mini_lstm": r"mini_att_lstm\.ff_weight",
    "lstm_lm": r"layers\.0\.ff_weight",
    "transformer_lm": r"layers\.0\.self_att\.qkv\.weight",
}
"""A name that tells each kind."""


class Tensors:
    """The tensors of a model.

    Args:
        tensors: By name.
        problems: Where problems go.
    """

    def __init__(self, tensors: Mapping[str, Tensor], problems: Problems) -> None:
        self.tensors, self.problems = tensors, problems

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """Returns the shape of a tensor; a problem, and ones, if there is none with such axes."""
        tensor = self.tensors.get(name)
        if tensor is None:
            self.problems.add(f"there is no tensor {name}")
        elif tensor.dim() != axes:
            self.problems.add(f"{name}: expected {axes} axes, got the shape {tuple(tensor.shape)}")
        else:
            return tuple(tensor.shape)
        return (1,) * axes

    def numbers(self, pattern: str) -> list[int]:
        """Returns the numbers that a group of a pattern matches in names, in order."""
        found = (re.fullmatch(pattern, name) for name in self.tensors)
        return sorted({int(each[1]) for each in found if each is not None})

    def kind(self) -> str | None:
        """Returns the kind of the model; a problem and None if it is none that is known."""
        for kind, pattern in KINDS.items():
            if any(re.fullmatch(pattern, name) for name in self.tensors):
                return kind
        some = ", ".join(list(self.tensors)[:3])
        self.problems.add(f"expected a {' or a '.join(KINDS)}, got tensors such as {some}")
        return None


def linear(ours: str, theirs: str) -> Rule:
    """Returns the rule of a linear layer, whose weights have inputs first there."""
    return rename(ours, theirs, transform=Transposed())


def layer_norm(ours: str, theirs: str) -> list[Rule]:
    """Returns the rules of a layer norm."""
    return [
        rename(f"{ours}.weight", f"{theirs}.scale"),
        rename(f"{ours}.bias", f"{theirs}.bias"),
    ]

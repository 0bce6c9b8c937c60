"""A part of a model of another toolkit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asrkit.foreign.rules import Rule


@dataclass
class Part:
    """A part of a model: its tree in a spec, and where its tensors come from.

    Args:
        tree: The part of the spec.
        rules: For its tensors.
    """

    tree: dict[str, Any]
    rules: list[Rule] = field(default_factory=list)

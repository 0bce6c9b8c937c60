"""A model of another toolkit, described in terms of this one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrkit.foreign.rules import Rule


@dataclass(frozen=True)
class Units:
    """The symbols of a model.

    Args:
        symbols: The labels, in the order of their ids here.
        sentencepiece: The SentencePiece model that splits texts into them, if one does.
    """

    symbols: Sequence[str]
    sentencepiece: Path | None = None


@dataclass(frozen=True)
class ForeignModel:
    """What a configuration of another toolkit says.

    Args:
        tree: The spec.
        units: The labels.
        rules: Where the tensors of the spec's model come from.
        not_needed: Why tensors are not needed, by a pattern of their whole names.
        notes: What is not as there, a sentence each.
    """

    tree: dict[str, Any]
    units: Units
    rules: Sequence[Rule]
    not_needed: dict[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

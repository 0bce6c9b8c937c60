"""A model of another toolkit, described in terms of this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from asrkit.foreign.rules import Rule


@dataclass(frozen=True)
class DecoderOf:
    """The decoder of a run that an internal language model stands next to.

    Args:
        decoder: Its part of the spec.
        frame_dim: D of the frames that it reads.
        weights: Its tensors.
    """

    decoder: dict[str, Any]
    frame_dim: int
    weights: Mapping[str, Tensor]


@dataclass(frozen=True)
class Given:
    """What is known of a model of another toolkit.

    Args:
        config: Its configuration.
        place: Where that is.
        sentencepiece: The SentencePiece model, if that is not where the configuration says.
        tensors: The checkpoint.
        decoder_of: The decoder that it stands next to, if it is an internal language model.
    """

    config: Mapping[str, Any]
    place: Path
    sentencepiece: Path | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    decoder_of: DecoderOf | None = None


@dataclass(frozen=True)
class Units:
    """The symbols of a model.

    Args:
        symbols: The labels, in the order of their ids here.
        sentencepiece: The SentencePiece model that splits texts into them, if one does.
        merges: The file of merges that splits texts into them, if one does.
    """

    symbols: Sequence[str]
    sentencepiece: Path | None = None
    merges: Path | None = None


@dataclass(frozen=True)
class ForeignModel:
    """What a configuration of another toolkit says.

    Args:
        tree: The spec.
        units: The labels.
        rules: Where the tensors of the spec's model come from.
        not_needed: Why tensors are not needed, by a pattern of their whole names.
        notes: What is not as there, a sentence each.
        tensors: The tensors that the rules name, where these are not those of the checkpoint as
            they are: renamed, fewer, or more.
        buffers: Tensors that are stored there and computed here: the buffer here for each.
    """

    tree: dict[str, Any]
    units: Units
    rules: Sequence[Rule]
    not_needed: dict[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    tensors: Mapping[str, Tensor] | None = None
    buffers: dict[str, str] = field(default_factory=dict)

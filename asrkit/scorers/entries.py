"""The entries of a search's `scorers`: what scores, and with which weight.

A search adds up weighted scores. A number is the weight of the head with that name; everything else
is a mapping with a `type`. Language models, internal language models (with a negative weight),
other models' heads and length rewards are scorers like any other.

Relative paths are meant from the current folder, else from the decoded run (`prior/ctc.json`), from
the two folders that it is in (`lm-small`, a run next to it, or to a run that it is a stage of) or
from the data folder (`lm/4gram.arpa.gz`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from asrkit.config.registry import Registry
from asrkit.scorers.end_of_sentence import without_eos
from asrkit.scorers.interfaces import FrameSource, Kind, LabelSource, SymbolSource
from asrkit.scorers.loader import FoundHead, Loader
from asrkit.scorers.sources import Source


class Scorer(ABC):
    """One entry of a search's scorers; implementations set `weight`, and `eos` if it is a choice.

    Where `eos` is false, the end of the sentence gets no score. `rewards` says whether scores may
    be positive, so that no search can tell from a hypothesis what it is still going to gain;
    `hears` whether they depend on the speech, so that they may choose labels for others to score;
    `frame_kind` what they score where a search through a graph asks for frames.
    """

    weight: float
    eos: bool = True
    hears: ClassVar[bool] = False
    frame_kind: ClassVar[Kind] = "frames"

    @property
    def rewards(self) -> bool:
        """Whether its scores may be positive."""
        return False

    def load(self, name: str, loader: Loader) -> Source:
        """Returns what scores; `name` is the entry's."""
        source = Source.of(self.find(name, loader))
        return source if self.eos else without_eos(source, len(loader.vocabulary))

    @abstractmethod
    def find(self, name: str, loader: Loader) -> Source | LabelSource | FrameSource | SymbolSource:
        """Returns what scores, the end of the sentence included; `name` is the entry's."""

    def own_head(self, name: str) -> str | None:
        """Returns which head of the decoded model it uses, None for none."""
        return None


scorers: Registry[Scorer] = Registry("scorer", Scorer, default="head")


@dataclass(frozen=True)
class OfHead(Scorer):
    """An entry that uses a head of the decoded model or of another run's.

    Args:
        weight: Factor of its log-probabilities.
        head: Name of the head; the entry's name where null.
        run: Run folder of another model with the same vocabulary (system combination).
        checkpoint: Of that run.
    """

    weight: float
    head: str | None = None
    run: Path | None = None
    checkpoint: str = "average"

    def own_head(self, name: str) -> str | None:
        """Returns the head, unless it is another run's."""
        return None if self.run is not None else self.head or name

    def found(self, name: str, loader: Loader) -> FoundHead:
        """Returns the head; `name` is the entry's."""
        return loader.head(self.head or name, self.run, self.checkpoint)

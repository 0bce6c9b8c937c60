"""What a search scores with: the decoded model's heads, other runs' heads, language models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.experiment.decode_settings import heard_with
from asrkit.experiment.prior import read_prior
from asrkit.experiment.runs import open_run
from asrkit.experiment.search_needs import find_model
from asrkit.lm.arpa import read_arpa
from asrkit.lm.ngram import NgramModel
from asrkit.models.asr_model import AsrModel
from asrkit.models.interfaces import Encoded
from asrkit.models.language_model import LanguageModel
from asrkit.scorers.interfaces import (
    FrameScorer,
    LabelScorer,
    ScoringHead,
    SymbolHead,
    SymbolScorer,
    scores_no_frames,
)
from asrkit.scorers.loader import View, plain
from asrkit.search.search import Search
from asrkit.training.checkpoints import resolve


@dataclass(frozen=True)
class Encodings:
    """The frames of some utterances from each of several encoders; lengths are the first's."""

    each: list[Encoded]

    @property
    def lengths(self) -> Tensor:
        """(B,) valid frames of the decoded model."""
        return self.each[0].lengths


@dataclass(frozen=True)
class PlacedHead:
    """A head and the number of the encoder that it reads."""

    head: ScoringHead
    number: int

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns the scorer of next labels."""
        return self.head.label_scorer(encoded.each[self.number])

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """Returns the scorer of frame symbols."""
        return self.head.frame_scorer(encoded.each[self.number])

    def symbol_scorer(self, encoded: Any) -> SymbolScorer:
        """Returns the scorer of symbols after labels.

        Raises:
            UserError: If the head has none.
        """
        if not isinstance(self.head, SymbolHead):
            kind = type(self.head).__name__
            raise UserError(f"the search needs a transducer head, got one of type {kind}")
        return self.head.symbol_scorer(encoded.each[self.number])


@dataclass(frozen=True)
class NgramHead:
    """An n-gram model as one of a search's heads."""

    model: NgramModel

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns the scorer of next labels."""
        return self.model.label_scorer(encoded)

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """There are no symbols of frames."""
        raise scores_no_frames("an n-gram model")


class System:
    """A trained model and whatever else the scorers of a search need.

    Args:
        run: Run folder of the decoded model.
        data: Data folder, where files of searches and an older run's tokenizer may be, if any.
        checkpoint: "average", "best", "last" or a path.
        device: Where everything is computed.
        overrides: Such as data.max_decode_seconds=600.

    Raises:
        UserError: If a run or checkpoint is missing, or vocabularies differ.
    """

    def __init__(
        self,
        run: Path,
        data: Path | None,
        checkpoint: str,
        device: torch.device,
        overrides: Sequence[str] = (),
    ) -> None:
        self.run, self.data, self.device = run, data, device
        self.checkpoint = resolve(run, checkpoint)
        opened = open_run(run, data)
        self.experiment, self.resolved = opened.experiment, opened.resolved
        self.speech = heard_with(self.experiment.speech, overrides)
        self.tokenizer, self.vocabulary = opened.tokenizer, opened.vocabulary
        self.models: dict[Path, torch.nn.Module] = {}
        self.others: list[Path] = []
        self.encoders = [self._asr_model(run, self.checkpoint)]
        self.heads: dict[str, ScoringHead] = {}

    def prepare(self, search: Search) -> None:
        """Loads what a search scores with."""
        self.others = []
        self.heads = search.load(self)

    def head(self, name: str, run: Path | None, checkpoint: str, view: View = plain) -> ScoringHead:
        """Returns what `view` makes of a head of the decoded model, or of that of another run.

        Raises:
            UserError: If the model has no such head, or the view needs another kind of head.
        """
        model = self.encoders[0]
        if run is not None:
            run = self.find(run)
            model = self._asr_model(run, resolve(run, checkpoint))
            if model not in self.encoders:
                self.encoders.append(model)
        found = model.named_heads()
        if name not in found:
            where = run or self.run
            raise UserError(f"the model of {where} has no head {name!r}; it has {', '.join(found)}")
        try:
            return PlacedHead(view(found[name]), self.encoders.index(model))
        except UserError as error:
            raise UserError(f"head {name!r}: {error}") from error

    def ngram(self, path: Path) -> ScoringHead:
        """Returns an n-gram model over the labels, from an ARPA file."""
        path = self.find(path)
        self.others.append(path)
        return NgramHead(NgramModel(read_arpa(path), self.vocabulary, path).to(self.device))

    def language_model(self, run: Path, checkpoint: str) -> ScoringHead:
        """Returns a trained language model.

        Raises:
            UserError: If the run is that of something else.
        """
        run = self.find(run)
        model = self._model(run, resolve(run, checkpoint))
        if not isinstance(model, LanguageModel):
            raise UserError(f"{run} is the run of a {type(model).__name__}, no language model")
        return model

    def prior(self, path: Path, run: Path | None, checkpoint: str) -> Tensor:
        """Returns log-priors (V + 1,) that were estimated with the same weights."""
        weights = self.checkpoint if run is None else resolve(self.find(run), checkpoint)
        path = self.find(path)
        self.others.append(path)
        return read_prior(path, weights, len(self.vocabulary) + 1)

    def find(self, path: Path) -> Path:
        """Returns where a search's file or run folder is."""
        return find_model(path, self.run, self.data)

    def files(self) -> list[Path]:
        """Returns the checkpoints in use, that of the decoded model first, and other files."""
        return [*self.models, *self.others]

    def eval(self) -> None:
        """Switches dropout and the like off."""
        for model in self.models.values():
            model.eval()

    def encode(self, signal: Tensor, lengths: Tensor) -> Encodings:
        """Returns the frames of samples from every encoder."""
        return Encodings([model.encode(signal, lengths) for model in self.encoders])

    def named_heads(self) -> Mapping[str, ScoringHead]:
        """Returns what scores, by the name of its entry in the search."""
        return self.heads

    def _asr_model(self, run: Path, path: Path) -> AsrModel:
        model = self._model(run, path)
        if not isinstance(model, AsrModel):
            kind = type(model).__name__
            raise UserError(f"{run}: decoding needs a model of type 'asr', got {kind}")
        return model

    def _model(self, run: Path, path: Path) -> torch.nn.Module:
        if path not in self.models:
            other = open_run(run, self.data)
            if other.vocabulary.symbols != self.vocabulary.symbols:
                raise UserError(
                    f"the labels of {run} are not those of {self.run}: {len(other.vocabulary)} and "
                    f"{len(self.vocabulary)}; one search needs one tokenizer"
                )
            model, _ = other.model(str(path))
            self.models[path] = model.to(self.device)
        return self.models[path]

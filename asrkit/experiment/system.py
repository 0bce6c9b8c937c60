"""What a search scores with: the decoded model's heads, other runs' heads, language models."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.experiment.decode_settings import heard_with
from asrkit.experiment.found_lists import FoundLists
from asrkit.experiment.interpolation import read_interpolation
from asrkit.experiment.prior import read_prior
from asrkit.experiment.runs import as_speech_model, as_text_model, open_run
from asrkit.experiment.search_needs import find_model
from asrkit.hmm.hmm_folder import digest_of
from asrkit.lm.arpa import read_arpa
from asrkit.lm.interpolation import InterpolationWeights
from asrkit.lm.ngram import NgramModel
from asrkit.lm.word_ngram import WordNgramModel
from asrkit.models.interfaces import Encoded, TrainableModel
from asrkit.models.kinds import SpeechModel, TextModel
from asrkit.run_folder import RunFolder
from asrkit.scorers.interfaces import Hypothesis, SentenceScores
from asrkit.scorers.loader import FoundHead, NgramUnits
from asrkit.search.search import LoadedSearch, Search
from asrkit.text.outputs import Outputs
from asrkit.training.checkpoints import resolve
from asrkit.wfst.graph_file import DecodingGraph, read_graph, require_labels, require_spellings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encodings:
    """The frames of some utterances from each of several encoders; lengths are the first's."""

    each: list[Encoded]

    @property
    def lengths(self) -> Tensor:
        """(B,) valid frames of the decoded model."""
        return self.each[0].lengths


@dataclass(frozen=True)
class Reads:
    """Takes the frames of one encoder.

    Args:
        number: Which.
    """

    number: int

    def __call__(self, encoded: Encodings) -> Encoded:
        """Returns its frames."""
        return encoded.each[self.number]


class System:
    """A trained model and whatever else the scorers of a search need.

    Args:
        run: Run folder of the decoded model.
        data: Data folder, where files of searches and an older run's tokenizer may be, if any.
        checkpoint: "average", "best", "last" or a path.
        device: Where everything is computed.
        overrides: Such as data.decoding.max_seconds=600.

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
        self.models: dict[Path, TrainableModel] = {}
        self.others: list[Path] = []
        self.encoders = [self._speech_model(run, self.checkpoint)]

    def prepare(self, search: Search) -> LoadedSearch:
        """Returns a search with what it scores with.

        Raises:
            UserError: If a scorer can't be found, or has no scores of the kind that is needed.
        """
        self.others = []
        return search.load(self)

    def head(self, name: str, run: Path | None, checkpoint: str) -> FoundHead:
        """Returns a head of the decoded model, or of that of another run.

        Raises:
            UserError: If the model has no such head.
        """
        model = self.encoders[0]
        if run is not None:
            run = self.find(run)
            model = self._speech_model(run, resolve(run, checkpoint))
            if model not in self.encoders:
                self.encoders.append(model)
        found = model.named_heads()
        where = run or self.run
        if name not in found:
            raise UserError(f"the model of {where} has no head {name!r}; it has {', '.join(found)}")
        what = f"{where}'s {type(found[name]).__name__}"
        return FoundHead(found[name], what, Reads(self.encoders.index(model)))

    def ngram(self, path: Path, units: NgramUnits = "labels") -> NgramModel | WordNgramModel:
        """Returns an n-gram model of the labels, or of words that they spell, from an ARPA file."""
        path = self.find(path)
        self.others.append(path)
        if units == "labels":
            return NgramModel(read_arpa(path), self.vocabulary, path).to(self.device)
        model = WordNgramModel(read_arpa(path), self.vocabulary, path).to(self.device)
        log.info("%s: %s", path, model.summary)
        return model

    def language_model(self, run: Path, checkpoint: str) -> TextModel:
        """Returns a trained language model.

        Raises:
            UserError: If the run is that of something else.
        """
        run = self.find(run)
        return as_text_model(self._model(run, resolve(run, checkpoint)), run)

    def interpolation(
        self, arpa: Path, run: Path, checkpoint: str, weights: InterpolationWeights
    ) -> SentenceScores:
        """Returns what interpolates an n-gram model of words with a language model.

        Raises:
            UserError: If the run is that of something else, or the n-gram model lacks `<unk>`.
        """
        arpa, run = self.find(arpa), self.find(run)
        found = read_interpolation(arpa, run, checkpoint, weights, self.device)
        self.others += [arpa, resolve(run, checkpoint)]
        decode = self.tokenizer.decode
        return lambda sequences: found.sentence_log_probs([decode([*s]) for s in sequences])

    def lists(self, search: str, run: Path | None, most: int) -> Callable[[str], list[Hypothesis]]:
        """Returns what a search has found in the utterances of the sets that it decoded."""
        found = FoundLists(
            self.run if run is None else self.find(run), search, self.tokenizer, most
        )
        self.others.extend(found.files)
        return found

    def graph(self, path: Path) -> DecodingGraph:
        """Returns a decoding graph.

        Raises:
            UserError: If it was made for other labels or another tokenizer, or for the states of
                another tree.
        """
        path = self.find(path)
        self.others.append(path)
        graph = read_graph(path)
        if graph.tree:
            self._require_tree(graph, path)
        elif not self._has_phones(graph):
            require_labels(graph, self.vocabulary.symbols, path)
        require_spellings(graph, self.tokenizer.encode_if_known, path)
        return graph

    def _has_phones(self, graph: DecodingGraph) -> bool:
        """Returns whether a graph reads just what a head gives, which is not labels."""
        heads = [head for model in self.encoders for head in model.named_heads().values()]
        own = [head.outputs for head in heads if hasattr(head, "outputs")]
        return any(not o.num_labels and o.names == tuple(graph.symbols) for o in own)

    def _require_tree(self, graph: DecodingGraph, path: Path) -> None:
        hmm = RunFolder(self.run).hmm
        if not hmm.is_dir():
            raise UserError(
                f"{path} is a graph of tied states, and {self.run} has no HMM ({hmm}): it is for "
                "Gaussian mixtures and for networks that are trained on their alignments"
            )
        if digest_of(hmm) != graph.tree:
            raise UserError(
                f"{path} was made for the tied states of another tree than that of {hmm}; make it "
                f"again: asrkit graph --run {self.run}"
            )

    def prior(
        self, path: Path, run: Path | None, checkpoint: str, outputs: Outputs | None = None
    ) -> Tensor:
        """Returns log-priors (K,) of outputs that were estimated with the same weights."""
        weights = self.checkpoint if run is None else resolve(self.find(run), checkpoint)
        path = self.find(path)
        self.others.append(path)
        return read_prior(path, weights, outputs or Outputs.labels_with_blank(self.vocabulary))

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

    def _speech_model(self, run: Path, path: Path) -> SpeechModel:
        return as_speech_model(self._model(run, path), run)

    def _model(self, run: Path, path: Path) -> TrainableModel:
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

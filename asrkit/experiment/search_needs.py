"""Which files a search needs besides the weights of the run that it decodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from asrkit.config.build import build
from asrkit.errors import UserError
from asrkit.experiment.decode_spec import load_decode_spec, searches_of
from asrkit.experiment.spec import load_spec
from asrkit.lm.interpolation import InterpolationWeights
from asrkit.run_folder import RunFolder
from asrkit.scorers.interfaces import Hypothesis, SentenceScores
from asrkit.scorers.loader import FoundHead, NgramUnits
from asrkit.scorers.stand_ins import NO_GRAPH, AnyHead, AnyLanguageModel, no_lists, no_sentences
from asrkit.search.search import Search
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary
from asrkit.wfst.graph_file import DecodingGraph


def find_model(path: Path, run: Path, data: Path | None) -> Path:
    """Returns where a search's file or run folder is.

    A relative path is meant from the current folder, else from the decoded run, the folder that
    this is in, the one that holds that folder (as of a stage of Gaussian mixtures), or the data
    folder; it stays what it is where there is none of them.

    Args:
        path: As the search names it.
        run: The decoded run.
        data: The data folder, if any.
    """
    above = [*run.resolve().parents][:2]
    places = [Path(), run, *above, *([] if data is None else [data])]
    return next((place / path for place in places if (place / path).exists()), path)


@dataclass
class Needs:
    """Stands where a search loads its models, and notes which files it asks for.

    Args:
        run: The decoded run.
        data: The data folder.
    """

    run: Path
    data: Path
    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary(["label"]))
    files: list[Path] = field(default_factory=list)
    priors: list[str] = field(default_factory=list)

    def head(self, name: str, run: Path | None, checkpoint: str) -> FoundHead:
        """Notes the weights of another run."""
        if run is not None:
            self.language_model(run, checkpoint)
        return FoundHead(AnyHead(), name)

    def language_model(self, run: Path, checkpoint: str) -> AnyLanguageModel:
        """Notes its weights."""
        place = RunFolder(find_model(run, self.run, self.data))
        self.files.append(place.weights(checkpoint))
        return AnyLanguageModel()

    def ngram(self, path: Path, units: NgramUnits = "labels") -> AnyLanguageModel:
        """Notes its file."""
        self.files.append(find_model(path, self.run, self.data))
        return AnyLanguageModel()

    def interpolation(
        self, arpa: Path, run: Path, checkpoint: str, weights: InterpolationWeights
    ) -> SentenceScores:
        """Notes the files of both models."""
        self.ngram(arpa)
        self.language_model(run, checkpoint)
        return no_sentences

    def lists(self, search: str, run: Path | None, most: int) -> Callable[[str], list[Hypothesis]]:
        """Notes the lists of all sets that were decoded."""
        place = self.run if run is None else find_model(run, self.run, self.data)
        self.files.extend(found.nbest for found in RunFolder(place).decoded_sets(search))
        return no_lists

    def graph(self, path: Path) -> DecodingGraph:
        """Notes its file."""
        self.files.append(find_model(path, self.run, self.data))
        return NO_GRAPH

    def prior(
        self, path: Path, run: Path | None, checkpoint: str, outputs: Outputs | None = None
    ) -> Tensor:
        """Notes its file, and whose it is."""
        if run is None and self._is_own(path):
            self.priors.append(path.stem)
            self.files.append(self.run / path)
        else:
            self.files.append(find_model(path, self.run, self.data))
        return torch.zeros(2)

    def _is_own(self, path: Path) -> bool:
        return not path.exists() and self.run / path == RunFolder(self.run).prior(path.stem)


def needs_of(run: Path, data: Path, spec: Path | None = None) -> dict[str, Needs]:
    """Returns what each search needs, by its name.

    Args:
        run: The run that is decoded.
        data: The data folder.
        spec: File whose searches replace those of the run.

    Raises:
        UserError: If there are no searches, or the file has problems.
    """
    path = RunFolder(run).spec if spec is None else spec
    searches = searches_of(load_spec(path) if spec is None else load_decode_spec(path))
    if not searches:
        raise UserError(f"{path} has no searches below decoding: or table:")
    found = {}
    for name, search in searches.items():
        needs = Needs(run, data)
        build(Search, search.spec, search.path).load(needs)
        found[name] = needs
    return found

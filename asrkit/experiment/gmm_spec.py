"""The schema of a training of Gaussian mixtures, and what such a spec reads of a data folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrkit.config.registry import Factory
from asrkit.config.yaml_loader import Spec
from asrkit.data.cuts import text_of
from asrkit.data.open_sets import OpenSets
from asrkit.data_folder import DataFolder
from asrkit.errors import UserError
from asrkit.hmm.lexicon import Lexicon
from asrkit.hmm.lexicon_files import read_lexicon
from asrkit.hmm.questions import Question, read_questions
from asrkit.hmm.topology import NOISE, SILENCE
from asrkit.hmm.training.settings import Settings
from asrkit.text.tokenizers import Tokenizer

OWN = {"lexicon", "mixtures", "questions"}
"""Keys that no other spec has."""


@dataclass(frozen=True)
class GmmData:
    """The speech that mixtures are trained on.

    Args:
        train: Names of the sets.

    Raises:
        ValueError: If there is none.
    """

    train: list[str]

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError("train names no set; expected at least one")


@dataclass(frozen=True)
class GmmSpec:
    """A training of Gaussian mixtures.

    Args:
        text: Spells recognised words, so that scores of labels can be added to those of mixtures.
        data: What they are trained on.
        lexicon: Name of the lexicon in the data folder, DATA/lexicon/NAME.txt.
        mixtures: The stages.
        questions: File of sets of phones that trees ask for, a line each, as Kaldi's questions.txt;
            without it, they are found by clustering.
        plugins: Python modules to import first, since they register more names.
    """

    text: Factory[Tokenizer]
    data: GmmData
    lexicon: str
    mixtures: Settings = field(default_factory=Settings)
    questions: Path | None = None
    plugins: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class GmmInputs:
    """What a training of mixtures reads.

    Args:
        tokenizer: Spells words.
        lexicon: Pronounces them.
        cuts: The speech.
        questions: Sets of phones that trees ask for.
    """

    tokenizer: Tokenizer
    lexicon: Lexicon
    cuts: list[Any]
    questions: tuple[Question, ...] = ()

    def lines(self) -> list[str]:
        """Returns how much there is, and which of its words the lexicon lacks."""
        words = Counter(word for cut in self.cuts for word in text_of(cut).split())
        seconds = sum(cut.duration for cut in self.cuts)
        found = self.lexicon.coverage(words.elements())
        total = f"{len(self.cuts)} utterances, {seconds / 3600:.2f} hours"
        asked = [f"{len(self.questions)} questions of trees"] if self.questions else []
        return [total, found.told(), *asked]


def is_gmm_spec(spec: Spec) -> bool:
    """Returns whether a spec is one of Gaussian mixtures."""
    return bool(spec.tree.keys() & OWN)


def require_gmm_spec(spec: Spec, path: Path) -> None:
    """Raises a UserError if a spec is that of a model."""
    if not is_gmm_spec(spec) and "model" in spec.tree:
        raise UserError(
            f"{path} is the spec of a model, for `asrkit train`; that of Gaussian mixtures has "
            "text, data, lexicon and mixtures"
        )


def open_inputs(spec: GmmSpec, data: Path) -> GmmInputs:
    """Opens what a spec names in a data folder.

    Raises:
        UserError: If something is missing or can't be read.
    """
    places = DataFolder(data)
    path = places.lexicon(spec.lexicon)
    if not path.is_file():
        raise UserError(
            f"there is no lexicon {path}; write it: asrkit lexicon --data {data} --set "
            f"{spec.data.train[0]} --from cmudict --name {spec.lexicon}"
        )
    tokenizer = spec.text(directory=places.text)
    lexicon, questions = read_lexicon(path), tuple[Question, ...]()
    if spec.questions is not None:
        questions = read_questions(spec.questions, {*lexicon.phones, SILENCE, NOISE})
    cuts = list(OpenSets().open(data, spec.data.train))
    return GmmInputs(tokenizer, lexicon, cuts, questions)

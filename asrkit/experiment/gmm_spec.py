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
from asrkit.experiment.word_times import read_word_times
from asrkit.hmm.lexicon import Lexicon
from asrkit.hmm.lexicon_files import read_lexicon
from asrkit.hmm.questions import Question, read_questions
from asrkit.hmm.timed_phones import TimedName
from asrkit.hmm.topology import NOISE, SILENCE
from asrkit.hmm.training.given import Given
from asrkit.hmm.training.settings import Settings
from asrkit.text.tokenizers import Tokenizer

OWN = {"lexicon", "mixtures", "questions"}
"""Keys that no other spec has."""


@dataclass(frozen=True)
class GmmData:
    """The speech that mixtures are trained on.

    Args:
        train: Names of the sets.
        alignments: Run folder whose `asrkit align` has found when words are said, such as that of a
            CTC model: the first stage begins with these times instead of equal lengths.

    Raises:
        ValueError: If there is none.
    """

    train: list[str]
    alignments: Path | None = None

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
        given: Questions of trees and times of words, if there are any.
    """

    tokenizer: Tokenizer
    lexicon: Lexicon
    cuts: list[Any]
    given: Given = Given()

    def lines(self) -> list[str]:
        """Returns how much there is, and which of its words the lexicon lacks."""
        words = Counter(word for cut in self.cuts for word in text_of(cut).split())
        seconds = sum(cut.duration for cut in self.cuts)
        found = self.lexicon.coverage(words.elements())
        total = f"{len(self.cuts)} utterances, {seconds / 3600:.2f} hours"
        return [total, found.told(), *self._given()]

    def _given(self) -> list[str]:
        questions, times = self.given.questions, self.given.times
        known = sum(cut.id in times for cut in self.cuts)
        return [
            *([f"{len(questions)} questions of trees"] if questions else []),
            *([f"times of words of {known} utterances, to begin with"] if times else []),
        ]


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
    lexicon, cuts = read_lexicon(path), list(OpenSets().open(data, spec.data.train))
    return GmmInputs(tokenizer, lexicon, cuts, _given(spec, lexicon))


def _given(spec: GmmSpec, lexicon: Lexicon) -> Given:
    questions, times = tuple[Question, ...](), dict[str, tuple[TimedName, ...]]()
    if spec.questions is not None:
        questions = read_questions(spec.questions, {*lexicon.phones, SILENCE, NOISE})
    if spec.data.alignments is not None:
        times = read_word_times(spec.data.alignments, spec.data.train)
    return Given(questions, times)

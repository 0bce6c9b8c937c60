"""The data of an experiment, opened: which utterances it leaves out, and its batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from lhotse import CutSet

from asrkit.data.dataset import CutData
from asrkit.data.feasibility import AUDIO_REASONS, Fitness
from asrkit.data.feature_sets import require_rate
from asrkit.data.frame_targets import FrameTargets
from asrkit.data.manifests import Unusable, read_unusable, unusable_path, without
from asrkit.data.open_sets import OpenSets
from asrkit.data.text import TextData, TextSettings, load_sentences
from asrkit.data.utterances import FrameSymbols
from asrkit.experiment.aligned import list_misaligned, open_alignments
from asrkit.experiment.spec import Experiment
from asrkit.models.interfaces import TrainableModel
from asrkit.text.tokenizers import Tokenizer
from asrkit.training.sources import NoBatches


@dataclass(frozen=True)
class OpenData:
    """The sets of an experiment in a data folder.

    Args:
        experiment: What is trained.
        folder: Data folder.
        tokenizer: Turns transcripts into labels.
        sets: Of the command: each manifest is read once, however many ask for it.
        targets: What alignments hold that the model is trained on; None if it needs none.
    """

    experiment: Experiment
    folder: Path
    tokenizer: Tokenizer
    sets: OpenSets
    targets: FrameTargets | None = None

    def cuts(self, names: list[str]) -> CutSet:
        """Returns the utterances of some sets.

        Raises:
            UserError: If they have ready-made features of another rate than the model's.
        """
        found = self.sets.open(self.folder, names)
        if self.experiment.data.sample_rate is not None:
            require_rate(found, self.experiment.data.sample_rate, self.experiment.speech.speeds)
        return found

    def unusable(self, name: str, model: TrainableModel) -> Iterator[Unusable]:
        """Yields the utterances of a set that a model can't learn or be judged by, with reasons.

        What is wrong with audio is known from `asrkit check`; the rest depends on the spec, and the
        last check may have been of another. Limits of training are not among the reasons: they say
        what is trained on, and dev sets keep what they leave out.
        """
        known = read_unusable(unusable_path(self.folder, name))
        listed = [entry for entry in known if entry.reason in AUDIO_REASONS]
        yield from listed
        if self.experiment.data.sample_rate is None:
            return
        names = {entry.id for entry in listed}
        fitness = fitness_of(self.experiment, self.tokenizer, model, name)
        checked = (fitness(cut) for cut in self.cuts([name]) if cut.id not in names)
        yield from (entry for entry in checked if entry is not None)
        yield from self.misaligned(name, model)

    def misaligned(self, name: str, model: TrainableModel) -> list[Unusable]:
        """Returns the utterances of a set that can't be trained on their alignments."""
        if self.experiment.speech.alignments is None or model.given_targets is None:
            return []
        cuts = list(self.cuts([name]))
        return list_misaligned(self.experiment, self.tokenizer, model, cuts, name)

    def training(
        self, left_out: Iterable[Unusable], rank: int = 0, size: int = 1
    ) -> CutData | TextData:
        """Returns the training batches of one of `size` processes."""
        alignments = self._alignments(self.experiment.data.train)
        return self._source(True, left_out, rank, size, alignments)

    def dev(
        self, left_out: Iterable[Unusable], rank: int = 0, size: int = 1
    ) -> CutData | TextData | NoBatches:
        """Returns the dev batches of one of `size` processes."""
        names = self.experiment.data.dev
        if not names:
            return NoBatches()
        return self._source(False, left_out, rank, size, self._alignments(names))

    def counted(self, left_out: Iterable[Unusable] = ()) -> CutData | TextData:
        """Returns all training batches, to be counted only: they have no alignments."""
        return self._source(True, left_out)

    def _alignments(self, names: list[str]) -> FrameSymbols | None:
        return open_alignments(self.experiment, self.tokenizer, self.targets, names)

    def _source(
        self,
        training: bool,
        left_out: Iterable[Unusable],
        rank: int = 0,
        size: int = 1,
        alignments: FrameSymbols | None = None,
    ) -> CutData | TextData:
        settings, seed = self.experiment.data, self.experiment.seed
        if isinstance(settings, TextSettings):
            sentences = load_sentences(settings, self.folder, self.tokenizer, training)
            return TextData(sentences, settings, seed, training, rank, size)
        cuts = without(self.cuts(settings.train if training else settings.dev), left_out)
        speech = self.experiment.speech
        return CutData(cuts, self.tokenizer, speech, seed, training, rank, size, alignments)


def fitness_of(
    experiment: Experiment, tokenizer: Tokenizer, model: TrainableModel, name: str
) -> Fitness:
    """Returns what an experiment asks of a set's utterances, whatever the limits of training."""
    settings = experiment.speech
    return Fitness(
        tokenizer,
        output_frames=cache(lambda samples: int(model.output_frames(torch.tensor([samples]))[0])),
        min_frames=model.min_frames,
        fastest=max(settings.speeds_of(name)),
        sample_rate=settings.sample_rate,
    )

"""`asrkit features`: the features that a stage of Gaussian mixtures hears of a set, as a set."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from lhotse.utils import fastcopy
from numpy.typing import NDArray
from torch import Tensor

from asrkit.data.feature_sets import write_feature_set
from asrkit.data.open_sets import OpenSets
from asrkit.data.transcripts import with_transcripts
from asrkit.data_folder import DataFolder
from asrkit.errors import UserError
from asrkit.experiment.record import record_command
from asrkit.files import copy_file, json_line, matching, write_text
from asrkit.hmm.adapted_alignment import align_speech
from asrkit.hmm.features import Mfcc
from asrkit.hmm.fmllr import MIN_FRAMES
from asrkit.hmm.graphs import GraphCompiler
from asrkit.hmm.hmm_folder import read_hmm
from asrkit.hmm.lexicon_files import read_lexicon
from asrkit.hmm.model import read_model
from asrkit.hmm.speaker_transforms import SpeakerTransforms, write_transforms
from asrkit.hmm.speech import Speech, read_speech
from asrkit.records import read_json
from asrkit.run_files import read_nbest
from asrkit.run_folder import RunFolder

NONE, REFERENCE = "none", "reference"
"""What speakers are adapted to, besides the results of a search."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cepstra:
    """RUN/STAGE/cepstra.json: what all features of a stage are made of.

    Args:
        mfcc: How samples become cepstra.
        normalize_variance: Whether cepstra have variance 1 for every speaker.
        min_speaker_frames: Speakers of fewer frames of speech are not adapted.
    """

    mfcc: Mfcc = field(default_factory=Mfcc)
    normalize_variance: bool = False
    min_speaker_frames: int = MIN_FRAMES

    def write(self, run: Path) -> None:
        """Writes the file."""
        write_text(run / "cepstra.json", json_line(asdict(self)) + "\n")


@dataclass(frozen=True)
class FeatureReport:
    """A new set of features.

    Args:
        data: Its data folder.
        name: Its name.
        utterances: How many there are.
        speakers: How many speakers.
        adapted: How many of these have a transform.
    """

    data: Path
    name: str
    utterances: int
    speakers: int
    adapted: int

    def lines(self) -> list[str]:
        """Returns the report as text."""
        text = f"{self.data}: set {self.name}, {self.utterances} utterances"
        if not self.adapted:
            return [f"{text}, as they are: no speaker has a transform"]
        return [f"{text}, transformed for {self.adapted} of {self.speakers} speakers"]


def features(
    run: Path,
    data: Path,
    set_name: str,
    adapt: str = NONE,
    speed: float = 1.0,
    lexicon: str | None = None,
    jobs: int = 1,
) -> FeatureReport:
    """Writes the features of a set into RUN/data, a data folder for the models of this stage.

    Args:
        run: Folder of a stage of `asrkit gmm`.
        data: Data folder, with the audio.
        set_name: The set; that of features has the same name, with -first where they are not
            transformed though the stage's mixtures were trained on transformed ones, and with
            -sp0.9 where they are played at that speed.
        adapt: What every speaker's transform is estimated on: "none" for no transform, "reference"
            for the transcripts, as in training; otherwise the name of a search that has decoded
            SET-first.
        speed: At which the audio is played; above 1 it is faster.
        lexicon: Name of the lexicon with pronunciations of the words, DATA/lexicon/NAME.txt; that
            of the stage if not given.
        jobs: Threads.

    Raises:
        UserError: If something is missing, or the stage has no transforms.
    """
    model, cepstra = read_model(run), read_cepstra(run)
    if adapt != NONE and model.first_mixtures is None:
        raise UserError(
            f"{run} was trained on features without transforms: give --adapt none, or the folder "
            "of stage sat"
        )
    cuts = OpenSets().open(data, [set_name])
    if adapt == REFERENCE:
        cuts = with_transcripts(cuts, set_name, "transforms by transcripts")
    speech = read_speech(cuts, cepstra.mfcc, cepstra.normalize_variance, jobs, speed)
    name, transforms = _name(set_name, speed), dict[str, Tensor]()
    found = speech.transformed(model.front)
    if adapt == NONE and model.first_mixtures is not None:
        name = f"{name}-first"
    elif adapt != NONE:
        said = speech if adapt == REFERENCE else _recognised(speech, run, adapt, f"{name}-first")
        compiler = _compiler(run, data, lexicon)
        result = align_speech(
            said, model, compiler, jobs=jobs, min_frames=cepstra.min_speaker_frames
        )
        transforms, found = dict(result.transforms), result.features
        write_transforms(run / "transforms" / f"{name}.safetensors", transforms)
        _tell(said, result.aligned.failed, transforms)
    record_command(run)
    made = _with_features(cuts, speech, found.numpy(), speed)
    count = write_feature_set(RunFolder(run).features, name, made, cepstra.mfcc.shift)
    _keep_tokenizer(RunFolder(run))
    return FeatureReport(
        RunFolder(run).features, name, count, len(speech.speakers), len(transforms)
    )


def _keep_tokenizer(run: RunFolder) -> None:
    """Copies a stage's tokenizer into its data folder, for networks that are trained there."""
    for path in matching(run.text, "*"):
        copy_file(path, DataFolder(run.features).text / path.name)


def read_cepstra(run: Path) -> Cepstra:
    """Returns what features of a stage are made of.

    Raises:
        UserError: If the folder is not that of a stage.
    """
    path = run / "cepstra.json"
    if not path.is_file():
        raise UserError(f"{run} is not the folder of a stage of `asrkit gmm`: {path} is missing")
    return read_json(path, Cepstra)


def _name(set_name: str, speed: float) -> str:
    return set_name if speed == 1.0 else f"{set_name}-sp{speed:g}"


def _recognised(speech: Speech, run: Path, search: str, set_name: str) -> Speech:
    """Returns the speech with the words that a search has found in place of the transcripts.

    Raises:
        UserError: If an utterance was not decoded.
    """
    path = RunFolder(run).decoded_set(search, set_name).nbest
    words = {line.id: tuple(line.text.split()) for line in read_nbest(path)}
    missing = [one.name for one in speech.utterances if one.name not in words]
    if missing:
        raise UserError(f"{path} has no utterance {missing[0]}: decode {set_name} again")
    said = [replace(one, words=words[one.name]) for one in speech.utterances]
    return replace(speech, utterances=said)


def _compiler(run: Path, data: Path, lexicon: str | None) -> GraphCompiler:
    hmm = read_hmm(RunFolder(run).hmm)
    known = hmm.lexicon if lexicon is None else read_lexicon(DataFolder(data).lexicon(lexicon))
    return GraphCompiler(known, hmm.tree.phones, hmm.silence, unknown_as_noise=True)


def _tell(speech: Speech, failed: list[str], transforms: SpeakerTransforms) -> None:
    """Says which utterances and speakers have no transform of their own."""
    if failed:
        log.warning(
            "%d of %d utterances could not be aligned, and don't count for transforms, such as %s",
            len(failed), len(speech.utterances), failed[0],
        )  # fmt: skip
    plain = sorted(set(speech.speakers) - set(transforms))
    if plain:
        log.warning(
            "%d of %d speakers have too little speech for a transform, such as %s",
            len(plain), len(speech.speakers), plain[0],
        )  # fmt: skip


def _with_features(
    cuts: Iterable[Any], speech: Speech, frames: NDArray[np.float32], speed: float
) -> Iterator[tuple[Any, NDArray[np.float32]]]:
    """Yields cuts with their features, under names of their own at another speed."""
    by_name = {cut.id: cut for cut in cuts}
    for one in speech.utterances:
        cut = by_name[one.name]
        if speed != 1.0:
            said = [fastcopy(s, id=f"sp{speed:g}-{s.id}") for s in cut.supervisions]
            cut = fastcopy(cut, id=f"sp{speed:g}-{cut.id}", supervisions=said)
        yield cut, frames[one.begin : one.end]

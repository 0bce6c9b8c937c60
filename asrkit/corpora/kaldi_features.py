"""Features of Kaldi data folders: feats.scp and text; optional: utt2spk, cmvn.scp, frame_shift."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from asrkit.corpora.kaldi import DERIVED, Line, ProblemError, read_keyed
from asrkit.corpora.places import Places
from asrkit.data.audio import AudioError
from asrkit.data.feature_sets import Frames
from asrkit.data.feature_sources import FRAME_SHIFT, FeatureSource
from asrkit.data.kaldi_matrices import read_matrix_at, split_place
from asrkit.data.sources import Unusable
from asrkit.errors import UserError
from asrkit.files import matching, read_lines
from asrkit.text.normalization import normalized

Normalized = Literal["none", "mean", "mean-variance"]
"""What is taken from features by the statistics of cmvn.scp."""
USED = ("feats.scp", "text", "utt2spk", "frame_shift")
UNHEARD = ("wav.scp", "segments", "reco2file_and_channel")
"""Of the audio, which is not used."""
LEAST_VARIANCE = 1e-20

log = logging.getLogger(__name__)


def read_kaldi_features(
    folder: Path, root: Path | None = None, cmvn: Normalized = "none"
) -> Iterator[FeatureSource | Unusable]:
    """Yields the utterances of a Kaldi data folder with their features, and what can't be one.

    Args:
        folder: The folder.
        root: What relative paths in feats.scp are meant from; the folder itself if None.
        cmvn: What is normalised for each speaker.

    Raises:
        UserError: If it is not such a folder, or a file can't be read.
    """
    if not (folder / "feats.scp").is_file():
        there = ", ".join(path.name for path in matching(folder, "*")[:12]) or "nothing"
        raise UserError(f"{folder} has no feats.scp, which lists features; it has: {there}")
    problems: list[Unusable] = []
    features, texts, speakers = (
        read_keyed(folder / name, problems, name == "text")
        for name in ("feats.scp", "text", "utt2spk")
    )
    yield from _utterances(folder, root, features, texts, speakers, _Cmvn(folder, root, cmvn))
    yield from problems
    for name, line in texts.items():
        if name not in features:
            where = f"{line.where}: it is not in feats.scp"
            yield Unusable(name, "text without features", where)
    _tell_unused(folder, cmvn)


def frame_shift_of(folders: Iterable[Path]) -> float:
    """Returns the seconds between frames as Kaldi data folders say; 0.01 where they do not.

    Raises:
        UserError: If they differ, or it is not a number.
    """
    found: dict[float, Path] = {}
    for path in (folder / "frame_shift" for folder in folders):
        word = next(iter(read_lines(path)), "") if path.is_file() else str(FRAME_SHIFT)
        try:
            found[float(word)] = path
        except ValueError as error:
            raise UserError(f"{path}:1: expected seconds between frames, got {word!r}") from error
    if len(found) > 1:
        said = ", ".join(f"{path}: {shift:g} s" for shift, path in found.items())
        raise UserError(f"one set can't have several frame shifts: {said}")
    return next(iter(found), FRAME_SHIFT)


class _Cmvn:
    """Normalises the features of a speaker by the sums of cmvn.scp.

    Args:
        folder: Kaldi's data folder.
        root: What relative paths are meant from.
        kind: What is normalised.
    """

    def __init__(self, folder: Path, root: Path | None, kind: Normalized) -> None:
        self._path, self._kind = folder / "cmvn.scp", kind
        if kind != "none" and not self._path.is_file():
            raise UserError(f"{folder} has no cmvn.scp, which --cmvn {kind} needs")
        self._lines = {} if kind == "none" else read_keyed(self._path, [])
        self._places = Places(self._path, root)
        self._known: dict[str, tuple[Frames, Frames]] = {}

    def __call__(self, speaker: str, frames: Frames) -> Frames:
        """Returns normalised features (T, F).

        Raises:
            AudioError: If there are no sums of the speaker, or of other features.
        """
        if self._kind == "none":
            return frames
        if speaker not in self._known:
            self._known[speaker] = self._read(speaker)
        mean, scale = self._known[speaker]
        if frames.shape[-1:] != mean.shape:
            raise AudioError(f"{self._path}: speaker {speaker} has means of {len(mean)} features")
        return (frames - mean) * scale

    def _read(self, speaker: str) -> tuple[Frames, Frames]:
        """Returns means (F,) and factors (F,)."""
        if speaker not in self._lines:
            raise AudioError(f"{self._path} has no speaker {speaker!r}")
        path, offset, part = split_place(self._lines[speaker].value.rstrip())
        sums = read_matrix_at(self._places.of(path), offset, part).astype(np.float64)
        if sums.shape[0] != 2 or sums.shape[1] < 2 or not sums[0, -1] > 0:
            raise AudioError(f"{self._path}: speaker {speaker} has no sums and sums of squares")
        mean = sums[0, :-1] / sums[0, -1]
        variance = np.maximum(sums[1, :-1] / sums[0, -1] - mean**2, LEAST_VARIANCE)
        scale = variance**-0.5 if self._kind == "mean-variance" else np.ones_like(mean)
        return mean.astype(np.float32), scale.astype(np.float32)


def _utterances(
    folder: Path,
    root: Path | None,
    features: dict[str, Line],
    texts: dict[str, Line],
    speakers: dict[str, Line],
    cmvn: _Cmvn,
) -> Iterator[FeatureSource | Unusable]:
    places = Places(folder / "feats.scp", root)
    for name, line in features.items():
        text = texts.get(name)
        speaker = speakers[name].value if name in speakers else ""
        try:
            place = _place(line, places)
        except ProblemError as problem:
            yield Unusable(name, problem.reason, str(problem))
            continue
        yield FeatureSource(
            name,
            partial(_read, place, cmvn, speaker or name),
            None if text is None else normalized(text.value),
            speaker,
        )


def _place(line: Line, places: Places) -> tuple[Path, int, str]:
    """Returns path, offset and range of an utterance's features."""
    value = line.value.rstrip()
    if value.endswith("|"):
        raise ProblemError(
            "features by a command",
            f"{line.where}: `{value}` is a command, and commands are not run: write what it prints "
            "to an archive (`copy-feats scp:feats.scp ark,scp:feats.ark,new.scp`)",
        )
    path, offset, part = split_place(value)
    return places.of(path), offset, part


def _read(place: tuple[Path, int, str], cmvn: _Cmvn, speaker: str) -> Frames:
    return cmvn(speaker, read_matrix_at(*place))


def _tell_unused(folder: Path, cmvn: Normalized) -> None:
    """Tells what was there and is not used."""
    used = {*USED, *DERIVED, *UNHEARD, *(("cmvn.scp",) if cmvn != "none" else ())}
    files = [path.name for path in matching(folder, "*") if path.is_file()]
    others = [name for name in files if name not in used and not name.endswith(".ark")]
    if others:
        log.info("%s: not used: %s", folder, ", ".join(others))
    if "cmvn.scp" in others:
        said = "%s: the features are taken as they are, without cmvn.scp; --cmvn mean applies it"
        log.warning(said, folder)

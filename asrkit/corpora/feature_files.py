"""Features in files: folders of arrays of NumPy, Kaldi's archives, and caches of RASR."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from asrkit.corpora.kaldi import read_keyed
from asrkit.data import rasr_cache
from asrkit.data.audio import AudioError
from asrkit.data.feature_sets import Frames
from asrkit.data.feature_sources import FeatureSource
from asrkit.data.kaldi_matrices import read_matrices
from asrkit.data.lookups import costs_one_utterance
from asrkit.data.sources import Unusable
from asrkit.errors import UserError
from asrkit.files import matching, read_lines
from asrkit.text.normalization import normalized

BUNDLE = ".bundle"
"""End of names of lists of RASR's caches."""
ARRAY = ".npy"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Said:
    """What is said in an utterance, and by whom; text is None where there is none."""

    text: str | None = None
    speaker: str = ""


@dataclass(frozen=True)
class FeatureFiles:
    """How files of features are read.

    Args:
        said: What is said in utterances, by their names.
        frame_shift: Seconds between frames; caches of RASR, which tell theirs, must have the same.
        speakers: Whether arrays are in folders that are named after their speakers.
        last_part: Whether utterances are called by what follows the last "/" of their names.
    """

    said: dict[str, Said] = field(default_factory=dict)
    frame_shift: float = 0.01
    speakers: bool = False
    last_part: bool = False
    _heard: set[str] = field(default_factory=set)

    def read(self, source: Path) -> Iterator[FeatureSource | Unusable]:
        """Yields the utterances of a folder, an archive, a cache, or a list of caches.

        Raises:
            UserError: If it is none of these, or can't be read.
        """
        if source.is_dir():
            yield from self._arrays(source)
        elif source.suffix == BUNDLE:
            for line in filter(str.strip, read_lines(source)):
                yield from self._cache(source.parent / line.strip())
        elif rasr_cache.is_cache(source):
            yield from self._cache(source)
        elif source.suffix in (".ark", ".gz", ".txt"):
            yield from self._archive(source)
        else:
            raise UserError(
                f"{source} has no features that can be read: expected a folder with {ARRAY} files, "
                "or feats.scp, an archive of Kaldi (.ark), a cache of RASR or a list of these "
                f"({BUNDLE})"
            )

    def tell_unheard(self) -> None:
        """Tells of how many utterances the words are known, but no features have been read."""
        names = sorted(name for name in self.said if self._named(name) not in self._heard)
        if names:
            log.warning(
                "%d of %d names with a transcript or speaker have no features, such as %s",
                len(names), len(self.said), names[0],
            )  # fmt: skip

    def _arrays(self, folder: Path) -> Iterator[FeatureSource | Unusable]:
        paths = matching(folder, f"**/*{ARRAY}")
        if not paths:
            raise UserError(f"{folder} has no {ARRAY} files")
        for path in paths:
            name = path.relative_to(folder).with_suffix("").as_posix()
            said = self._known(name) or self._beside(path, name)
            if isinstance(said, Unusable):
                yield said
            else:
                yield self._of(name, said, partial(_read_array, path))

    def _beside(self, path: Path, name: str) -> Said | Unusable:
        """Returns what a file of text next to an array says."""
        text, speaker = path.with_suffix(".txt"), ""
        if self.speakers and "/" in name:
            speaker = path.parent.name
        try:
            said = normalized(" ".join(read_lines(text))) if text.is_file() else None
        except UserError as error:
            return Unusable(name, "unreadable text", str(error))
        return Said(said, speaker)

    def _archive(self, path: Path) -> Iterator[FeatureSource | Unusable]:
        try:
            for name, frames in read_matrices(path):
                yield self._of(name, self._known(name) or Said(), partial(_same, frames))
        except AudioError as error:
            raise UserError(str(error)) from error

    def _cache(self, path: Path) -> Iterator[FeatureSource | Unusable]:
        if not rasr_cache.is_cache(path):
            raise UserError(f"{path} is not a cache of RASR, or is missing")
        for name, found in rasr_cache.read_features(path):
            if found.shift and not math.isclose(found.shift, self.frame_shift, rel_tol=0.01):
                raise UserError(
                    f"{path}: {name} has a frame every {found.shift:.4g} s, expected one every "
                    f"{self.frame_shift:g} s: give --frame-shift {found.shift:.4g}"
                )
            yield self._of(name, self._known(name) or Said(), partial(_same, found.frames))

    def _known(self, name: str) -> Said | None:
        return self.said.get(name) or self.said.get(self._named(name))

    def _of(self, name: str, said: Said, read: Callable[[], Frames]) -> FeatureSource:
        self._heard.add(self._named(name))
        return FeatureSource(self._named(name), read, said.text, said.speaker)

    def _named(self, name: str) -> str:
        return name.rsplit("/", 1)[-1] if self.last_part else name


def read_said(text: Path | None, utt2spk: Path | None) -> dict[str, Said]:
    """Returns what is said in utterances, of Kaldi's files `text` and `utt2spk`.

    Raises:
        UserError: If one is missing, can't be read, or has a name twice.
    """
    lines: list[dict[str, str]] = []
    for path in (text, utt2spk):
        problems: list[Unusable] = []
        if path is not None and not path.is_file():
            raise UserError(f"there is no text file {path}")
        found = {} if path is None else read_keyed(path, problems, path == text)
        if problems:
            raise UserError(f"{problems[0].detail}: expected each name once, and what it is")
        lines.append({name: line.value for name, line in found.items()})
    texts, speakers = lines
    return {
        name: Said(
            normalized(texts[name]) if name in texts else None, speakers.get(name, "").strip()
        )
        for name in texts.keys() | speakers.keys()
    }


def _same(frames: Frames) -> Frames:
    """Returns features that have been read."""
    return frames


@costs_one_utterance
def _read_array(path: Path) -> Frames:
    """Returns the features (T, F) of a file.

    Raises:
        AudioError: If it has no numbers.
    """
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise AudioError(f"{os.fspath(path)} can't be read: {error}") from error
    if not (np.issubdtype(found.dtype, np.floating) or np.issubdtype(found.dtype, np.integer)):
        raise AudioError(f"{path} has {found.dtype}, expected numbers (frames, features)")
    return np.asarray(found, np.float32)

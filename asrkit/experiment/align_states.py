"""Aligns words by a head of tied states: the best path of lexicon, tree and the states' scores."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
from asrkit.data.frame_targets import FrameTargets, Rate
from asrkit.errors import UserError
from asrkit.experiment.prior import read_prior
from asrkit.experiment.set_alignments import AlignedUtterance, Timed
from asrkit.hmm.aligning import align_words
from asrkit.hmm.gaussians import Mixtures
from asrkit.hmm.graphs import GraphCompiler
from asrkit.hmm.hmm_folder import Hmm, digest_of, read_hmm
from asrkit.hmm.lexicon_files import read_lexicon
from asrkit.hmm.viterbi import (
    BEAM,
    Floats,
    StateGraph,
    best_path,
    best_path_by_mixtures,
)
from asrkit.hmm.viterbi import Path as Best
from asrkit.models.interfaces import Encoded
from asrkit.models.kinds import SpeechModel
from asrkit.run_folder import RunFolder
from asrkit.scorers.interfaces import StateSource
from asrkit.text.outputs import Outputs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StateOptions:
    """How words are aligned with tied states.

    Args:
        acoustic_scale: Factor of the states' scores, to which are added costs of transitions.
        prior: File of log-priors of the head's states, as `asrkit prior` writes it; None for none.
        prior_scale: Their factor.
        beam: States that are worse than the best by more are given up; where no path is left, the
            beam becomes ten times as wide, and then there is none.
        lexicon: File of pronunciations instead of those that the model was trained with.
        unknown_as_noise: Whether words without pronunciation are noise; otherwise their utterances
            are left out.

    Raises:
        ValueError: If a scale or the beam is not above 0.
    """

    acoustic_scale: float = 1.0
    prior: Path | None = None
    prior_scale: float = 0.3
    beam: float = BEAM
    lexicon: Path | None = None
    unknown_as_noise: bool = False

    def __post_init__(self) -> None:
        for name in ("acoustic_scale", "beam"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")


Search = Callable[[StateGraph], Best | None]
"""Finds the best path of an utterance."""


@runtime_checkable
class MixtureSource(Protocol):
    """A head of Gaussian mixtures, which reads an encoder's frames as they are."""

    @property
    def mixtures(self) -> Mixtures:
        """The mixtures of all states."""
        ...


@runtime_checkable
class SlowStates(Protocol):
    """A head that scores frames of its encoder, which are longer than those of features."""

    @property
    def step(self) -> int:
        """How many frames of features each has."""
        ...


class StateAligner:
    """Aligns the words of transcripts.

    Args:
        model: The model.
        source: Its head that scores states.
        hmm: What words and states have to do with each other.
        tree: Digest of its tree.
        options: What is chosen.
        log_prior: (S',) of all outputs of the head, or None.

    Raises:
        UserError: If the lexicon has phones that the model lacks.
    """

    def __init__(
        self,
        model: SpeechModel,
        source: StateSource,
        hmm: Hmm,
        tree: str,
        options: StateOptions,
        log_prior: Tensor | None = None,
    ) -> None:
        self.model, self.source, self.hmm, self.options = model, source, hmm, options
        self.log_prior, self.tree = log_prior, tree
        self.step = source.step if isinstance(source, SlowStates) else 1
        rate: Rate = "features" if self.step == 1 else "encoder"
        self.targets = FrameTargets(Outputs.states(hmm.num_states), rate=rate)
        lexicon = hmm.lexicon if options.lexicon is None else read_lexicon(options.lexicon)
        self.compiler = GraphCompiler(
            lexicon, hmm.tree.phones, hmm.silence, options.unknown_as_noise
        )
        self.left_out: Counter[str] = Counter()

    def __call__(self, batch: Batch, infos: list[UtteranceInfo]) -> list[AlignedUtterance]:
        """Returns the alignments of those utterances of a batch that have one."""
        lengths, searches = self._searches(batch)
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            found = list(pool.map(self._aligned, infos, lengths, searches))
        self.left_out.update(one for one in found if isinstance(one, str))
        return [one for one in found if not isinstance(one, str)]

    def _searches(self, batch: Batch) -> tuple[list[int], list[Search]]:
        """Returns how many frames utterances have, and the search of each."""
        device = next(chain(self.model.buffers(), self.model.parameters())).device
        with torch.inference_mode():
            encoded = self.model.encode(batch.signal.to(device), batch.signal_lengths.to(device))
            if self._by_mixtures and device.type == "cpu":
                return self._searches_by_mixtures(encoded)
            lengths, scores = self._scores(encoded)
        given = encoded.feature_lengths
        wanted: list[int] = lengths if given is None or self.step > 1 else given.tolist()
        searches: list[Search] = []
        for one, size, frames in zip(scores.float().cpu(), lengths, wanted, strict=True):
            found = _repeated_to(frames, one[:size].numpy())
            searches.append(partial(_best_path, scores=found, beam=self.options.beam))
        return wanted, searches

    def _searches_by_mixtures(self, encoded: Encoded) -> tuple[list[int], list[Search]]:
        """Returns searches that compute the scores of those states that they come to."""
        assert isinstance(self.source, MixtureSource)
        found, lengths = self.source.mixtures, encoded.lengths.tolist()
        search = partial(best_path_by_mixtures, mixtures=found, beam=self.options.beam)
        return lengths, [
            partial(search, frames=one[:size])
            for one, size in zip(encoded.frames, lengths, strict=True)
        ]

    @property
    def _by_mixtures(self) -> bool:
        plain = self.options.acoustic_scale == 1.0 and self.log_prior is None
        return plain and isinstance(self.source, MixtureSource)

    def _scores(self, encoded: Encoded) -> tuple[list[int], Tensor]:
        """Returns the valid frames (B,), and scores (B, T, S) of the tree's states."""
        found = self.source.state_scores(encoded)
        scores = found.log_probs  # (B, T, S')
        if self.log_prior is not None:
            scores = scores - self.options.prior_scale * self.log_prior.to(scores)
        scaled = self.options.acoustic_scale * scores[..., : self.hmm.num_states]
        return found.lengths.tolist(), scaled

    def _aligned(
        self, info: UtteranceInfo, num_frames: int, search: Search
    ) -> AlignedUtterance | str:
        """Returns the alignment of an utterance, or why it has none."""
        words = info.reference.split()
        try:
            found = align_words(words, search, self.hmm, self.compiler)
        except UserError as error:  # a word without pronunciation
            log.warning("left out: %s: %s", info.id, error)
            return "words without pronunciation, which another lexicon (--lexicon) may have"
        except ValueError as error:  # scores that are not numbers
            raise UserError(f"{info.id} can't be aligned: {error}") from error
        if found is None:
            told = "left out: %s: no path of its %d words through its %d frames"
            log.warning(told, info.id, len(words), num_frames)
            return "no path"
        names = self.hmm.tree.phones.names
        phones = [Timed(names[s.label], s.start, s.end) for s in found.phone_spans()]
        times = [Timed(words[s.label], s.start, s.end) for s in found.word_spans()]
        found = replace(found, positions=found.positions.astype(np.uint8))
        return AlignedUtterance(info.id, found.states, times, phones=phones, states=found)

    def frame_seconds(self, num_samples: int) -> float:
        """Returns the seconds between frames, whatever the number of samples."""
        return self.step * self.model.features.frame_shift


def _repeated_to(frames: int, scores: Floats) -> Floats:
    """Returns scores (T, S) of T frames: the last again for frames that an encoder has left out."""
    missing = max(frames - len(scores), 0)
    return np.pad(scores[:frames], ((0, missing), (0, 0)), mode="edge")


def _best_path(graph: StateGraph, scores: Floats, beam: float) -> Best | None:
    return best_path(graph, scores, graph.states, beam)


def state_aligner(
    model: SpeechModel,
    name: str,
    source: StateSource,
    run: RunFolder,
    weights: Path,
    options: StateOptions,
) -> StateAligner:
    """Returns what aligns words by a head of a run.

    Args:
        model: The run's model.
        name: The head's name.
        source: The head.
        run: With the HMM that the states are of.
        weights: The checkpoint, which the prior must be of.
        options: What is chosen.

    Raises:
        UserError: If there is no HMM, the head has fewer states, or the prior is of another head.
    """
    hmm = read_hmm(run.hmm)
    outputs = model.named_heads()[name].outputs
    if len(outputs) < hmm.num_states:
        raise UserError(
            f"head {name!r} of {run.path} has {len(outputs)} states, the tree of {run.hmm} "
            f"{hmm.num_states}: they are not of the same model"
        )
    prior = None if options.prior is None else read_prior(options.prior, weights, outputs)
    return StateAligner(model, source, hmm, digest_of(run.hmm), options, prior)

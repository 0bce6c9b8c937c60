"""Speakers that were not trained on: a transform of their own makes them likelier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asrkit.hmm.adapted_alignment import align_speech
from asrkit.hmm.alignments import Alignment
from asrkit.hmm.features import Deltas
from asrkit.hmm.gaussians import single_gaussians
from asrkit.hmm.graphs import transitions_of
from asrkit.hmm.model import Model, read_model
from asrkit.hmm.speech import Speech, Utterance
from tests.hmm.toy import COMPILER, TOPOLOGY, TREE, Speaker


def distorted(voice: Speaker, count: int) -> tuple[Speech, Speech, list[int]]:
    """Returns utterances of two speakers, as they are and distorted by speaker; their states."""
    torch.manual_seed(3)
    size = voice.means.shape[1]
    matrices = [torch.eye(size) + 0.15 * torch.randn(size, size) for _ in range(2)]
    shifts = [torch.randn(size) for _ in range(2)]
    utterances, clean, heard, states, begin = [], [], [], [], 0
    for number in range(count):
        words = voice.words(4)
        frames, truth = voice.say(words)
        speaker, end = number % 2, begin + len(frames)
        utterances.append(Utterance(f"u{number}", f"s{speaker}", tuple(words), begin, end))
        clean.append(frames)
        heard.append(frames @ matrices[speaker].T + shifts[speaker])
        states += truth.states.tolist()
        begin = end
    return Speech(utterances, torch.cat(clean)), Speech(utterances, torch.cat(heard)), states


@pytest.fixture(scope="module")
def case() -> tuple[Model, Speech, torch.Tensor]:
    voice = Speaker(distance=1.5)
    clean, heard, labels = distorted(voice, 30)
    states = torch.tensor(labels)
    good = single_gaussians(clean.frames, states, TREE.num_states)
    first = single_gaussians(heard.frames, states, TREE.num_states)
    front = Deltas(order=0)
    transitions = transitions_of(TOPOLOGY, TREE)
    return Model(TOPOLOGY, TREE, transitions, good, front, first), heard, states


def correct(speech: Speech, found: dict[str, Alignment], states: torch.Tensor) -> float:
    """Returns the share of frames whose state is the real one."""
    same = 0
    for one in speech.utterances:
        own = torch.from_numpy(found[one.name].states)
        same += int((own == states[one.begin : one.end]).sum())
    return same / len(states)


def test_a_second_pass_is_likelier_and_nearer_to_the_truth(
    case: tuple[Model, Speech, torch.Tensor],
) -> None:
    model, heard, states = case
    plain = align_speech(heard, model, COMPILER, passes=1)
    found = align_speech(heard, model, COMPILER, min_frames=200, jobs=2)
    again = align_speech(heard, model, COMPILER, passes=3, min_frames=200)
    assert plain.transforms == {}
    assert set(found.transforms) == {"s0", "s1"}
    shares = [correct(heard, one.aligned.found, states) for one in (plain, found, again)]
    assert shares[0] < shares[1]
    assert shares[1] >= 0.95
    assert shares[2] >= shares[1] - 0.005
    few = align_speech(heard, model, COMPILER, min_frames=10**6)
    assert few.transforms == {}


def test_models_without_mixtures_for_a_first_pass_are_not_adapted(
    case: tuple[Model, Speech, torch.Tensor], tmp_path: Path
) -> None:
    model, heard, _ = case
    model.write(tmp_path)
    assert read_model(tmp_path).first_mixtures is not None
    found = align_speech(heard, replace(model, first_mixtures=None), COMPILER)
    assert found.transforms == {}
    assert not found.aligned.failed

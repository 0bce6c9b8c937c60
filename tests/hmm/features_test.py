"""Cepstra, derivatives, neighbours, and their normalisation by speaker."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asrkit.data.manifests import Source, open_set, write_manifest
from asrkit.errors import UserError
from asrkit.hmm.features import Deltas, Mfcc, Projection, normalized_by_speaker, spliced
from asrkit.hmm.speech import read_speech
from asrkit.nn.features import LogMel


def samples(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9000, 9000, count).astype(np.int16)


@pytest.mark.parametrize("count", [1, 100, 239, 240, 399, 400, 1599, 1600, 1680, 16000, 16079])
@pytest.mark.parametrize("rate", [16000, 8000])
def test_there_are_as_many_cepstra_as_networks_have_frames(count: int, rate: int) -> None:
    mel = LogMel(40, sample_rate=rate)
    frames = Mfcc(sample_rate=rate)(samples(count))
    assert frames.shape == (int(mel.num_frames(torch.tensor([count]))[0]), 13)
    assert bool(frames.isfinite().all())


def test_a_frame_does_not_depend_on_what_is_far_away() -> None:
    long = samples(16000)
    whole, part = Mfcc()(long), Mfcc()(long[: 16 * 500])
    torch.testing.assert_close(part[:45], whole[:45])


def test_more_cepstra_than_filters_are_refused() -> None:
    with pytest.raises(ValueError, match="1 to 23 cepstra"):
        Mfcc(cepstra=24)


def test_derivatives_of_a_line_are_its_slope() -> None:
    frames = torch.stack([3.0 * torch.arange(20), -torch.arange(20.0)], dim=1)
    found = Deltas()(frames)
    assert found.shape == (20, 6)
    torch.testing.assert_close(found[5, 2:4], torch.tensor([3.0, -1.0]))
    torch.testing.assert_close(found[10, 4:], torch.zeros(2), atol=1e-5, rtol=0)
    assert Deltas(order=0)(frames).shape == (20, 2)


@pytest.mark.parametrize("length", [1, 2, 30])
def test_neighbours_stand_beside_with_the_ends_repeated(length: int) -> None:
    frames = torch.randn(length, 3)
    found = spliced(frames, 2)
    for place in range(length):
        near = [frames[min(max(place + step, 0), length - 1)] for step in range(-2, 3)]
        torch.testing.assert_close(found[place], torch.cat(near))
    matrix = torch.randn(4, 15)
    torch.testing.assert_close(Projection(matrix, 2)(frames), found @ matrix.T)


def test_every_speaker_has_mean_0_and_variance_1_where_wanted() -> None:
    frames = torch.randn(200, 4) * 3 + 5
    speakers = torch.arange(200) % 3
    found = normalized_by_speaker(frames, speakers)
    both = normalized_by_speaker(frames, speakers, variance=True)
    for speaker in range(3):
        own = speakers == speaker
        torch.testing.assert_close(found[own], frames[own] - frames[own].mean(0))
        torch.testing.assert_close(both[own].var(0, correction=0), torch.ones(4))


def write_set(folder: Path, speakers: list[str], broken: int | None = None) -> None:
    sources = []
    for number, speaker in enumerate(speakers):
        path = folder / f"{number}.wav"
        soundfile.write(path, samples(8000 + 700 * number, number), 16000, subtype="PCM_16")
        sources.append(Source(f"u{number}", path, "a b", speaker))
    write_manifest(folder, "train", sources)
    if broken is not None:
        (folder / f"{broken}.wav").write_bytes(b"")


def test_speech_is_read_and_normalised_by_speaker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_set(tmp_path, ["x", "y", "x", "y"], broken=3)
    with caplog.at_level(logging.WARNING):
        speech = read_speech(open_set(tmp_path, ["train"]), Mfcc(), jobs=2)
    assert "3.wav" in caplog.text
    assert [u.name for u in speech.utterances] == ["u0", "u1", "u2"]
    assert [u.words for u in speech.utterances] == [("a", "b")] * 3
    assert {s: len(found) for s, found in speech.speakers.items()} == {"x": 2, "y": 1}
    assert len(speech.frames) == sum(map(len, speech.utterances))
    both = torch.cat([frames for one, frames in speech if one.speaker == "x"])
    torch.testing.assert_close(both.mean(0), torch.zeros(13), atol=1e-3, rtol=0)
    again = speech.subset(speech.utterances[2:])
    torch.testing.assert_close(next(iter(again))[1], list(speech)[2][1])
    features = speech.transformed(Deltas())
    torch.testing.assert_close(features[-len(again.frames) :], Deltas()(again.frames))


def test_utterances_without_a_speaker_are_counted_and_sets_without_any_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_set(tmp_path, ["", "x"], broken=1)
    cuts = open_set(tmp_path, ["train"])
    with caplog.at_level(logging.WARNING):
        speech = read_speech(cuts, Mfcc())
    assert "1 utterances have no speaker" in caplog.text
    assert speech.utterances[0].speaker == "u0"
    (tmp_path / "0.wav").unlink()
    with pytest.raises(UserError, match="none of the 2 utterances can be used"):
        read_speech(cuts, Mfcc())

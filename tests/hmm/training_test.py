"""Training from signals of known states: what it finds, going on after a stop, bad input."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asrkit.errors import UserError
from asrkit.hmm.aligning import align
from asrkit.hmm.alignments import Alignment, read_alignments
from asrkit.hmm.features import Deltas
from asrkit.hmm.graphs import GraphCompiler
from asrkit.hmm.lexicon import Lexicon
from asrkit.hmm.model import read_model
from asrkit.hmm.speaker_transforms import adapted, read_transforms
from asrkit.hmm.speech import Speech, Utterance
from asrkit.hmm.topology import Phones
from asrkit.hmm.training import em
from asrkit.hmm.training.settings import Iterations, Lda, Monophones, Settings, Tied
from asrkit.hmm.training.trainer import STAGES, train_mixtures
from tests.hmm.toy import LEXICON, Speaker

TIED = Tied(30, Iterations(50, 6, 4, align_at=(2, 4), transform_at=(3,)), min_frames=20)
SETTINGS = Settings(
    deltas=Deltas(order=1),
    lda=Lda(8, 1),
    monophones=Monophones(20, Iterations(30, 8, 5, align_at=(1, 2, 3, 5, 7))),
    triphones=replace(TIED, schedule=replace(TIED.schedule, transform_at=())),
    projected=TIED,
    adapted=TIED,
    min_speaker_frames=100,
)


def spoken(count: int = 80) -> tuple[Speech, dict[str, Alignment]]:
    """Returns utterances of two speakers, who differ in all frames by a constant, and the truth."""
    voice, begin = Speaker(distance=2.0), 0
    utterances, frames, truth = [], [], {}
    for number in range(count):
        words = voice.words(3 + number % 3)
        own, alignment = voice.say(words)
        speaker, end = f"speaker {number % 2}", begin + len(own)
        utterances.append(Utterance(f"u{number}", speaker, tuple(words), begin, end))
        frames.append(own + 0.5 * (number % 2))
        truth[f"u{number}"] = alignment
        begin = end
    return Speech(utterances, torch.cat(frames)), truth


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gmm")
    train_mixtures(folder, spoken()[0], LEXICON, SETTINGS)
    return folder


def lines(folder: Path) -> list[em.Iteration]:
    text = (folder / "iterations.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def arrays(folder: Path) -> dict[str, bytes]:
    """Returns the files of a trained folder that are the same whenever it was trained."""
    found = sorted(folder.rglob("*.safetensors")) + sorted(folder.rglob("tree.json"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_all_stages_find_when_phones_are_said(trained: Path) -> None:
    _, truth = spoken()
    for stage in STAGES:
        found = read_alignments(trained / stage / "alignments.safetensors")
        close = total = 0
        for name, real in truth.items():
            own = found[name, 1.0]
            starts = list(zip(own.phones.tolist(), own.starts.tolist(), strict=True))
            for phone, start in zip(real.phones.tolist(), real.starts.tolist(), strict=True):
                total += 1
                close += any(p == phone and abs(s - start) <= 2 for p, s in starts)
        assert close >= 0.95 * total, stage


def test_likelihood_never_falls_between_alignments_of_one_size(trained: Path) -> None:
    pairs = 0
    for stage in STAGES:
        own, aligned = lines(trained / stage), (1, 2, 3, 5, 7) if stage == "mono" else (2, 3, 4)
        # The likelihood of a line is that before its update: of the mixtures of the line above.
        for before, one, other in zip(own, own[1:], own[2:], strict=False):
            if other["iteration"] not in aligned and before["gaussians"] == one["gaussians"]:
                assert other["log_likelihood"] >= one["log_likelihood"] - 1e-3
                pairs += 1
        assert own[-1]["log_likelihood"] > own[0]["log_likelihood"]
        assert not list((trained / stage).glob("progress*"))
    assert pairs >= 4


def test_a_model_from_its_folder_aligns_as_it_was_trained(trained: Path) -> None:
    speech, _ = spoken()
    model = read_model(trained / "sat")
    compiler = GraphCompiler(LEXICON, Phones(LEXICON.phones), SETTINGS.silence)
    transforms = read_transforms(trained / "sat" / "transforms.safetensors")
    assert set(transforms) == {"speaker 0", "speaker 1"}
    frames = adapted(speech, speech.transformed(model.front), transforms)
    found = align(speech.utterances, frames, model, compiler, jobs=2)
    kept = read_alignments(trained / "sat" / "alignments.safetensors")
    same = sum(int((kept[n, 1.0].states == one.states).sum()) for n, one in found.found.items())
    assert same >= 0.99 * found.frames  # costs of transitions have been learnt once more
    assert model.first_mixtures is not None
    assert model.first_mixtures.offsets.tolist() == model.mixtures.offsets.tolist()
    assert model.tree.num_states == model.mixtures.num_states == 30


def test_a_second_call_trains_nothing_and_other_settings_only_what_follows(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = arrays(trained)
    speech, _ = spoken()
    with caplog.at_level(logging.INFO):
        facts = train_mixtures(trained, speech, LEXICON, SETTINGS)
    assert list(facts) == list(STAGES)
    assert caplog.text.count("is complete") == 4
    assert arrays(trained) == before
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    other = replace(SETTINGS, adapted=replace(TIED, states=28))
    caplog.clear()
    with caplog.at_level(logging.INFO):
        facts = train_mixtures(copy, speech, LEXICON, other)
    assert caplog.text.count("is complete") == 3
    assert "stage sat was made of other data or settings" in caplog.text
    assert facts["sat"]["states"] == 28
    assert arrays(copy / "tri") == arrays(trained / "tri")


def test_last_digits_of_frames_are_no_other_speech(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    speech, _ = spoken()
    heard, other = replace(speech, heard=1), replace(speech, heard=2)
    rounded = replace(heard, frames=speech.frames * (1 + 1e-6))
    train_mixtures(tmp_path, heard, LEXICON, SETTINGS, last="mono")
    before = arrays(tmp_path)
    with caplog.at_level(logging.INFO):
        train_mixtures(tmp_path, rounded, LEXICON, SETTINGS, last="mono")
    assert "stage mono is complete" in caplog.text
    assert arrays(tmp_path) == before
    train_mixtures(tmp_path, other, LEXICON, SETTINGS, last="mono")
    assert "stage mono was made of other data" in caplog.text
    shutil.copytree(trained / "mono", tmp_path / "older" / "mono")
    caplog.clear()
    with caplog.at_level(logging.INFO):
        train_mixtures(tmp_path / "older", heard, LEXICON, SETTINGS, last="mono")
    assert "stage mono is complete" in caplog.text


@pytest.mark.parametrize("stop", [("mono", 4), ("lda_mllt", 4), ("sat", 4), ("sat", 6)])
def test_a_stopped_training_goes_on_and_ends_the_same(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: tuple[str, int]
) -> None:
    speech, _ = spoken()
    stage, _ = stop
    for before in list(STAGES)[: list(STAGES).index(stage)]:
        shutil.copytree(trained / before, tmp_path / before)
    estimate = em.Loop._estimate

    def stopping(self: em.Loop, progress: em.Progress, *rest: torch.Tensor) -> float:
        if (self.folder.name, progress.iteration) == stop:
            raise KeyboardInterrupt
        return estimate(self, progress, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(em.Loop, "_estimate", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_mixtures(tmp_path, speech, LEXICON, SETTINGS, last=stage)
    assert not (tmp_path / stage / "stage.json").exists()
    assert len(lines(tmp_path / stage)) == stop[1] - 1  # only the last iteration is lost
    (reached,) = (tmp_path / stage / "progress").iterdir()
    assert reached.name == str(stop[1])
    train_mixtures(tmp_path, speech, LEXICON, SETTINGS, last=stage)
    assert len(lines(tmp_path / stage)) == len(lines(trained / stage))
    assert arrays(tmp_path / stage) == arrays(trained / stage)


def test_threads_change_nothing(trained: Path, tmp_path: Path) -> None:
    train_mixtures(tmp_path, spoken()[0], LEXICON, SETTINGS, jobs=2, last="tri")
    whole = arrays(trained)
    assert {name: whole[name] for name in arrays(tmp_path)} == arrays(tmp_path)


def test_words_without_pronunciation_are_noise_or_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    speech, _ = spoken()
    lexicon = Lexicon({word: LEXICON[word] for word in ("ab", "ca")})
    strict = replace(SETTINGS, unknown_as_noise=False)
    with pytest.raises(UserError, match=r"1 of 3 words have no pronunciation.*: d \(\d+\); add"):
        train_mixtures(tmp_path, speech, lexicon, strict)
    with caplog.at_level(logging.WARNING):
        train_mixtures(tmp_path, speech, lexicon, SETTINGS, last="mono")
    assert "they are trained as noise" in caplog.text
    with pytest.raises(UserError, match="no stage 'x'.*mono, tri, lda_mllt, sat"):
        train_mixtures(tmp_path, speech, lexicon, SETTINGS, last="x")


def test_transcripts_of_other_audio_are_told(tmp_path: Path) -> None:
    speech, _ = spoken(4)
    short = [Utterance(u.name, u.speaker, u.words, u.begin, u.begin + 5) for u in speech.utterances]
    with pytest.raises(UserError, match="do transcripts and audio belong together"):
        train_mixtures(tmp_path, replace(speech, utterances=short), LEXICON, SETTINGS)


def test_damaged_models_are_named(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no model in"):
        read_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing of that kind")
    (tmp_path / "tree.json").write_bytes((trained / "tri" / "tree.json").read_bytes())
    with pytest.raises(UserError, match=r"model.safetensors is damaged.*train the model again"):
        read_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(
        (trained / "mono" / "model.safetensors").read_bytes()
    )
    with pytest.raises(UserError, match="not of the same model"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gaussians": 0}, "some gaussians"),
        ({"gaussians": 5, "iterations": 3}, "align_at: 10 is not an iteration from 1 to 3"),
    ],
)
def test_wrong_schedules_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Iterations(**wrong)  # type: ignore[arg-type]

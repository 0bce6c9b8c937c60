from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from asrkit.data.demands import Choices, Demands, set_options
from asrkit.data.feasibility import check_set
from asrkit.data.manifests import (
    Source,
    manifest_path,
    open_set,
    read_unusable,
    rejected_path,
    write_manifest,
)
from asrkit.errors import UserError


def sound(path: Path, scale: float = 0.05, offset: float = 0.0, seed: int = 1) -> Path:
    samples = np.random.default_rng(seed).normal(offset, scale, 8000).clip(-1, 1)
    soundfile.write(path, samples, 16000, subtype="FLOAT", format="WAV")
    return path


def sources(folder: Path, count: int = 3) -> list[Source]:
    return [Source(f"u{i}", sound(folder / f"u{i}.wav", seed=i), "a b", "s") for i in range(count)]


def test_a_set_that_must_be_whole_is_not_written_without_an_utterance(tmp_path: Path) -> None:
    good = sources(tmp_path)
    gone = Source("gone", tmp_path / "gone.wav", "a", "s")
    with pytest.raises(UserError, match="1 of 4 utterances can't be used, such as gone: .*missing"):
        write_manifest(tmp_path, "test", [*good, gone], demands=Choices().test())
    assert not manifest_path(tmp_path, "test").exists()
    assert [u.id for u in read_unusable(rejected_path(tmp_path, "test"))] == ["gone"]
    allowed = Choices(allow_missing=True).test()
    assert write_manifest(tmp_path, "test", [*good, gone], demands=allowed) == 3
    assert write_manifest(tmp_path, "train", [*good, gone], demands=Choices().training()) == 3


def test_what_is_asked_of_transcripts_depends_on_their_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, *others = sources(tmp_path)
    untold = Source("untold", others[0].path, None, "s")
    empty = Source("empty", others[1].path, " ", "s")
    kept = {
        "any": (Demands(), {"u0", "untold", "empty"}),
        "known": (Demands("known"), {"u0", "empty"}),
        "words": (Demands("words"), {"u0"}),
    }
    for name, (demands, expected) in kept.items():
        write_manifest(tmp_path, name, [good, untold, empty], demands=demands)
        assert {cut.id for cut in open_set(tmp_path, [name])} == expected
    assert "any: 1 of 3 utterances have no transcript, such as untold" in caplog.text
    assert "known: 1 of 2 utterances have an empty transcript, such as empty" in caplog.text
    reasons = {u.id: u.reason for u in read_unusable(rejected_path(tmp_path, "words"))}
    assert reasons == {"untold": "no transcript", "empty": "empty text"}


def test_a_file_of_several_channels_needs_a_choice(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    both = np.stack([np.zeros(8000), sources(tmp_path)[0].path.stat().st_size * np.ones(8000)], 1)
    soundfile.write(path, both / 1e6, 16000)
    unsaid = Source("a", path, "a", "s")
    with pytest.raises(UserError, match="has 2 channels, and which one is heard is not said"):
        write_manifest(tmp_path, "x", [unsaid])
    write_manifest(tmp_path, "x", [unsaid], demands=Demands(channel=1))
    assert next(iter(open_set(tmp_path, ["x"]))).channel == 1
    told = Source("a", path, "a", "s", channel=0)
    write_manifest(tmp_path, "x", [told], demands=Demands(channel=1))
    assert next(iter(open_set(tmp_path, ["x"]))).channel == 0


@pytest.mark.parametrize("kind", ["WAV", "NIST", "FLAC", "OGG", "AIFF"])
def test_half_copied_files_do_not_get_into_manifests(tmp_path: Path, kind: str) -> None:
    good, path = sources(tmp_path, 1), tmp_path / "half"
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, 30000), 16000, format=kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    write_manifest(tmp_path, "x", [*good, Source("half", path, "a", "s")])
    found = read_unusable(rejected_path(tmp_path, "x"))
    assert [u.id for u in found] == ["half"]
    assert found[0].reason in {"cut off", "unreadable audio"}


def test_the_sound_of_a_set_is_looked_at(tmp_path: Path) -> None:
    shapes = {
        "good": (0.05, 0.0),
        "silent": (0.0, 0.0),
        "still": (0.0, 0.1),
        "loud": (1.0, 0.0),
        "off": (0.05, 0.1),
        "faint": (0.0002, 0.0),
    }
    files = [
        Source(name, sound(tmp_path / f"{name}.wav", *shape, seed=i), "a", "s")
        for i, (name, shape) in enumerate(shapes.items())
    ]
    nan = sound(tmp_path / "nan.wav")
    samples, _ = soundfile.read(nan)
    samples[5] = np.nan
    soundfile.write(nan, samples, 16000, subtype="FLOAT")
    write_manifest(tmp_path, "x", [*files, Source("nan", nan, "a", "s")])
    report = check_set(open_set(tmp_path, ["x"]), lambda cut: None, jobs=1)
    assert {u.id: u.reason for u in report.unusable} == {
        "silent": "silent audio",
        "still": "silent audio",
        "nan": "unreadable audio",
    }
    assert {u.id: u.reason for u in report.doubtful} == {
        "loud": "clipped",
        "off": "DC offset",
        "faint": "very quiet",
    }
    assert (report.total, report.heard) == (7, 6)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Choices()),
        (["--channel", "mix", "--allow-missing"], Choices("mix", True)),
        (["--channel", "first"], Choices("first")),
        (["--channel", "2"], Choices(2)),
    ],
)
def test_options_of_recipes_are_choices(words: list[str], expected: Choices) -> None:
    found = []

    @click.command()
    @set_options
    def command(choices: Choices) -> None:
        found.append(choices)

    assert CliRunner().invoke(command, words).exit_code == 0
    assert found == [expected]
    wrong = CliRunner().invoke(command, ["--channel", "left"])
    assert wrong.exit_code == 2
    assert "unknown channel 'left'; expected first, mix or a number from 0" in wrong.output

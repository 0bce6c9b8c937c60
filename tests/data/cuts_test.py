from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, Recording
from lhotse.cut import MultiCut

from asrkit.data.audio import AudioError
from asrkit.data.cuts import num_samples_of, place_of, read_cut, transcript_of
from asrkit.data.manifests import Source, open_set, write_manifest
from asrkit.data.set_facts import of_other_rate
from asrkit.errors import UserError


def tone(path: Path, rate: int, seconds: float = 1.0, channels: int = 1) -> Path:
    times = np.arange(round(seconds * rate)) / rate
    waves = [0.2 * np.sin(2 * np.pi * 300 * (n + 1) * times) for n in range(channels)]
    soundfile.write(path, np.stack(waves, axis=1), rate, subtype="PCM_16")
    return path


def stored(cut: Any, data: Path) -> Any:
    """Returns a cut as a manifest gives it back."""
    (data / "manifests").mkdir(exist_ok=True)
    CutSet.from_cuts([cut]).to_jsonl(data / "manifests" / "x.jsonl")
    return next(iter(open_set(data, ["x"])))


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_other_rates_are_resampled_and_counted_right(tmp_path: Path, rate: int) -> None:
    path = tone(tmp_path / "a.wav", rate, 1.0001)
    sources = [Source("whole", path, "a", "s"), Source("part", path, "a", "s", 0.25, 0.333)]
    write_manifest(tmp_path, "x", sources)
    for cut in open_set(tmp_path, ["x"]):
        samples = read_cut(cut, 16000)
        assert (
            len(samples) == num_samples_of(cut, 16000) == pytest.approx(16000 * cut.duration, abs=3)
        )
        times = cut.start + np.arange(len(samples)) / 16000
        expected = 0.2 * 32768 * np.sin(2 * np.pi * 300 * times)
        assert np.abs(samples - expected)[500:-500].max() < 60


def test_other_rates_are_said_when_manifests_are_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rates = {"a": 16000, "b": 44100, "c": 8000, "d": 8000}
    sources = [Source(n, tone(tmp_path / f"{n}.wav", rate), "a", "s") for n, rate in rates.items()]
    write_manifest(tmp_path, "x", sources)
    assert "2 of 4 utterances, such as c, have 8000 samples per second" in caplog.text
    assert "1 of 4 utterances, such as b, have 44100 samples per second" in caplog.text
    assert "is empty" in of_other_rate(8000, 16000)
    assert "is empty" not in of_other_rate(44100, 16000)


def test_a_file_of_another_rate_than_its_manifest_says_is_refused(tmp_path: Path) -> None:
    path = tone(tmp_path / "a.wav", 16000)
    write_manifest(tmp_path, "x", [Source("a", path, "a", "s")])
    tone(path, 8000, 2.0)
    with pytest.raises(AudioError, match="has 8000 samples per second, expected 16000"):
        read_cut(next(iter(open_set(tmp_path, ["x"]))), 16000)


def recording(path: Path) -> MonoCut:
    cut = Recording.from_file(path).to_cut()
    assert isinstance(cut, MonoCut)
    return cut


def test_what_lhotse_does_to_a_cut_is_heard(tmp_path: Path) -> None:
    plain = recording(tone(tmp_path / "a.wav", 16000))
    heard = read_cut(plain, 16000)
    changed = {
        "speed": (plain.perturb_speed(1.25), 12800),
        "volume": (plain.perturb_volume(0.5), 16000),
        "resampled": (plain.resample(8000), 16000),
        "appended": (plain.append(plain), 32000),
        "padded": (plain.pad(1.5), 24000),
        "mixed": (plain.mix(plain, offset_other_by=0.5), 24000),
    }
    for name, (cut, count) in changed.items():
        back = stored(cut, tmp_path)
        assert place_of(back) is None, name
        samples = read_cut(back, 16000)
        assert len(samples) == num_samples_of(back, 16000) == count, name
        expected = np.atleast_2d(cut.load_audio())[0] * 32768
        if name != "resampled":
            assert np.abs(samples - expected).max() <= 1, name
    volume, padded = changed["volume"][0], changed["padded"][0]
    assert np.abs(read_cut(volume, 16000) - heard / 2).max() <= 1
    assert not read_cut(padded, 16000)[16000:].any()


def test_plain_cuts_and_parts_are_read_from_their_files(tmp_path: Path) -> None:
    plain = recording(tone(tmp_path / "a.wav", 16000))
    part = stored(plain.truncate(offset=0.25, duration=0.5), tmp_path)
    assert place_of(part) is not None
    assert np.array_equal(read_cut(part, 16000), read_cut(plain, 16000)[4000:12000])


def test_a_cut_without_audio_is_refused_by_name(tmp_path: Path) -> None:
    features_only = MonoCut("a", 0.0, 1.0, 0)
    with pytest.raises(AudioError, match="cut a has no audio to compute features from"):
        read_cut(features_only, 16000)


def test_several_channels_are_refused_unless_one_or_their_mean_is_chosen(tmp_path: Path) -> None:
    both = Recording.from_file(tone(tmp_path / "a.wav", 16000, channels=2)).to_cut()
    assert isinstance(both, MultiCut)
    with pytest.raises(AudioError, match=r"cut a has the channels \[0, 1\], expected one"):
        read_cut(stored(both, tmp_path), 16000)
    first, second = (stored(mono, tmp_path) for mono in both.to_mono())
    left, right = read_cut(first, 16000).astype(int), read_cut(second, 16000).astype(int)
    assert np.abs(left - right).max() > 1000
    path = tmp_path / "a.wav"
    sources = [
        Source(str(channel), path, "a", "s", channel=channel) for channel in ("first", "mix", 1)
    ]
    write_manifest(tmp_path, "y", sources)
    heard = {cut.id: read_cut(cut, 16000) for cut in open_set(tmp_path, ["y"])}
    assert np.array_equal(heard["first"], left)
    assert np.array_equal(heard["1"], right)
    assert np.abs(heard["mix"] - (left + right) / 2).max() <= 0.5


def test_a_file_per_channel_is_read_from_its_own_file(tmp_path: Path) -> None:
    one, other = tone(tmp_path / "a.wav", 16000), tone(tmp_path / "b.wav", 16000, channels=2)
    whole = Recording.from_file(one)
    sources = [Recording.from_file(path).sources[0] for path in (one, other)]
    sources[1].channels = [1, 2]
    whole.sources, whole.channel_ids = sources, [0, 1, 2]
    cut = MonoCut("x", 0.0, 1.0, 2, recording=whole)
    expected = soundfile.read(other, dtype="int16")[0][:, 1]
    assert np.array_equal(read_cut(stored(cut, tmp_path), 16000), expected)


def test_a_missing_and_an_empty_transcript_are_two_things(tmp_path: Path) -> None:
    path = tone(tmp_path / "a.wav", 16000)
    texts = {"none": None, "empty": "", "some": "a b"}
    write_manifest(tmp_path, "x", [Source(n, path, text, "s") for n, text in texts.items()])
    assert {cut.id: transcript_of(cut) for cut in open_set(tmp_path, ["x"])} == texts


def test_a_command_is_not_run_to_hear_a_cut(tmp_path: Path) -> None:
    plain = recording(tone(tmp_path / "a.wav", 16000))
    plain.recording.sources[0].type = "command"
    plain.recording.sources[0].source = f"touch {tmp_path}/ran"
    with pytest.raises(AudioError, match="the output of a command, and asrkit runs none"):
        read_cut(stored(plain, tmp_path), 16000)
    assert not (tmp_path / "ran").exists()


def test_cuts_without_a_recording_are_refused_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x.jsonl:1.*recording"):
        stored(MonoCut("a", 0.0, 1.0, 0), tmp_path)


def test_compressed_manifests_of_lhotse_are_read(tmp_path: Path) -> None:
    cut = recording(tone(tmp_path / "a.wav", 16000))
    (tmp_path / "manifests").mkdir()
    CutSet.from_cuts([cut]).to_jsonl(tmp_path / "manifests" / "x.jsonl.gz")
    assert [each.id for each in open_set(tmp_path, ["x"])] == ["a"]
    packed = tmp_path / "manifests" / "x.jsonl.gz"
    content = packed.read_bytes()
    for damage in (content[:40], b"no gzip", content[:20] + b"xxxx" + content[24:]):
        packed.write_bytes(damage)
        with pytest.raises(UserError, match=r"x.jsonl.gz"):
            open_set(tmp_path, ["x"])
    packed.write_bytes(content)
    with pytest.raises(UserError, match="there is no set 'y' .* sets there: x;"):
        open_set(tmp_path, ["y"])
    CutSet.from_cuts([cut]).to_jsonl(tmp_path / "manifests" / "x.jsonl")
    with pytest.raises(UserError, match="are both there"):
        open_set(tmp_path, ["x"])


def test_a_changed_cut_of_a_sphere_file_needs_no_other_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # where there is no sph2pipe
    samples = np.random.default_rng(0).integers(-9000, 9000, 16000).astype(np.int16)
    path = tmp_path / "a.sph"
    soundfile.write(path, samples, 16000, format="NIST")
    write_manifest(tmp_path, "plain", [Source("a", path, "a", "s")])
    plain = next(iter(open_set(tmp_path, ["plain"])))
    back = stored(plain.perturb_volume(0.5), tmp_path)
    assert np.abs(read_cut(back, 16000) - samples / 2).max() <= 1


@pytest.mark.parametrize("damage", ["no tracks", "no length"])
def test_cuts_without_a_number_of_samples_are_refused_with_their_line(
    tmp_path: Path, damage: str
) -> None:
    line = recording(tone(tmp_path / "a.wav", 16000)).to_dict()
    damaged = {
        "no tracks": {"id": "x", "type": "MixedCut", "tracks": []},
        "no length": {**line, "duration": 1e308},
    }[damage]
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "x.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(damaged))
    with pytest.raises(UserError, match=r"x.jsonl:2 is damaged: not a cut of lhotse"):
        open_set(tmp_path, ["x"])

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asrkit.data.audio import AudioError, read_samples
from asrkit.data.audio_headers import shortfall

SAMPLES = np.random.default_rng(3).integers(-9000, 9000, 24001).astype(np.int16)
EXACT = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAVEX", "FLOAT"),
    ("RF64", "FLOAT"),
    ("W64", "FLOAT"),
    ("AIFF", "FLOAT"),
    ("AIFF", "DOUBLE"),
    ("AU", "FLOAT"),
    ("CAF", "FLOAT"),
    ("CAF", "ALAC_16"),
    ("NIST", "PCM_16"),
    ("FLAC", "PCM_24"),
]
LOSSY = [
    ("WAV", "ULAW"),
    ("WAV", "ALAW"),
    ("WAV", "IMA_ADPCM"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def write(folder: Path, kind: str, subtype: str, samples: NDArray[np.generic] = SAMPLES) -> Path:
    path = folder / f"{kind}-{subtype}"
    soundfile.write(path, samples, 16000, format=kind, subtype=subtype)
    return path


@pytest.mark.parametrize(("kind", "subtype"), EXACT)
def test_samples_are_heard_as_16_bit_ones_are(tmp_path: Path, kind: str, subtype: str) -> None:
    path = write(tmp_path, kind, subtype, SAMPLES / 32768.0)
    assert np.array_equal(read_samples(path, 16000), SAMPLES)
    assert np.array_equal(read_samples(path, 16000, 700, 300), SAMPLES[700:1000])


@pytest.mark.parametrize(("kind", "subtype"), LOSSY)
def test_lossy_formats_are_heard_at_their_level(tmp_path: Path, kind: str, subtype: str) -> None:
    tone = 0.3 * np.sin(np.arange(24000) * 2 * np.pi * 440 / 16000)
    heard = read_samples(write(tmp_path, kind, subtype, tone))
    assert heard[4000:20000].std() / 32768 == pytest.approx(0.3 / np.sqrt(2), rel=0.03)


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "FLOAT"), ("OGG", "VORBIS")])
def test_louder_than_full_scale_is_clipped_and_does_not_wrap(
    tmp_path: Path, kind: str, subtype: str
) -> None:
    tone = 1.4 * np.sin(np.arange(24000) * 2 * np.pi * 100 / 16000)
    heard = read_samples(write(tmp_path, kind, subtype, tone)).astype(int)
    assert (heard.min(), heard.max()) == (-32768, 32767)
    assert np.abs(np.diff(heard)).max() < 12000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    samples = SAMPLES / 32768.0
    samples[[50, 60]] = value
    path = write(tmp_path, "WAV", "FLOAT", samples)
    with pytest.raises(
        AudioError, match="has 2 of 24001 samples that are NaN or infinite.* number 50"
    ):
        read_samples(path)


def test_floats_of_another_scale_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "WAV", "FLOAT", SAMPLES.astype(np.float32))
    with pytest.raises(AudioError, match="float samples up to 9000, expected -1 to 1: scale them"):
        read_samples(path)


def test_the_mean_of_channels_is_that_of_floats_and_integers(tmp_path: Path) -> None:
    both = np.stack([SAMPLES, np.zeros_like(SAMPLES)], axis=1)
    for subtype, samples in (("PCM_16", both), ("FLOAT", both / 32768.0)):
        heard = read_samples(write(tmp_path, "WAV", subtype, samples), channel="mix")
        assert np.abs(heard - SAMPLES / 2).max() <= 0.5


@pytest.mark.parametrize(("kind", "subtype"), [*EXACT, *LOSSY])
def test_a_file_that_ends_early_is_cut_off(tmp_path: Path, kind: str, subtype: str) -> None:
    path = write(tmp_path, kind, subtype, SAMPLES / 32768.0)
    assert shortfall(path) == ""
    content = path.read_bytes()
    for part in (0.98, 0.6, 0.1):
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(AudioError, match="cut off|can't be read|no samples"):
            read_samples(path)


def patched(path: Path, name: bytes, offset: int, value: bytes) -> Path:
    content = path.read_bytes()
    at = content.index(name) + offset
    path.write_bytes(content[:at] + value + content[at + len(value) :])
    return path


@pytest.mark.parametrize("length", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_length_of_wav_that_means_to_the_end_is_no_damage(tmp_path: Path, length: int) -> None:
    path = patched(write(tmp_path, "WAV", "PCM_16"), b"data", 4, length.to_bytes(4, "little"))
    assert np.array_equal(read_samples(path), SAMPLES)


def test_open_lengths_of_other_formats_are_no_damage(tmp_path: Path) -> None:
    au = patched(write(tmp_path, "AU", "PCM_16"), b".snd", 8, b"\xff" * 4)
    aiff = patched(write(tmp_path, "AIFF", "PCM_16"), b"SSND", 4, b"\xff" * 4)
    for path in (au, aiff):
        assert np.array_equal(read_samples(path), SAMPLES)


def test_chunks_around_the_samples_and_a_missing_pad_byte_are_no_damage(tmp_path: Path) -> None:
    path = write(tmp_path, "WAV", "PCM_U8", SAMPLES)
    content = path.read_bytes()
    at = content.index(b"data")
    extra = b"junk" + (3).to_bytes(4, "little") + b"abc\0"
    path.write_bytes(content[:at] + extra + content[at:] + extra)
    assert len(read_samples(path)) == 24001
    path.write_bytes(content[: at + 8 + 24001])
    assert len(read_samples(path)) == 24001


def test_two_streams_of_ogg_in_a_row_are_whole_and_an_open_end_is_not(tmp_path: Path) -> None:
    path = write(tmp_path, "OGG", "VORBIS", SAMPLES)
    content = path.read_bytes()
    path.write_bytes(content + content)
    assert shortfall(path) == ""
    path.write_bytes(content[: content.rindex(b"OggS")])
    assert "not marked as the end of the stream" in shortfall(path)


def test_flac_without_its_length_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "FLAC", "PCM_16")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(AudioError, match="does not give its length.*write it again"):
        read_samples(path)


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF", "CAF", "AU", "NIST", "W64", "OGG", "MP3"])
def test_damaged_headers_end_in_a_message(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, soundfile.default_subtype(kind))
    content, random = path.read_bytes(), np.random.default_rng(5)
    for size in range(1, 120, 3):
        path.write_bytes(content[:size])
        with pytest.raises(AudioError):
            read_samples(path)
    for _ in range(60):
        changed = bytearray(content)
        changed[random.integers(80)] = random.integers(256)
        path.write_bytes(changed)
        try:
            assert len(read_samples(path))
        except AudioError as error:
            assert str(path) in str(error)  # noqa: PT017 - either of the two is right


def test_raw_samples_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(b"ab" * 100)
    with pytest.raises(AudioError, match="a.raw.*raw samples have no header"):
        read_samples(path)

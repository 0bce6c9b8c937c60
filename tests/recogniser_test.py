"""A run that was copied alone, as an object in three lines and as a verb."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import asrkit as public
from asrkit.cli import main
from asrkit.errors import UserError
from tests.cli_test import asrkit, decode, place

__all__ = ["place"]


@pytest.fixture(scope="module")
def alone(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a run, far from the data that it was trained on; what it said is said.json."""
    assert asrkit("average", "--run", place / "run", "--best", 2).exit_code == 0
    assert decode(place, "--search", "greedy").exit_code == 0
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(place / "run", folder / "run", ignore=shutil.ignore_patterns("decode"))
    nbest = (place / "run" / "decode" / "greedy" / "dev" / "nbest.jsonl").read_text()
    said = {entry["id"]: entry["text"] for entry in map(json.loads, nbest.splitlines())}
    (folder / "said.json").write_text(json.dumps(said))
    for name in said:
        shutil.copyfile(place / f"{name}.wav", folder / f"{name}.wav")
    return folder


def test_a_run_copied_alone_transcribes_as_it_decodes(alone: Path) -> None:
    recogniser = public.load(alone / "run", search="greedy")
    for name, text in json.loads((alone / "said.json").read_text()).items():
        path = alone / f"{name}.wav"
        samples, rate = soundfile.read(path, dtype="int16")
        floats, _ = soundfile.read(path, dtype="float32")
        assert recogniser.transcribe(path) == text
        assert recogniser.transcribe(str(path)) == text
        assert recogniser.transcribe(samples, rate) == text
        assert recogniser.transcribe(floats) == text
    assert recogniser.sample_rate == 16000


def test_other_audio_is_resampled_and_mixed_or_refused(alone: Path) -> None:
    recogniser = public.load(alone / "run", search="greedy")
    samples, rate = soundfile.read(alone / "u6.wav", dtype="int16")
    soundfile.write(alone / "both.wav", np.stack([samples, samples], axis=1), rate)
    assert recogniser.transcribe(alone / "both.wav") == recogniser.transcribe(samples)
    assert isinstance(recogniser.transcribe(samples, 8000), str)
    for wrong, message in (
        (np.zeros((2, 800), np.int16), "expected samples of one channel"),
        (np.zeros(0, np.int16), "expected samples of one channel"),
        (np.zeros(800, np.int32), "expected 16-bit integers or floats"),
        (np.full(800, np.nan), "samples that are NaN or infinite"),
        (np.zeros(16000 * 1000, np.int16), "data.decoding.max_seconds of the run is"),
    ):
        with pytest.raises(UserError, match=message):
            recogniser.transcribe(wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is missing"):
        recogniser.transcribe(alone / "none.wav")


def test_the_verb_prints_a_line_for_each_file_and_names_those_it_cant_read(alone: Path) -> None:
    said = json.loads((alone / "said.json").read_text())
    files = [alone / f"{name}.wav" for name in said]
    done = asrkit("transcribe", alone / "run", *files, "--search", "greedy")
    assert done.exit_code == 0, done.output
    assert [line.split("\t")[1] for line in done.output.splitlines()] == list(said.values())
    (alone / "empty.wav").write_bytes(b"")
    done = asrkit("transcribe", alone / "run", alone / "empty.wav", files[0], "--search", "greedy")
    assert done.exit_code == 2
    assert "the file is empty" in " ".join(done.output.split())
    assert said["u6"] in done.output
    unknown = asrkit("transcribe", alone / "run", files[0], "--search", "greddy")
    assert "did you mean 'greedy'" in " ".join(unknown.output.split())


def test_the_verb_reads_standard_input_and_other_formats(alone: Path, monkeypatch: Any) -> None:
    said = json.loads((alone / "said.json").read_text())["u6"]
    samples, rate = soundfile.read(alone / "u6.wav", dtype="int16")
    words = ("transcribe", str(alone / "run"), "--search", "greedy")
    given = (alone / "u6.wav").read_bytes()
    done = CliRunner().invoke(main, [*words, "-"], input=given)
    assert done.stdout == f"-\t{said}\n", done.output
    for name, form in (("a.flac", "FLAC"), ("b.sph", "NIST"), ("c.aiff", "AIFF"), ("d", "W64")):
        soundfile.write(alone / name, samples, rate, format=form, subtype="PCM_16")
        done = asrkit(*words, alone / name)
        assert done.stdout == f"{alone / name}\t{said}\n", done.output
    both = np.stack([np.zeros_like(samples), samples], axis=1)
    soundfile.write(alone / "second.wav", both, rate)
    done = asrkit(*words, alone / "second.wav", "--channel", "1")
    assert done.stdout == f"{alone / 'second.wav'}\t{said}\n", done.output


def test_what_can_not_be_transcribed_is_told_in_one_message(alone: Path, tmp_path: Path) -> None:
    run, good = alone / "run", alone / "u6.wav"
    (tmp_path / "movie.m4a").write_bytes(b"\0\0\0 ftypM4A " * 99)
    empty = CliRunner().invoke(main, ["transcribe", str(run), "-"], input=b"")
    assert "asrkit: - can't be read as audio: the file is empty" in " ".join(empty.output.split())
    for words, message in (
        ((run, tmp_path), "is a folder, expected an audio file"),
        ((run, tmp_path / "movie.m4a"), "convert it, such as with `ffmpeg -i movie.m4a movie.wav`"),
        ((run, good, "--max-seconds", "0.1"), "expected 0.1 at most: cut it into shorter parts"),
        ((run, good, "--channel", "1"), "has 1 channels, and no channel 2"),
        ((run, good, "--device", "abacus"), "device abacus can't be used: expected such as cpu or"),
        ((alone, good), "is not a run folder: it has no resolved.yaml; run folders in it: run"),
        ((tmp_path / "none", good), "there is no run folder"),
    ):
        done = asrkit("transcribe", *words)
        assert done.exit_code == 2, words
        assert message in " ".join(done.output.split())
        assert done.output.count("asrkit: ") == 1


def test_audio_that_may_not_be_understood_is_transcribed_with_a_warning(
    alone: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recogniser = public.load(alone / "run", search="greedy", device="cpu")
    recogniser.transcribe(np.zeros(16000, np.int16))
    assert "the audio: silent audio: all 16000 samples are 0" in caplog.text
    recogniser.transcribe(np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    assert "the audio has 8000 samples per second, the model hears 16000" in caplog.text
    some = np.zeros(9, np.int16)
    with pytest.raises(UserError, match="sample_rate is for samples"):
        recogniser.transcribe(alone / "u6.wav", sample_rate=8000)
    with pytest.raises(UserError, match="channel is for files"):
        recogniser.transcribe(some, channel=0)
    with pytest.raises(UserError, match="sample_rate must be positive"):
        recogniser.transcribe(some, sample_rate=0)


def test_a_search_that_needs_another_run_names_those_that_may_not(
    alone: Path, tmp_path: Path
) -> None:
    shutil.copytree(alone / "run", tmp_path / "run")
    path = tmp_path / "run" / "resolved.yaml"
    other = "  fused:\n    type: label_sync\n    beam_size: 2\n    scorers:\n      lm:\n"
    other += "        type: language_model\n        weight: 1.0\n        run: run/lm\n"
    path.write_text(path.read_text().replace("\ndecoding:\n", f"\ndecoding:\n{other}"))
    with pytest.raises(UserError, match=r"search fused of .*no run folder run/lm; its searches"):
        public.load(tmp_path / "run")
    assert public.load(tmp_path / "run", search="greedy").search == "greedy"


def test_all_verbs_use_the_tokenizer_of_the_run(place: Path, alone: Path) -> None:
    data = alone / "data"
    shutil.copytree(place / "data", data, ignore=shutil.ignore_patterns("text"))
    options = ("--run", alone / "run", "--data", data, "--set", "dev")
    for words in (("decode", "--search", "greedy"), ("align",), ("prior",)):
        done = asrkit(*words, *options)
        assert done.exit_code == 0, done.output


def test_an_older_run_says_what_to_copy(place: Path, alone: Path, tmp_path: Path) -> None:
    shutil.copytree(alone / "run", tmp_path / "run", ignore=shutil.ignore_patterns("text"))
    with pytest.raises(UserError, match="copy its file from the data folder's text/ to"):
        public.load(tmp_path / "run")
    shutil.copytree(place / "data" / "text", tmp_path / "run" / "text")
    assert public.load(tmp_path / "run").search == "joint"


def test_specs_of_newer_versions_are_refused(alone: Path, tmp_path: Path) -> None:
    shutil.copytree(alone / "run", tmp_path / "run")
    path = tmp_path / "run" / "resolved.yaml"
    assert "format: 2\n" in path.read_text()
    path.write_text(path.read_text().replace("format: 2\n", "format: 3\n"))
    with pytest.raises(UserError, match="format 3 is that of another version of asrkit"):
        public.load(tmp_path / "run")


def test_the_package_offers_its_public_names_alone_and_loads_no_torch() -> None:
    code = "import sys, asrkit; print(dir(asrkit), asrkit.__version__, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['__version__', 'load'] 0.1.0 False\n"
    own = {name for name, value in vars(public).items() if not isinstance(value, ModuleType)}
    assert {name for name in own if not name.startswith("_")} == {"annotations", "load"}
    setup = (Path(__file__).parents[1] / "setup.py").read_text()
    assert f'version="{public.__version__}"' in setup

"""A run that was copied alone, as an object in three lines and as a verb."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import asrkit as public
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
        (np.full(800, np.nan), "samples that are no numbers"),
        (np.zeros(16000 * 1000, np.int16), "data.max_decode_seconds of the run is"),
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
    setup = (Path(__file__).parents[1] / "setup.py").read_text()
    assert f'version="{public.__version__}"' in setup

"""Audio of one's own: without transcripts, long, of another rate; what can be done with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from asrkit.cli import main
from asrkit.data.manifests import Source, write_manifest

SPEC = """
text: characters
data:
  train: [train]
  dev: [dev]
  batches: {max_seconds: 4.0}
  num_workers: 0
  decoding: {max_seconds: 2}
model:
  features: {type: log_mel, num_mels: 8}
  encoder:
    type: conformer
    dim: 4
    num_layers: 1
    frontend: [{type: conv2d, channels: [2, 2], strides: [2, 2], dim: 4}]
    blocks: [{name: ffn, module: {type: feed_forward, hidden_dim: 4}}]
  heads: {ctc: {type: ctc, weight: 1.0}}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 1e-3}}
decoding:
  greedy: ctc_greedy
  joint: {type: label_sync, beam_size: 2, scorers: {ctc: 1.0}}
"""


def asrkit(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def noise(path: Path, seconds: float, rate: int = 16000) -> Path:
    samples = np.random.default_rng(int(1000 * seconds)).normal(0, 0.1, round(seconds * rate))
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/, spec.yaml and a trained run/."""
    folder = tmp_path_factory.mktemp("own")
    texts: dict[str, list[str | None]] = {
        "train": ["ab", "ba", "aab", None, ""],
        "dev": ["ab", "ba"],
        "test": ["ab", "", None],
        "own": [None, None],
        "mute": ["", ""],
    }
    for number, (name, each) in enumerate(texts.items()):
        sources = []
        for index, text in enumerate(each):
            key = f"{name}{index}"
            path = noise(folder / f"{key}.wav", 0.5 + 0.1 * number + 0.01 * index)
            sources.append(Source(key, path, text, "s"))
        write_manifest(folder / "data", name, sources)
    lecture = Source("lecture", noise(folder / "lecture.wav", 2.5, 44100), None, "s")
    write_manifest(folder / "data", "long", [lecture])
    (folder / "spec.yaml").write_text(SPEC)
    data = ("--data", folder / "data")
    assert asrkit("tokenizer", "characters", *data).exit_code == 0
    result = asrkit("train", folder / "spec.yaml", *data, "--run", folder / "run")
    assert result.exit_code == 0, result.output
    assert asrkit("average", "--run", folder / "run", "--last", 1).exit_code == 0
    return folder


def on_set(place: Path, verb: str, name: str, *words: str) -> Result:
    options = ("--data", place / "data", "--run", place / "run", "--set", name)
    return asrkit(verb, *options, *words)


def score(place: Path, name: str) -> Result:
    return asrkit("score", "--run", place / "run", "--set", name, "--search", "greedy")


def test_training_leaves_out_what_has_no_words_and_says_so(place: Path) -> None:
    left_out = (place / "run" / "left_out.tsv").read_text()
    assert "train3\tno transcript\t" in left_out
    assert "train4\tempty text\t" in left_out
    checked = asrkit("check", place / "spec.yaml", "--data", place / "data")
    assert "train: 3 of 5 utterances can be used; the sound of 5 was looked at" in checked.output
    assert "1 x no transcript, such as train3" in checked.output


def test_audio_without_transcripts_is_decoded_and_has_no_score(place: Path) -> None:
    done = on_set(place, "decode", "own", "--search", "greedy")
    assert done.exit_code == 0, done.output
    refused = score(place, "own")
    assert refused.exit_code == 2
    assert "none of the 2 utterances" in refused.output
    for verb, words in (
        ("align", ()),
        ("search-errors", ("--search", "joint")),
        ("tune", ("--search", "joint", "--vary", "ctc=0:1")),
    ):
        if verb == "search-errors":
            assert on_set(place, "decode", "own", "--search", "joint").exit_code == 0
        result = on_set(place, verb, "own", *words)
        assert result.exit_code == 2, verb
        assert "none of the 2 utterances of set own has a transcript" in " ".join(
            result.output.split()
        )


def test_empty_references_are_scored_and_missing_ones_are_counted(place: Path) -> None:
    done = on_set(place, "decode", "test", "--search", "greedy")
    assert done.exit_code == 0, done.output
    folder = place / "run" / "decode" / "greedy" / "test"
    lines = [json.loads(line) for line in (folder / "nbest.jsonl").read_text().splitlines()]
    assert [line.get("transcribed", True) for line in lines] == [True, True, False]
    result = score(place, "test")
    assert result.exit_code == 0, result.output
    assert "of 2 of 3 (1 without a reference) utterances" in result.output
    written = json.loads((folder / "score.json").read_text())
    found = len(lines[1]["text"].split())
    assert written["errors"]["words"] == 1
    assert written["utterances"] == 2
    assert written["empty_references"] == 1
    first = set(lines[0]["text"].split())
    assert written["errors"]["insertions"] >= found
    assert written["errors"]["insertions"] <= found + len(first)


def test_what_is_too_long_can_be_decoded_as_the_message_says(place: Path) -> None:
    refused = on_set(place, "decode", "long", "--search", "greedy")
    assert refused.exit_code == 2
    assert "give data.decoding.max_seconds=3 on the command line" in " ".join(
        refused.output.split()
    )
    done = on_set(
        place, "decode", "long", "--search", "joint", "data.decoding.max_seconds=3", "beam_size=1"
    )
    assert done.exit_code == 0, done.output
    noted = json.loads((place / "run/decode/joint/long/search.json").read_text())
    assert noted["search"]["beam_size"] == 1
    done = on_set(place, "prior", "long", "data.decoding.max_seconds=3")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.sample_rate=8000", "expected one of data.decoding.max_seconds"),
        ("data.decoding.max_seconds=long", "expected a number of seconds, got 'long'"),
        ("data.decoding.max_seconds=0", "must be above 0"),
    ],
)
def test_other_settings_of_the_data_are_refused(place: Path, word: str, message: str) -> None:
    refused = on_set(place, "decode", "dev", "--search", "greedy", word)
    assert refused.exit_code == 2
    assert message in " ".join(refused.output.split())


def test_verbs_without_a_search_take_no_other_keys(place: Path) -> None:
    refused = on_set(place, "align", "dev", "beam_size=3")
    assert refused.exit_code == 2
    assert "beam_size=3: expected one of data.decoding.max_seconds" in refused.output

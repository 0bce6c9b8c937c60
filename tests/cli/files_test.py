"""What other programs ask: names of files, and what a command reads."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from asrkit.cli import main
from asrkit.cli.reads import READ, read_by

SHELL = Path(__file__).parents[2] / "tools" / "standard_stages.sh"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with two specs and a data folder."""
    monkeypatch.chdir(tmp_path)
    base = "text: {type: sentencepiece, name: bpe}\nplugins: [mine]\n"
    files = {
        "conf/base.yaml": base,
        "conf/small.yaml": "extends:\n  - base.yaml\nseed: 2\n",
        "conf/mine.py": "",
        "data/manifests/train.jsonl": "",
        "data/manifests/dev-b.jsonl.gz": "",
        "data/manifests/dev-a.jsonl": "",
        "conf/gmm.yaml": "text: {type: sentencepiece, name: bpe}\nlexicon: english\n"
        "data: {train: [train]}\n",
        "an4.dic": "",
        "data/text/bpe.model": "",
        "data/text/words.txt": "",
        "data/text/lm.txt.gz": "",
    }
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def lines(command: str, code: int = 0) -> list[str]:
    result = CliRunner().invoke(main, ["files", *shlex.split(command)])
    assert result.exit_code == code, result.output
    return result.output.splitlines()


def test_a_spec_is_read_from_what_it_extends_and_its_plugins() -> None:
    assert lines("spec conf/small.yaml") == ["conf/small.yaml", "conf/base.yaml", "conf/mine.py"]


def test_sets_are_listed_by_how_they_begin() -> None:
    assert lines("sets data") == ["dev-a", "dev-b", "train"]
    assert lines("sets data tr dev") == ["train", "dev-a", "dev-b"]
    assert lines("sets data none") == []


def test_places_in_a_run_are_told_whether_they_are_there_or_not() -> None:
    assert lines("run run/x average") == ["run/x/checkpoints/average.pt"]
    assert lines("run run/x tuned --search joint") == ["run/x/tune/joint.yaml"]
    assert lines("run run/x nbest --search joint --set dev") == [
        "run/x/decode/joint/dev/nbest.jsonl"
    ]
    assert "nbest needs --search and --set" in lines("run run/x nbest --search joint", code=2)[0]


SPECS = ["conf/small.yaml", "conf/base.yaml", "conf/mine.py"]
RUN, WEIGHTS = "--run run/x", "run/x/checkpoints/average.pt"
DATA, DEV = "--data data", "data/manifests/dev-b.jsonl.gz"
DECODED = "run/x/decode/joint/dev-b/nbest.jsonl"
READS = {
    f"tokenizer bpe {DATA} --size 9": ["data/manifests/train.jsonl"],
    f"check conf/small.yaml {DATA} a.b=3": [*SPECS, "data/text/bpe.model"],
    f"check conf/small.yaml {DATA} text.name=words": [*SPECS, "data/text/words.txt"],
    "check conf/small.yaml": SPECS,
    f"train conf/small.yaml {DATA} {RUN}": [*SPECS, "data/text/bpe.model"],
    f"average {RUN} --best 3": ["run/x/checkpoints/index.json"],
    f"gmm conf/gmm.yaml {DATA} {RUN}": [
        "conf/gmm.yaml", "data/text/bpe.model", "data/lexicon/english.txt",
        "data/manifests/train.jsonl",
    ],
    f"features {RUN} {DATA} --set dev-b": [WEIGHTS, DEV],
    f"features {RUN} {DATA} --set dev-b --adapt first --lexicon english": [
        WEIGHTS, DEV, "data/lexicon/english.txt", "run/x/decode/first/dev-b-first/nbest.jsonl"
    ],
    f"lexicon {DATA} --set train --text a.txt --from an4.dic --name words": [
        "a.txt", "data/manifests/train.jsonl", "an4.dic"
    ],
    f"graph {RUN} {DATA} --arpa words --name words --lexicon english": [
        "data/lm/words.arpa.gz", "run/x/resolved.yaml", "data/lexicon/english.txt"
    ],
    f"chain {RUN} {DATA} --alignments gmm --set train --dev dev-b": [
        "gmm/align/train.safetensors", "gmm/align/dev-b.safetensors", "data/manifests/train.jsonl"
    ],
    f"chain {RUN} {DATA} --lexicon words.txt --set train": [
        "words.txt", "data/manifests/train.jsonl"
    ],
    f"perplexity {RUN} {DATA} --set dev-b": [WEIGHTS, DEV],
    f"prior {RUN} {DATA} --set none": [WEIGHTS, "data/manifests/none.jsonl"],
    f"align {RUN} {DATA} --set dev-b --checkpoint best": ["run/x/checkpoints/index.json", DEV],
    f"decode {RUN} {DATA} --set dev-b --search joint --threads 1": [
        WEIGHTS, DEV, "run/x/resolved.yaml"
    ],
    f"tune {RUN} {DATA} --set dev-b --search joint --spec conf/small.yaml": [WEIGHTS, DEV, *SPECS],
    f"score {RUN} --set dev-b --search joint --stm a.stm": [DECODED, "a.stm"],
    f"search-errors {RUN} {DATA} --set dev-b --search joint": [DECODED],
    f"ngram {DATA} --set train --text a.txt --order 3 --units bpe --name three --dev dev-b": [
        "data/text/bpe.model", "a.txt", "data/manifests/train.jsonl", DEV
    ],
}  # fmt: skip


@pytest.mark.parametrize(("command", "expected"), READS.items(), ids=str)
def test_a_command_reads(command: str, expected: list[str]) -> None:
    found = read_by(main, ["asrkit", *shlex.split(command)])
    assert [str(path) for path in found] == expected
    launched = ["torchrun", "--standalone", "-m", "--", "asrkit", *shlex.split(command)]
    assert read_by(main, launched) == found


def test_every_verb_of_a_stage_says_what_it_reads() -> None:
    assert READ.keys() == {command.split()[0] for command in READS}
    text = SHELL.read_text().replace("\\\n", " ").replace('"${trainer[@]}"', "asrkit")
    stages = [line for line in text.splitlines() if "stage " in line and " -- " in line]
    verbs = {words[1] for line in stages if (words := line.split(" -- ")[1].split())[0] == "asrkit"}
    assert verbs >= {"tokenizer", "train", "decode"}
    assert verbs <= READ.keys()


def test_what_is_no_whole_command_reads_nothing() -> None:
    assert read_by(main, ["asrkit", "decode", "--run", "run/x"]) == []
    assert read_by(main, ["asrkit", "unknown"]) == []
    assert read_by(main, ["python", "prepare.py"]) == []
    assert read_by(main, []) == []


def test_a_stage_is_known_by_its_words_but_not_by_the_number_of_processes() -> None:
    command = "asrkit train conf/small.yaml --data data --run run/x"
    first = lines(f"stage -- {command}")[0]
    assert lines(f"stage -- torchrun --nproc-per-node 4 -m -- {command}")[0] == first
    assert lines(f"stage -- {command} --jobs 4")[0] == first
    assert lines(f"stage -- {command} seed=2")[0] != first


def test_training_reads_the_alignments_of_its_sets() -> None:
    Path("gmm/align").mkdir(parents=True)
    for name in ("train.safetensors", "train-sp0.9.safetensors", "dev-a.tsv", "other.safetensors"):
        Path("gmm/align", name).touch()
    words = "asrkit train conf/small.yaml --data data --run run"
    sets = "data.train=[train,train-sp0.9] data.dev=[dev-a]"
    found = read_by(main, shlex.split(f"{words} data.alignments=gmm {sets}"))
    read = [str(path) for path in found if path.parts[0] == "gmm"]
    assert read == [
        f"gmm/align/{name}"
        for name in ("train.safetensors", "train-sp0.9.safetensors", "dev-a.tsv")
    ]
    assert not [path for path in read_by(main, shlex.split(words)) if path.parts[0] == "gmm"]

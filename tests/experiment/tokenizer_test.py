"""`asrkit tokenizer` replaces what models were trained with only when it is told to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from asrkit.cli import main
from asrkit.data.manifests import Source, write_manifest


def write_set(data: Path, name: str, text: str) -> None:
    audio = data / "a.wav"
    data.mkdir(exist_ok=True)
    soundfile.write(audio, np.arange(800, dtype=np.int16), 16000)
    write_manifest(data, name, [Source("a", audio, text, "s")])


def tokenizer(data: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["tokenizer", *words, "--data", str(data)])


@pytest.mark.parametrize("kind", [["characters"], ["words"], ["bpe", "--size", "8"]])
def test_another_tokenizer_is_replaced_on_demand_only(tmp_path: Path, kind: list[str]) -> None:
    data = tmp_path / "data"
    write_set(data, "train", "ABBA ABBA CAB")
    write_set(data, "other", "ABD ABD ABD DAB ABAB")
    assert tokenizer(data, *kind).exit_code == 0
    path = next(p for p in (data / "text").iterdir() if p.suffix in (".txt", ".model"))
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert tokenizer(data, *kind).exit_code == 0
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    refused = tokenizer(data, *kind, "--set", "other")
    assert refused.exit_code == 2
    assert "is a tokenizer of other units" in refused.output.replace("\n", " ")
    assert path.read_bytes() == before[0]
    assert tokenizer(data, *kind, "--set", "other", "--force").exit_code == 0
    assert path.read_bytes() != before[0]
    path.write_bytes(b"\xff\x00")
    assert tokenizer(data, *kind).exit_code == 2
    assert sorted(p.suffix for p in (data / "text").iterdir()) in ([".txt"], [".model", ".vocab"])


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "..", "a\x1b[31mb", "x" * 300])
def test_names_stay_inside_their_folder(tmp_path: Path, name: str) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    write_set(data, "train", "AB")
    some = ("--data", str(data), "--run", str(run))
    for words in (
        ("tokenizer", "words", "--data", str(data), "--name", name),
        ("tokenizer", "words", "--data", str(data), "--set", name),
        ("ngram", "--data", str(data), "--order", "2", "--units", "words", "--name", name),
        ("ngram", "--data", str(data), "--order", "2", "--units", "words", "--set", name),
        ("decode", *some, "--set", "train", "--search", name),
        ("decode", *some, "--set", name, "--search", "x"),
        ("score", "--run", str(run), "--set", name, "--search", "x"),
        ("tune", *some, "--set", "train", "--search", name),
        ("search-errors", *some, "--set", name, "--search", "x"),
        ("table", "--run", str(run), "--dev", name, "--test", "x"),
        ("align", *some, "--set", name),
        ("prior", *some, "--set", name),
        ("perplexity", *some, "--set", name),
    ):
        result = CliRunner().invoke(main, list(words))
        assert result.exit_code == 2, result.output
        assert "can't be the name of" in result.output.replace("\n", " "), (words, result.output)
        assert "\x1b" not in result.output
    assert {p.name for p in tmp_path.iterdir()} == {"data"}
    assert {p.name for p in data.iterdir()} == {"a.wav", "manifests", "rejected"}


def test_further_text_is_learnt_from_lines_evenly_spread_over_its_files(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_set(data, "train", "AA")
    for name, lines in (("a.txt", "BB\nCC\nDD\n"), ("b.txt", "EE\nFF\n")):
        (tmp_path / name).write_text(lines, encoding="utf-8")
    texts = ("--text", str(tmp_path / "a.txt"), "--text", str(tmp_path / "b.txt"))

    def words(*options: str) -> list[str]:
        assert tokenizer(data, "words", *options, "--force").exit_code == 0
        return (data / "text" / "words.txt").read_text(encoding="utf-8").split()

    assert words(*texts) == ["AA", "BB", "CC", "DD", "EE", "FF"]
    assert words(*texts, "--lines", "9") == words(*texts)
    assert words(*texts, "--lines", "2") == ["AA", "BB", "EE"]

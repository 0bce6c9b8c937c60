"""The code of the documentation runs as it is written: Python, YAML, and lines of the shell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asrkit.config.explain import difference
from asrkit.data.manifests import open_set
from asrkit.experiment.ablation.space import drawn, read_space
from asrkit.experiment.spec import load_spec, resolve_spec
from asrkit.models.interfaces import encoders, heads
from asrkit.nn.augment import augments
from tests.documentation import small_project
from tests.documentation.commands import ROOT

DOCS = ROOT / "docs"
TESTED = {
    "ablations.md": ["yaml", "yaml"],
    "hybrid.md": ["yaml"] * 7,
    "import.md": ["sh", "yaml", "sh", "sh", "yaml", "sh", "sh"],
    "own-data.md": ["sh", "yaml"],
    "training.md": [],  # its tables have examples: training_page_test.py
    "use-a-model.md": ["sh", "python", "python"],
    "write-a-component.md": ["python", "python", "python", "python", "yaml"],
}
"""Kinds of blocks of each page; each has its test below."""


def blocks(path: Path, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", path.read_text("utf-8"), flags=re.M | re.S)


@pytest.fixture
def place(small: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small project, as it was made."""
    monkeypatch.chdir(small)
    small_project.renew()
    return small


def shell(code: str, **environment: str) -> str:
    path = f"{Path.cwd() / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code], env=given, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_all_code_of_the_pages_is_tested() -> None:
    found = {page.name: page.read_text("utf-8") for page in DOCS.glob("*.md")}
    kinds = {name: re.findall(r"^```(\w+)$", text, flags=re.M) for name, text in found.items()}
    assert kinds == TESTED
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, text in found.items():
        assert f"(docs/{name})" in readme
        for link in re.findall(r"\]\(([\w./-]+)\)", text):
            assert (DOCS / link).is_file(), f"{name}: {link}"


def test_python_of_readme_and_of_the_page_on_models_runs(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (ROOT / "README.md", DOCS / "use-a-model.md"):
        for code in blocks(path, "python"):
            exec(compile(code, str(path), "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    assert printed[0] == printed[1], "README and the page transcribe the same file"
    assert printed[2] == "16000 joint"


def test_the_spec_for_own_data_is_right(tmp_path: Path) -> None:
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (tmp_path / "own.yaml").write_text(blocks(DOCS / "own-data.md", "yaml")[0])
    small_project.run(f"check {tmp_path / 'own.yaml'}")


def test_lines_of_the_shell_convert_audio(place: Path) -> None:
    folder = place / "kaldi" / "train"
    before = (folder / "wav.scp").read_text()
    piped = re.sub(r"^(\S+) (.*)$", r"\1 cat \2 |", before, flags=re.M)
    (folder / "wav.scp").write_text(piped)
    try:
        shell(blocks(DOCS / "own-data.md", "sh")[0])
        (folder / "wav.scp").write_text((place / "wav.scp.new").read_text())
        small_project.run("data kaldi kaldi/train --data data --set piped --whole")
    finally:
        (folder / "wav.scp").write_text(before)
    assert len(list(open_set(place / "data", ["piped"]))) == 16
    (place / "bin").mkdir(exist_ok=True)
    (place / "bin" / "ffmpeg").write_text('#!/bin/sh\n[ "$4" = talk.m4a ] && cat talk.flac\n')
    (place / "bin" / "ffmpeg").chmod(0o755)
    assert shell(blocks(DOCS / "use-a-model.md", "sh")[0]).startswith("-\t")


def test_the_model_of_another_toolkit_is_imported_decoded_and_scored(place: Path) -> None:
    page = DOCS / "import.md"
    shell(blocks(page, "sh")[0])
    assert (place / "run" / "espnet" / "decode" / "joint" / "test" / "score.json").is_file()
    (place / "conf" / "with-lm.yaml").write_text(blocks(page, "yaml")[0])
    for line in "".join(blocks(page, "sh")[1:3]).splitlines():
        small_project.run(line.removeprefix("asrkit "))
    assert (place / "run" / "espnet" / "decode" / "with_lm" / "test" / "nbest.jsonl").is_file()
    assert (place / "exp" / "exported" / "model.pth").is_file()
    config = blocks(page, "yaml")[1].replace("num_mels: 80", "num_mels: 12")
    (place / "exp" / "aed" / "config.yaml").write_text(config)
    shell(blocks(page, "sh")[3])
    assert (place / "run" / "aed" / "decode" / "all" / "test" / "score.json").is_file()
    shell(blocks(page, "sh")[4])
    for search in ("two", "two_by_frame"):
        assert (place / "run" / "aed" / "decode" / search / "test" / "nbest.jsonl").is_file()


def test_the_components_of_the_page_are_checked_trained_and_decoded_with(place: Path) -> None:
    page = DOCS / "write-a-component.md"
    (place / "my_parts.py").write_text("\n\n".join(blocks(page, "python")))
    (place / "own.yaml").write_text(blocks(page, "yaml")[0])
    small_project.run("check own.yaml")
    small_project.run("tokenizer characters --data data")
    quick = "training.epochs=1 data.num_workers=0 data.num_buckets=2"
    small_project.run(f"train own.yaml --data data --run run/own {quick}")
    small_project.run("average --run run/own")
    for search in ("greedy", "varied"):
        small_project.run(f"decode --run run/own --data data --set dev --search {search}")
    lines = (place / "run/own/decode/varied/dev/nbest.jsonl").read_text().splitlines()
    for hypothesis in (h for line in lines for h in json.loads(line)["hypotheses"]):
        letters = hypothesis["text"].replace(" ", "_")
        twice = sum(a == b for a, b in zip(letters, letters[1:], strict=False))
        assert hypothesis["scores"]["repetitions"] == -twice
    small_project.run("transcribe run/own talk.flac")
    _require_right_parts()


def _require_right_parts() -> None:
    """Padding changes nothing of frames; loudness is changed for each utterance."""
    torch.manual_seed(0)
    encoder = encoders.entries["convolutions"](input_dim=6, dim=4, num_layers=2).eval()
    features, lengths = torch.randn(2, 21, 6), torch.tensor([21, 10])
    both = encoder(features, lengths)
    alone = encoder(features[1:, :10], lengths[1:])
    assert both.lengths.tolist() == encoder.output_lengths(lengths).tolist() == [6, 3]
    torch.testing.assert_close(both.frames[1, :3], alone.frames[0])
    loudness = augments.entries["loudness"](max_change=0.5)
    changed, same = loudness(features, lengths, 0)
    assert torch.equal(same, lengths)
    added = changed - features
    torch.testing.assert_close(added, added[:, :1, :1].expand_as(added))
    assert (added.abs() <= 0.5 + 1e-6).all()
    assert len(added[:, 0, 0].unique()) == 2
    assert "deep_ctc" in heads.entries


def test_the_variant_of_the_page_is_that_of_the_recipe() -> None:
    text, _ = blocks(DOCS / "ablations.md", "yaml")
    kept = ROOT / "recipes/librispeech/conf/ablation/no-aux.yaml"
    assert text.splitlines()[1:] == kept.read_text("utf-8").splitlines()[1:]


def test_the_space_of_the_page_can_be_tried(place: Path) -> None:
    _, text = blocks(DOCS / "ablations.md", "yaml")
    path = Path("conf/page.yaml")
    path.write_text(text)
    for point in drawn(read_space(path), 3, seed=1):
        changes = [f"{key}={value}" for key, value in point]
        _, before = resolve_spec(load_spec(Path("conf/x.yaml")))
        _, after = resolve_spec(load_spec(Path("conf/x.yaml"), changes))
        assert len(difference(before, after)) >= len(point)

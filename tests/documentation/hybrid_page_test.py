"""The commands of the page on hybrid systems run in their order, on tones in place of speech."""

from __future__ import annotations

import gzip
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from click.testing import CliRunner

from asrkit.cli import main
from tests.documentation import small_project
from tests.documentation.commands import ROOT, of_lines, of_markdown
from tests.documentation.commands_test import FILLED
from tests.documentation.pages_test import blocks
from tests.tones import spoken

pytest.importorskip("kaldifst")
PAGE = ROOT / "docs" / "hybrid.md"
WORDS = ["bad", "cab", "dab", "fad", "mad", "dad"]
MIXTURES = """
extends: page-gmm.yaml
mixtures:
  min_speaker_frames: 50
  monophones: {schedule: {gaussians: 30, iterations: 8, grow_until: 4, align_at: [2, 3, 4, 6]}}
  triphones: &tied
    states: 20
    min_frames: 10
    schedule: {gaussians: 40, iterations: 4, grow_until: 2, align_at: [2], transform_at: [3]}
  projected: *tied
  adapted: *tied
"""
NETWORK = """
extends: page-hybrid.yaml
data: {batches: {max_seconds: 30.0, num_buckets: 2}, num_workers: 0}
model:
  augment: {spec_augment: null}
  encoder: {dim: 32, num_layers: 1}
training:
  epochs: 12
  update: {precision: fp32}
  schedule: {peak: 0.01, warmup_steps: 10, total_steps: 120}
"""


def commands() -> list[str]:
    """Returns the commands of the page's blocks, in order."""
    shown = PAGE.read_text("utf-8")
    inline = set(of_markdown("".join(shown.split("```")[::2])))
    found = [text for text in of_markdown(shown) if text not in inline]
    assert found == [
        line for block in shown.split("```")[1::2] for line in of_lines(block, indented="")
    ]
    for placeholder, value in FILLED.items():
        found = [text.replace(placeholder, value) for text in found]
    return [text for text in found if text.startswith("asrkit ")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recordings, text and specs; the recipes are those of the project."""
    draw = np.random.default_rng(0)
    for name, count in (("train", 40), ("dev", 8), ("test", 8)):
        for index in range(count):
            audio = tmp_path / "recordings" / name / f"s{index % 2}" / f"{name}{index}.wav"
            audio.parent.mkdir(parents=True, exist_ok=True)
            text = " ".join(draw.choice(WORDS, 4))
            soundfile.write(audio, spoken(text, 1 + 0.1 * (index % 2), draw), 16000)
            audio.with_suffix(".txt").write_text(text)
    books = "\n".join(" ".join(draw.choice(WORDS, 4)) for _ in range(50))
    (tmp_path / "books.txt.gz").write_bytes(gzip.compress(books.encode()))
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (tmp_path / "conf").mkdir()
    mixtures, network, phones, rescoring, spelled, apart, combined = blocks(PAGE, "yaml")
    for name, text in (
        ("page-gmm", mixtures), ("gmm", MIXTURES), ("page-hybrid", network), ("hybrid", NETWORK),
        ("rescoring", rescoring), ("lm", small_project.LM), ("ctc", CTC), ("spelled", spelled),
        ("apart", apart), ("combined", combined), ("page-ctc-phones", phones),
        ("ctc-phones", NETWORK.replace("page-hybrid", "page-ctc-phones")),
    ):  # fmt: skip
        (tmp_path / "conf" / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


LABELS = [
    "asrkit train conf/ctc.yaml --data data --run run/ctc",
    "asrkit average --run run/ctc --best 1",
]
RESCORING = [
    "asrkit train conf/lm.yaml --data data --run run/lm",
    "asrkit average --run run/lm --best 1",
    "asrkit tune --run run/hybrid --data run/gmm/sat/data --set dev --search rescored "
    "--spec conf/rescoring.yaml --decodes 0",
    "asrkit decode --run run/hybrid --data run/gmm/sat/data --set test --search rescored "
    "--spec run/hybrid/tune/rescored.yaml",
    "asrkit score --run run/hybrid --set test --search rescored",
    "asrkit tune --run run/hybrid --data run/gmm/sat/data --set dev --search lattices "
    "--spec conf/apart.yaml",
    "asrkit search-errors --run run/hybrid --data run/gmm/sat/data --set dev --search lattices",
    "asrkit decode --run run/hybrid --data run/gmm/sat/data --set test --search replaced "
    "--spec conf/apart.yaml",
    "asrkit tune --run run/hybrid --data run/gmm/sat/data --set dev --search combined "
    "--spec conf/combined.yaml --decodes 1",
    "asrkit decode --run run/hybrid --data run/gmm/sat/data --set dev --search voted "
    "--spec conf/combined.yaml",
    "asrkit score --run run/hybrid --set dev --search voted",
]


CTC = """
text: {type: sentencepiece, name: bpe}
data: {train: [train], dev: [], batches: {max_seconds: 20.0}, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 12}
  encoder: {type: blstm, hidden_dim: 8, num_layers: 1, pools: [2], dropout: 0.0}
  heads: {ctc: {type: ctc, weight: 1.0}}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 0.01}}
"""


def test_the_page_goes_from_recordings_to_words_of_a_hybrid(place: Path) -> None:
    shown = commands()
    first = shown.index("asrkit align --run run/ctc --data data --set train")
    for text in [*shown[:first], *LABELS, *shown[first:], *RESCORING]:
        done = CliRunner().invoke(main, shlex.split(text)[1:])
        assert done.exit_code == 0, f"{text}: {done.output}"
    for run in ("gmm/sat", "hybrid"):
        score = json.loads((place / "run" / run / "decode/words/test/score.json").read_text())
        assert score["wer"] < 20, run
    voted = place / "run/hybrid/decode/voted/dev/score.json"
    assert json.loads(voted.read_text())["wer"] < 20
    lines = (place / "run/hybrid/decode/rescored/test/nbest.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["hypotheses"][0]["scores"].keys() == {"lm", "first"}


def test_specs_of_the_page_are_right(place: Path) -> None:
    names = (
        "page-gmm",
        "page-hybrid",
        "page-ctc-phones",
        "rescoring",
        "spelled",
        "apart",
        "combined",
    )
    for name in names:
        done = CliRunner().invoke(main, ["check", f"conf/{name}.yaml"])
        assert done.exit_code == 0, done.output
    states = yaml.safe_load(blocks(PAGE, "yaml")[1])["model"]["heads"]["states"]["states"]
    resolved = CliRunner().invoke(
        main, ["explain", "conf/page-gmm.yaml", "mixtures.adapted.states"]
    )
    assert str(states) in resolved.output

"""Where a corpus can't be downloaded, what is unpacked by hand is found by the same command."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asrkit.data import downloads

ROOT = Path(__file__).parents[2]


def start(recipe: str, *words: object) -> Result:
    main = runpy.run_path(str(ROOT / "recipes" / recipe / "prepare.py"))["main"]
    return CliRunner().invoke(main, ["download", *map(str, words)])


@pytest.mark.parametrize(
    ("recipe", "corpus", "options", "files", "refused"),
    [
        (
            "librispeech",
            ".",
            ["--size", "mini"],
            ["LibriSpeech/train-clean-5/1/2/x.flac", "LibriSpeech/dev-clean-2/1/2/x.flac"],
            "train-clean-5, dev-clean-2 not in",
        ),
        ("an4", "an4", [], ["an4/etc/an4_train.fileids"], "AN4 is not in"),
        (
            "tedlium2",
            ".",
            [],
            [f"TEDLIUM_release2/{part}/stm/x.stm" for part in ("train", "dev", "test")],
            "TED-LIUM release 2 is not in",
        ),
    ],
)
def test_what_is_unpacked_by_hand_after_a_failed_download_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    corpus: str,
    options: list[str],
    files: list[str],
    refused: str,
) -> None:
    asked: list[str] = []

    def fail(url: str, part: Path) -> None:
        asked.append(url)
        part.write_bytes(b"the first half")
        raise ConnectionError("no network")

    monkeypatch.setattr(downloads, "_receive", fail)
    words = ("--corpus", tmp_path / corpus, *options)
    failed = start(recipe, *words)
    assert failed.exit_code == 1
    assert refused in failed.output
    assert "no network" in failed.output
    assert "by hand" in failed.output
    assert len(asked) == 1
    assert asked[0].startswith("https://")
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = start(recipe, *words)
    assert found.exit_code == 0, found.output
    assert "found" in found.output
    assert len(asked) == 1

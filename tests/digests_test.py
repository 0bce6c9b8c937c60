"""Digests of what stages read: contents count, times do not, and large folders are not read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import asrkit.digests
from asrkit.cli import main
from asrkit.digests import MISSING, digest


def digests(*words: object) -> str:
    result = CliRunner().invoke(main, ["files", "stage", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for name in ("b/x.wav", "b/c/y.wav", "z.txt"):
        (tmp_path / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "corpus" / name).write_text(name)
    return tmp_path / "corpus"


def test_contents_and_names_count_and_times_do_not(corpus: Path) -> None:
    first = digest(corpus, set())
    os.utime(corpus / "z.txt", (0, 0))
    assert digest(corpus, set()) == first
    (corpus / "z.txt").write_text("y.txt")
    other = digest(corpus, set())
    assert other != first
    (corpus / "z.txt").rename(corpus / "y.txt")
    assert digest(corpus, set()) not in (first, other)


def test_a_large_folder_is_not_read(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asrkit.digests, "SMALL", 3)
    monkeypatch.setattr(asrkit.digests, "file_digest", lambda path: pytest.fail(f"reads {path}"))
    first = digest(corpus, set())
    assert digest(corpus, set()) == first
    os.utime(corpus / "z.txt", (0, 0))
    replaced = digest(corpus, set())
    assert replaced != first
    (corpus / "b" / "c" / "y.wav").unlink()
    assert digest(corpus, set()) not in (first, replaced)


def test_links_are_followed_once(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "w.wav").write_text("w")
    (corpus / "far").symlink_to(tmp_path / "far")
    (corpus / "up").symlink_to(corpus)
    (corpus / "broken").symlink_to(tmp_path / "nowhere")
    first = digest(corpus, set())
    (tmp_path / "far" / "w.wav").write_text("v")
    assert digest(corpus, set()) != first
    (tmp_path / "link").symlink_to(corpus)
    assert digest(tmp_path / "link", set()) == digest(corpus, set())


def test_results_within_do_not_count_unless_they_are_the_input(corpus: Path) -> None:
    first = digests("--without", corpus / "run", "--input", corpus)
    (corpus / "run").mkdir()
    (corpus / "run" / "log").touch()
    assert digests("--without", corpus / "run", "--input", corpus) == first
    assert digests("--without", corpus, "--input", corpus) != digests(
        "--without", corpus / "run", "--input", corpus
    )


def test_each_input_has_a_line_and_what_is_not_there_is_missing(corpus: Path) -> None:
    odd = corpus / "a\nb 'c'"
    odd.touch()
    lines = digests("--input", corpus, "--input", odd, "--input", corpus / "none").splitlines()
    assert len(lines) == 3
    assert lines[1].endswith(repr(str(odd)))
    assert lines[2] == f"{MISSING} {str(corpus / 'none')!r}"


def test_what_cannot_be_read_is_one_message(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(asrkit.digests, "file_digest", refuse)
    result = CliRunner().invoke(main, ["files", "stage", "--input", str(corpus)])
    assert result.exit_code == 2
    assert f"{corpus}: can't be read: " in result.output

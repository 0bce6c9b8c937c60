"""One reader for all files of lines: what ends a line, what is a mark of its encoding."""

from __future__ import annotations

import gzip
import logging
import lzma
from pathlib import Path

import pytest

from asrkit.errors import UserError
from asrkit.files import matching, read_lines

SEPARATORS = "a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i"


def read(path: Path, content: bytes) -> list[str]:
    path.write_bytes(content)
    return list(read_lines(path))


@pytest.mark.parametrize(
    "sign", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
)
def test_only_line_ends_end_lines(tmp_path: Path, sign: str) -> None:
    lines = [f"one{sign}two", f"{sign}three{sign}"]
    assert read(tmp_path / "text", "\n".join(lines).encode()) == lines


def test_lines_of_windows_and_of_old_macs(tmp_path: Path) -> None:
    assert read(tmp_path / "text", b"a\tb\t\r\n\r\n c \r\n") == ["a\tb\t", "", " c "]
    assert read(tmp_path / "text", b"a\rb\r") == ["a", "b"]
    assert read(tmp_path / "text", b"a\rb\nc\n") == ["a\rb", "c"]  # part of the text
    assert read(tmp_path / "text", b"last") == ["last"]
    assert read(tmp_path / "text", b"") == []


def test_byte_order_marks_are_no_part_of_the_text(tmp_path: Path) -> None:
    assert read(tmp_path / "text", "\ufeffa\n\ufeffb\ufeffc\n".encode()) == ["a", "b\ufeffc"]


def test_compressed_files_are_read_alike(tmp_path: Path) -> None:
    content = f"\ufeff{SEPARATORS}\r\nb\r\n".encode()
    assert read(tmp_path / "text.gz", gzip.compress(content)) == [SEPARATORS, "b"]
    assert read(tmp_path / "text.xz", lzma.compress(content)) == [SEPARATORS, "b"]
    with pytest.raises(UserError, match=r"text\.gz:\d+: can't be read"):
        read(tmp_path / "text.gz", gzip.compress(content)[:-12])


def test_other_encodings_are_named_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"text:2: .*UTF-8"):
        read(tmp_path / "text", "eins\ngrün\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"text:1: .*UTF-16"):
        read(tmp_path / "text", "eins\n".encode("utf-16"))


def test_bytes_that_are_replaced_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "rules").write_bytes("grün\nx \ufffd\n".encode() + "grün\n".encode("latin-1"))
    with caplog.at_level(logging.WARNING):
        assert list(read_lines(tmp_path / "rules", errors="replace"))[2] == "gr\ufffdn"
    assert "1 lines have bytes that are not UTF-8" in caplog.text


def test_hidden_files_are_no_data(tmp_path: Path) -> None:
    corpus = tmp_path / ".corpora" / "a"
    corpus.mkdir(parents=True)
    (corpus.parent / ".b").mkdir()
    for path in ("a/x.flac", "a/._x.flac", ".b/y.flac", ".DS_Store"):
        (corpus.parent / path).touch()
    assert matching(corpus.parent, "*/*.flac") == [corpus / "x.flac"]
    assert matching(corpus.parent, "**/*") == [corpus, corpus / "x.flac"]
    assert matching(tmp_path / "missing", "*") == []

"""Files are written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asrkit.files import replaced, write_lines, write_text


def test_writes_what_it_is_given_in_a_folder_that_was_not_there(tmp_path: Path) -> None:
    write_lines(tmp_path / "new" / "list.txt", ["a", "b"])
    write_text(tmp_path / "new" / "text.json", "{}")
    assert (tmp_path / "new" / "list.txt").read_text() == "a\nb\n"
    assert (tmp_path / "new" / "text.json").read_text() == "{}"


def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("old")

    def lines() -> Iterator[str]:
        yield "new"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_lines(path, lines())
    assert [p.name for p in tmp_path.iterdir()] == ["list.txt"]
    assert path.read_text() == "old"


def test_what_is_written_meanwhile_has_the_same_ending(tmp_path: Path) -> None:
    with replaced(tmp_path / "picture.png") as partial:
        assert partial.suffix == ".png"
        partial.write_bytes(b"1")
        assert not (tmp_path / "picture.png").exists()
    assert (tmp_path / "picture.png").read_bytes() == b"1"

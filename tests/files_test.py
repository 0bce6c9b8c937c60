"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from asrkit.failures import explain_failure
from asrkit.files import matching, replaced, write_lines, write_text


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


def test_two_that_write_the_same_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with replaced(path) as first, replaced(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
        assert matching(tmp_path, "*.txt") == [], "hidden, so that nobody takes it for data"
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["list.txt"]


def test_what_a_killed_process_has_left_of_a_file_is_removed(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from asrkit.files import replaced\n"
        "with replaced(Path(sys.argv[1])) as partial: partial.write_text('x'); os._exit(9)"
    )
    path = tmp_path / "list[1].txt"
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with replaced(path) as living:
        write_text(path, "new")
        assert not living.exists()
        living.write_text("newer")
    assert [p.name for p in tmp_path.iterdir()] == ["list[1].txt"]


def test_arrays_can_be_read_by_whoever_can_read_other_files(tmp_path: Path) -> None:
    write_text(tmp_path / "text", "a")
    with replaced(tmp_path / "arrays") as partial:
        save_file({"a": np.zeros(1)}, partial)
    modes = {(tmp_path / name).stat().st_mode for name in ("text", "arrays")}
    (tmp_path / "plain").touch()
    assert modes == {(tmp_path / "plain").stat().st_mode}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_what_has_no_room_is_named(number: int, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with pytest.raises(OSError, match="no room") as caught, replaced(path):
        raise OSError(number, "no room")
    assert explain_failure(caught.value) == (
        f"{path}: no room; what was written before is intact: fix that, then start the same "
        "command again"
    )

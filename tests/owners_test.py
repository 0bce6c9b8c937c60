"""One process at a time works in a folder; who has died does not count."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from asrkit import owners
from asrkit.errors import UserError
from asrkit.owners import LOCK, Owner, is_gone, owned, this_process

HOLDING = """
import sys, time
from pathlib import Path
from asrkit.owners import owned
from asrkit.signals import end_by_exception
end_by_exception()
with owned(Path(sys.argv[1]), "a training"):
    print("owned", flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HOLDING, str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert process.stdout is not None
    assert process.stdout.readline() == "owned\n"
    return process


def test_a_second_process_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    process = holder(tmp_path)
    said = f"{tmp_path} is in use: a training by process {process.pid} on .* since 2"
    with pytest.raises(UserError, match=said), owned(tmp_path, "a decode"):
        pass
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=300)
    assert not (tmp_path / LOCK).exists(), "given back by a process that was asked to end"
    with owned(tmp_path, "a decode"):
        assert (tmp_path / LOCK).is_file()
    assert list(tmp_path.iterdir()) == []


def test_who_was_killed_is_followed_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = holder(tmp_path)
    process.kill()
    process.wait()
    with owned(tmp_path, "a decode"):
        assert json.loads((tmp_path / LOCK).read_text())["work"] == "a decode"
    assert f"taken over from process {process.pid}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def write(folder: Path, **changes: object) -> Path:
    owner = Owner(replace(this_process(), **changes), "a training", "2026-01-01", "asrkit")  # type: ignore[arg-type]
    (folder / LOCK).write_text(json.dumps(asdict(owner)))
    return folder / LOCK


def test_another_machine_can_not_be_asked_so_the_file_to_delete_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, host="elsewhere", place="")
    said = rf"process \d+ on elsewhere \(asrkit\), since 2026-01-01; .*delete {path}"
    with pytest.raises(UserError, match=said), owned(tmp_path, "x"):
        pass
    path.unlink()
    with owned(tmp_path, "x"):
        pass


def test_another_container_of_this_machine_can_not_be_asked_either(tmp_path: Path) -> None:
    machine, boot, _ = this_process().place.split(" ")
    write(tmp_path, place=f"{machine} {boot} pid:[7]", number=2**22 + 1)
    with pytest.raises(UserError, match="delete"), owned(tmp_path, "x"):
        pass


def test_a_number_that_another_process_has_now_is_gone(tmp_path: Path) -> None:
    write(tmp_path, born="1")
    with owned(tmp_path, "x"):
        pass


def test_a_machine_that_has_started_anew_has_no_process_of_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = replace(this_process(), place="machine boot1 pid:[1]")
    monkeypatch.setattr(owners, "_here", lambda: (before.host, "machine boot2 pid:[1]"))
    assert is_gone(before)
    monkeypatch.setattr(owners, "_here", lambda: (before.host, " boot2 pid:[1]"))
    assert not is_gone(replace(before, place=" boot1 pid:[1]")), "without a number, who knows"


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("")
    said = r"in_use.json .*can't be read: delete"
    with pytest.raises(UserError, match=said), owned(tmp_path, "x"):
        pass


def test_a_process_may_own_again_what_it_owns_and_errors_give_it_back(tmp_path: Path) -> None:
    with owned(tmp_path, "x"):
        with owned(tmp_path, "y"):
            pass
        assert (tmp_path / LOCK).is_file()
    with pytest.raises(ZeroDivisionError), owned(tmp_path, "x"):
        assert 1 / 0
    assert not (tmp_path / LOCK).exists()


def test_file_systems_without_links_work_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with owned(tmp_path, "x"):
        assert json.loads((tmp_path / LOCK).read_text())["work"] == "x"
        owners._held.clear()
        with pytest.raises(UserError, match="in use"), owned(tmp_path, "y"):
            pass


RACE = """
import os, sys, time
from pathlib import Path
from asrkit.errors import UserError
from asrkit.owners import owned
while time.time() < float(sys.argv[2]):
    pass
try:
    with owned(Path(sys.argv[1]), "x"):
        print("owned")
        time.sleep(1)
except UserError:
    print("refused")
"""


def test_of_many_that_find_a_dead_owner_one_follows(tmp_path: Path) -> None:
    write(tmp_path, born="1")
    start = str(time.time() + 2)
    words = [sys.executable, "-c", RACE, str(tmp_path), start]
    racing = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(4)
    ]
    said = sorted(process.communicate()[0].strip() for process in racing)
    assert said == [b"owned", b"refused", b"refused", b"refused"]

"""Which process works in a folder: only one at a time trains, decodes or prepares there.

The owner puts a file into the folder that says who it is. Another process is refused as long as the
owner is alive; one that died without cleaning up is detected if it ran on the same machine. The
file is made by a hard link, so that only one process succeeds, even on network file systems.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from asrkit.errors import UserError

LOCK = "in_use.json"
"""The owner's file in a folder."""
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
"""Errors of file systems without hard links."""


@dataclass(frozen=True)
class Process:
    """A process: its start distinguishes it from earlier ones with the same number.

    Args:
        host: Name of its machine.
        place: Machine, its boot, and the container on it; empty if unknown.
        number: Number of the process there.
        born: When it started, in ticks of the machine; empty if unknown.
    """

    host: str
    place: str
    number: int
    born: str

    @property
    def name(self) -> str:
        """Returns a word for file names."""
        place = f"{hash_of(self.host + self.place):08x}"
        return f"{self.number}-{self.born or 0}-{place}"


@dataclass(frozen=True)
class Owner:
    """The process that works in a folder."""

    process: Process
    work: str
    since: str
    command: str


def this_process() -> Process:
    """Returns this process."""
    host, place = _here()
    return Process(host, place, os.getpid(), _born(os.getpid()) or "")


def is_gone(process: Process) -> bool:
    """Returns whether a process has certainly ended, which is only known on its own machine."""
    host, place = _here()
    if process.host != host:
        return False
    if process.place != place:
        then, now = process.place.split(" "), place.split(" ")
        if len(then) < 3 or len(now) < 3 or not then[0]:
            return False
        return then[0] == now[0] and then[1] != now[1]  # the machine was rebooted since
    born = _born(process.number)
    if born is not None:
        return born != process.born
    return Path("/proc/self/stat").exists() or not _answers(process.number)


@contextmanager
def owned(folder: Path, work: str) -> Iterator[None]:
    """Makes this process the owner of a folder, which is made if needed, within a `with` block.

    A process may own again what it owns already.

    Args:
        folder: Where it works.
        work: What it does there, for messages to others.

    Raises:
        UserError: If another process is working there, or may be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / LOCK
    me = (os.getpid(), path)
    if me in _held:
        yield
        return
    owner = Owner(this_process(), work, time.strftime("%Y-%m-%d %H:%M:%S"), _command())
    while not _claim(path, owner):
        _take_over(path)
    _held.add(me)
    try:
        yield
    finally:
        if me[0] == os.getpid():  # otherwise, this process was forked meanwhile
            _held.discard(me)
            if _read(path) == owner:
                path.unlink(missing_ok=True)


_held: set[tuple[int, Path]] = set()


def _claim(path: Path, owner: Owner) -> bool:
    """Makes the owner's file atomically; returns False if there is one."""
    text = json.dumps(asdict(owner), indent=1) + "\n"
    own = path.with_name(f".{path.name}.{owner.process.name}-{secrets.token_hex(3)}")
    own.write_text(text, encoding="utf-8")
    try:
        os.link(own, path)
    except FileExistsError:
        return own.stat().st_nlink == 2  # the reply that it was made may have been lost
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _make(path, text)
    finally:
        own.unlink(missing_ok=True)
    return True


def _make(path: Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _take_over(path: Path) -> None:
    """Removes the file of an owner that is gone, and says so.

    Raises:
        UserError: If it may be alive; says who it is and what to do.
    """
    found = _read(path)
    if found is None:
        if not path.exists():
            return  # it has just ended
        raise UserError(
            f"{path} says that another process works there, but can't be read: delete this file if "
            "none does"
        )
    process = found.process
    who = f"process {process.number} on {process.host} ({found.command}), since {found.since}"
    if not is_gone(process):
        remedy = (
            "wait for it, or stop it"
            if process.host == socket.gethostname() and process.place == this_process().place
            else f"if it has ended (which can't be seen from another machine), delete {path}"
        )
        raise UserError(f"{path.parent} is in use: {found.work} by {who}; {remedy}")
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        path.rename(aside)
        if _read(aside) == found:
            print(
                f"asrkit: {path.parent} is taken over from {who}, which has ended", file=sys.stderr
            )
        else:  # that process owns it by now
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()


def _read(path: Path) -> Owner | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        host, place, number, born = (
            found["process"][key] for key in ("host", "place", "number", "born")
        )
        process = Process(str(host), str(place), int(number), str(born))
        return Owner(process, *(str(found[key]) for key in ("work", "since", "command")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def hash_of(text: str) -> int:
    """Returns a 32-bit hash that is always the same for a text."""
    value = 2166136261
    for byte in text.encode("utf-8", "surrogateescape"):
        value = (value ^ byte) * 16777619 % 2**32
    return value


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


@cache
def _here() -> tuple[str, str]:
    """Returns this machine's name, and its id, its boot and the container, as far as known."""
    parts = [_first_line("/etc/machine-id"), _first_line("/proc/sys/kernel/random/boot_id")]
    try:
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        parts.append("")
    return socket.gethostname(), " ".join(parts)


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _born(number: int) -> str | None:
    """Returns when a process of this machine started, or None if it is not running."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text("utf-8", "replace").rpartition(")")[2]
    except OSError:
        return None
    state, *others = fields.split()
    return None if state in "ZX" else others[18]


def _answers(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

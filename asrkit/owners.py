"""Which process works in a folder: one at a time trains, decodes or prepares there.

The owner leaves a file in the folder that says who it is. Another process is refused as long as the
owner lives; one that died without a word is noticed if it ran on the same machine. Made by a hard
link, the file is there for one process only, on network file systems too.
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
"""What file systems without hard links answer."""


@dataclass(frozen=True)
class Process:
    """A process: number and start tell it from others that had the number before.

    Args:
        host: Name of its machine.
        place: Which start of which machine, and which container on it; empty if that is unknown.
        number: The process's number there.
        born: When it started, in the machine's own count; empty if that is unknown.
    """

    host: str
    place: str
    number: int
    born: str

    @property
    def name(self) -> str:
        """A word for file names."""
        place = f"{hash_of(self.host + self.place):08x}"
        return f"{self.number}-{self.born or 0}-{place}"


@dataclass(frozen=True)
class Owner:
    """Who works in a folder."""

    process: Process
    work: str
    since: str
    command: str


def this_process() -> Process:
    """Returns this process."""
    host, place = _here()
    return Process(host, place, os.getpid(), _born(os.getpid()) or "")


def is_gone(process: Process) -> bool:
    """Returns whether a process has surely ended: only one of this machine can be known to have."""
    host, place = _here()
    if process.host != host:
        return False
    if process.place != place:
        then, now = process.place.split(" "), place.split(" ")
        if len(then) < 3 or len(now) < 3 or not then[0]:
            return False
        return then[0] == now[0] and then[1] != now[1]  # the machine has started anew since
    born = _born(process.number)
    if born is not None:
        return born != process.born
    return Path("/proc/self/stat").exists() or not _answers(process.number)


@contextmanager
def owned(folder: Path, work: str) -> Iterator[None]:
    """Makes this process the owner of a folder, which is made if needed, for a while.

    What the process itself owns it may own again.

    Args:
        folder: Where it works.
        work: What it does there, for the message to others.

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
        if me[0] == os.getpid():  # else, this is a process that was forked meanwhile
            _held.discard(me)
            if _read(path) == owner:
                path.unlink(missing_ok=True)


_held: set[tuple[int, Path]] = set()


def _claim(path: Path, owner: Owner) -> bool:
    """Makes the owner's file, whole and at once; returns False where there is one."""
    text = json.dumps(asdict(owner), indent=1) + "\n"
    own = path.with_name(f".{path.name}.{owner.process.name}-{secrets.token_hex(3)}")
    own.write_text(text, encoding="utf-8")
    try:
        os.link(own, path)
    except FileExistsError:
        return own.stat().st_nlink == 2  # the answer that it was made may have been lost
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
            f"{path} says that another process works there, but can't be read: delete that file if "
            "none does"
        )
    process = found.process
    who = f"process {process.number} on {process.host} ({found.command}), since {found.since}"
    if not is_gone(process):
        remedy = (
            "wait for it or end it"
            if process.host == socket.gethostname() and process.place == this_process().place
            else f"if it is no more (another machine can't see that), delete {path}"
        )
        raise UserError(f"{path.parent} is in use: {found.work} by {who}; {remedy}")
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    with contextlib.suppress(FileNotFoundError):  # another one was faster
        path.rename(aside)
        if _read(aside) == found:
            print(f"asrkit: {path.parent} is taken over from {who}, which ended", file=sys.stderr)
        else:  # that other one owns it by now
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
    """Returns a number of 32 bits that stays the same for a text."""
    value = 2166136261
    for byte in text.encode("utf-8", "surrogateescape"):
        value = (value ^ byte) * 16777619 % 2**32
    return value


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


@cache
def _here() -> tuple[str, str]:
    """Returns this machine's name, and its number, its start and the container, as far as known."""
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
    """Returns when a process of this machine started, or None if there is none that works."""
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

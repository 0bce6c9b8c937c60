"""Downloads of corpora: over https, checked against published digests, resumed if interrupted.

An archive is unpacked to a temporary folder next to its place, which is then renamed: a folder with
the final name is always complete.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from asrkit.errors import UserError

TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as broken."""
BLOCK = 2**20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Archive:
    """A tar archive on a server.

    Args:
        url: Where it is; the last part names the file.
        digest: "md5:..." or "sha256:...", as it was published.
    """

    url: str
    digest: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


def download(archive: Archive, folder: Path) -> Path:
    """Returns the archive's file in a folder; downloads it unless it is there.

    Raises:
        UserError: If it can't be downloaded, or is not the file that was published.
    """
    path = folder / archive.name
    part = path.with_name(path.name + ".part")
    if path.is_file():
        return _checked(archive, path)
    folder.mkdir(parents=True, exist_ok=True)
    log.info("downloading %s to %s", archive.url, part)
    try:
        _receive(archive.url, part)
    except OSError as error:
        raise UserError(
            f"{archive.url} can't be downloaded: {error}; the same command continues with "
            f"{part}, or "
            f"put the file at {path} yourself"
        ) from error
    os.replace(_checked(archive, part), path)
    return path


def extract(file: tarfile.TarFile, folder: Path) -> None:
    """Extracts an archive, nothing of it outside of the folder.

    Raises:
        tarfile.TarError: If a member would lie outside, or is a device.
    """
    if hasattr(tarfile, "data_filter"):
        file.extractall(folder, filter="data")
        return
    for member in file.getmembers():  # Python before 3.11.4
        inside = (folder / member.name).resolve().is_relative_to(folder.resolve())
        if not inside or not (member.isfile() or member.isdir()):
            raise tarfile.ExtractError(f"{member.name} is not a file or folder inside the archive")
    file.extractall(folder)


def unpack(path: Path, wanted: str, target: Path) -> None:
    """Unpacks an archive and moves one of its folders to its place.

    Args:
        path: The archive.
        wanted: Path of a folder in the archive, such as `LibriSpeech/dev-clean`.
        target: What that folder becomes; files next to it go there, too, unless they exist.

    Raises:
        UserError: If the archive can't be read or has no such folder.
    """
    log.info("unpacking %s", path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpacking-") as scratch:
        try:
            with tarfile.open(path) as file:
                extract(file, Path(scratch))
        except (OSError, EOFError, tarfile.TarError) as error:
            raise UserError(f"{path} can't be unpacked: {error}") from error
        found = Path(scratch, wanted)
        if not found.is_dir():
            raise UserError(f"{path} has no folder {wanted}; there are {os.listdir(scratch)}")
        for extra in [entry for entry in found.parent.iterdir() if entry.is_file()]:
            if not (target.parent / extra.name).exists():
                extra.replace(target.parent / extra.name)
        found.replace(target)


def _receive(url: str, part: Path) -> None:
    """Downloads a file, appending to the bytes that are there already."""
    there = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "asrkit"} | ({"Range": f"bytes={there}-"} if there else {})
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        ) as response:
            goes_on = response.status == 206  # otherwise, the server sends the file from its start
            with part.open("ab" if goes_on else "wb") as file:
                shutil.copyfileobj(response, file, BLOCK)
            if response.length:
                raise ConnectionError(f"it ended {response.length} bytes early")
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing follows the bytes that are there
            raise


def _checked(archive: Archive, path: Path) -> Path:
    kind, _, expected = archive.digest.partition(":")
    with path.open("rb") as file:
        got = hashlib.file_digest(file, kind).hexdigest()
    if got != expected:
        raise UserError(
            f"{path} is not the published file: its {kind} is {got}, expected {expected}; delete "
            "it, and the same command downloads it again"
        )
    return path

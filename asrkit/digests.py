"""Digests of what the stages of a recipe depend on.

A file is known by its content, a folder by what is below it; clocks and the order of writing do not
count.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

SMALL = 64 * 2**20
"""Bytes up to which a folder's files are read; of a corpus, names, sizes and times must do."""
MISSING = "missing"


def digest(path: Path, without: set[Path]) -> str:
    """Returns a digest of a file or folder, MISSING where there is neither.

    Args:
        path: The file or folder.
        without: Folders that do not count where they are below it, such as that of the results.
    """
    if path.is_dir():
        return folder_digest(path, without)
    return file_digest(path) if path.exists() else MISSING


def file_digest(path: Path) -> str:
    """Returns a digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path, without: set[Path]) -> str:
    """Returns a digest of the files below a folder: their contents too, if that is little to read.

    Hidden files and folders do not count: they are marks and lists of the file system's.
    """
    found = sorted(files_below(folder, without - {folder.resolve()}, set()))
    little = sum(path.stat().st_size for path in found) <= SMALL
    whole = hashlib.sha256()
    for path in found:
        facts = path.stat()
        content = file_digest(path) if little else f"{facts.st_size} {facts.st_mtime_ns}"
        whole.update(os.fsencode(f"{path.relative_to(folder)}\0{content}\0"))
    return whole.hexdigest()


def files_below(folder: Path, without: set[Path], seen: set[Path]) -> Iterator[Path]:
    """Yields the files below a folder; links are followed, but no folder is entered twice.

    Args:
        folder: Where to look.
        without: Real paths of folders that are left out.
        seen: Real paths of folders that were entered already.
    """
    place = folder.resolve()
    if place in without or place in seen:
        return
    seen.add(place)
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from files_below(Path(entry), without, seen)
        elif entry.is_file():
            yield Path(entry)

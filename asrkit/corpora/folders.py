"""Folders of audio files, each with its transcript in a .txt file of the same name next to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from asrkit.data.sources import Source, Unusable
from asrkit.errors import UserError
from asrkit.files import is_hidden, read_lines
from asrkit.text.normalization import normalized

READ = ("wav", "flac", "ogg", "oga", "opus", "mp3", "sph", "aif", "aiff", "au", "snd", "caf", "w64")
UNREAD = ("m4a", "mp4", "aac", "wma", "webm", "amr", "3gp", "mkv", "mov", "avi", "wv", "ape")
"""Audio all the same: it is named, not passed over."""


def read_folder(folder: Path, speakers: bool = False) -> Iterator[Source | Unusable]:
    """Yields the audio files of a folder and all below, named by their path in it.

    Args:
        folder: The folder.
        speakers: Whether files are in folders named after their speakers.

    Raises:
        UserError: If it is missing or has no audio.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: expected one with audio files")
    files = [path for path in _files(folder) if not is_hidden(path.relative_to(folder))]
    audio = [path for path in files if is_audio(path)]
    texts = {path.with_suffix(""): path for path in files if _suffix(path) == "txt"}
    if not audio:
        raise UserError(f"{folder} has no audio files; looked for {', '.join(READ)}")
    for path in audio:
        name = str(path.relative_to(folder).with_suffix(""))
        yield _utterance(name, path, texts.get(path.with_suffix("")), speakers)
    heard = {path.with_suffix("") for path in audio}
    for stem, path in texts.items():
        if stem not in heard:
            name = str(stem.relative_to(folder))
            yield Unusable(name, "text without audio", f"there is no audio next to {path}")


def is_audio(path: Path) -> bool:
    """Returns whether a file's name says that it is audio."""
    return _suffix(path) in (*READ, *UNREAD)


def _files(folder: Path) -> list[Path]:
    """Returns all files below a folder, in order; links are followed, but not in circles."""
    found: list[Path] = []
    seen: set[str] = set()
    for place, inner, names in os.walk(folder, followlinks=True):
        inner.sort()
        if os.path.realpath(place) in seen:
            inner.clear()
            continue
        seen.add(os.path.realpath(place))
        found += (Path(place, name) for name in names)
    return sorted(found)


def _suffix(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def _utterance(name: str, path: Path, text: Path | None, speakers: bool) -> Source | Unusable:
    if _suffix(path) in UNREAD:
        new = path.with_suffix(".wav").name
        return Unusable(
            name, "unread format", f"{path}: convert it, such as with `ffmpeg -i {path.name} {new}`"
        )
    try:
        said = None if text is None else normalized(" ".join(read_lines(text)))
    except UserError as error:
        return Unusable(name, "unreadable text", str(error))
    parent = path.parent.name if speakers and "/" in name else ""
    return Source(name, path, said, parent)

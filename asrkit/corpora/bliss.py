"""Transcripts of RASR's corpora (Bliss): XML whose segments have a name, a speaker and words."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from asrkit.corpora.feature_files import Said
from asrkit.errors import UserError
from asrkit.text.normalization import normalized

NAMED = ("corpus", "subcorpus", "recording", "segment")
"""Elements whose names a segment's name is made of, with slashes between."""


def read_bliss(path: Path) -> dict[str, Said]:
    """Returns what is said in the segments of a corpus, by their full names.

    Args:
        path: The file; may be compressed (.gz).

    Raises:
        UserError: If it is missing or not such a file; names the line.
    """
    if not path.is_file():
        raise UserError(f"there is no corpus {path}")
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            found = dict(_segments(cast(BinaryIO, file)))
    except (ElementTree.ParseError, OSError, EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{path} is not a corpus of RASR: {error}") from error
    if not found:
        raise UserError(f"{path} has no segments: expected a corpus of RASR")
    return found


@dataclass
class _Place:
    """Where in a corpus we are.

    Args:
        name: Of the element.
        speaker: Who speaks there.
        inner: How many elements with names it has so far.
    """

    name: str
    speaker: str
    inner: int = 0


def _segments(file: BinaryIO) -> Iterator[tuple[str, Said]]:
    """Yields names and transcripts, in order."""
    places: list[_Place] = []
    for event, element in ElementTree.iterparse(file, events=("start", "end")):
        if element.tag == "include":
            raise ValueError("it includes other files: give one that has all segments")
        if element.tag == "speaker" and places:
            places[-1].speaker = element.get("name") or places[-1].speaker
        if element.tag not in NAMED:
            continue
        if event == "start":
            places.append(_inside(places, element))
            continue
        if element.tag == "segment":
            yield "/".join(place.name for place in places), _said(element, places[-1].speaker)
        element.clear()  # a corpus is large
        places.pop()


def _inside(places: list[_Place], element: Element) -> _Place:
    """Returns the place of an element; those without names are numbered."""
    if not places:
        return _Place(element.get("name") or "1", "")
    places[-1].inner += 1
    return _Place(element.get("name") or str(places[-1].inner), places[-1].speaker)


def _said(segment: Element, speaker: str) -> Said:
    words = segment.find("orth")
    return Said(None if words is None else normalized("".join(words.itertext())), speaker)

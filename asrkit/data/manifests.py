"""Manifests: one lhotse cut per utterance, as uncompressed JSON lines, validated on the way."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import soundfile
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource
from lhotse.serialization import deserialize_item

from asrkit.children import process_pool
from asrkit.data.audio import reason
from asrkit.data.lookups import failed_lookup
from asrkit.errors import UserError
from asrkit.files import json_line, matching, read_lines, replaced
from asrkit.names import require_name
from asrkit.tables import read_rows, write_rows

DUPLICATE_NAME = "duplicate name"
OVERHANG = 0.5
"""Transcripts round times: by so many seconds an utterance may end after its file, and is cut."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One utterance of a corpus folder: a file, or from `start` on a part of one of its channels.

    Args:
        id: Name of the utterance.
        path: The audio file.
        text: What is said.
        speaker: Who says it.
        start: Where in the file it begins, in seconds.
        duration: Its length in seconds; up to the file's end where None.
        channel: Which channel of the file it is on, from 0 on.
    """

    id: str
    path: Path
    text: str
    speaker: str
    start: float = 0.0
    duration: float | None = None
    channel: int = 0


@dataclass(frozen=True)
class Unusable:
    """An utterance that can't be used: which, why, and the details."""

    id: str
    reason: str
    detail: str


def write_manifest(data: Path, name: str, sources: Iterable[Source], jobs: int = 1) -> int:
    """Writes DATA/manifests/NAME.jsonl; what is wrong goes to DATA/rejected/NAME.tsv instead.

    Args:
        data: Data folder.
        name: Name of the set.
        sources: Utterances; taken one by one, so a corpus never is in memory as a whole.
        jobs: Processes that look at the audio files.

    Returns:
        The number of usable utterances.

    Raises:
        UserError: If no utterance can be used.
    """
    read_header.cache_clear()  # files may have changed since the last manifest
    seen: set[str] = set()
    unusable: list[Unusable] = []
    with (
        replaced(manifest_path(data, name)) as partial,
        partial.open("w", encoding="utf-8") as file,
    ):
        for result in _inspect_all(sources, jobs):
            if isinstance(result, MonoCut) and result.id in seen:
                result = Unusable(result.id, DUPLICATE_NAME, "this name occurs more than once")
            if isinstance(result, Unusable):
                unusable.append(result)
                continue
            seen.add(result.id)
            file.write(json_line(result.to_dict()) + "\n")
        if not seen:
            first = f"; the first: {unusable[0].id}: {unusable[0].detail}" if unusable else ""
            raise UserError(f"set {name}: no utterance can be used{first}")
    write_unusable(rejected_path(data, name), unusable)
    if unusable:
        log.warning(
            "%s: %d utterances can't be used, such as %s: %s; all of them: %s",
            name,
            len(unusable),
            unusable[0].id,
            unusable[0].detail,
            rejected_path(data, name),
        )
    return len(seen)


def _inspect_all(sources: Iterable[Source], jobs: int) -> Iterator[MonoCut | Unusable]:
    if jobs <= 1:
        yield from map(inspect, sources)
        return
    stream = iter(sources)
    with process_pool(jobs) as pool:
        while part := list(islice(stream, 4096)):
            yield from pool.map(inspect, part, chunksize=128)


def inspect(source: Source) -> MonoCut | Unusable:
    """Returns the cut of an utterance, or what is wrong with it; reads the audio's header only."""
    header = read_header(source.path)
    if header.trouble:
        return Unusable(source.id, header.trouble, header.detail)
    if not source.text.strip():
        return Unusable(source.id, "empty text", "the transcript is empty or missing")
    first, last = _span(source, header)
    problem = _outside(source, header, first, last)
    if problem:
        return Unusable(source.id, "outside the file", f"{source.path} has {problem}")
    # Segments share the recording of their file.
    is_part = source.duration is not None or source.start > 0
    name = source.path.stem if is_part else source.id
    channels = [*range(header.channels)]
    recording = Recording(
        id=name,
        # Absolute: commands on the data folder are given from anywhere.
        sources=[AudioSource(type="file", channels=channels, source=str(source.path.absolute()))],
        sampling_rate=header.rate,
        num_samples=header.frames,
        duration=header.frames / header.rate,
    )
    seconds = (last - first) / header.rate
    segment = SupervisionSegment(
        id=source.id,
        recording_id=name,
        start=0.0,  # counted from the start of the cut
        duration=seconds,
        channel=source.channel,
        text=source.text,
        speaker=source.speaker,
    )
    return MonoCut(
        id=source.id,
        start=first / header.rate,
        duration=seconds,
        channel=source.channel,
        recording=recording,
        supervisions=[segment],
    )


@dataclass(frozen=True)
class Header:
    """What an audio file says of itself; or the trouble with it, and the details."""

    frames: int = 0
    rate: int = 0
    channels: int = 0
    trouble: str = ""
    detail: str = ""


@lru_cache(maxsize=8)  # a talk has hundreds of segments, which come one after the other
def read_header(path: Path) -> Header:
    """Returns the header of an audio file."""
    try:
        return _read_header(path)
    except OSError as error:
        return Header(trouble="unreadable audio", detail=failed_lookup(error))


def _read_header(path: Path) -> Header:
    if not path.is_file():
        return Header(trouble="missing audio", detail=f"{path} is missing")
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        detail = f"{path} can't be read: {reason(path, error)}"
        return Header(trouble="unreadable audio", detail=detail)
    if not info.frames:
        return Header(trouble="no samples", detail=f"{path} has no samples")
    return Header(info.frames, info.samplerate, info.channels)


def _span(source: Source, header: Header) -> tuple[int, int]:
    """Returns the first sample of an utterance and the one after its last."""
    first = round(source.start * header.rate)
    if source.duration is None:
        return first, header.frames
    last = round((source.start + source.duration) * header.rate)
    overhang = last - header.frames
    return first, header.frames if 0 < overhang <= OVERHANG * header.rate else last


def _outside(source: Source, header: Header, first: int, last: int) -> str:
    """Returns what a file has instead of the utterance; nothing where it is all there."""
    if not 0 <= source.channel < header.channels:
        return f"{header.channels} channels, the utterance is on number {source.channel + 1}"
    if not 0 <= first < last <= header.frames:
        whole, end = header.frames / header.rate, last / header.rate
        return f"{whole:.3f} s, the utterance goes from {source.start:.3f} to {end:.3f} s"
    return ""


def open_set(data: Path, names: list[str]) -> CutSet:
    """Returns the utterances of some sets of a data folder.

    Raises:
        UserError: If the folder or a set is missing; names the sets that are there.
    """
    cuts = []
    for name in names:
        path = manifest_path(data, name)
        if not path.is_file():
            present = [p.stem for p in matching(path.parent, "*.jsonl")]
            raise UserError(
                f"there is no set {name!r} in {data}: {path} is missing; "
                f"sets there: {', '.join(present) or 'none'}; run the recipe's stage 1 first"
            )
        cuts += _read_cuts(path)
    return CutSet.from_cuts(cuts)


def _read_cuts(path: Path) -> list[MonoCut]:
    cuts: list[MonoCut] = []
    try:
        for line in read_lines(path):
            if line:
                cuts.append(deserialize_item(json.loads(line)))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}:{len(cuts) + 1}: no manifest line of a cut: {error}") from error
    return cuts


def without(cuts: CutSet, unusable: Iterable[Unusable]) -> CutSet:
    """Returns the utterances that are not listed, and of several with one name the first."""
    skipped = {u.id for u in unusable if u.reason != DUPLICATE_NAME}
    kept: dict[str, Any] = {}
    for cut in cuts:
        if cut.id not in skipped:
            kept.setdefault(cut.id, cut)
    return CutSet.from_cuts(kept.values())


def manifest_path(data: Path, name: str) -> Path:
    """Returns where the manifest of a set is."""
    return data / "manifests" / f"{require_name(name, 'a set')}.jsonl"


def rejected_path(data: Path, name: str) -> Path:
    """Returns where the utterances are listed that did not get into the manifest of a set."""
    return data / "rejected" / f"{name}.tsv"


def unusable_path(data: Path, name: str) -> Path:
    """Returns where the utterances of a manifest are listed that a spec can't use."""
    return data / "unusable" / f"{name}.tsv"


def read_unusable(path: Path) -> list[Unusable]:
    """Returns the utterances of a list; none where it is missing."""
    if not path.is_file():
        return []
    return [Unusable(*[*row, "", ""][:3]) for row in read_rows(path) if row[0]]


def write_unusable(path: Path, unusable: Iterable[Unusable]) -> None:
    """Writes a list of utterances and what is wrong with them."""
    write_rows(path, ((entry.id, entry.reason, entry.detail) for entry in unusable))

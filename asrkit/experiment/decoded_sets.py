"""Checks the lists of a decoded set against the files next to them.

A decode notes which manifest it read, and the digest of the lists that it wrote. Before anything is
said of the lists, both are compared with what is there now: lists of other settings, of a part of
the set or of another manifest are refused, as their rates would be those of something else.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asrkit.data.cuts import has_transcript, speaker_of, text_of
from asrkit.data.manifests import (
    existing_manifest,
    manifest_path,
    read_unusable,
    rejected_path,
)
from asrkit.data.open_sets import OpenSets
from asrkit.decoding.partial_results import fingerprint_of
from asrkit.errors import UserError
from asrkit.run_files import (
    NbestLine,
    SearchNote,
    SetFacts,
    Summary,
    read_nbest,
    read_run_file,
)
from asrkit.run_folder import DecodedSet
from asrkit.scoring.coverage import Coverage

log = logging.getLogger(__name__)


def set_facts(data: Path, set_name: str, cuts: Iterable[Any]) -> SetFacts:
    """Returns what a decode notes of a set: where its manifest is, its digest, what is missing."""
    each = list(cuts)
    rejected = len(read_unusable(rejected_path(data, set_name)))
    return SetFacts(str(data.absolute()), set_name, digest_of(each), len(each), rejected)


def digest_of(cuts: Iterable[Any]) -> str:
    """Returns what is the same for manifests of the same utterances, wherever their audio lies."""
    facts = (
        (cut.id, round(cut.start, 6), round(cut.duration, 6), *_said(cut), speaker_of(cut))
        for cut in cuts
    )
    return hashlib.sha256(json.dumps(sorted(facts)).encode()).hexdigest()


def _said(cut: Any) -> tuple[str, bool]:
    return text_of(cut), has_transcript(cut)


def require_whole(folder: Path, sets: OpenSets) -> Coverage | None:
    """Returns what of its set a decoded folder covers; None where an older decode did not note it.

    Args:
        folder: Of the decoded set.
        sets: Those that the command has opened.

    Raises:
        UserError: If another decode of the set was interrupted, lists are missing, or the manifest
            has changed since.
    """
    place = DecodedSet(folder)
    _require_finished(place)
    lines = read_nbest(place.nbest)
    if not place.summary.is_file():
        log.warning(
            "%s has no %s: whether its lists are complete is unknown", folder, place.summary.name
        )
        return None
    summary = read_run_file(place.summary, Summary)
    if len(lines) != summary.utterances:
        raise UserError(
            f"{place.nbest} has lists of {len(lines)} utterances, but {summary.utterances} were "
            "decoded: it was cut or changed; decode the set again"
        )
    facts = summary.set
    if facts is None:
        return None
    _require_same_manifest(folder, facts, lines, sets)
    edited = hashlib.sha256(place.nbest.read_bytes()).hexdigest() != summary.lists
    if edited:
        log.warning("%s was changed after it was decoded; the score says so", place.nbest)
    return Coverage(
        facts.utterances + facts.rejected,
        facts.rejected,
        facts.utterances - len(lines),
        edited=edited,
    )


def _require_finished(place: DecodedSet) -> None:
    if not place.partial.is_file():
        return
    if not place.nbest.is_file():
        raise UserError(
            f"{place.folder} is only partly decoded: the same `asrkit decode` continues"
        )
    note = place.search
    known = read_run_file(note, SearchNote).fingerprint if note.is_file() else None
    if known is None or known != fingerprint_of(place.partial):
        raise UserError(
            f"{place.partial} is of an interrupted decode with other settings or weights than "
            f"{place.nbest}: finish it with the same `asrkit decode`, or delete it and score "
            f"the earlier lists, whose settings are in {note}"
        )


def _require_same_manifest(
    folder: Path, facts: SetFacts, lines: Sequence[NbestLine], sets: OpenSets
) -> None:
    data, name = Path(facts.data), facts.name
    path = existing_manifest(data, name)
    if path is None:
        path = manifest_path(data, name)
        log.warning("%s is missing: whether it changed since decoding is unknown", path)
        return
    cuts = list(sets.open(data, [name]))
    if digest_of(cuts) != facts.manifest:
        raise UserError(
            f"{path} has changed since {folder} was decoded ({_changes(cuts, lines)}): decode the "
            "set again"
        )


def _changes(cuts: Sequence[Any], lines: Sequence[NbestLine]) -> str:
    """Returns what a manifest has that lists don't, and the other way round, in words."""
    now = {cut.id: text_of(cut) for cut in cuts}
    then = {line.id: line.reference for line in lines}
    kinds = {
        "new utterances": now.keys() - then.keys(),
        "utterances that are gone": then.keys() - now.keys(),
        "other transcripts": {n for n in now.keys() & then.keys() if now[n] != then[n]},
    }
    found = [f"{len(names)} {kind}, such as {min(names)}" for kind, names in kinds.items() if names]
    return "; ".join(found) or "other times or speakers"
